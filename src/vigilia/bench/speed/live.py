"""How many live streams a device holds: real steps of the real engine, with idle time left out.

Every stream delivers a clip each update interval, the streams evenly spread over it. The clock is
the machine's own, but jumps over time in which nothing is due, so a trial takes no longer than its
work. A device holds a number of streams while the 95th percentile of the lag, from a clip's last
frame to its label, stays below one update interval; a dropped clip counts as endless lag. Clips are
noise that lies ready: decoding is measured by itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vigilia.engine import Piece, StepEngine
from vigilia.errors import OptionError
from vigilia.stream import StreamClassifier

__all__ = ["LiveTrial", "SkippingClock", "best_batch", "find_streams", "try_streams"]

_BANK = 8


class SkippingClock:
    """The machine's clock, which can be put forward."""

    def __init__(self) -> None:
        self._skipped = -time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() + self._skipped

    def skip_to(self, seconds: float) -> None:
        """Puts the clock forward; never back."""
        self._skipped += max(0.0, seconds - self())


@dataclass(frozen=True)
class LiveTrial:
    """So many streams for a while.

    Attributes:
        streams: how many.
        lag_p50_seconds: median lag; infinite if every second clip was dropped.
        lag_p95_seconds: 95th percentile.
        dropped: share of clips that were dropped.
        busy: share of time in which the device was stepping.
        rows: mean number of streams in a batch.
    """

    streams: int
    lag_p50_seconds: float
    lag_p95_seconds: float
    dropped: float
    busy: float
    rows: float


def try_streams(
    model: StreamClassifier,
    streams: int,
    *,
    batch: int,
    intervals: int = 6,
    deadline_seconds: float = 0.05,
) -> LiveTrial:
    """Runs so many live streams for some update intervals, the first of which is not counted.

    Raises:
        OptionError: `intervals` leaves nothing to count.
    """
    if intervals < 2:
        raise OptionError(f"intervals must be at least 2, got {intervals}")
    interval = model.preprocessing.stride_seconds
    clips = _noise(model)
    clock = SkippingClock()
    engine = StepEngine(
        model,
        streams=streams,
        batch=batch,
        deadline_seconds=min(deadline_seconds, interval / 4),
        drop_oldest=True,
        clock=clock,
    )
    for number in range(streams):
        engine.add(str(number))
    began = clock()
    lags: list[float] = []
    busy = 0.0
    offered = 0
    while True:
        # Clip j of stream k is there at (j + k / streams) intervals.
        while offered < streams * intervals:
            ready = began + interval * offered / streams
            if ready > clock():
                break
            start = interval * (offered // streams)
            clip = Piece(start, start + interval, clips[offered % _BANK])
            engine.offer(str(offered % streams), clip, ready_at=ready)
            offered += 1
        due = engine.due_in_seconds()
        if due == 0:
            at = clock()
            for result in engine.poll():
                if result.start_seconds >= interval:
                    lost = [math.inf] * result.dropped
                    lags += [result.lag_seconds] if result.kind == "stepped" else lost
            busy += clock() - at
            continue
        if offered == streams * intervals and due is None:
            break
        ahead = began + interval * offered / streams if offered < streams * intervals else math.inf
        clock.skip_to(min(ahead, math.inf if due is None else clock() + due))
    totals = engine.totals()
    seen = np.sort(lags)
    return LiveTrial(
        streams=streams,
        lag_p50_seconds=_quantile(seen, 0.5),
        lag_p95_seconds=_quantile(seen, 0.95),
        dropped=float(np.isinf(seen).mean()),
        busy=busy / (clock() - began),
        rows=totals.rows / max(1, totals.batches),
    )


def best_batch(
    model: StreamClassifier, *, sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64), steps: int = 3
) -> tuple[int, float]:
    """The smallest batch after which doubling gains less than a tenth, and its seconds a step.

    Args:
        model: in evaluation mode.
        sizes: to try, growing.
        steps: that are timed of each; the fastest counts.
    """
    clips = _noise(model)
    clock = SkippingClock()
    best: tuple[int, float] | None = None
    for batch in sizes:
        engine = StepEngine(model, streams=batch, batch=batch, deadline_seconds=0)
        for row in range(batch):
            engine.add(str(row))
        fastest = math.inf
        for number in range(steps + 1):
            for row in range(batch):
                engine.offer(str(row), Piece(number, number + 1, clips[row % _BANK]))
            at = clock()
            engine.poll(flush=True)
            if number:
                fastest = min(fastest, clock() - at)
        if best is not None and fastest / batch > 0.9 * best[1] / best[0]:
            break
        best = (batch, fastest)
    assert best is not None
    return best


def find_streams(
    model: StreamClassifier,
    *,
    batch: int,
    step_seconds: float,
    intervals: int = 6,
    resolution: float = 0.05,
    on_trial: Callable[[LiveTrial], None] | None = None,
) -> tuple[int, list[LiveTrial]]:
    """The greatest number of streams whose 95th percentile of lag is below one interval.

    Args:
        model: in evaluation mode.
        batch: B.
        step_seconds: of a full batch, from `best_batch`: where the search begins.
        intervals: update intervals of a trial.
        resolution: relative; the search ends there.
        on_trial: called after every trial.

    Returns:
        That number, 0 if the device does not hold one, and all trials.
    """
    interval = model.preprocessing.stride_seconds
    trials: list[LiveTrial] = []

    def holds(streams: int) -> bool:
        trial = try_streams(model, streams, batch=batch, intervals=intervals)
        trials.append(trial)
        if on_trial is not None:
            on_trial(trial)
        return trial.lag_p95_seconds < interval

    good, bad = 0, max(2, math.ceil(1.5 * batch * interval / step_seconds))
    while holds(bad):
        good, bad = bad, 2 * bad
    while bad - good > max(1, resolution * bad):
        # The estimate is mostly near the truth: look there first.
        middle = (good + bad) // 2 if good else max(1, round(bad * 0.6))
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good, sorted(trials, key=lambda trial: trial.streams)


def _noise(model: StreamClassifier) -> np.ndarray:
    pre = model.preprocessing
    shape = (_BANK, pre.clip_frames, pre.height, pre.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _quantile(values: np.ndarray, share: float) -> float:
    """Of sorted values, some of which may be infinite."""
    return float(values[min(len(values) - 1, math.ceil(share * len(values)) - 1)])
