"""Turns scores into segments, one interval after the other, the same way live and offline.

Three mechanisms work in this order, each off by default, and none looks ahead:

1. Smoothing: an exponential mean over time, `s <- s * exp(-d / smooth_seconds) + p * (1 - ...)` for
   an interval of d seconds. It needs one number a class, where a sliding mean needs a buffer.
2. Hysteresis: the leading state changes only when another class's smoothed probability exceeds the
   leading one's by more than `hysteresis`.
3. Minimum bout: a new leading state is a candidate until it has led for `minimum_bout_seconds`
   without a break; then the change is dated back to when it began to lead. Until then, and if it
   fails, the old state runs on.

A hole in the recording ends the segment and forgets all three.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import CheckpointError, OptionError
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.timeline import Scores, Segment

__all__ = [
    "SegmenterOptions",
    "SegmenterState",
    "current",
    "finish",
    "init_segmenter",
    "push",
    "push_gap",
    "segment",
]


@dataclass(frozen=True)
class SegmenterOptions:
    """How scores become segments; the defaults take the most probable class of each interval.

    Attributes:
        smooth_seconds: time constant of the exponential mean; 0 smooths nothing.
        hysteresis: lead in smoothed probability that a change of state takes, 0 to 1.
        minimum_bout_seconds: shortest bout; only a hole and the recording's ends can cut one short.

    Raises:
        OptionError: a value is negative or not finite, or `hysteresis` is above 1.
    """

    smooth_seconds: float = 0.0
    hysteresis: float = 0.0
    minimum_bout_seconds: float = 0.0

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            if not (math.isfinite(value) and value >= 0):
                raise OptionError(f"{option.name} must be 0 or above, got {value}")
        if self.hysteresis > 1:
            raise OptionError(
                f"hysteresis is a difference of probabilities, 0 to 1, got {self.hysteresis}"
            )


@dataclass(frozen=True)
class SegmenterState:
    """What the segmenter carries from one interval to the next; its size never grows.

    Attributes:
        options: how it segments.
        classes: names, in the order of the probabilities.
        start_seconds: when the running segment began; None before the first interval.
        end_seconds: how far the recording has been seen.
        label: class of the running segment; None in a hole.
        weight: sum of probability times seconds of `label` until the candidate began to lead.
        leading: class that leads after hysteresis; `label` itself or the candidate.
        candidate_start_seconds: when the candidate began to lead; None if there is none.
        candidate_weight: sum of probability times seconds of the candidate.
        pending_weight: that of `label`, since the candidate began to lead.
        smoothed: (K,) the exponential mean; None at the start and after a hole.
    """

    options: SegmenterOptions
    classes: tuple[str, ...]
    start_seconds: float | None = None
    end_seconds: float = 0.0
    label: int | None = None
    weight: float = 0.0
    leading: int | None = None
    candidate_start_seconds: float | None = None
    candidate_weight: float = 0.0
    pending_weight: float = 0.0
    smoothed: tuple[float, ...] | None = None

    def to_json(self) -> str:
        """Text that `from_json` turns into this same state, to the last bit."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> SegmenterState:
        """Reads `to_json`.

        Raises:
            CheckpointError: the text is no saved state.
        """
        try:
            content = json.loads(text)
            smoothed = content.pop("smoothed")
            return SegmenterState(
                options=SegmenterOptions(**content.pop("options")),
                classes=tuple(content.pop("classes")),
                smoothed=None if smoothed is None else tuple(smoothed),
                **content,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"the saved segmenter cannot be used: {error}") from error


def init_segmenter(options: SegmenterOptions, classes: Sequence[str]) -> SegmenterState:
    """A segmenter that has seen nothing.

    Raises:
        OptionError: there are no classes.
    """
    if not classes:
        raise OptionError("a segmenter needs at least one class")
    return SegmenterState(options, tuple(classes))


def push(
    state: SegmenterState,
    start_seconds: float,
    end_seconds: float,
    probabilities: Sequence[float] | NDArray[np.floating],
) -> tuple[SegmenterState, list[Segment]]:
    """Takes the scores of one interval; time since the interval before counts as a hole.

    Args:
        state: as returned by the call before.
        start_seconds: when the interval begins, not before the one before ended.
        end_seconds: when it ends.
        probabilities: (K,).

    Returns:
        The next state, and the segments that are now final, oldest first.

    Raises:
        OptionError: the interval is out of order or empty, or the probabilities do not fit.
    """
    values = np.asarray(probabilities, np.float64)
    if values.shape != (len(state.classes),) or not np.isfinite(values).all():
        raise OptionError(
            f"probabilities must be {len(state.classes)} finite numbers, one a class, "
            f"got shape {values.shape}"
        )
    start_seconds, end_seconds = _next_interval(state, start_seconds, end_seconds)
    closed: list[Segment] = []
    if state.start_seconds is not None and start_seconds > state.end_seconds:
        state, closed = push_gap(state, state.end_seconds, start_seconds)
    if state.start_seconds is None or state.label is None:
        closed += finish(state)
        state = _begin(state, start_seconds, end_seconds, values)
        return state, closed
    state = _smooth(state, values, end_seconds - start_seconds)
    state, more = _follow(state, start_seconds, end_seconds, values)
    return state, closed + more


