"""Draws a pen with one animal seen from above: frames from a script of states and events.

Lengths are in units of 1/128 of the frame's shorter side; angles in radians; a body's own axes are
x to the head and y to its left. The animal is some 65 units long, half the frame.

What must not tell the state does not depend on it: light and night vision drift on their own,
breathing keeps one slowly wandering rate, postures change only while awake. Frames differ by
sensor noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vigilia.simulate.behaviour import PenEvent, PenRecording, plan_pen

__all__ = ["draw_pen", "render_pen"]

Floats = NDArray[np.float32]

PARTS = 7
"""What can twitch: the feet (front left, front right, hind left, hind right), ears, the snout."""

# (foot x, foot y) in the body's axes for the four feet.
STERNAL_FEET = ((17.0, 14.0), (17.0, -14.0), (-13.0, 16.0), (-13.0, -16.0))
LEFT_FEET = ((13.0, 25.0), (21.0, 20.0), (-15.0, 26.0), (-23.0, 21.0))
RIGHT_FEET = ((21.0, -20.0), (13.0, -25.0), (-23.0, -21.0), (-15.0, -26.0))
STANDING_FEET = ((14.0, 11.0), (14.0, -11.0), (-15.0, 11.0), (-15.0, -11.0))
LYING_FEET = {0: STERNAL_FEET, 1: LEFT_FEET, 2: RIGHT_FEET}

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
TWITCH_STEP_SECONDS = 0.25
LIGHT_STEP_SECONDS = 0.5


@dataclass(frozen=True)
class _Motion:
    """Where everything is, frame by frame (n frames)."""

    centre: Floats  # (n, 2) x to the right, y down
    heading: Floats  # (n,)
    width: Floats  # (n,) half width of the body, breathing included
    length: Floats  # (n,) half length of the body
    feet: Floats  # (n, 4, 2) in the body's axes
    ears: Floats  # (n, 2) angles added to the resting ears
    head: Floats  # (n,) 0 resting on the ground .. 1 up
    turn: Floats  # (n,) of the head against the body
    snout: Floats  # (n,) sideways jerk of the snout
    visitor: Floats  # (n, 3) x, y, heading; NaN when there is none


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
    motion = _move(recording, times, world=(width / unit, height / unit))
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


def _slow(seed: int, stream: int, times: NDArray[np.float64], periods: Sequence[float]) -> Floats:
    """A smooth random curve within -1..1: sinusoids of the given periods in seconds."""
    phases = np.random.default_rng([seed, stream]).uniform(0.0, 2 * np.pi, len(periods))
    waves = [np.sin(2 * np.pi * times / p + q) for p, q in zip(periods, phases, strict=True)]
    return (np.sum(waves, axis=0) / len(periods)).astype(np.float32)


def _light(seed: int, times: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Brightness factor and share of infra-red night vision for each time."""
    gain = 0.85 + 0.2 * _slow(seed, 10, times, (67.0, 171.0, 431.0))
    night = 1.0 / (1.0 + np.exp(-40.0 * _slow(seed, 11, times, (283.0, 701.0))))
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


def _draw_frame(canvas: Floats, motion: _Motion, index: int, unit: float, lighting: Floats) -> None:
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


