"""Draws a pen with one animal seen from above: frames from a script of states and events.

Lengths are in units of 1/128 of the frame's shorter side; angles in radians; a body's own axes are
x to the head and y to its left. The animal is some 65 units long, half the frame.

What must not tell the state does not depend on it: light and night vision drift on their own,
breathing keeps one slowly wandering rate, postures change only while awake. Frames differ by
sensor noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vigilia.simulate.behaviour import PenRecording, plan_pen
from vigilia.simulate.motion import Floats, Motion, move, wander

__all__ = ["draw_pen", "render_pen"]

SKIN = np.array([214.0, 176.0, 160.0], np.float32)
SKIN_LIGHT = np.array([232.0, 198.0, 184.0], np.float32)
SKIN_DARK = np.array([176.0, 134.0, 120.0], np.float32)
EAR = np.array([92.0, 58.0, 52.0], np.float32)
HOOF = np.array([48.0, 38.0, 36.0], np.float32)
VISITOR = np.array([78.0, 58.0, 46.0], np.float32)
SHADOW = np.array([62.0, 48.0, 30.0], np.float32)
LUMINANCE = np.array([0.30, 0.59, 0.11], np.float32)

NOISE_SIGMA = 3.0
FIXED_PATTERN_SIGMA = 1.5
LIGHT_STEP_SECONDS = 0.5


def render_pen(
    states: Sequence[tuple[float, float, str]],
    *,
    seconds: float,
    fps: float = 8.0,
    size: tuple[int, int] = (128, 128),
    seed: int,
) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Plans and draws a recording: `(frame (H, W, 3) uint8, its time in seconds)` one by one.

    The arguments and the errors are those of `plan_pen`, whose result also tells the events.
    """
    return draw_pen(plan_pen(states, seconds=seconds, fps=fps, size=size, seed=seed))


def draw_pen(recording: PenRecording) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Draws a planned recording: `(frame (H, W, 3) uint8, its time in seconds)` one by one.

    Frames are drawn when asked for; positions are worked out ahead, some hundred bytes a frame.
    """
    height, width = recording.size
    unit = min(height, width) / 128.0
    frames = max(1, round(recording.seconds * recording.fps))
    times = np.arange(frames) / recording.fps
    motion = move(recording, times, world=(width / unit, height / unit))
    generator = np.random.default_rng([recording.seed, 3])
    bedding = _bedding(height, width, unit, generator)
    # A frame takes a window of these at a random place: new noise costs 20 times as much.
    bank = generator.standard_normal((2 * height, 2 * width, 3), dtype=np.float32) * NOISE_SIGMA
    shifts = generator.integers(0, (height, width), (frames, 2))
    fixed = generator.standard_normal((height, width, 1), dtype=np.float32) * FIXED_PATTERN_SIGMA
    gain, night = _light(recording.seed, times)
    steps = (times / LIGHT_STEP_SECONDS).astype(int)
    lit_step = -1
    for index in range(frames):
        if steps[index] != lit_step:
            lit_step = steps[index]
            lighting = _lighting(float(gain[index]), float(night[index]))
            ground = bedding @ lighting + fixed
        canvas = ground.copy()
        _draw_frame(canvas, motion, index, unit, lighting)
        top, left = shifts[index]
        canvas += bank[top : top + height, left : left + width]
        np.clip(canvas, 0.0, 255.0, out=canvas)
        yield canvas.astype(np.uint8), float(times[index])


def _light(seed: int, times: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Brightness factor and share of infra-red night vision for each time."""
    gain = 0.85 + 0.2 * wander(seed, 10, times, (67.0, 171.0, 431.0))
    night = 1.0 / (1.0 + np.exp(-40.0 * wander(seed, 11, times, (283.0, 701.0))))
    return gain, night.astype(np.float32)


def _lighting(gain: float, night: float) -> Floats:
    """The matrix (3, 3) that turns daylight colours into what the camera sees."""
    grey = np.repeat(LUMINANCE[:, None], 3, axis=1)
    return (gain * ((1.0 - night) * np.eye(3) + night * 0.8 * grey)).astype(np.float32)


def _bedding(height: int, width: int, unit: float, generator: np.random.Generator) -> Floats:
    """The empty pen in daylight colours, (H, W, 3): straw, a trough, a rail around."""
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = (150.0, 122.0, 72.0)
    area = (height / unit) * (width / unit)
    for _ in range(round(area / 16)):
        x, y = generator.uniform((0.0, 0.0), (width, height))
        shade = generator.uniform(0.72, 1.22)
        colour = np.array([158.0, 130.0, 78.0], np.float32) * shade
        _ellipse(
            canvas,
            x,
            y,
            unit * generator.uniform(3.0, 7.0),
            unit * generator.uniform(0.5, 0.9),
            generator.uniform(0.0, np.pi),
            colour.astype(np.float32),
            0.75,
        )
    trough = np.array([70.0, 74.0, 80.0], np.float32)
    _ellipse(canvas, width * 0.93, height * 0.5, 5 * unit, 22 * unit, 0.0, trough)
    _ellipse(canvas, width * 0.93, height * 0.5, 3 * unit, 19 * unit, 0.0, trough * 0.6)
    rail = max(1, round(3 * unit))
    for edge in (np.s_[:rail], np.s_[-rail:], np.s_[:, :rail], np.s_[:, -rail:]):
        canvas[edge] = (88.0, 88.0, 92.0)
    rows = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    return canvas * (1.0 - 0.12 * (rows**2 + columns**2))[..., None]


