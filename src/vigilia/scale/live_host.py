"""Live streams on the machines of a cluster; see `vigilia.serving.host.Host`.

This process has the journal, the snapshots, the API and the page. Workers decode and step; they
hold everything they found out until this process has written it. One thread here asks them
(`live_loop.py`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import vigilia
from vigilia.engine import EngineStats
from vigilia.errors import OptionError
from vigilia.scale.cluster import joined
from vigilia.scale.crew import Crew
from vigilia.scale.live_book import Book
from vigilia.scale.live_loop import LiveLoop
from vigilia.scale.live_worker import LiveWorker
from vigilia.scale.parcel import Parcel
from vigilia.serving.host import Machine, MemoryRead
from vigilia.serving.status import set_status
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.supervisor import Tools
from vigilia.serving.watched import Watched

__all__ = ["RayHost"]

_STOP_SECONDS = 5.0
_ASK_SECONDS = 5.0
_AGAIN_SECONDS = 60.0
_CALLS_AT_ONCE = 8


class RayHost:
    """Streams on a cluster.

    Args:
        tools: of the service.
        address: see `vigilia.scale.cluster.joined`.
        device: "cpu", or "cuda" for one GPU a worker.
        cpus: processors of a worker.
        streams: room of a worker.
        batch: streams of a worker that are stepped together; None as in `LocalHost`.
        snapshot_seconds: how often a stream's state is saved; None for `snapshot_pace`.

    Raises:
        VigiliaError: there is no such cluster, or Ray is not installed.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        address: str,
        device: str,
        cpus: int,
        streams: int,
        batch: int | None,
        snapshot_seconds: float | None,
    ) -> None:
        self._tools = tools
        self._room = streams
        parcel = Parcel.of_model(tools.model)
        state_nbytes = tools.model.init_state(1).nbytes
        self._leave = contextlib.ExitStack()
        self._ray = self._leave.enter_context(
            joined(address, store_bytes=len(parcel.data) + 8 * state_nbytes)
        )
        opening = (
            vigilia.__version__,
            self._ray.put(parcel),
            tools.model_hash,
            device,
            cpus,
            {"room": streams, "batch": batch, "snapshot_seconds": snapshot_seconds},
        )
        self._crew = Crew(
            self._ray,
            LiveWorker,
            opening,
            device=device,
            cpus=cpus,
            options={"max_concurrency": _CALLS_AT_ONCE},
            again_seconds=_AGAIN_SECONDS,
        )
        self._book = Book(tools)
        self._loop = LiveLoop(tools, self._crew, self._book)

    # What there is.

    @property
    def problem(self) -> str:
        """See `Host`."""
        if self._loop.broken is not None:
            return f"the service has lost its cluster: {self._loop.broken}"
        if self._tools.writer.problem:
            return self._tools.writer.problem
        if not any(hand.ready for hand in list(self._crew.hands)):
            why = self._crew.why or self._loop.waits_for
            return f"no machine of the cluster is ready{f' ({why})' if why else ''}"
        return ""

    @property
    def broken(self) -> Exception | None:
        """See `Host`."""
        return self._loop.broken

    @property
    def alive(self) -> bool:
        """See `Host`."""
        return self._loop.alive

    @property
    def snapshot_failures(self) -> int:
        """See `Host`; those that workers could not take, too."""
        told = list(self._loop.taking.told.values())
        return self._loop.taking.failures + sum(one.snapshot_failures for one in told)

    def check_added(self, options: StreamOptions, there: int) -> None:
        """See `Host`. There may be more streams than room: they wait for a machine."""
        if options.kind == "device":
            raise OptionError(
                f"{options.name}: {options.source} belongs to one machine and cannot be watched "
                "over Ray; run a service of its own there"
            )

    def totals(self) -> EngineStats:
        """See `Host`."""
        all_of = [one.totals for one in list(self._loop.taking.told.values())]
        return EngineStats(
            streams=sum(one.streams for one in all_of),
            room=sum(one.room for one in all_of),
            batches=sum(one.batches for one in all_of),
            rows=sum(one.rows for one in all_of),
            state_nbytes=sum(one.state_nbytes for one in all_of),
            nbytes_per_stream=max((one.nbytes_per_stream for one in all_of), default=0),
        )

    def machines(self) -> list[Machine]:
        """See `Host`."""
        hands = list(self._crew.hands)
        nodes = {node.id: node for node in [hand.node for hand in hands] + self._crew.nodes}
        found = []
        for node in nodes.values():
            mine = [hand for hand in hands if hand.node.id == node.id and hand.ready]
            streams = tuple(sorted(name for hand in mine for name in list(hand.lot)))
            drained = node.id in self._loop.moves.drained
            found.append(Machine(node.id, node.host, streams, self._room * len(mine), drained))
        return found

    def picture(self, watched: Watched, width: int) -> bytes | None:
        """See `Host`."""
        picture: bytes | None = self._asked(
            watched, lambda actor: actor.picture.remote(watched.name, width)
        )
        return picture

    def memory(self, watched: Watched) -> MemoryRead | None:
        """See `Host`."""
        read: MemoryRead | None = self._asked(
            watched, lambda actor: actor.memory.remote(watched.name)
        )
        return read

    def _asked(self, watched: Watched, ask: Callable[[Any], Any]) -> Any:
        """What the worker answers that has the stream; None if it does not."""
        placement = self._book.placements.get(watched.name)
        hand = None if placement is None else placement.hand
        if hand is None:
            return None
        try:
            return self._ray.get(ask(hand.actor), timeout=_ASK_SECONDS)
        except self._ray.exceptions.RayError:
            return None

    # Streams come and go.

    def start(self, watched: Watched, *, again: bool = False) -> None:
        """See `Host`."""
        watched.running = True
        set_status(self._tools.hub, watched, "waiting", "")
        self._loop.forgive(watched.name)
        self._loop.call(lambda: self._book.add(watched, again=again))

    def stop(self, streams: Sequence[Watched]) -> bool:
        """See `Host`; what a worker does not bring back in time is in the snapshot before."""
        stopping = self._loop.call(lambda: self._book.begin_to_stop(streams))
        until = time.monotonic() + _STOP_SECONDS
        ended = [one.gone.wait(max(0.0, until - time.monotonic())) for one in stopping]
        self._loop.call(lambda: self._book.give_up(stopping))
        for watched in streams:
            if watched.status not in ("ended", "failed"):
                set_status(self._tools.hub, watched, "stopped", "")
        return all(ended)

    def drain(self, machine: str, drained: bool) -> None:
        """See `Host`."""
        if machine not in {one.id for one in self.machines()}:
            raise OptionError(f"there is no machine {machine!r} with room for workers")
        self._loop.call(lambda: self._loop.moves.drain(machine, drained))

    def close(self) -> None:
        """See `Host`."""
        self._loop.close()
        for hand in list(self._crew.hands):
            self._crew.dismiss(hand)
        self._leave.close()
