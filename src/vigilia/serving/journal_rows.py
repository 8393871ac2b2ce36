"""How values become rows of the journal, all of them or none, and what its errors say."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vigilia.errors import OptionError, OutputError
from vigilia.serving.cursor import Cursor, Row
from vigilia.timeline.timeline import Segment

__all__ = [
    "NotNowError",
    "another",
    "may_pass",
    "reason",
    "refuse_another",
    "stored",
    "stored_segment",
    "transaction",
]

_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,  # what a full disk is called, too
}


class NotNowError(OutputError):
    """The journal cannot be used now, but may be later: the disk is full, the file is locked."""


def may_pass(error: Exception) -> bool:
    """Whether what the system says may pass by itself, or once somebody makes room."""
    if isinstance(error, sqlite3.Error):
        # The lowest byte of a code says what it is, the others where.
        return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _PASSING
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[Any]:
    """What is written inside is kept whole or not at all; gives the function that runs SQL."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database.execute
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def stored(row: Row) -> tuple[float, float, bytes | None]:
    """A result, as the journal keeps it."""
    if row.probabilities is None:
        return row.start_seconds, row.end_seconds, None
    return row.start_seconds, row.end_seconds, row.probabilities.astype("<f4").tobytes()


def stored_segment(one: Segment, cursor: Cursor) -> tuple[float, float, int | None, float]:
    """A segment, likewise; its label as a number."""
    label = None if one.label is None else cursor.segmenter.classes.index(one.label)
    return one.start_seconds, one.end_seconds, label, one.confidence


def refuse_another(name: str, kept: dict[str, Any], asked: Mapping[str, Any]) -> None:
    """Makes sure that results are about what they were about.

    Raises:
        OptionError: they are not; the message names what differs.
    """
    asked = json.loads(json.dumps(asked))
    for key in asked:
        if key in kept and kept[key] != asked[key]:
            raise another(name, key)


def another(name: str, what: str) -> OptionError:
    """The error that says so."""
    return OptionError(
        f"{name}: its results so far are of another {what}; put that back, choose another name, or "
        f"forget them (DELETE /api/v1/streams/{name}?forget=true)"
    )


def reason(error: Exception) -> str:
    """What the system says."""
    return getattr(error, "strerror", None) or str(error)
