"""Samples by time: which frame the video shows at each tick.

Tick k lies at `start + k / fps`, multiplied and never accumulated, so that the last tick of a week
is as exact as the first. A tick shows the last frame whose timestamp is not later, as a camera's
viewer would have seen it: never a future frame, and never `index / fps`, which is wrong as soon as
a frame is missing. Timestamps and ticks are float64 sums, so both count as equal within
`TOLERANCE_SECONDS`.

A frame is held for `max_gap_seconds` at most. Ticks after that are no samples: the hole is one
`Gap`, from its first tick to the first tick that is observed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from vigilia.errors import OptionError
from vigilia.video.frames import FrameLike, Gap, Sample

__all__ = ["TOLERANCE_SECONDS", "sample"]

TOLERANCE_SECONDS = 1e-6


def sample(
    frames: Iterable[FrameLike],
    *,
    fps: float,
    max_gap_seconds: float = 2.0,
    start_seconds: float | None = None,
    first_tick: int = 0,
    held: FrameLike | None = None,
) -> Iterator[Sample | Gap]:
    """Yields a sample at every tick, and one gap for every hole.

    A tick comes out as soon as a frame later than it is seen. When the frames end, ticks go on to
    the end of the last frame, exclusive: its timestamp plus its duration, or plus the interval
    before it where it has none. A single frame without a duration gives one sample.

    Args:
        frames: in order of time; a frame earlier than the one before it is ignored.
        fps: ticks per second.
        max_gap_seconds: how long a frame stands for what was not seen.
        start_seconds: time of tick 0; the first frame's timestamp if None. Ticks before the first
            frame are a gap.
        first_tick: the tick to begin with, when an earlier run is continued.
        held: the frame shown at the tick before `first_tick`.

    Raises:
        OptionError: `fps` or `max_gap_seconds` is not positive.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise OptionError(f"fps must be a positive number of samples per second, got {fps}")
    if not max_gap_seconds > 0:
        raise OptionError(f"max_gap_seconds must be positive, got {max_gap_seconds}")
    return _samples(frames, fps, max_gap_seconds, start_seconds, first_tick, held)


def _samples(
    frames: Iterable[FrameLike],
    fps: float,
    max_gap_seconds: float,
    start_seconds: float | None,
    tick: int,
    held: FrameLike | None,
) -> Iterator[Sample | Gap]:
    start = held.seconds if start_seconds is None and held is not None else start_seconds
    hole: int | None = None  # first tick of a hole that is not over yet
    interval = 0.0

    def show_until(limit: float) -> Iterator[Sample | Gap]:
        """Ticks before `limit`, all of which show `held`."""
        nonlocal tick, hole
        assert start is not None
        while (seconds := start + tick / fps) + TOLERANCE_SECONDS < limit:
            if held is None or seconds - held.seconds > max_gap_seconds + TOLERANCE_SECONDS:
                hole = tick if hole is None else hole
                tick = _first_tick_not_before(limit, start, fps, tick)
                return
            if hole is not None:
                yield Gap(start + hole / fps, seconds)
                hole = None
            yield Sample(
                pixels=held.pixels,
                seconds=seconds,
                frame_seconds=held.seconds,
                tick=tick,
                start_seconds=start,
                part=held.part,
                part_offset_seconds=held.part_offset_seconds,
            )
            tick += 1

    for frame in frames:
        if start is None:
            start = frame.seconds
        if held is not None:
            if frame.seconds < held.seconds:
                continue
            interval = frame.seconds - held.seconds
        yield from show_until(frame.seconds)
        held = frame
    if held is None:
        return
    assert start is not None
    duration = interval if held.duration_seconds is None else held.duration_seconds
    # A tick right at the last frame is shown even if the frame lasts no time.
    yield from show_until(held.seconds + max(duration, 3 * TOLERANCE_SECONDS))
    if hole is not None:
        yield Gap(start + hole / fps, start + tick / fps)


def _first_tick_not_before(limit: float, start: float, fps: float, tick: int) -> int:
    """The first tick from `tick` on that `show_until(limit)` would not show."""

    def before(k: int) -> bool:
        return start + k / fps + TOLERANCE_SECONDS < limit

    # The estimate jumps over a hole of any length; the two loops only mend its rounding.
    tick = max(tick, math.floor((limit - TOLERANCE_SECONDS - start) * fps))
    while before(tick):
        tick += 1
    return tick