def push_gap(
    state: SegmenterState, start_seconds: float, end_seconds: float
) -> tuple[SegmenterState, list[Segment]]:
    """Takes a hole in the recording; holes that follow each other are one.

    Raises:
        OptionError: the hole is out of order or empty.
    """
    start_seconds, end_seconds = _next_interval(state, start_seconds, end_seconds)
    if state.start_seconds is not None and state.label is None:
        return replace(state, end_seconds=end_seconds), []
    closed = finish(state)
    # Scores may stop a while before the hole is announced; that time was not observed either.
    begin = start_seconds if state.start_seconds is None else state.end_seconds
    fresh = SegmenterState(state.options, state.classes, begin, end_seconds)
    return fresh, closed


def finish(state: SegmenterState) -> list[Segment]:
    """The segment that still runs, as the last one: an unconfirmed candidate does not count."""
    running = current(state)
    return [] if running is None else [running]


def current(state: SegmenterState) -> Segment | None:
    """The segment that runs now, for a live display; None before the first interval."""
    if state.start_seconds is None:
        return None
    if state.label is None:
        return Segment(state.start_seconds, state.end_seconds, None, 0.0)
    return _segment(state, state.end_seconds, state.weight + state.pending_weight)


def segment(
    scores: Scores, classes: Sequence[str], options: SegmenterOptions | None = None
) -> tuple[Segment, ...]:
    """Segments a whole recording: `push` for every row of scores, then `finish`."""
    state = init_segmenter(options or SegmenterOptions(), classes)
    segments: list[Segment] = []
    rows = zip(
        scores.start_seconds.tolist(),
        scores.end_seconds.tolist(),
        scores.probabilities,
        strict=True,
    )
    for start, end, probabilities in rows:
        state, closed = push(state, start, end, probabilities)
        segments += closed
    return tuple(segments + finish(state))


def _next_interval(
    state: SegmenterState, start_seconds: float, end_seconds: float
) -> tuple[float, float]:
    start, end = float(start_seconds), float(end_seconds)
    if state.start_seconds is not None:
        if start < state.end_seconds - ROUNDING_SECONDS:
            raise OptionError(
                f"intervals must come in order: got {start} s after {state.end_seconds} s"
            )
        if start <= state.end_seconds + ROUNDING_SECONDS:
            start = state.end_seconds
    if not (math.isfinite(start) and math.isfinite(end) and end > start):
        raise OptionError(f"an interval must end after it starts, got {start} to {end} s")
    return start, end


def _begin(
    state: SegmenterState, start_seconds: float, end_seconds: float, values: NDArray[np.float64]
) -> SegmenterState:
    label = int(values.argmax())
    return SegmenterState(
        options=state.options,
        classes=state.classes,
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        label=label,
        weight=float(values[label]) * (end_seconds - start_seconds),
        leading=label,
        smoothed=tuple(values.tolist()),
    )


def _smooth(
    state: SegmenterState, values: NDArray[np.float64], duration_seconds: float
) -> SegmenterState:
    if state.options.smooth_seconds == 0:
        return replace(state, smoothed=tuple(values.tolist()))
    keep = math.exp(-duration_seconds / state.options.smooth_seconds)
    smoothed = keep * np.asarray(state.smoothed) + (1 - keep) * values
    return replace(state, smoothed=tuple(smoothed.tolist()))


def _follow(
    state: SegmenterState, start_seconds: float, end_seconds: float, values: NDArray[np.float64]
) -> tuple[SegmenterState, list[Segment]]:
    """Hysteresis, then minimum bout, on the smoothed probabilities in `state`."""
    smoothed, leading, label = state.smoothed, state.leading, state.label
    assert smoothed is not None
    assert leading is not None
    assert label is not None
    best = max(range(len(smoothed)), key=smoothed.__getitem__)
    duration = end_seconds - start_seconds
    own_weight = float(values[label]) * duration

    winner = best if smoothed[best] - smoothed[leading] > state.options.hysteresis else leading
    if winner == label:
        weight = state.weight + state.pending_weight + own_weight
        return _run_on(state, end_seconds, weight), []
    if winner != leading:
        # What an earlier candidate had gathered falls back to the old state.
        state = replace(
            state,
            leading=winner,
            weight=state.weight + state.pending_weight,
            candidate_start_seconds=start_seconds,
            candidate_weight=0.0,
            pending_weight=0.0,
        )
    candidate_start = state.candidate_start_seconds
    assert candidate_start is not None
    state = replace(
        state,
        end_seconds=end_seconds,
        candidate_weight=state.candidate_weight + float(values[winner]) * duration,
        pending_weight=state.pending_weight + own_weight,
    )
    if end_seconds - candidate_start < state.options.minimum_bout_seconds - ROUNDING_SECONDS:
        return state, []
    closed = _segment(state, candidate_start, state.weight)
    confirmed = replace(state, start_seconds=candidate_start, label=winner)
    return _run_on(confirmed, end_seconds, state.candidate_weight), [closed]


def _run_on(state: SegmenterState, end_seconds: float, weight: float) -> SegmenterState:
    return replace(
        state,
        end_seconds=end_seconds,
        weight=weight,
        leading=state.label,
        candidate_start_seconds=None,
        candidate_weight=0.0,
        pending_weight=0.0,
    )


def _segment(state: SegmenterState, end_seconds: float, weight: float) -> Segment:
    assert state.start_seconds is not None
    assert state.label is not None
    confidence = weight / (end_seconds - state.start_seconds)
    return Segment(state.start_seconds, end_seconds, state.classes[state.label], confidence)
