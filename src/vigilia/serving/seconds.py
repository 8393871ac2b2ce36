"""The grid of seconds of a long stream, read in pieces: whatever its length, memory stays small.

The rows are, bit for bit, those of `vigilia.timeline.seconds.push_step`, but of thousands of steps
at once: a month of them one by one would hold up the streams for most of a minute.

Letters: N steps or rows, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from vigilia.serving.schema import SecondsView
from vigilia.timeline import Scores
from vigilia.timeline.intervals import ROUNDING_SECONDS

__all__ = ["Fold", "in_cells", "join", "within"]


def in_cells(
    pieces: Iterable[Scores], *, anchor_seconds: float, cell_seconds: float
) -> Iterator[Scores]:
    """Steps, in pieces, as rows of the grid: one a cell, or an observed part of it.

    Args:
        pieces: the steps, in order.
        anchor_seconds: where the grid begins.
        cell_seconds: length of a cell.
    """
    kept: Scores | None = None
    for steps in pieces:
        if not len(steps):
            continue
        steps = steps if kept is None else join([kept, steps])
        rows, last_step = _rows(steps, anchor_seconds, cell_seconds)
        yield _cut(rows, 0, len(rows) - 1)
        # The last row may go on in the next piece: its steps, from where it begins.
        kept = _cut(steps, last_step, len(steps))
        starts = kept.start_seconds.copy()
        starts[0] = rows.start_seconds[-1]
        kept = Scores(starts, kept.end_seconds, kept.probabilities)
    if kept is not None:
        yield _rows(kept, anchor_seconds, cell_seconds)[0]


def within(rows: Scores, start_seconds: float, end_seconds: float) -> Scores:
    """The rows that reach into [start, end)."""
    first = np.searchsorted(rows.end_seconds, start_seconds + ROUNDING_SECONDS, "right")
    last = np.searchsorted(rows.start_seconds, end_seconds - ROUNDING_SECONDS, "left")
    return _cut(rows, int(first), max(int(first), int(last)))


def join(pieces: list[Scores]) -> Scores:
    """Pieces as one; at least one piece."""
    return Scores(
        np.concatenate([one.start_seconds for one in pieces]),
        np.concatenate([one.end_seconds for one in pieces]),
        np.concatenate([one.probabilities for one in pieces]),
    )


class Fold:
    """Averages rows of the grid into at most so many points, as they come.

    Args:
        first_seconds: where the first row begins.
        last_seconds: where the last row ends.
        anchor_seconds: where the grid begins.
        cell_seconds: length of a cell.
        points: at most so many, or one more.
        classes: K.
    """

    def __init__(
        self,
        first_seconds: float,
        last_seconds: float,
        *,
        anchor_seconds: float,
        cell_seconds: float,
        points: int,
        classes: int,
    ) -> None:
        span = (last_seconds - first_seconds) / cell_seconds
        self._step = cell_seconds * max(1, math.ceil(span / points))
        # Points begin where the stream's grid does, so that a view that moves does not flicker.
        before = math.floor((first_seconds - anchor_seconds) / self._step + 1e-6)
        self._start = anchor_seconds + before * self._step
        self._rows = max(1, math.ceil((last_seconds - self._start) / self._step - 1e-6))
        self._counts = np.zeros(self._rows, np.int64)
        self._sums = np.zeros((self._rows, classes))

    def add(self, rows: Scores) -> None:
        """Takes the next rows."""
        middles = (rows.start_seconds + rows.end_seconds) / 2
        cells = np.floor((middles - self._start) / self._step).astype(np.int64)
        cells = np.clip(cells, 0, self._rows - 1)
        np.add.at(self._counts, cells, 1)
        np.add.at(self._sums, cells, rows.probabilities)

    def view(self) -> SecondsView:
        """The means; None where nothing was observed."""
        means = np.round(self._sums / np.maximum(self._counts, 1)[:, None], 4).tolist()
        return {
            "start_seconds": self._start,
            "step_seconds": self._step,
            "probabilities": [
                row if count else None
                for row, count in zip(means, self._counts.tolist(), strict=True)
            ],
        }


def _cut(scores: Scores, first: int, last: int) -> Scores:
    return Scores(
        scores.start_seconds[first:last],
        scores.end_seconds[first:last],
        scores.probabilities[first:last],
    )


def _rows(steps: Scores, anchor: float, cell: float) -> tuple[Scores, int]:
    """The rows of some steps, at least one, and the first step of which the last row is made."""
    ends = steps.end_seconds
    before = np.concatenate([[-np.inf], ends[:-1]])
    follows = steps.start_seconds <= before + ROUNDING_SECONDS
    starts = np.where(follows, before, steps.start_seconds)
    # Each step is cut where cells end; a sliver that only rounding leaves is no piece of its own.
    first = np.floor((starts + ROUNDING_SECONDS - anchor) / cell).astype(np.int64)
    last = np.ceil((ends - ROUNDING_SECONDS - anchor) / cell).astype(np.int64) - 1
    counts = np.maximum(last - first, 0) + 1
    step = np.repeat(np.arange(len(steps)), counts)
    number = np.arange(len(step)) - np.repeat(np.cumsum(counts) - counts, counts)
    cells = first[step] + number
    border = anchor + (cells + 1) * cell
    is_first, is_last = number == 0, number == counts[step] - 1
    begin = np.where(is_first, starts[step], anchor + cells * cell)
    end = np.where(is_last, ends[step], border)
    # A row ends with its cell, or before a hole.
    full = end >= border - ROUNDING_SECONDS
    new = np.concatenate([[True], full[:-1] | (is_first & ~follows[step])[1:]])
    heads = np.flatnonzero(new)
    tails = np.concatenate([heads[1:], [len(new)]]) - 1
    weighted = steps.probabilities[step].astype(np.float64) * (end - begin)[:, None]
    means = np.add.reduceat(weighted, heads) / (end[tails] - begin[heads])[:, None]
    rows = Scores(begin[heads], end[tails], means.astype(np.float32))
    return rows, int(step[heads[-1]])
