"""What workers found out is written, in their order, before anybody hears of it."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from vigilia.engine import Result
from vigilia.errors import OutputError, VigiliaError
from vigilia.scale.crew import Hand
from vigilia.scale.live_book import Book, Placement
from vigilia.scale.live_news import (
    Claimed,
    Ended,
    Found,
    Left,
    Part,
    Saved,
    Started,
    Stated,
    Told,
    What,
)
from vigilia.serving.status import set_status
from vigilia.serving.supervisor import Tools
from vigilia.serving.watched import Watched

__all__ = ["Taking"]

log = logging.getLogger("vigilia.serving")

T = TypeVar("T")

_RETRY_SECONDS = 0.1


class Taking:
    """Takes the answers of workers; used by one thread.

    Args:
        tools: of the service.
        book: says whose entries are heard.

    Attributes:
        told: the last answer of each worker.
        failures: snapshots that could not be written.
    """

    def __init__(self, tools: Tools, book: Book) -> None:
        self._tools = tools
        self._book = book
        self._taken: dict[Hand, int] = {}
        self.told: dict[Hand, Told] = {}
        self.failures = 0

    def taken(self, hand: Hand) -> int:
        """The number of a worker's last entry that is written, to be acknowledged."""
        return self._taken.get(hand, 0)

    def forget(self, hand: Hand) -> None:
        """A worker is gone."""
        self._taken.pop(hand, None)
        self.told.pop(hand, None)

    def take(self, answers: Sequence[tuple[Hand, Told]]) -> bool:
        """Writes what workers found out, as few transactions as can be.

        Returns:
            False if the service ends before it could be written; then nothing is acknowledged.
        """
        results: list[tuple[Watched, Result]] = []
        for hand, told in answers:
            self.told[hand] = told
            for seconds, rows in told.steps:
                self._tools.on_step(seconds, rows)
            for entry in told.entries:
                placement = self._book.heard(entry.placement)
                if placement is None or entry.sequence <= self.taken(hand):
                    continue
                if isinstance(entry.what, Found):
                    results.append((placement.watched, _result(placement, entry.what, told.now)))
                elif self._write(results):
                    self._apply(placement, entry.what)
                else:
                    return False
            self._note(told)
        if not self._write(results):
            return False
        for hand, told in answers:
            if told.entries:
                self._taken[hand] = told.entries[-1].sequence
        return True

    def kept(self, write: Callable[[], T]) -> T:
        """What the journal says, or writes, as soon as that works.

        Raises:
            OutputError: the service ends before it does.
        """
        while True:
            try:
                return write()
            except sqlite3.Error as error:
                if not self._tools.writer.on_retry(_RETRY_SECONDS):
                    raise OutputError(f"the journal cannot be written ({error})") from error

    def _note(self, told: Told) -> None:
        for number, doing in told.doing.items():
            placement = self._book.heard(number)
            if placement is not None:
                watched = placement.watched
                watched.reconnects = placement.reconnects + doing.reconnects
                watched.frames.set(Counter(placement.frames) + Counter(doing.frames))
                watched.duration_seconds = doing.duration_seconds or watched.duration_seconds

    def _write(self, results: list[tuple[Watched, Result]]) -> bool:
        if results and not self._tools.writer.write(results):
            return False
        results.clear()
        return True

    def _apply(self, placement: Placement, what: What) -> None:
        name, watched, journal = placement.name, placement.watched, self._tools.journal
        match what:
            case Claimed(identity):
                try:
                    self.kept(lambda: journal.claim(name, identity))
                except VigiliaError as error:
                    self._book.fail(placement, str(error))
            case Started(wall_start):
                self.kept(lambda: journal.wall_start(name, wall_start))
            case Part(part, offset_seconds):
                self.kept(lambda: journal.note_part(name, part, offset_seconds))
            case Ended():
                self.kept(lambda: journal.ended(name, True))
            case Saved(data):
                self._save(watched, data)
            case Stated(status, problem):
                placement.over = status in ("ended", "failed")
                # One that moves is stopped by its worker, but not for us.
                if placement.over or status != "stopped":
                    set_status(self._tools.hub, watched, status, problem)
            case Left():
                self._book.left(placement)

    def _save(self, watched: Watched, data: bytes) -> None:
        try:
            self._tools.snapshots.write(watched.name, data)
            watched.saved_at = time.monotonic()
        except OutputError as error:
            self.failures += 1
            log.warning(
                "a snapshot cannot be written", extra={"stream": watched.name, "why": str(error)}
            )


def _result(placement: Placement, found: Found, now: float) -> Result:
    """What a worker found, with the time that it has waited for us."""
    return Result(
        name=placement.name,
        kind=found.kind,
        start_seconds=found.start_seconds,
        end_seconds=found.end_seconds,
        probabilities=found.probabilities,
        lag_seconds=found.lag_seconds + (now - found.at),
        dropped=found.dropped,
    )
