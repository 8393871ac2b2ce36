"""A simulated event camera: ordinary video becomes events, and no event waits for a later frame.

Each pixel keeps the log brightness of its last event and fires when the present one differs by a
threshold: once for every threshold passed, at the moment at which a straight line between two
frames passes it. As in real sensors, thresholds differ from pixel to pixel, a pixel is blind for a
while after an event, its memory leaks (which makes ON events), and noise fires pixels at
random, the more so the darker they are.

What it leaves out: between frames brightness is taken to change linearly, so what moves by many
pixels from one frame to the next jumps instead of moving; and the pixel's bandwidth is unlimited.

Hu, Liu, Delbruck, "v2e: from video frames to realistic DVS events", 2021; Rebecq, Gehrig,
Scaramuzza, "ESIM: an open event camera simulator", 2018.

Letters: N events, H W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vigilia.errors import InputError, OptionError
from vigilia.events.array import empty_events, make_events

__all__ = ["CameraState", "EventCamera", "expose", "log_brightness"]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LINEAR_BELOW = 20.0
"""Grey levels below this are linear: their logarithm would be all quantisation noise."""

SMALLEST_THRESHOLD = 0.01
BRIGHT_NOISE = 0.25
"""Shot noise of a white pixel, in parts of a black one's."""

LONG_AGO = -(1 << 62)


@dataclass(frozen=True)
class EventCamera:
    """The camera: its size and its properties.

    Attributes:
        width: W.
        height: H.
        on_threshold: of brightening, in log brightness (natural logarithm).
        off_threshold: of darkening.
        mismatch: standard deviation of thresholds among pixels, in log brightness.
        refractory_us: how long a pixel is blind after an event.
        leak_hz: ON events a second that a pixel fires without any change.
        shot_noise_hz: noise events a second of a black pixel.
        max_gap_seconds: frames further apart are two scenes: nothing is known of the time between.
        seed: of mismatch and noise.

    Raises:
        OptionError: a value cannot work.
    """

    width: int
    height: int
    on_threshold: float = 0.2
    off_threshold: float = 0.2
    mismatch: float = 0.03
    refractory_us: int = 500
    leak_hz: float = 0.1
    shot_noise_hz: float = 1.0
    max_gap_seconds: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.width < 65536 and 0 < self.height < 65536):
            raise OptionError(
                f"a camera has 1..65535 pixels a side, got {self.width}x{self.height}"
            )
        for name in ("on_threshold", "off_threshold"):
            value = getattr(self, name)
            if not SMALLEST_THRESHOLD <= value < math.inf:
                raise OptionError(f"{name} must be at least {SMALLEST_THRESHOLD}, got {value}")
        for name in ("mismatch", "refractory_us", "leak_hz", "shot_noise_hz", "seed"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise OptionError(f"{name} must not be negative, got {value}")
        if self.leak_hz > 1000 or self.shot_noise_hz > 1000:
            raise OptionError("leak_hz and shot_noise_hz are events a second of one pixel, <= 1000")
        if not 0 < self.max_gap_seconds <= 60:
            raise OptionError(f"max_gap_seconds must lie in 0..60, got {self.max_gap_seconds}")

    @property
    def init_state(self) -> CameraState:
        """The state before the first frame."""
        random = np.random.Generator(np.random.Philox(key=[self.seed, 0]))
        shape = (self.height, self.width)

        def thresholds(mean: float) -> np.ndarray:
            drawn = mean + self.mismatch * random.standard_normal(shape, np.float32)
            return np.maximum(drawn, np.float32(SMALLEST_THRESHOLD), dtype=np.float32)

        zero = np.zeros(shape, np.float32)
        return CameraState(
            frames=0,
            t=0,
            brightness=zero,
            reference=zero,
            last_event=np.full(shape, LONG_AGO),
            on_threshold=thresholds(self.on_threshold),
            off_threshold=thresholds(self.off_threshold),
        )


@dataclass(frozen=True, eq=False)
class CameraState:
    """What the camera remembers between two frames; all arrays are (H, W).

    Attributes:
        frames: how many it has seen.
        t: time of the last, in microseconds.
        brightness: log brightness of the last, float32.
        reference: log brightness that each pixel compares with, float32.
        last_event: time of each pixel's last event, int64.
        on_threshold: of each pixel, float32.
        off_threshold: of each pixel, float32.
    """

    frames: int
    t: int
    brightness: np.ndarray
    reference: np.ndarray
    last_event: np.ndarray
    on_threshold: np.ndarray
    off_threshold: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))


def log_brightness(pixels: np.ndarray) -> np.ndarray:
    """Log brightness of a picture, linear where it is dark.

    Args:
        pixels: (H, W, 3) RGB or (H, W) grey, 0..255.

    Returns:
        (H, W) float32.
    """
    grey = pixels.astype(np.float32)
    if grey.ndim == 3:
        grey = grey @ LUMA
    dark = grey * np.float32(math.log(LINEAR_BELOW) / LINEAR_BELOW)
    bright = np.log(np.maximum(grey, np.float32(LINEAR_BELOW)))
    return np.where(grey < LINEAR_BELOW, dark, bright)


