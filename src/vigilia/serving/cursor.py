"""How far a stream is labelled: results in, rows and segments out, every moment exactly once.

A result may come again, since after a kill a stream goes on from a snapshot that is older than the
journal. What is labelled already is not labelled again; where results leave time out it becomes a
hole. So the rows of a stream tile its time from its start, whatever happened in between.

The segments are those of `vigilia.timeline.builder`, but with nothing kept that grows.

Letters: K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.seconds import (
    Second,
    SecondsState,
    finish_seconds,
    init_seconds,
    push_step,
)
from vigilia.timeline.segmenter import SegmenterState, current, finish, push, push_gap
from vigilia.timeline.timeline import Segment

__all__ = ["Appended", "Cursor", "Row", "advance", "finished"]


@dataclass(frozen=True, eq=False)
class Row:
    """A result as it is kept.

    Attributes:
        start_seconds: what it labels, half-open.
        end_seconds: the end of that.
        probabilities: (K,) float32; None for a hole.
    """

    start_seconds: float
    end_seconds: float
    probabilities: np.ndarray | None


@dataclass(frozen=True)
class Cursor:
    """Where the journal of one stream ends; of a fixed size.

    Attributes:
        name: of the stream.
        cell_seconds: length of a cell of the grid of seconds.
        segmenter: the segment that runs.
        seconds: the cell that is not complete yet; None before the first result.
    """

    name: str
    cell_seconds: float
    segmenter: SegmenterState
    seconds: SecondsState | None = None
    until_seconds: float | None = None

    @property
    def start_seconds(self) -> float | None:
        """Where the timeline begins."""
        return None if self.seconds is None else self.seconds.anchor_seconds

    @property
    def now(self) -> Segment | None:
        """The segment that runs."""
        return current(self.segmenter)


@dataclass(frozen=True, eq=False)
class Appended:
    """What a result did to a stream.

    Attributes:
        before: where it ended before.
        after: where it ends now.
        rows: that are new; none if the result was there already.
    """

    before: Cursor
    after: Cursor
    rows: tuple[Row, ...]


def advance(cursor: Cursor, row: Row) -> tuple[Cursor, list[Row], list[Segment]]:
    """Takes one result.

    Returns:
        The next cursor, the rows to keep (none if all of it was labelled, two if a hole lay
        before it), and the segments that became final.
    """
    start, end, until = row.start_seconds, row.end_seconds, cursor.until_seconds
    if until is not None and end <= until + ROUNDING_SECONDS:
        return cursor, [], []
    rows = []
    if until is not None and start < until - ROUNDING_SECONDS:
        start = until
    elif until is not None and start > until + ROUNDING_SECONDS:
        rows.append(Row(until, start, None))
    rows.append(replace(row, start_seconds=start))
    closed: list[Segment] = []
    for one in rows:
        cursor, more = _add(cursor, one)
        closed += more
    return cursor, rows, closed


def finished(cursor: Cursor) -> list[Segment]:
    """The segments that would follow if the stream ended here: the running one, as the last."""
    if cursor.seconds is None:
        return []
    state, closed = _push_all(cursor.segmenter, finish_seconds(cursor.seconds))
    return closed + finish(state)


def _add(cursor: Cursor, row: Row) -> tuple[Cursor, list[Segment]]:
    seconds = cursor.seconds
    if seconds is None:
        seconds = init_seconds(row.start_seconds, cursor.cell_seconds)
    if row.probabilities is None:
        segmenter, closed = _push_all(cursor.segmenter, finish_seconds(seconds))
        seconds = replace(seconds, start_seconds=None)
        segmenter, more = push_gap(segmenter, row.start_seconds, row.end_seconds)
        closed += more
    else:
        seconds, complete = push_step(
            seconds, row.start_seconds, row.end_seconds, row.probabilities
        )
        segmenter, closed = _push_all(cursor.segmenter, complete)
    moved = replace(cursor, segmenter=segmenter, seconds=seconds, until_seconds=row.end_seconds)
    return moved, closed


def _push_all(state: SegmenterState, rows: list[Second]) -> tuple[SegmenterState, list[Segment]]:
    closed: list[Segment] = []
    for row in rows:
        state, more = push(state, row.start_seconds, row.end_seconds, row.probabilities)
        closed += more
    return state, closed
