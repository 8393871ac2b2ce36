"""Reading the journal beside its writer: every call opens the file anew, read-only, and closes it.

Letters: N rows, K classes.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from vigilia.serving.cursor import Cursor, finished
from vigilia.serving.schema import SecondsView
from vigilia.serving.seconds import Fold, in_cells, join, within
from vigilia.serving.view_corrections import Said
from vigilia.timeline import Scores, Segment
from vigilia.timeline.seconds import to_scores

__all__ = ["Reader"]

_STEPS = 1024

_FOUND = (
    "SELECT start_seconds, end_seconds, probabilities FROM results "
    "WHERE stream = ?1 AND probabilities IS NOT NULL AND start_seconds < ?3 "
    "AND start_seconds >= COALESCE((SELECT MAX(start_seconds) FROM results WHERE stream = ?1 "
    "AND start_seconds <= ?2), ?2) "
)
_IN_ORDER = _FOUND + "ORDER BY start_seconds"
# As many as begin in one cell, and one before: a step is seldom shorter than a cell.
_THE_LAST = f"SELECT * FROM ({_FOUND} ORDER BY start_seconds DESC LIMIT 64) ORDER BY start_seconds"


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
        """The rows of the grid of seconds that reach into [start, end), as `vigilia.run` has them.

        Without a limit: see `pieces` and `steps_at_most`.
        """
        pieces = list(self.pieces(cursor, start_seconds, end_seconds))
        return join(pieces) if pieces else to_scores([], len(cursor.segmenter.classes))

    def pieces(self, cursor: Cursor, start_seconds: float, end_seconds: float) -> Iterator[Scores]:
        """Likewise, about a thousand at a time."""
        if cursor.seconds is None:
            return
        cell = cursor.cell_seconds
        # One cell more on either side: a step may begin before its cell does.
        where = (cursor.name, start_seconds - cell, end_seconds + cell)
        steps = self._steps(_IN_ORDER, where, len(cursor.segmenter.classes))
        for rows in in_cells(
            steps, anchor_seconds=cursor.seconds.anchor_seconds, cell_seconds=cell
        ):
            found = within(rows, start_seconds, end_seconds)
            if len(found):
                yield found

    def points(
        self, cursor: Cursor, start_seconds: float, end_seconds: float, *, points: int
    ) -> SecondsView:
        """The rows of [start, end) on a regular grid; of more than `points`, neighbours are
        averaged. In bounded memory."""
        classes = len(cursor.segmenter.classes)
        fold = None
        for rows in self.pieces(cursor, start_seconds, end_seconds):
            if fold is None:
                first = float(rows.start_seconds[0])
                fold = Fold(
                    first,
                    max(
                        float(rows.end_seconds[-1]), self._last(cursor, start_seconds, end_seconds)
                    ),
                    anchor_seconds=cursor.start_seconds or 0.0,
                    cell_seconds=cursor.cell_seconds,
                    points=points,
                    classes=classes,
                )
            fold.add(rows)
        if fold is None:
            start, cell = cursor.start_seconds or 0.0, cursor.cell_seconds
            return {"start_seconds": start, "step_seconds": cell, "probabilities": []}
        return fold.view()

    def steps_at_most(
        self, cursor: Cursor, start_seconds: float, end_seconds: float, *, most: int
    ) -> bool:
        """Whether at most so many steps begin in [start, end)."""
        with self._open() as database:
            found = database.execute(
                "SELECT 1 FROM results WHERE stream = ? AND start_seconds >= ? "
                "AND start_seconds < ? LIMIT 1 OFFSET ?",
                (cursor.name, start_seconds, end_seconds, most),
            ).fetchone()
        return found is None

    def _last(self, cursor: Cursor, start_seconds: float, end_seconds: float) -> float:
        """Where the last row that reaches into [start, end) ends; -inf if none is found."""
        assert cursor.seconds is not None
        cell = cursor.cell_seconds
        where = (cursor.name, start_seconds - cell, end_seconds + cell)
        steps = list(self._steps(_THE_LAST, where, len(cursor.segmenter.classes)))
        last = -math.inf
        for rows in in_cells(
            steps, anchor_seconds=cursor.seconds.anchor_seconds, cell_seconds=cell
        ):
            found = within(rows, start_seconds, end_seconds)
            last = float(found.end_seconds[-1]) if len(found) else last
        return last

    def _steps(self, query: str, where: tuple[str, float, float], classes: int) -> Iterator[Scores]:
        """Steps with probabilities, in order, about a thousand at a time."""
        with self._open() as database:
            found = database.execute(query, where)
            while rows := found.fetchmany(_STEPS):
                starts, ends, packed = zip(*rows, strict=True)
                values = np.frombuffer(b"".join(packed), "<f4").reshape(len(rows), classes)
                yield Scores(np.array(starts), np.array(ends), values)

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
