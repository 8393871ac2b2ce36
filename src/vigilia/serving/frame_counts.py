"""How many frames of a stream came to what, over all its connections."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Protocol

from vigilia.video import Gap, Sample

__all__ = ["OUTCOMES", "FrameCounts"]

OUTCOMES = ("sampled", "dropped", "corrupt")
"""sampled: given to the model. dropped: left out, since its time lay in the past. corrupt: a packet
that could not be decoded."""


class _Counting(Protocol):
    """What is needed of `vigilia.video.VideoReader`."""

    @property
    def dropped_frames(self) -> int: ...

    @property
    def corrupt_packets(self) -> int: ...


class FrameCounts:
    """Counts from several threads: a connection may still end while the next one begins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._readers: list[_Counting] = []

    def now(self) -> dict[str, int]:
        """Frames by outcome."""
        with self._lock:
            counts = self._done.copy()
            for reader in self._readers:
                counts.update(_lost(reader))
        return {outcome: counts[outcome] for outcome in OUTCOMES}

    def read_by(self, reader: _Counting) -> None:
        """The stream is read by another one from now on."""
        self._settle([reader])

    def set(self, counts: Mapping[str, int]) -> None:
        """Somebody else has counted."""
        with self._lock:
            self._done = Counter(counts)

    def counted(self, items: Iterator[Sample | Gap]) -> Iterator[Sample | Gap]:
        """The same items."""
        try:
            for item in items:
                if isinstance(item, Sample):
                    with self._lock:
                        self._done["sampled"] += 1
                yield item
        finally:
            self._settle([])

    def _settle(self, readers: list[_Counting]) -> None:
        with self._lock:
            for reader in self._readers:
                self._done.update(_lost(reader))
            self._readers = readers


def _lost(reader: _Counting) -> dict[str, int]:
    return {"dropped": reader.dropped_frames, "corrupt": reader.corrupt_packets}
