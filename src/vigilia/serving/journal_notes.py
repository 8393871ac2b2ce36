"""What people told the service: corrections, and streams that they added over HTTP."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from vigilia.serving.view_corrections import Said

__all__ = ["Notes"]


class Notes:
    """The tables `corrections` and `declared` of a journal.

    Args:
        database: the journal's only writer.
        lock: held while it writes.

    Raises:
        sqlite3.Error: from every method: nothing was written.
    """

    def __init__(self, database: sqlite3.Connection, lock: Any) -> None:
        self._database = database
        self._lock = lock

    def correct(
        self, name: str, start_seconds: float, end_seconds: float, label: str | None, by: str
    ) -> Said:
        """Keeps what somebody says of a stretch; None: cannot be seen."""
        with self._lock:
            now = time.time()
            made = self._database.execute(
                "INSERT INTO corrections (stream, start_seconds, end_seconds, label, by, "
                "written_at) VALUES (?, ?, ?, ?, ?, ?)",
                (name, start_seconds, end_seconds, label, by, now),
            )
            assert made.lastrowid is not None
            return Said(made.lastrowid, start_seconds, end_seconds, label, by, now)

    def take_back(self, name: str, number: int) -> bool:
        """Takes a correction back; False if there is none of that number."""
        with self._lock:
            changed = self._database.execute(
                "UPDATE corrections SET taken_back_at = ? "
                "WHERE stream = ? AND id = ? AND taken_back_at IS NULL",
                (time.time(), name, number),
            )
            return changed.rowcount == 1

    def declare(self, name: str, options: Mapping[str, Any], running: bool) -> None:
        """Remembers a stream over restarts."""
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO declared VALUES (?, ?, ?)",
                (name, json.dumps(options), running),
            )

    def set_running(self, name: str, running: bool) -> None:
        """Remembers whether a declared stream is to run; no more than that if it is not one."""
        with self._lock:
            self._database.execute(
                "UPDATE declared SET running = ? WHERE name = ?", (running, name)
            )

    def undeclare(self, name: str) -> None:
        """Forgets that a stream was added."""
        with self._lock:
            self._database.execute("DELETE FROM declared WHERE name = ?", (name,))

    def declared(self) -> list[tuple[str, str, bool]]:
        """The streams that were added over HTTP: name, options as JSON, whether they are to run."""
        with self._lock:
            rows = self._database.execute(
                "SELECT name, options, running FROM declared ORDER BY name"
            ).fetchall()
        return [(name, options, bool(running)) for name, options, running in rows]
