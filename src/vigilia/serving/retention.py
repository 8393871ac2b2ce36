"""What the journal forgets: the probabilities of streams without an end, once they are old.

Of a camera, and of a folder that a recorder keeps filling, the row of every step is deleted when it
is `retention_days` older than the stream's last one. The bouts that were made of it stay, as do
corrections: timeline, summary and downloads are those of the whole time; only the curve of
probabilities, and the scores in JSON, begin later. A recording with an end keeps everything.

SQLite uses the room of deleted rows again, so the file stops growing; it does not shrink.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence

from vigilia.serving.journal import Journal
from vigilia.serving.watched import Watched

__all__ = ["Pruner"]

log = logging.getLogger("vigilia.serving")

DAY_SECONDS = 86_400.0
_EVERY_SECONDS = 600.0
_ROWS = 1000
_PAUSE_SECONDS = 0.05


class Pruner:
    """Deletes old rows now and then, a few at a time, so that no result waits long to be written.

    Args:
        journal: that is pruned.
        streams: says which there are.
        retention_days: of rows; 0 keeps all.
        every_seconds: between two rounds.

    Attributes:
        pruned: rows deleted since the service was started.
    """

    def __init__(
        self,
        journal: Journal,
        streams: Callable[[], Sequence[Watched]],
        retention_days: float,
        *,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._journal = journal
        self._streams = streams
        self._retention_seconds = retention_days * DAY_SECONDS
        self._every_seconds = every_seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.pruned = 0
        if retention_days > 0:
            self._thread = threading.Thread(target=self._run, name="vigilia-pruner", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends it; idempotent."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def prune(self) -> int:
        """One round; how many rows were deleted.

        Raises:
            sqlite3.Error: the journal cannot be written now.
        """
        deleted = 0
        for watched in self._streams():
            cursor = self._journal.cursor(watched.name)
            endless = watched.options.live or watched.options.follow
            if not endless or cursor is None or cursor.until_seconds is None:
                continue
            before = cursor.until_seconds - self._retention_seconds
            more = _ROWS
            while more == _ROWS and not self._ended.is_set():
                more = self._journal.prune(watched.name, before, most=_ROWS)
                deleted += more
                self.pruned += more
                if more == _ROWS:
                    self._ended.wait(_PAUSE_SECONDS)
        return deleted

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                deleted = self.prune()
                if deleted:
                    log.info("old rows are deleted", extra={"why": f"{deleted} of them"})
            except sqlite3.Error as error:
                log.warning("old rows cannot be deleted now", extra={"why": str(error)})
            self._ended.wait(self._every_seconds)
