"""Updates a second, as ratios of one run.

Every round times every update, one after another, so that a busy machine slows all of them; the
least time of each counts, and the ratios to the first are the result. A short update is measured
often and a long one seldom, which makes the least of a short one too small on a machine that is not
quiet: the ratios of the means of a round have no such preference, and both are given. The peak is
the rate of a product of two 1,024 x 1,024 matrices of the same type, in the same rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from vigilia.bench.speed.updates import DTYPES, Update

__all__ = ["SpeedReport", "SpeedRow", "measure_speed"]

PEAK_SIZE = 1024


@dataclass(frozen=True)
class SpeedRow:
    """One update's result.

    Attributes:
        name: what was timed.
        precision: float32, bf16 or int8.
        seconds: of the fastest update.
        mean_seconds: of an update in the fastest round: a memory that writes every fourth time
            shows here what writing costs.
        times: updates a second over those of the first row, by `seconds`.
        mean_times: likewise, by `mean_seconds`.
        gflop: of one update, counted.
        share_of_peak: of the rate of matrix products in this precision; None for int8.
        state_bytes: what a stream remembers.
    """

    name: str
    precision: str
    seconds: float
    mean_seconds: float
    times: float
    mean_times: float
    gflop: float
    share_of_peak: float | None
    state_bytes: int


@dataclass(frozen=True)
class SpeedReport:
    """All of them, from one run.

    Attributes:
        rows: in the order they were given in; the first is what the others are compared with.
        peak_gflop_per_second: of matrix products, by precision.
        threads: that torch used.
        processor_time: whether seconds of processor time were counted in place of the wall's.
    """

    rows: tuple[SpeedRow, ...]
    peak_gflop_per_second: dict[str, float]
    threads: int
    processor_time: bool


@torch.inference_mode()
def measure_speed(
    updates: Sequence[Update],
    *,
    rounds: int = 3,
    repeats: int = 8,
    processor_time: bool = False,
    on_round: Callable[[int, str], None] | None = None,
) -> SpeedReport:
    """Times the updates in turn.

    Args:
        updates: the first is what the others are compared with.
        rounds: the best one counts.
        repeats: of each in a round; of the first a quarter as many, since it takes several times as
            long, but one at least.
        processor_time: count what the processor worked for this process: with one thread that is
            hardly moved by what else runs.
        on_round: called before each update with the round and the update's name.
    """
    clock = time.process_time if processor_time else time.perf_counter
    matrices = {
        name: torch.randn(PEAK_SIZE, PEAK_SIZE).to(DTYPES[name])
        for name in dict.fromkeys(one.precision for one in updates)
        if name in DTYPES
    }
    peak_seconds = dict.fromkeys(matrices, float("inf"))
    least = [float("inf")] * len(updates)
    means = [float("inf")] * len(updates)
    for number in range(rounds):
        for place, one in enumerate(updates):
            if on_round is not None:
                on_round(number, one.name)
            count = repeats if place else max(1, repeats // 4)
            took = [_seconds(one.call, clock) for _ in range(count)]
            least[place] = min(least[place], *took, float("inf"))
            means[place] = min(means[place], sum(took) / len(took))
        for name, matrix in matrices.items():
            took = [_seconds(lambda: matrix @ matrix, clock) for _ in range(10)]  # noqa: B023
            peak_seconds[name] = min(peak_seconds[name], *took)
    peak = {name: 2 * PEAK_SIZE**3 / seconds / 1e9 for name, seconds in peak_seconds.items()}
    return SpeedReport(
        rows=tuple(
            SpeedRow(
                name=one.name,
                precision=one.precision,
                seconds=seconds,
                mean_seconds=mean,
                times=least[0] / seconds,
                mean_times=means[0] / mean,
                gflop=one.gflop,
                share_of_peak=one.gflop / seconds / peak[one.precision]
                if one.precision in peak
                else None,
                state_bytes=one.state_bytes,
            )
            for one, seconds, mean in zip(updates, least, means, strict=True)
        ),
        peak_gflop_per_second=peak,
        threads=torch.get_num_threads(),
        processor_time=processor_time,
    )


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    call()
    return max(clock() - began, 1e-9)
