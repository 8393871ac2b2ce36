"""How well whole bouts are found, not only cells: edit score and F1 at an overlap.

- **Edit score**: 1 minus the Levenshtein distance between the two sequences of bouts, divided by
  the longer one's length. It sees order and over-segmentation, not times.
- **F1@k**: a predicted bout is right if its intersection over union with a true bout of its class,
  the one it overlaps best, is at least k percent, and no earlier predicted bout took that true one.

Temporal Convolutional Networks for Action Segmentation and Detection, Lea, Flynn, Vidal, Reiter and
Hager 2017, whose table is the mean over recordings; many later papers, MS-TCN first (Farha and Gall
2019), add up bouts over recordings instead. Both are computed here, and named so. Figures are 0 to
1; papers print percent. Background, where named, makes no bouts on either side; where a cell is not
scored by both sides, a bout ends on both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError

__all__ = [
    "OVERLAPS",
    "Bouts",
    "OverlapF1",
    "SegmentCounts",
    "Segmental",
    "bouts_of",
    "count_segments",
    "edit_distance",
    "segmental",
]

OVERLAPS = (0.10, 0.25, 0.50)


@dataclass(frozen=True, eq=False)
class Bouts:
    """Runs of equal cells.

    Attributes:
        codes: (M,) classes.
        starts: (M,) first cells.
        ends: (M,) first cells after them.
    """

    codes: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class SegmentCounts:
    """What one recording adds to the figures.

    Attributes:
        distance: edits that turn the predicted sequence of bouts into the true one.
        longest: bouts of the longer of the two sequences.
        right: predicted bouts that are right, one count an overlap.
        wrong: predicted bouts that are not.
        missed: true bouts that no right one took.
    """

    distance: int
    longest: int
    right: tuple[int, ...]
    wrong: tuple[int, ...]
    missed: tuple[int, ...]

    @property
    def edit(self) -> float | None:
        """The recording's edit score; None where neither side has a bout."""
        return 1 - self.distance / self.longest if self.longest else None

    def f1(self, index: int) -> float | None:
        """The recording's F1 at one overlap; None where neither side has a bout."""
        errors = self.wrong[index] + self.missed[index]
        whole = 2 * self.right[index] + errors
        return 2 * self.right[index] / whole if whole else None


@dataclass(frozen=True)
class OverlapF1:
    """F1@k of bouts.

    Attributes:
        overlap: the least intersection over union, 0 to 1.
        mean_over_recordings: F1 of each recording, averaged.
        pooled: F1 of the bouts of all recordings together.
    """

    overlap: float
    mean_over_recordings: float
    pooled: float


@dataclass(frozen=True)
class Segmental:
    """How well bouts are found; recordings in which neither side has any are left out.

    Attributes:
        edit_mean_over_recordings: edit score of each recording, averaged.
        edit_pooled: 1 minus all edits over all longest sequences.
        f1: one entry an overlap.
        recordings: how many count.
    """

    edit_mean_over_recordings: float
    edit_pooled: float
    f1: tuple[OverlapF1, ...]
    recordings: int


def bouts_of(codes: ArrayLike, background: Collection[int] = ()) -> Bouts:
    """Runs of equal cells: codes (N,), of which -1 and background make no bouts."""
    codes = np.asarray(codes, np.int64)
    if codes.ndim != 1:
        raise OptionError(f"codes must be (N,), got {codes.shape}")
    if not len(codes):
        return Bouts(codes, codes, codes)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1])
    ends = np.append(starts[1:], len(codes))
    kept = (codes[starts] >= 0) & ~np.isin(codes[starts], list(background))
    return Bouts(codes[starts][kept], starts[kept], ends[kept])


def edit_distance(first: ArrayLike, second: ArrayLike) -> int:
    """Levenshtein distance of two sequences: fewest insertions, deletions and replacements."""
    first, second = np.asarray(first), np.asarray(second)
    offsets = np.arange(len(second) + 1)
    row = offsets.copy()
    for index, one in enumerate(first.tolist(), start=1):
        below = np.empty_like(row)
        below[0] = index
        below[1:] = np.minimum(row[1:] + 1, row[:-1] + (second != one))
        # Insertions run along the row: each place may be reached from any before it.
        row = np.minimum.accumulate(below - offsets) + offsets
    return int(row[-1])


def count_segments(
    truth: ArrayLike,
    predicted: ArrayLike,
    *,
    overlaps: Sequence[float] = OVERLAPS,
    background: Collection[int] = (),
) -> SegmentCounts:
    """Counts one recording: truth (N,), predicted (N,).

    Raises:
        OptionError: lengths differ, or an overlap is not above 0 and at most 1.
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise OptionError(
            f"truth and predicted must be (N,) both, got {truth.shape} and {predicted.shape}"
        )
    if not all(0 < one <= 1 for one in overlaps):
        raise OptionError(f"overlaps must be above 0 and at most 1, got {tuple(overlaps)}")
    scored = (truth >= 0) & (predicted >= 0)
    true = bouts_of(np.where(scored, truth, -1), background)
    said = bouts_of(np.where(scored, predicted, -1), background)
    best, partner = _best_overlaps(true, said)
    right = []
    for overlap in overlaps:
        partners = partner[best >= overlap]
        right.append(len(np.unique(partners)))
    return SegmentCounts(
        distance=edit_distance(said.codes, true.codes),
        longest=max(len(true), len(said)),
        right=tuple(right),
        wrong=tuple(len(said) - one for one in right),
        missed=tuple(len(true) - one for one in right),
    )


def segmental(
    counts: Sequence[SegmentCounts], overlaps: Sequence[float] = OVERLAPS
) -> Segmental | None:
    """The figures over recordings; None where no recording has a bout."""
    counts = [one for one in counts if one.longest]
    if not counts:
        return None
    f1 = []
    for index, overlap in enumerate(overlaps):
        right = sum(one.right[index] for one in counts)
        errors = sum(one.wrong[index] + one.missed[index] for one in counts)
        each = [one.f1(index) or 0.0 for one in counts]
        f1.append(OverlapF1(overlap, float(np.mean(each)), 2 * right / (2 * right + errors)))
    return Segmental(
        edit_mean_over_recordings=float(np.mean([one.edit or 0.0 for one in counts])),
        edit_pooled=1 - sum(one.distance for one in counts) / sum(one.longest for one in counts),
        f1=tuple(f1),
        recordings=len(counts),
    )


def _best_overlaps(true: Bouts, said: Bouts) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each predicted bout the best intersection over union, and with which true bout.

    Of true bouts that it overlaps equally well the first counts.
    """
    best, partner = np.zeros(len(said)), np.full(len(said), -1, np.int64)
    first = np.searchsorted(true.ends, said.starts, side="right")
    last = np.searchsorted(true.starts, said.ends, side="left")
    for index, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        if low >= high:
            continue
        start, end = said.starts[index], said.ends[index]
        starts, ends = true.starts[low:high], true.ends[low:high]
        shared = np.minimum(ends, end) - np.maximum(starts, start)
        whole = np.maximum(ends, end) - np.minimum(starts, start)
        overlap = np.where(true.codes[low:high] == said.codes[index], shared / whole, 0.0)
        best[index], partner[index] = overlap.max(), low + int(overlap.argmax())
    return best, partner