def _move(
    recording: PenRecording, times: NDArray[np.float64], world: tuple[float, float]
) -> _Motion:
    """Turns the script into positions: piecewise targets, smoothed, plus jerks that are not."""
    generator = np.random.default_rng([recording.seed, 2])
    frames = len(times)
    centre = np.empty((frames, 2))
    heading = np.empty(frames)
    feet = np.empty((frames, 4, 2))
    lateral = np.empty(frames)
    head = np.zeros(frames)
    turn = np.empty(frames)
    standing = np.zeros(frames)
    rocking = np.zeros(frames)
    stretch = np.zeros(frames)
    sigh = np.zeros(frames)
    jerks = np.zeros((frames, PARTS))
    visitor = np.full((frames, 3), np.nan)

    place, direction = _spot(generator, world, None)
    posture, rest_turn = _pose(generator)
    centre[:], heading[:], feet[:] = place, direction, LYING_FEET[posture]
    turn[:], lateral[:] = rest_turn, float(posture != 0)

    def lie_from(first: int) -> None:
        feet[first:] = LYING_FEET[posture]
        lateral[first:] = float(posture != 0)
        turn[first:] = rest_turn

    for event in recording.events:
        first, last = np.searchsorted(times, (event.start_seconds, event.end_seconds))
        if first == last:
            continue
        span = slice(int(first), int(last))
        progress = (times[span] - event.start_seconds) / (event.end_seconds - event.start_seconds)
        bump = 0.5 - 0.5 * np.cos(2 * np.pi * progress)
        if event.name in ("wake_onset", "look", "walk"):
            head[span] = 1.0
        if event.name in ("wake_onset", "look"):
            if event.name == "look" and generator.random() < 0.4:
                posture, rest_turn = _pose(generator)
                lie_from(span.start)
            turn[span] = _glances(times[span], generator)
        elif event.name == "walk":
            target, new_direction = _spot(generator, world, place)
            posture, rest_turn = _pose(generator)
            eased = np.clip((progress - 0.15) / 0.65, 0.0, 1.0)
            eased = eased * eased * (3.0 - 2.0 * eased)
            swing = (new_direction - direction + np.pi) % (2 * np.pi) - np.pi
            lie_from(span.start)
            centre[span.start :] = target
            centre[span] = place + eased[:, None] * (target - place)
            heading[span.start :] = direction + swing
            heading[span] = direction + np.clip(eased * 1.6, 0.0, 1.0) * swing
            up = progress < 0.85
            standing[span] = up
            pace = 5.0 * np.sin(2 * np.pi * 1.1 * times[span])
            stepping = np.array(STANDING_FEET) + np.stack(
                [np.stack([s * pace, 0 * pace], -1) for s in (1.0, -1.0, -1.0, 1.0)], 1
            )
            feet[span][up] = stepping[up]
            turn[span] = 0.3 * np.sin(2 * np.pi * 0.4 * times[span])
            place, direction = target, direction + swing
        elif event.name == "settle":
            head[span] = np.clip(1.0 - progress / 0.85, 0.0, 1.0)
            rocking[span] = bump * np.sin(2 * np.pi * (times[span] - event.start_seconds) / 1.4)
        elif event.name == "rem_onset":
            stretch[span] = bump
            jerks[span] += _jerks(times[span], event, generator, parts=4) * (bump > 0.3)[:, None]
        elif event.name == "sigh":
            sigh[span] = bump
        elif event.name in ("twitch", "startle"):
            parts = int(generator.integers(2, 5))
            jerks[span] += _jerks(times[span], event, generator, parts)
        elif event.name == "visitor":
            visitor[span] = _passage(progress, place, world, generator)

    fps = recording.fps
    centre, feet = _settle(centre, 0.4, fps), _settle(feet, 0.5, fps)
    heading, turn = _settle(heading, 0.5, fps), _settle(turn, 0.5, fps)
    head, standing, lateral = (_settle(a, 0.5, fps) for a in (head, standing, lateral))
    rate = 0.325 + 0.075 * _slow(recording.seed, 12, times, (37.0, 61.0, 103.0))
    breath = np.sin(2 * np.pi * np.cumsum(rate.astype(np.float64)) / fps)
    width = (13.0 + 1.5 * lateral - 2.0 * standing) * (
        1.0 + 0.06 * breath * (1.0 - sigh) + 0.30 * sigh + 0.08 * stretch
    )
    # On its side, an animal stretches all four legs the way they point already.
    along = np.broadcast_to(np.array([0.5, 0.5, -0.5, -0.5]), (frames, 4))
    outward = np.stack([along, np.sign(feet[..., 1])], axis=-1)
    feet = feet + outward * (7.0 * stretch[:, None, None] + 6.5 * jerks[:, :4, None])
    return _Motion(
        centre=_single(centre + 1.5 * rocking[:, None]),
        heading=_single(heading + 0.16 * rocking),
        width=_single(width),
        length=_single(24.0 + 1.0 * sigh + 1.0 * stretch - 0.5 * standing),
        feet=_single(feet),
        ears=_single(jerks[:, 4:6]),
        head=_single(head),
        turn=_single(turn),
        snout=_single(jerks[:, 6] * 4.5),
        visitor=_single(visitor),
    )


