"""What the service tells a worker that watches streams, and what the worker tells the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vigilia.engine import EngineStats
from vigilia.serving.schema import Status
from vigilia.serving.stream_options import StreamOptions

__all__ = [
    "Assignment",
    "Claimed",
    "Doing",
    "Ended",
    "Entry",
    "Found",
    "Left",
    "Part",
    "Saved",
    "Started",
    "Stated",
    "Told",
    "What",
]


@dataclass(frozen=True)
class Assignment:
    """A stream that a worker is to watch.

    Attributes:
        number: of the placement; no two of a service have the same.
        options: of the stream.
        again: look at a recording that was read to its end, too.
        ended: it was.
        until_seconds: up to where the journal has labelled it.
        wall_start: Unix time at 0 seconds, if it is known.
        snapshot: a file; None for none.
    """

    number: int
    options: StreamOptions
    again: bool
    ended: bool
    until_seconds: float | None
    wall_start: float | None
    snapshot: bytes | None

    def __repr__(self) -> str:
        return f"Assignment({self.number}, {self.options!r})"


# What an entry of the outbox may say.


@dataclass(frozen=True)
class Claimed:
    """Results are about this; see `Journal.claim`."""

    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Started:
    """The first frame ever came at this Unix time."""

    wall_start: float


@dataclass(frozen=True)
class Part:
    """A file of a recording lies there on the stream's clock."""

    name: str
    offset_seconds: float


@dataclass(frozen=True, eq=False)
class Found:
    """A result; see `vigilia.engine.Result`. `at` is the worker's clock when it came."""

    kind: str
    start_seconds: float
    end_seconds: float
    probabilities: np.ndarray | None
    lag_seconds: float
    dropped: int
    at: float


@dataclass(frozen=True)
class Saved:
    """A snapshot, behind the results that it follows."""

    data: bytes

    def __repr__(self) -> str:
        return f"Saved({len(self.data)} bytes)"


@dataclass(frozen=True)
class Ended:
    """A recording was read to its end."""


@dataclass(frozen=True)
class Stated:
    """The stream's status is another."""

    status: Status
    problem: str


@dataclass(frozen=True)
class Left:
    """The worker has the stream no more; nothing follows."""


What = Claimed | Started | Part | Found | Saved | Ended | Stated | Left


@dataclass(frozen=True)
class Entry:
    """One thing that a worker says.

    Attributes:
        sequence: counts the worker's entries from 1.
        placement: about which.
        what: is said.
    """

    sequence: int
    placement: int
    what: What


@dataclass(frozen=True)
class Doing:
    """How a placement is doing now.

    Attributes:
        reconnects: connections that broke since it was placed.
        duration_seconds: of a recording, as its header says.
        frames: by outcome, since it was placed.
    """

    reconnects: int
    duration_seconds: float | None
    frames: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """An answer of a worker.

    Attributes:
        entries: that were not acknowledged, the oldest of them, in order.
        now: the worker's clock.
        doing: by placement.
        prepared: streams whose cameras were opened beforehand, and how many seconds are kept;
            None: it could not be opened.
        steps: seconds and rows of the batches since the last answer.
        totals: of the engine.
        busy: share of the time in which it was stepping.
        problem: why it can do nothing more; empty if it can.
    """

    entries: tuple[Entry, ...]
    now: float
    doing: Mapping[int, Doing]
    prepared: Mapping[str, float | None]
    steps: tuple[tuple[float, int], ...]
    totals: EngineStats
    busy: float
    problem: str = ""
    snapshot_failures: int = field(default=0)