def expose(
    camera: EventCamera, state: CameraState, pixels: np.ndarray, t: int
) -> tuple[CameraState, np.ndarray]:
    """Shows the camera a frame.

    Args:
        camera: the camera.
        state: after the frames before.
        pixels: (H, W, 3) uint8 RGB or (H, W) grey.
        t: time of the frame, in microseconds.

    Returns:
        The next state, and the events (N,) of type EVENT since the frame before, in order, later
        than it and not later than this one.

    Raises:
        InputError: the frame has another size, or is earlier than the one before.
    """
    if pixels.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"frames must be {camera.width}x{camera.height} as the camera, got "
            f"{pixels.shape[1]}x{pixels.shape[0]}; resize them"
        )
    if state.frames and t < state.t:
        raise InputError(f"the frame at {t} us is earlier than the one before, {state.t} us")
    brightness = log_brightness(pixels)
    if not state.frames or t - state.t > camera.max_gap_seconds * 1e6:
        return _fresh(state, brightness, t), empty_events()
    elapsed = t - state.t
    # The reference leaks downwards, so that an unchanged pixel slowly seems to brighten.
    drift = state.on_threshold * np.float32(camera.leak_hz * elapsed / 1e6)
    start = state.brightness - state.reference
    stop = brightness - state.reference + drift
    rises = np.maximum(np.floor(stop / state.on_threshold), 0)
    falls = np.maximum(np.floor(-stop / state.off_threshold), 0)
    reference = state.reference - drift
    reference += rises * state.on_threshold - falls * state.off_threshold
    changes = _crossings(state, start, stop, rises - falls, elapsed)
    noise = _shot_noise(camera, state.frames, pixels, elapsed)
    after, pixel, on = (np.concatenate(both) for both in zip(changes, noise, strict=True))
    order = np.lexsort((on, pixel, after))
    after, pixel, on = after[order] + state.t, pixel[order], on[order]
    kept, last_event = _awake(after, pixel, state.last_event, camera.refractory_us)
    after, pixel, on = after[kept], pixel[kept], on[kept]
    events = make_events(after, pixel % camera.width, pixel // camera.width, on)
    next_state = CameraState(
        frames=state.frames + 1,
        t=t,
        brightness=brightness,
        reference=reference,
        last_event=last_event,
        on_threshold=state.on_threshold,
        off_threshold=state.off_threshold,
    )
    return next_state, events


def _fresh(state: CameraState, brightness: np.ndarray, t: int) -> CameraState:
    return CameraState(
        frames=state.frames + 1,
        t=t,
        brightness=brightness,
        reference=brightness,
        last_event=state.last_event,
        on_threshold=state.on_threshold,
        off_threshold=state.off_threshold,
    )


Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Microseconds since the last frame (N,) int64, pixels (N,) int64, whether ON (N,) uint8."""


def _crossings(
    state: CameraState, start: np.ndarray, stop: np.ndarray, count: np.ndarray, elapsed: int
) -> Candidates:
    """Every threshold passed on the way from start to stop. count: (H, W), negative for OFF."""
    flat = count.reshape(-1)
    fired = np.flatnonzero(flat)
    times = np.abs(flat[fired]).astype(np.int64)
    pixel = np.repeat(fired, times)
    # 1, 2, ..., n for each pixel that fires n times
    level = np.arange(1, len(pixel) + 1) - np.repeat(np.cumsum(times) - times, times)
    on = flat[pixel] > 0
    step = np.where(
        on, state.on_threshold.reshape(-1)[pixel], -state.off_threshold.reshape(-1)[pixel]
    )
    begin, end = start.reshape(-1)[pixel], stop.reshape(-1)[pixel]
    way = end - begin
    # A threshold that rounding left unpassed may be passed without a change: at once, then.
    fraction = np.divide(level * step - begin, way, out=np.zeros(len(way)), where=way != 0)
    after = np.ceil(np.clip(fraction, 0.0, 1.0) * elapsed).astype(np.int64)
    return np.maximum(after, min(1, elapsed)), pixel, on.astype(np.uint8)


def _shot_noise(camera: EventCamera, frame: int, pixels: np.ndarray, elapsed: int) -> Candidates:
    """Random events. Each frame has its own random numbers, so that a stream can be resumed."""
    if camera.shot_noise_hz == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    random = np.random.Generator(np.random.Philox(key=[camera.seed, frame]))
    size = camera.width * camera.height
    count = int(random.poisson(camera.shot_noise_hz * elapsed / 1e6 * size))
    pixel = random.integers(0, size, count)
    after = random.integers(min(1, elapsed), elapsed + 1, count)
    on = random.integers(0, 2, count, np.uint8)
    grey = pixels.reshape(size, -1)[pixel].mean(axis=1) / 255
    kept = random.random(count) < 1 - (1 - BRIGHT_NOISE) * grey
    return after[kept], pixel[kept], on[kept]


def _awake(
    t: np.ndarray, pixel: np.ndarray, last_event: np.ndarray, refractory_us: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which events find their pixel awake, and each pixel's last event after them.

    Args:
        t: (N,) int64, in order.
        pixel: (N,) int64.
        last_event: (H, W) int64.
        refractory_us: how long a pixel is blind after an event.

    Returns:
        (N,) bool, and (H, W) int64.
    """
    last = last_event.copy()
    flat = last.reshape(-1)
    kept = np.ones(len(t), bool)
    if refractory_us == 0:
        flat[pixel] = t  # in order of time: the last one stays
        return kept, last
    order = np.argsort(pixel, kind="stable")
    sorted_pixel = pixel[order]
    is_first = np.diff(sorted_pixel, prepend=-1) != 0
    first = np.flatnonzero(is_first)
    rank = np.arange(len(t)) - np.repeat(first, np.diff(np.append(first, len(t))))
    # All first events of their pixels, then all second ones: within a turn no pixel comes twice.
    by_rank = np.argsort(rank, kind="stable")
    turns = np.split(order[by_rank], np.cumsum(np.bincount(rank))[:-1]) if len(t) else []
    for turn in turns:
        awake = t[turn] - flat[pixel[turn]] >= refractory_us
        kept[turn] = awake
        flat[pixel[turn[awake]]] = t[turn[awake]]
    return kept, last
