"""A benchmark stream: what each clip shows, the right answer, and how old its cue is.

Letters: S clips of a stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.ceilings import memoryless_accuracy
from vigilia.errors import OptionError

__all__ = [
    "CLIP_FPS",
    "CLIP_FRAMES",
    "CLIP_SECONDS",
    "AgeBin",
    "Stream",
    "Task",
    "age_bins",
    "cue_times",
    "exchanged",
    "last_time",
    "plain_levels",
    "question_times",
]

CLIP_FRAMES = 8
CLIP_FPS = 4.0
CLIP_SECONDS = CLIP_FRAMES / CLIP_FPS

AGE_EDGES = (0, 1, 4, 16, 64, 160, 600)
# One gap from every eighth of the distribution in each run of eight: a test stream of a few dozen
# cues then surely holds long gaps, and its mean gap is near what was asked for.
STRATA = 8
FIRST_CUE_CLIPS = 4


@dataclass(frozen=True)
class Stream:
    """One stream of clips, before rendering.

    Attributes:
        symbols: (S,) int16. What each clip shows: 0 nothing, from 1 a sprite (see `sprites`).
        labels: (S,) int64. The right answer, an index into the task's classes; -1 not scored.
        ages: (S,) int64. Clips since the cue that the label depends on was last shown, 0 in the
            very clip that shows it; -1 where not scored.
        levels: (S,) float32. Brightness of the patch, 0 to 1; 0.5 wherever a task does not use it.
    """

    symbols: NDArray[np.int16]
    labels: NDArray[np.int64]
    ages: NDArray[np.int64]
    levels: NDArray[np.float32]

    def __post_init__(self) -> None:
        kinds = {"symbols": np.int16, "labels": np.int64, "ages": np.int64, "levels": np.float32}
        for name, kind in kinds.items():
            array = getattr(self, name)
            if array.dtype != kind or array.shape != (len(self.symbols),):
                raise ValueError(
                    f"{name} must be (S={len(self.symbols)},) {np.dtype(kind)}, "
                    f"got {array.shape} {array.dtype}"
                )
        if not np.array_equal(self.labels < 0, self.ages < 0):
            raise ValueError("labels and ages must be -1 at the same clips")

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(S,) where an answer is asked for."""
        return self.labels >= 0


@dataclass(frozen=True)
class Task:
    """A task: draws streams, and knows its lower and upper bound.

    Attributes:
        name: "T1" to "T8".
        title: two or three words for tables.
        classes: names of the labels.
        symbols: how many different sprites its streams show.
        gap: default of `draw`.
        drawing: `(clips, random, gap) -> Stream`.
        solution: `(stream, gap) -> (S,)` answers of a full memory.
        twins: `stream -> (streams)`, the stream itself and the same with its answers exchanged, so
            that over all of them no answer is more frequent than another.
        all_history: an answer depends on everything since the stream began; elsewhere what was
            before the stream's first cue means nothing.
        level_bins: into how many steps the memoryless ceiling divides the patch's level; None for
            tasks that leave it at 0.5.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    symbols: int
    gap: float
    drawing: Callable[[int, np.random.Generator, float], Stream]
    solution: Callable[[Stream, float], NDArray[np.int64]]
    twins: Callable[[Stream], tuple[Stream, ...]] = lambda stream: (stream,)
    all_history: bool = False
    level_bins: int | None = None

    def draw(self, clips: int, random: np.random.Generator, *, gap: float | None = None) -> Stream:
        """Draws a stream.

        Args:
            clips: its length.
            random: the source of chance.
            gap: mean clips between cues, 1 or more; None for the task's own, with which ages
                pass 600 clips (20 minutes) in T1 to T6. Each task's file says what counts as
                a cue and how gaps are distributed. A training curriculum shortens it.

        Raises:
            OptionError: clips or gap is less than 1.
        """
        gap = self.gap if gap is None else float(gap)
        if clips < 1:
            raise OptionError(f"clips must be at least 1, got {clips}")
        if not 1.0 <= gap < math.inf:
            raise OptionError(f"gap must be at least 1 clip and finite, got {gap}")
        return self.drawing(clips, random, gap)

    def memoryless_ceiling(self, streams: Sequence[Stream], *, min_age: int = 0) -> float:
        """Best accuracy, on these streams, of any function of the current clip alone.

        Args:
            streams: the test streams, pooled.
            min_age: count only clips whose cue is at least so old; 1 leaves out the clips that
                show their own cue.

        Returns:
            0 to 1; NaN when no clip is scored.
        """
        return memoryless_accuracy(
            [
                (stream.symbols, stream.levels, np.where(stream.ages >= min_age, stream.labels, -1))
                for stream in streams
            ],
            self.level_bins,
        )

    def oracle(self, stream: Stream, *, gap: float | None = None) -> NDArray[np.int64]:
        """Answers (S,) of a perfect memory, which sees symbols and levels but no label.

        They are right at every scored clip, except in T8, where they are the most probable state
        by an exact Bayes filter. Where nothing is scored they may be -1.

        Args:
            stream: what is shown.
            gap: with which it was drawn; only T8's filter needs it.
        """
        return self.solution(stream, self.gap if gap is None else float(gap))


@dataclass(frozen=True)
class AgeBin:
    """Cue ages from `low` (included) to `high` (excluded), in clips.

    Attributes:
        low: first age.
        high: first age beyond; infinite in the last bin.
        label: the same in seconds, for tables and plots.
    """

    low: int
    high: float
    label: str

    def holds(self, ages: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(S,) which ages lie in this bin; unscored clips (-1) lie in none."""
        return (ages >= self.low) & (ages < self.high)


