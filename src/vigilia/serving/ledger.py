"""What whoever steps streams must be told, and must be able to keep.

A service on one machine keeps it itself: the journal, a folder of snapshots. A worker of a cluster
hands it on to the service (`vigilia.scale`) and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from vigilia.engine import Result
from vigilia.serving.snapshots import Snapshot
from vigilia.serving.watched import Watched
from vigilia.stream import StreamState
from vigilia.video.clips import ClipWindow

__all__ = ["Ledger", "SnapshotStore", "Writer"]


class Ledger(Protocol):
    """How far streams are labelled, and what their results are about."""

    def until_seconds(self, name: str) -> float | None:
        """Up to where a stream is labelled; None before its first result."""
        ...

    def ended(self, name: str, value: bool | None = None) -> bool:
        """Whether a recording was read to its end; sets it if a value is given."""
        ...

    def claim(self, name: str, identity: Mapping[str, Any]) -> None:
        """Adds to what the results of a stream are about; an `OptionError` if it is another."""
        ...

    def wall_start(self, name: str, seconds: float | None = None) -> float | None:
        """The Unix time at 0 seconds of a stream; the first that is given stays."""
        ...

    def note_part(self, name: str, part: str, offset_seconds: float) -> None:
        """Notes where a file of a recording lies on the stream's clock."""
        ...


class SnapshotStore(Protocol):
    """The last snapshot of each stream."""

    def load(
        self, name: str, *, fresh: StreamState, window: ClipWindow, until_seconds: float | None
    ) -> Snapshot | None:
        """See `vigilia.serving.snapshots.load_snapshot`."""
        ...

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Keeps it in place of the one before; an `OutputError` if that cannot be."""
        ...


class Writer(Protocol):
    """Who takes results.

    Attributes:
        on_retry: waits so many seconds between two tries to write; returns False to give up.
        problem: why results cannot be written now; empty if they can.
    """

    on_retry: Callable[[float], bool]
    problem: str

    def write(self, results: Sequence[tuple[Watched, Result]]) -> bool:
        """Takes the results of one poll in their order, all or none; False if it gave up."""
        ...
