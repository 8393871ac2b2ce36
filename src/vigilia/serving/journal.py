"""Results on disk before anybody hears of them: an append-only journal in SQLite.

One transaction holds the rows of a batch, the segments they closed and how far each stream is, so
that a kill or a power loss leaves all of it or nothing (write-ahead log, forced to the disk at each
commit). One writer; readers come through `vigilia.serving.reading` and wait for nobody.

| table | rows |
| --- | --- |
| streams | one a stream: what its results are about, and how far they go |
| results | the model's steps: bytes of K float32, NULL for a hole |
| segments | those that are final |
| corrections | what people said, and took back, in the order in which they did |
| declared | streams that were added over HTTP |

Letters: K classes.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vigilia.errors import OptionError, OutputError
from vigilia.serving.cursor import Appended, Cursor, Row, advance
from vigilia.serving.journal_check import looks_sound
from vigilia.serving.journal_notes import Notes
from vigilia.serving.journal_rows import (
    NotNowError,
    another,
    may_pass,
    reason,
    refuse_another,
    stored,
    stored_segment,
    transaction,
)
from vigilia.serving.journal_tables import FORMAT, TABLES
from vigilia.timeline import SegmenterOptions, SegmenterState
from vigilia.timeline.seconds import SecondsState
from vigilia.timeline.segmenter import init_segmenter

__all__ = ["Appended", "Journal"]


class Journal:
    """The only writer of a journal; safe to use from several threads.

    Args:
        path: the file; made if absent, readable by its owner only.
        busy_seconds: how long a write waits for another process that holds the file.

    Attributes:
        notes: what people told the service.

    Raises:
        OutputError: it cannot be made or opened, or is no journal of this version. A `NotNowError`
            if that may pass: the disk is full, the file is locked.
    """

    def __init__(self, path: Path, *, busy_seconds: float = 2.0) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._cursors: dict[str, Cursor] = {}
        self._wall_starts: dict[str, float | None] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Sources that were added over HTTP may hold passwords.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(
                path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up()
            except BaseException:
                self._database.close()
                raise
            self.notes = Notes(self._database, self._lock)
        except (OSError, sqlite3.Error) as error:
            if may_pass(error):
                raise NotNowError(f"the journal cannot be opened ({reason(error)})") from error
            raise OutputError(
                f"{path}: the journal cannot be opened ({reason(error)}); "
                "name another folder with `data`, or free this one"
            ) from error

    def _set_up(self) -> None:
        run = self._database.execute
        found = run("PRAGMA user_version").fetchone()[0]
        if found not in (0, FORMAT):
            raise OutputError(
                f"{self.path}: is a journal of version {found}, this is {FORMAT}; "
                "name another folder with `data`"
            )
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA journal_size_limit = 67108864")
        # Appending needs few pages. With SQLite's own 2 MB, memory would creep up for hours until
        # that is full, and nobody could tell it from a leak.
        run("PRAGMA cache_size = -512")
        # Checked before anything is written behind what may be damaged.
        if not looks_sound(self._database):
            raise OutputError(
                f"{self.path}: the journal is damaged; restore a copy or move it away"
            )
        self._database.executescript(TABLES)
        if found == 0:  # one that is there can be opened on a full disk
            run(f"PRAGMA user_version = {FORMAT}")

    # Streams and their results.

    def open_stream(
        self,
        name: str,
        *,
        classes: Sequence[str],
        identity: Mapping[str, Any],
        segmenter: SegmenterOptions,
        cell_seconds: float,
    ) -> Cursor:
        """Where a stream's results end; makes it if it is new.

        Args:
            name: of the stream.
            classes: of the model.
            identity: what the results are about; later results must be about the same.
            segmenter: how probabilities become segments.
            cell_seconds: length of a cell of the grid of seconds.

        Raises:
            OptionError: its results are about something else; the message names what.
            sqlite3.Error: the journal cannot be read or written now.
        """
        fresh = init_segmenter(segmenter, classes)
        with self._lock, transaction(self._database) as run:
            row = run(
                "SELECT classes, identity, cell_seconds, segmenter, seconds, until_seconds "
                "FROM streams WHERE name = ?",
                (name,),
            ).fetchone()
            if row is None:
                run(
                    "INSERT INTO streams VALUES (?, ?, ?, ?, ?, NULL, NULL, NULL, 0)",
                    (
                        name,
                        json.dumps(list(classes)),
                        json.dumps(identity, sort_keys=True),
                        cell_seconds,
                        fresh.to_json(),
                    ),
                )
                cursor = Cursor(name, cell_seconds, fresh)
            else:
                refuse_another(name, json.loads(row[1]), identity)
                state = SegmenterState.from_json(row[3])
                known = None if row[4] is None else SecondsState.from_json(row[4])
                if list(classes) != json.loads(row[0]) or cell_seconds != row[2]:
                    raise another(name, "model (its classes or its rate)")
                if state.options != segmenter:
                    raise another(name, "smoothing")
                cursor = Cursor(name, cell_seconds, state, known, row[5])
            self._cursors[name] = cursor
            return cursor

    def cursor(self, name: str) -> Cursor | None:
        """Where the results of a stream end; None if it was not opened."""
        return self._cursors.get(name)

    def until_seconds(self, name: str) -> float | None:
        """Up to where an opened stream is labelled; None before its first result."""
        cursor = self._cursors.get(name)
        return None if cursor is None else cursor.until_seconds

    def reopen(self, name: str) -> Cursor:
        """Where the results of a known stream end, whatever they are about.

        Raises:
            OptionError: there is no such stream.
        """
        with self._lock:
            row = self._database.execute(
                "SELECT cell_seconds, segmenter, seconds, until_seconds FROM streams "
                "WHERE name = ?",
                (name,),
            ).fetchone()
            if row is None:
                raise OptionError(f"the journal has no stream named {name!r}")
            known = None if row[2] is None else SecondsState.from_json(row[2])
            return Cursor(name, row[0], SegmenterState.from_json(row[1]), known, row[3])

    def claim(self, name: str, identity: Mapping[str, Any]) -> None:
        """Adds to what the results of a stream are about.

        Raises:
            OptionError: they are about something else; the message names what.
        """
        with self._lock, transaction(self._database) as run:
            row = run("SELECT identity FROM streams WHERE name = ?", (name,)).fetchone()
            kept = json.loads(row[0])
            refuse_another(name, kept, identity)
            run(
                "UPDATE streams SET identity = ? WHERE name = ?",
                (json.dumps({**kept, **identity}, sort_keys=True), name),
            )

    def ended(self, name: str, value: bool | None = None) -> bool:
        """Whether a recording was read to its end; sets it if a value is given."""
        with self._lock:
            if value is not None:
                self._database.execute("UPDATE streams SET ended = ? WHERE name = ?", (value, name))
            row = self._database.execute(
                "SELECT ended FROM streams WHERE name = ?", (name,)
            ).fetchone()
            return row is not None and bool(row[0])

    def append(self, results: Sequence[tuple[str, Row]]) -> list[Appended]:
        """Writes the results of a batch, of opened streams, all or none.

        Returns:
            What each did, in the same order.

        Raises:
            sqlite3.Error: nothing was written: the disk is full, the file is locked.
        """
        with self._lock:
            moved: dict[str, Cursor] = {}
            appended, rows, closed = [], [], []
            for name, row in results:
                before = moved.get(name, self._cursors[name])
                after, new, segments = advance(before, row)
                moved[name] = after
                appended.append(Appended(before, after, tuple(new)))
                rows += [(name, *stored(one)) for one in new]
                closed += [(name, *stored_segment(one, after)) for one in segments]
            if rows:
                with transaction(self._database) as run:
                    self._database.executemany("INSERT INTO results VALUES (?, ?, ?, ?)", rows)
                    self._database.executemany(
                        "INSERT INTO segments VALUES (?, ?, ?, ?, ?)", closed
                    )
                    for name, cursor in moved.items():
                        assert cursor.seconds is not None
                        run(
                            "UPDATE streams SET segmenter = ?, seconds = ?, until_seconds = ? "
                            "WHERE name = ?",
                            (
                                cursor.segmenter.to_json(),
                                cursor.seconds.to_json(),
                                cursor.until_seconds,
                                name,
                            ),
                        )
                self._cursors.update(moved)
            return appended

    def wall_start(self, name: str, seconds: float | None = None) -> float | None:
        """The Unix time at 0 seconds of a stream; the first that is given stays."""
        # Asked by every page, while a batch is being written: that must not wait for pages.
        known = self._wall_starts.get(name)
        if known is not None or (seconds is None and name in self._wall_starts):
            return known
        with self._lock:
            if seconds is not None:
                self._database.execute(
                    "UPDATE streams SET wall_start = ? WHERE name = ? AND wall_start IS NULL",
                    (seconds, name),
                )
            row = self._database.execute(
                "SELECT wall_start FROM streams WHERE name = ?", (name,)
            ).fetchone()
            if row is None:
                return None
            self._wall_starts[name] = row[0]
            return self._wall_starts[name]

    def note_part(self, name: str, part: str, offset_seconds: float) -> None:
        """Notes where a file of a recording lies on the stream's clock."""
        with self._lock:
            self._database.execute(
                "INSERT OR IGNORE INTO parts VALUES (?, ?, ?)", (name, part, offset_seconds)
            )

    def prune(self, name: str, before_seconds: float, *, most: int) -> int:
        """Deletes the oldest results that end before a moment, `most` at most; how many."""
        with self._lock:
            done = self._database.execute(
                "DELETE FROM results WHERE stream = ?1 AND start_seconds IN (SELECT start_seconds "
                "FROM results WHERE stream = ?1 AND end_seconds <= ?2 "
                "ORDER BY start_seconds LIMIT ?3)",
                (name, before_seconds, most),
            )
            return done.rowcount

    @property
    def nbytes(self) -> int:
        """On the disk, the write-ahead log included."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def forget(self, name: str) -> None:
        """Deletes the results, corrections and declaration of a stream."""
        with self._lock:
            with transaction(self._database) as run:
                for table in ("results", "segments", "parts", "corrections"):
                    run(f"DELETE FROM {table} WHERE stream = ?", (name,))
                run("DELETE FROM streams WHERE name = ?", (name,))
            # Not before that is done: who cannot be forgotten now goes on.
            self._cursors.pop(name, None)
            self._wall_starts.pop(name, None)

    def close(self) -> None:
        """Ends the writing; idempotent."""
        with self._lock:
            self._database.close()
