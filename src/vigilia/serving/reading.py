"""Reading the journal beside its writer: every call opens the file anew, read-only, and closes it.

Letters: N rows, K classes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from vigilia.serving.cursor import Cursor, finished
from vigilia.serving.view_corrections import Said
from vigilia.timeline import Scores, Segment
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.seconds import Second, finish_seconds, init_seconds, push_step, to_scores

__all__ = ["Reader"]


class Reader:
    """Reads the journal at a path.

    Raises:
        sqlite3.Error: from every method, if the journal cannot be read now.
    """

    def __init__(self, path: Path) -> None:
        self._address = path.resolve().as_uri() + "?mode=ro"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._address, uri=True, timeout=2.0)) as database:
            yield database

    def segments(
        self, cursor: Cursor, start_seconds: float, end_seconds: float, *, most: int
    ) -> list[Segment]:
        """The segments that reach into [start, end), the one that runs included; `most` at most."""
        classes = cursor.segmenter.classes
        with self._open() as database:
            # The segment before `start` may reach into it.
            rows = database.execute(
                "SELECT start_seconds, end_seconds, label, confidence FROM segments "
                "WHERE stream = ?1 AND start_seconds < ?3 AND start_seconds >= COALESCE("
                "(SELECT MAX(start_seconds) FROM segments WHERE stream = ?1 "
                "AND start_seconds <= ?2), ?2) ORDER BY start_seconds LIMIT ?4",
                (cursor.name, start_seconds, end_seconds, most),
            ).fetchall()
        segments = [
            Segment(start, end, None if label is None else classes[label], confidence)
            for start, end, label, confidence in rows
        ]
        reached = segments[-1].end_seconds if segments else -np.inf
        # The journal may have moved on since the cursor was looked at.
        segments += [one for one in finished(cursor) if one.start_seconds >= reached - 1e-9]
        return [
            one
            for one in segments
            if one.end_seconds > start_seconds and one.start_seconds < end_seconds
        ][:most]

    def scores(self, cursor: Cursor, start_seconds: float, end_seconds: float) -> Scores:
        """The rows of the grid of seconds that begin in [start, end), as `vigilia.run` has them."""
        classes = len(cursor.segmenter.classes)
        if cursor.seconds is None:
            return to_scores([], classes)
        anchor, cell = cursor.seconds.anchor_seconds, cursor.cell_seconds
        state = init_seconds(anchor, cell)
        rows: list[Second] = []
        with self._open() as database:
            # One cell more on either side: a step may begin before its cell does.
            for begin, end, packed in database.execute(
                "SELECT start_seconds, end_seconds, probabilities FROM results "
                "WHERE stream = ?1 AND start_seconds < ?3 AND start_seconds >= COALESCE("
                "(SELECT MAX(start_seconds) FROM results WHERE stream = ?1 "
                "AND start_seconds <= ?2), ?2) ORDER BY start_seconds",
                (cursor.name, start_seconds - cell, end_seconds + cell),
            ):
                if packed is not None:
                    values = np.frombuffer(packed, "<f4")
                    state, complete = push_step(state, begin, end, values)
                    rows += complete
        rows += finish_seconds(state)
        return to_scores(
            [
                one
                for one in rows
                if one.end_seconds > start_seconds + ROUNDING_SECONDS
                and one.start_seconds < end_seconds - ROUNDING_SECONDS
            ],
            classes,
        )

    def rows(self, name: str) -> Iterator[tuple[float, float, bytes | None]]:
        """Every result of a stream as it is kept, in order of time."""
        with self._open() as database:
            yield from database.execute(
                "SELECT start_seconds, end_seconds, probabilities FROM results "
                "WHERE stream = ? ORDER BY start_seconds",
                (name,),
            )

    def corrections(self, name: str) -> list[Said]:
        """What people said and did not take back, in the order in which they did."""
        with self._open() as database:
            found = database.execute(
                "SELECT id, start_seconds, end_seconds, label, by, written_at FROM corrections "
                "WHERE stream = ? AND taken_back_at IS NULL ORDER BY id",
                (name,),
            ).fetchall()
        return [Said(*one) for one in found]

    def parts(self, name: str) -> dict[str, float]:
        """Where each file of a recording lies on the stream's clock."""
        with self._open() as database:
            found = database.execute(
                "SELECT name, offset_seconds FROM parts WHERE stream = ?", (name,)
            ).fetchall()
        return dict(found)

    def names(self) -> dict[str, tuple[str, ...]]:
        """The streams that have results, and their classes."""
        with self._open() as database:
            found = database.execute("SELECT name, classes FROM streams ORDER BY name").fetchall()
        return {name: tuple(json.loads(classes)) for name, classes in found}