def _ellipse(
    canvas: Floats,
    x: float,
    y: float,
    long: float,
    short: float,
    angle: float,
    colour: Floats,
    opacity: float = 1.0,
    softness: float = 1.0,
) -> None:
    """Blends an ellipse into the canvas (H, W, 3), in pixels, its edge `softness` pixels wide."""
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    reach_x = (long * long * cosine * cosine + short * short * sine * sine) ** 0.5 + softness
    reach_y = (long * long * sine * sine + short * short * cosine * cosine) ** 0.5 + softness
    left, right = max(0, int(x - reach_x)), min(canvas.shape[1], int(x + reach_x) + 2)
    top, bottom = max(0, int(y - reach_y)), min(canvas.shape[0], int(y + reach_y) + 2)
    if left >= right or top >= bottom:
        return
    columns = np.arange(left, right, dtype=np.float32) - np.float32(x)
    rows = (np.arange(top, bottom, dtype=np.float32) - np.float32(y))[:, None]
    along = columns * np.float32(cosine / long) + rows * np.float32(sine / long)
    across = rows * np.float32(cosine / short) - columns * np.float32(sine / short)
    along *= along
    across *= across
    along += across
    np.sqrt(along, out=along)
    scale = np.float32(min(long, short) / softness)
    along *= -scale
    along += scale + np.float32(0.5)
    np.clip(along, 0.0, 1.0, out=along)
    if opacity != 1.0:
        along *= np.float32(opacity)
    patch = canvas[top:bottom, left:right]
    patch += along[..., None] * (colour - patch)


def _draw_frame(canvas: Floats, motion: Motion, index: int, unit: float, lighting: Floats) -> None:
    """Draws the visitor, then the animal above it."""
    skin, light, dark, ear, hoof, visitor, shadow = (
        np.stack([SKIN, SKIN_LIGHT, SKIN_DARK, EAR, HOOF, VISITOR, SHADOW]) @ lighting
    )
    vx, vy, va = (float(v) for v in motion.visitor[index])
    if vx == vx:  # not NaN
        ahead = np.array([np.cos(va), np.sin(va)])
        _ellipse(canvas, vx * unit, vy * unit, 15 * unit, 8 * unit, va, visitor)
        hx, hy = (np.array([vx, vy]) + 18 * ahead) * unit
        _ellipse(canvas, float(hx), float(hy), 7 * unit, 5 * unit, va, visitor * np.float32(1.1))

    x, y = (float(v) * unit for v in motion.centre[index])
    angle = float(motion.heading[index])
    cosine, sine = float(np.cos(angle)) * unit, float(np.sin(angle)) * unit
    long, wide = float(motion.length[index]) * unit, float(motion.width[index]) * unit

    def place(bx: float, by: float) -> tuple[float, float]:
        return x + bx * cosine + by * sine, y + bx * sine - by * cosine

    _ellipse(
        canvas, x + 2.5 * unit, y + 2.5 * unit, long + unit, wide + unit, angle, shadow, 0.5, 4.0
    )
    for foot in range(4):
        fx, fy = (float(v) for v in motion.feet[index, foot])
        hip_x, hip_y = (12.0 if foot < 2 else -14.0), float(np.clip(fy, -7.0, 7.0))
        reach = ((fx - hip_x) ** 2 + (fy - hip_y) ** 2) ** 0.5
        mx, my = place((fx + hip_x) / 2, (fy + hip_y) / 2)
        limb = angle - float(np.arctan2(fy - hip_y, fx - hip_x))
        _ellipse(canvas, mx, my, (reach / 2 + 2) * unit, 3.2 * unit, limb, dark)
        px, py = place(fx, fy)
        _ellipse(canvas, px, py, 3.4 * unit, 3.0 * unit, limb, hoof)
    _ellipse(canvas, x, y, long, wide, angle, skin, softness=1.5)
    bx, by = place(-1.0, 0.0)
    _ellipse(canvas, bx, by, long * 0.72, wide * 0.5, angle, light, 0.7, softness=4.0)

    up = float(motion.head[index])
    turn = angle - float(motion.turn[index])
    neck_x, neck_y = place(23.0, 0.0)
    forward, sideways = float(np.cos(turn)) * unit, float(np.sin(turn)) * unit
    reach = 8.0 + 3.0 * up

    def on_head(hx: float, hy: float) -> tuple[float, float]:
        return neck_x + hx * forward + hy * sideways, neck_y + hx * sideways - hy * forward

    hx, hy = on_head(reach, 0.0)
    if up > 0.02:
        _ellipse(
            canvas, hx + 3 * unit, hy + 4 * unit, 12 * unit, 9 * unit, turn, shadow, 0.5 * up, 3.0
        )
    tone = skin + np.float32(up) * (light - skin)
    _ellipse(canvas, hx, hy, (11 + up) * unit, (7.5 + 1.5 * up) * unit, turn, tone)
    sx, sy = on_head(reach + 10.0, float(motion.snout[index]))
    _ellipse(canvas, sx, sy, 3.6 * unit, 4.2 * unit, turn, dark)
    for side, jerk in ((1.0, motion.ears[index, 0]), (-1.0, motion.ears[index, 1])):
        lean = side * 2.2 + float(jerk)
        root_x, root_y = reach - 3.0, side * 6.0
        ex, ey = on_head(root_x + 5.0 * float(np.cos(lean)), root_y + 5.0 * float(np.sin(lean)))
        _ellipse(canvas, ex, ey, 5.6 * unit, 3.2 * unit, turn - lean, ear)
