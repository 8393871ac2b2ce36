"""Whether a journal is damaged, as far as can be seen in a moment."""

from __future__ import annotations

import sqlite3
import threading

__all__ = ["looks_sound"]

MOST_SECONDS = 5.0


def looks_sound(database: sqlite3.Connection, *, most_seconds: float = MOST_SECONDS) -> bool:
    """Whether no damage is found within so many seconds.

    All of it would be read for minutes once it holds years, and nobody would be watching meanwhile.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    timer = threading.Timer(most_seconds, database.interrupt)
    timer.start()
    try:
        return database.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return True
    finally:
        timer.cancel()
        timer.join()  # what comes next is not to be interrupted
