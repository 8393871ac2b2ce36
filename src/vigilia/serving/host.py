"""Who steps the streams of a service: a device of this machine (`local_host.py`), or machines of a
cluster (`vigilia.scale`). The rest of the service knows only this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vigilia.engine import EngineStats
from vigilia.serving.attention import StageAttention
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched

__all__ = ["Host", "Machine", "MemoryRead"]


@dataclass(frozen=True)
class MemoryRead:
    """What the last clip read from memory.

    Attributes:
        seconds: when that clip ended.
        stages: of the backbone; none for memories without slots.
    """

    seconds: float
    stages: tuple[StageAttention, ...]


@dataclass(frozen=True)
class Machine:
    """Where streams are stepped.

    Attributes:
        id: to name it by.
        host: what people call it.
        streams: those that it has.
        room: how many it can have.
        drained: it is to have none.
    """

    id: str
    host: str
    streams: tuple[str, ...]
    room: int
    drained: bool = False


class Host(Protocol):
    """Steps streams; its methods are called by one thread at a time, those that look by any.

    Attributes:
        problem: why results cannot be written now, or nothing is stepped; empty if all is well.
        alive: whether the thread that takes results is there, and does not hang.
        broken: the error that ended it; None if none did.
        snapshot_failures: snapshots that could not be written.
    """

    @property
    def problem(self) -> str: ...

    @property
    def alive(self) -> bool: ...

    @property
    def broken(self) -> Exception | None: ...

    @property
    def snapshot_failures(self) -> int: ...

    def check_added(self, options: StreamOptions, there: int) -> None:
        """Whether a stream may be added to so many others.

        Raises:
            OptionError: there is no room, or it is of a kind that cannot be.
        """
        ...

    def start(self, watched: Watched, *, again: bool = False) -> None:
        """Starts a stream whose results were opened.

        Args:
            watched: it does not run.
            again: look at a recording that was read to its end, too.
        """
        ...

    def stop(self, streams: Sequence[Watched]) -> bool:
        """Stops streams, saved first; whether all that belongs to them has ended."""
        ...

    def close(self) -> None:
        """Ends it when all streams are stopped; idempotent."""
        ...

    def totals(self) -> EngineStats:
        """How the stepping is doing."""
        ...

    def picture(self, watched: Watched, width: int) -> bytes | None:
        """The last picture that was decoded, as JPEG; None before the first."""
        ...

    def memory(self, watched: Watched) -> MemoryRead | None:
        """What a stream's last clip read; None until somebody has looked for some seconds."""
        ...

    def machines(self) -> list[Machine]:
        """Where streams are stepped."""
        ...

    def drain(self, machine: str, drained: bool) -> None:
        """Moves a machine's streams to others and gives it no more; or lets it have some again.

        Raises:
            OptionError: there is no such machine, or it is the only one.
        """
        ...