def age_bins(horizon_clips: int) -> tuple[AgeBin, ...]:
    """Adjoining bins of cue age: 0, 1, 4, 16, 64, 160 and 600 clips and more.

    Args:
        horizon_clips: the longest age of interest, usually the test stream's length; edges beyond
            it are left out. The last bin has no end.

    Raises:
        OptionError: horizon_clips is negative.
    """
    if horizon_clips < 0:
        raise OptionError(f"horizon_clips must be 0 or more, got {horizon_clips}")
    lows = [edge for edge in AGE_EDGES if edge <= horizon_clips]
    highs = [*(float(edge) for edge in lows[1:]), math.inf]
    return tuple(
        AgeBin(low, high, _seconds_label(low, high)) for low, high in zip(lows, highs, strict=True)
    )


def _seconds_label(low: int, high: float) -> str:
    start = low * CLIP_SECONDS
    if math.isinf(high):
        return f"{start:g} s+"
    if high == low + 1:
        return f"{start:g} s"
    return f"{start:g}-{(high - 1) * CLIP_SECONDS:g} s"


def cue_times(
    clips: int, random: np.random.Generator, gap: float, *, least: int = 1
) -> NDArray[np.int64]:
    """Clips at which something happens; the first within the first four, then log-uniform gaps.

    A gap lies between `least` and a longest gap G, its logarithm uniform, with G such that the
    mean (G - least) / ln(G / least) is `gap`: of the default 220, half the gaps are below 40
    clips and one in eight exceeds 640. So one stream tests all ages, and a short one has cues too.

    Args:
        clips: length of the stream.
        random: the source of chance.
        gap: mean gap; no less than `least` is used.
        least: shortest gap.

    Returns:
        (n,) rising, below `clips`.
    """
    ratio = _log_uniform_ratio(max(gap / least, 1.0))
    times = [np.array([random.integers(FIRST_CUE_CLIPS)])]
    while times[-1][-1] < clips:
        quantiles = (random.permutation(STRATA) + random.random(STRATA)) / STRATA
        steps = np.rint(least * ratio**quantiles).astype(np.int64)
        times.append(times[-1][-1] + np.cumsum(steps))
    together = np.concatenate(times)
    return together[together < clips]


def _log_uniform_ratio(mean: float) -> float:
    """Upper end r of the log-uniform distribution on [1, r] that has this mean, by bisection."""
    low, high = 0.0, math.log(mean) + 50.0
    for _ in range(100):
        middle = (low + high) / 2
        if math.expm1(middle) < mean * middle:
            low = middle
        else:
            high = middle
    return math.exp(high)


def question_times(
    clips: int, random: np.random.Generator, gap: float = math.inf
) -> NDArray[np.int64]:
    """(n,) clips at which something may be asked: every 2 to 12 clips, so that answers abound.

    Where cues lie close, so do questions: every 1 to gap / 2 clips when that is less than 12.
    """
    longest = int(min(12, max(2, gap / 2)))
    times = np.cumsum(random.integers(1 if longest < 12 else 2, longest + 1, clips + 1))
    return times[times < clips]


def exchanged(stream: Stream, symbols: Mapping[int, int], labels: Sequence[int]) -> Stream:
    """The stream with other symbols and the labels that follow from them.

    Args:
        stream: any.
        symbols: old symbol -> new one; the others stay.
        labels: new label of each old one.
    """
    table = np.arange(max(int(stream.symbols.max(initial=0)), *symbols) + 1, dtype=np.int16)
    table[list(symbols)] = list(symbols.values())
    renamed = np.where(stream.labels < 0, -1, np.asarray(labels)[stream.labels])
    return replace(stream, symbols=table[stream.symbols], labels=renamed)


def last_time(shown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(S,) -> (S,): the last clip up to and with each one where `shown` holds, -1 before any."""
    return np.maximum.accumulate(np.where(shown, np.arange(len(shown)), -1))


def plain_levels(clips: int) -> NDArray[np.float32]:
    """(S,): the patch of a task that does not use it."""
    return np.full(clips, 0.5, np.float32)