def _single(array: NDArray[np.float64]) -> Floats:
    return np.ascontiguousarray(array, np.float32)


def _settle(values: NDArray[np.float64], seconds: float, fps: float) -> NDArray[np.float64]:
    """Averages over the time up to each frame (n, ...): no move begins before its event."""
    taps = max(1, round(seconds * fps))
    total = np.cumsum(np.concatenate([np.repeat(values[:1], taps, axis=0), values]), axis=0)
    return (total[taps:] - total[:-taps]) / taps


def _pose(generator: np.random.Generator) -> tuple[int, float]:
    """How it will lie: 0 sternal, 1 feet to the left, 2 feet to the right; and the head turn."""
    return int(generator.integers(0, 3)), float(generator.uniform(-0.5, 0.5))


def _spot(
    generator: np.random.Generator,
    world: tuple[float, float],
    present: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], float]:
    """A place (2,) and heading where the whole animal fits, straight ahead if possible."""
    best: tuple[float, NDArray[np.float64], float] | None = None
    for _ in range(400):
        centre = generator.uniform((30.0, 30.0), (world[0] - 30.0, world[1] - 30.0))
        direction = float(generator.uniform(-np.pi, np.pi))
        ahead = np.array([np.cos(direction), np.sin(direction)])
        tips = np.stack([centre + 42.0 * ahead, centre - 28.0 * ahead])
        if (tips < 7.0).any() or (tips > np.array(world) - 7.0).any():
            continue
        way = np.zeros(2) if present is None else centre - present
        distance = float(np.hypot(*way))
        if present is not None and distance < 8.0:
            continue
        score = float(way @ ahead) / max(distance, 1e-9)
        if best is None or score > best[0]:
            best = (score, centre, direction)
        if best[0] > 0.8 or present is None:
            break
    assert best is not None, "no place for the animal; the pen is at least 128 units wide"
    return best[1], best[2]


def _glances(times: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Head turns (n,) that change every 1.5 s."""
    steps = ((times - times[0]) / 1.5).astype(int)
    angles = generator.uniform(0.35, 1.0, steps[-1] + 1) * generator.choice((-1, 1), steps[-1] + 1)
    return angles[steps]


def _jerks(
    times: NDArray[np.float64], event: PenEvent, generator: np.random.Generator, parts: int
) -> NDArray[np.float64]:
    """Deflections (n, PARTS): some parts flip to and fro, never near rest while the burst lasts."""
    which = generator.permutation(PARTS)[:parts]
    steps = ((times - event.start_seconds) / TWITCH_STEP_SECONDS).astype(int)
    strength = generator.uniform(0.75, 1.0, (steps[-1] + 1, parts))
    sign = np.where((np.arange(steps[-1] + 1)[:, None] + which) % 2, 1.0, -0.5)
    result = np.zeros((len(times), PARTS))
    result[:, which] = (strength * sign)[steps]
    return result


def _passage(
    progress: NDArray[np.float64],
    place: NDArray[np.float64],
    world: tuple[float, float],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """The visitor's path (n, 3): straight along the side of the pen farthest from the animal."""
    sides = np.array([place[0], world[0] - place[0], place[1], world[1] - place[1]])
    side = int(np.argmax(sides))
    backwards = generator.random() < 0.5
    axis = 1 if side < 2 else 0
    travel = -25.0 + progress * (world[axis] + 50.0)
    path = np.empty((len(progress), 3))
    path[:, axis] = world[axis] - travel if backwards else travel
    path[:, 1 - axis] = 14.0 if side % 2 == 0 else world[1 - axis] - 14.0
    path[:, 2] = (np.pi / 2 if axis == 1 else 0.0) + (np.pi if backwards else 0.0)
    return path
