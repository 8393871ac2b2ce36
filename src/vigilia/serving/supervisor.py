"""The streams of the service: started, stepped, stopped, added and removed while others run.

A thread a stream decodes (`vigilia.engine.Feeder`), one thread steps and writes. How a stream gets
into the engine and out of it again is in `running_streams.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vigilia.engine import StepEngine
from vigilia.errors import OptionError
from vigilia.running import fingerprint
from vigilia.serving.feeding import Feeding
from vigilia.serving.fields import Fields
from vigilia.serving.hub import Hub
from vigilia.serving.journal import Journal
from vigilia.serving.results import ResultTaker
from vigilia.serving.running_streams import Running
from vigilia.serving.status import status_event
from vigilia.serving.stepping import StepThread, StepTimes
from vigilia.serving.stream_options import StreamOptions, stream_options
from vigilia.serving.watched import Watched
from vigilia.stream import StreamClassifier

__all__ = ["Supervisor"]

log = logging.getLogger("vigilia.serving")

_CPU_BATCH, _GPU_BATCH = 1, 16


class Supervisor:
    """Runs streams until it is closed.

    Args:
        model: in evaluation mode.
        journal: of their results.
        folder: of their snapshots; made if absent.
        most_streams: room in the engine.
        batch: streams stepped together; None for 1 on a CPU and 16 elsewhere.
        snapshot_seconds: how often a stream's state is saved.
        hub: who is told of events.
        on_step: told of every batch.

    Attributes:
        engine: that steps.
        model_hash: which model.
    """

    def __init__(
        self,
        model: StreamClassifier,
        journal: Journal,
        folder: Path,
        *,
        most_streams: int = 16,
        batch: int | None = None,
        snapshot_seconds: float = 10.0,
        hub: Hub | None = None,
        on_step: StepTimes = lambda seconds, rows: None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.model = model
        self.journal = journal
        self.hub = hub or Hub()
        self.model_hash = fingerprint(model)
        on_cpu = model.init_state(1).logits.device.type == "cpu"
        self.engine = StepEngine(
            model,
            streams=most_streams,
            batch=batch or (_CPU_BATCH if on_cpu else _GPU_BATCH),
            drop_oldest=True,
        )
        self.feeding = Feeding(
            self.engine, model, model_hash=self.model_hash, journal=journal, folder=folder
        )
        self._taker = ResultTaker(
            self.engine,
            journal,
            self.hub,
            self.feeding,
            model_hash=self.model_hash,
            snapshot_seconds=snapshot_seconds,
        )
        self._streams: dict[str, Watched] = {}
        self._changing = threading.RLock()
        self._running = Running(
            self.engine, self._taker, self.feeding, journal, self.hub, model_hash=self.model_hash
        )
        self._steps = StepThread(
            self.engine,
            self._taker,
            find=self._running.find,
            on_end=self._running.end,
            on_step=on_step,
        )
        self._running.between_steps = self._steps.call

    # What there is.

    @property
    def streams(self) -> list[Watched]:
        """All streams, in the order in which they came."""
        return list(self._streams.values())

    def get(self, name: str) -> Watched | None:
        """A stream; None if there is none of that name."""
        return self._streams.get(name)

    @property
    def problem(self) -> str:
        """Why the service does not work now; empty if it does."""
        if self._steps.broken is not None:
            return f"stepping has ended: {self._steps.broken}"
        return self._taker.problem

    @property
    def alive(self) -> bool:
        """Whether the thread that steps is there."""
        return self._steps.alive

    @property
    def write_failures(self) -> int:
        """Writes that failed."""
        return self._taker.failures

    @property
    def commit_seconds(self) -> float:
        """Of the last write."""
        return self._taker.commit_seconds

    # Streams come and go.

    def add(
        self,
        options: StreamOptions,
        *,
        table: Mapping[str, Any] | None = None,
        running: bool = True,
    ) -> Watched:
        """Adds a stream, and starts it.

        Args:
            options: of the stream.
            table: as it was declared over HTTP, to be remembered; None if a file declares it.
            running: start it.

        Raises:
            OptionError: the name is taken, or there is no room.
        """
        with self._changing:
            if options.name.casefold() in (name.casefold() for name in self._streams):
                raise OptionError(f"there already is a stream named {options.name!r}")
            if len(self._streams) >= self.engine.totals().room + self.engine.totals().streams:
                raise OptionError(
                    f"there is room for {len(self._streams)} streams; remove one, or set "
                    "`most_streams` higher"
                )
            watched = Watched(options, declared=table is not None)
            if table is not None:
                self.journal.notes.declare(options.name, table, running)
            self._streams[options.name] = watched
            self._running.open(watched)
            self.hub.publish("status", status_event(watched))
            if running and watched.status != "failed":
                self._running.start(watched)
            return watched

    def add_declared(self) -> None:
        """Adds the streams that were added over HTTP in earlier runs."""
        for table, running in self.journal.notes.declared():
            try:
                options = stream_options(Fields("a stream added over HTTP", table))
                self.add(options, table=table, running=running)
            except OptionError as error:
                log.warning("a declared stream is left out", extra={"why": str(error)})

    def start(self, name: str) -> Watched:
        """Starts a stream that does not run; one that has ended is looked at again.

        Raises:
            OptionError: there is none of that name.
        """
        with self._changing:
            watched = self._named(name)
            if watched.running and watched.status in ("ended", "failed"):
                self._running.stop([watched])
            if not watched.running:
                self._running.open(watched)
                if watched.status != "failed":
                    self._running.start(watched, again=True)
            self.journal.notes.set_running(name, True)
            return watched

    def stop(self, name: str) -> Watched:
        """Stops a stream; it goes on from there when it is started again.

        Raises:
            OptionError: there is none of that name.
        """
        with self._changing:
            watched = self._named(name)
            self._running.stop([watched])
            self.journal.notes.set_running(name, False)
            return watched

    def remove(self, name: str, *, forget: bool = False) -> None:
        """Removes a stream.

        Args:
            name: of the stream.
            forget: delete its results, too.

        Raises:
            OptionError: there is none of that name.
        """
        with self._changing:
            watched = self._named(name)
            self._running.stop([watched])
            self.journal.notes.undeclare(name)
            if forget:
                self.feeding.snapshot_path(name).unlink(missing_ok=True)
                self.journal.forget(name)
            del self._streams[name]
            self.hub.publish("status", {"stream": name, "status": "removed", "problem": ""})

    def close(self) -> bool:
        """Stops everything; every stream's state is saved. Idempotent.

        Returns:
            Whether every thread has ended. A camera that does not answer may hold its thread for
            some seconds more; that thread is left behind.
        """
        with self._changing:
            ended = self._running.stop(self.streams)
        self._steps.close()
        return ended

    def _named(self, name: str) -> Watched:
        watched = self._streams.get(name)
        if watched is None:
            raise OptionError(f"there is no stream named {name!r}")
        return watched
