"""Everything that a worker has to say, in order, kept until the service has written it.

A worker has no disk: what its streams find out goes in here, with a sequence number, and stays
until the service says up to which number everything is in its journal. An answer that was lost on
the way is thus given again. The outbox is bounded: once it is full nothing is stepped, and then
recordings wait and cameras lose their oldest clips, as they do when the journal's disk is full.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vigilia.engine import Result
from vigilia.scale.live_news import (
    Assignment,
    Claimed,
    Ended,
    Entry,
    Found,
    Part,
    Saved,
    Started,
    Stated,
    What,
)
from vigilia.serving.snapshots import Snapshot, pack_snapshot, unpack_snapshot
from vigilia.serving.watched import Watched
from vigilia.stream import StreamState
from vigilia.video.clips import ClipWindow

__all__ = ["Outbox", "OutboxLedger"]

_MOST_ENTRIES = 2048
_MOST_AT_ONCE = 512
_RETRY_SECONDS = 0.1


class Outbox:
    """Entries that wait to be acknowledged; safe to use from several threads.

    Args:
        most: so many results may wait; what else is said is little.
    """

    def __init__(self, most: int = _MOST_ENTRIES) -> None:
        self._most = most
        self._news = threading.Condition()
        self._entries: deque[Entry] = deque()
        self._last = 0

    @property
    def full(self) -> bool:
        """Whether no results should be added."""
        with self._news:
            return len(self._entries) >= self._most

    def put(self, placement: int, what: What) -> None:
        """Adds an entry. A snapshot, or a status, takes the place of the one before."""
        with self._news:
            if isinstance(what, Saved | Stated):
                for one in [
                    one
                    for one in self._entries
                    if one.placement == placement and type(one.what) is type(what)
                ]:
                    self._entries.remove(one)
            self._last += 1
            self._entries.append(Entry(self._last, placement, what))
            self._news.notify_all()

    def take(self, acknowledged: int, seconds: float) -> tuple[Entry, ...]:
        """Forgets what is written; the oldest of the rest, as soon as there is some.

        Args:
            acknowledged: everything up to this number is written.
            seconds: to wait at most.

        Returns:
            A bounded number of entries with one snapshot at most, which then is the last.
        """
        with self._news:
            while self._entries and self._entries[0].sequence <= acknowledged:
                self._entries.popleft()
            self._news.wait_for(lambda: self._entries, seconds)
            chosen: list[Entry] = []
            for one in self._entries:
                chosen.append(one)
                if isinstance(one.what, Saved) or len(chosen) == _MOST_AT_ONCE:
                    break
            return tuple(chosen)


class OutboxLedger:
    """The ledger, snapshot store and writer of a worker; see `vigilia.serving.ledger`.

    Args:
        outbox: where everything goes.
        model_hash: of the model.

    Attributes:
        on_retry, problem: see `vigilia.serving.ledger.Writer`.
    """

    def __init__(self, outbox: Outbox, model_hash: str) -> None:
        self._outbox = outbox
        self._model_hash = model_hash
        self._given: dict[str, Assignment] = {}
        self._until: dict[str, float | None] = {}
        self._wall: dict[str, float | None] = {}
        self.on_retry: Callable[[float], bool] = _wait
        self.problem = ""

    def begin(self, given: Assignment) -> None:
        """From now on a stream's name stands for this placement."""
        name = given.options.name
        self._given[name] = given
        self._until[name], self._wall[name] = given.until_seconds, given.wall_start

    def forget(self, name: str) -> None:
        """The stream is gone from here; its entries stay until they are acknowledged."""
        for kept in (self._given, self._until, self._wall):
            kept.pop(name, None)

    # The ledger.

    def until_seconds(self, name: str) -> float | None:
        """See `Ledger`; what waits in the outbox counts."""
        return self._until.get(name)

    def ended(self, name: str, value: bool | None = None) -> bool:
        """See `Ledger`."""
        if value:
            self._say(name, Ended())
        given = self._given.get(name)
        return bool(value) or (given is not None and given.ended)

    def claim(self, name: str, identity: Mapping[str, Any]) -> None:
        """See `Ledger`; the service refuses what comes behind if it is another."""
        self._say(name, Claimed(dict(identity)))

    def wall_start(self, name: str, seconds: float | None = None) -> float | None:
        """See `Ledger`."""
        if seconds is not None and self._wall.get(name) is None:
            self._wall[name] = seconds
            self._say(name, Started(seconds))
        return self._wall.get(name)

    def note_part(self, name: str, part: str, offset_seconds: float) -> None:
        """See `Ledger`."""
        self._say(name, Part(part, offset_seconds))

    # The snapshots.

    def load(
        self, name: str, *, fresh: StreamState, window: ClipWindow, until_seconds: float | None
    ) -> Snapshot | None:
        """See `SnapshotStore`."""
        given = self._given.get(name)
        if given is None or given.snapshot is None:
            return None
        self._given[name] = replace(given, snapshot=None)  # it may be large, and is read once
        return unpack_snapshot(
            given.snapshot,
            name,
            fresh=fresh,
            window=window,
            model_hash=self._model_hash,
            until_seconds=until_seconds,
        )

    def save(self, name: str, snapshot: Snapshot) -> None:
        """See `SnapshotStore`."""
        self._say(name, Saved(pack_snapshot(snapshot, model_hash=self._model_hash)))

    # The writer.

    def write(self, results: Sequence[tuple[Watched, Result]]) -> bool:
        """See `Writer`; waits while the outbox is full."""
        while self._outbox.full:
            self.problem = "the service does not take results"
            if not self.on_retry(_RETRY_SECONDS):
                return False
        self.problem = ""
        for watched, one in results:
            self._say(
                watched.name,
                Found(
                    one.kind,
                    one.start_seconds,
                    one.end_seconds,
                    one.probabilities,
                    one.lag_seconds,
                    one.dropped,
                    time.monotonic(),
                ),
            )
            if watched.name in self._until:
                self._until[watched.name] = max(
                    one.end_seconds, self._until[watched.name] or one.end_seconds
                )
        return True

    def _say(self, name: str, what: What) -> None:
        given = self._given.get(name)
        if given is not None:  # else a thread that was left behind
            self._outbox.put(given.number, what)


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return True
