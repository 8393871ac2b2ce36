"""The streams of the service: started, stepped, stopped, added and removed while others run.

A thread a stream decodes (`vigilia.engine.Feeder`), one thread steps and writes. What must not
happen between a step and its result (a snapshot, the end of a stream) is handed to that thread.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vigilia.engine import Feeder, Piece, StepEngine
from vigilia.errors import OptionError, VigiliaError
from vigilia.running import fingerprint
from vigilia.serving.cameras import Watch
from vigilia.serving.feeding import Feeding
from vigilia.serving.fields import Fields
from vigilia.serving.hub import Hub
from vigilia.serving.journal import Journal
from vigilia.serving.results import ResultTaker
from vigilia.serving.status import report, set_status, status_event
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
        self._by_engine_name: dict[str, Watched] = {}
        self._changing = threading.RLock()
        self._generation = 0
        self._steps = StepThread(
            self.engine,
            self._taker,
            find=self._by_engine_name.get,
            on_end=self._end,
            on_step=on_step,
        )

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
            self._open(watched)
            self.hub.publish("status", status_event(watched))
            if running and watched.status != "failed":
                self._start(watched, again=False)
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
                self._stop(watched)
            if not watched.running:
                self._open(watched)
                if watched.status != "failed":
                    self._start(watched, again=True)
            self.journal.notes.set_running(name, True)
            return watched

    def stop(self, name: str) -> Watched:
        """Stops a stream; it goes on from there when it is started again.

        Raises:
            OptionError: there is none of that name.
        """
        with self._changing:
            watched = self._named(name)
            self._stop(watched)
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
            self._stop(watched)
            self.journal.notes.undeclare(name)
            if forget:
                self.feeding.snapshot_path(name).unlink(missing_ok=True)
                self.journal.forget(name)
            del self._streams[name]
            self.hub.publish("status", {"stream": name, "status": "removed", "problem": ""})

    def close(self) -> None:
        """Stops everything; every stream's state is saved. Idempotent."""
        with self._changing:
            for watched in self.streams:  # all at once: each may be waiting for its camera
                if watched.watch is not None:
                    watched.watch.stopped.set()
            for watched in self.streams:
                self._stop(watched)
        self._steps.close()

    def _named(self, name: str) -> Watched:
        watched = self._streams.get(name)
        if watched is None:
            raise OptionError(f"there is no stream named {name!r}")
        return watched

    def _open(self, watched: Watched) -> None:
        """Finds out how far it is labelled."""
        options = watched.options
        # A camera's model may be exchanged; a recording's labels are one model's.
        identity: dict[str, Any] = {"kind": "camera" if options.live else "recording"}
        if not options.live:
            identity["model"] = self.model_hash
        try:
            self.journal.open_stream(
                watched.name,
                classes=self.model.classes,
                identity=identity,
                segmenter=options.segmenter,
                cell_seconds=min(1.0, self.model.preprocessing.stride_seconds),
            )
            set_status(self.hub, watched, "stopped", "")
        except VigiliaError as error:
            set_status(self.hub, watched, "failed", str(error))

    def _start(self, watched: Watched, *, again: bool) -> None:
        if not again and not watched.options.follow and self.journal.ended(watched.name):
            set_status(self.hub, watched, "ended", "")
            return
        self._generation += 1
        watched.engine_name = f"{watched.name}/{self._generation}"
        watch = Watch(
            report=lambda status, problem: report(self.hub, watched, watch, status, problem)
        )
        watched.watch, watched.place = watch, None
        watched.saved_at = time.monotonic()
        self._by_engine_name[watched.engine_name] = watched
        self.engine.add(watched.engine_name)
        set_status(self.hub, watched, "waiting", "")

        def pieces() -> Iterator[Piece]:
            return self.feeding.pieces(watched, watch)

        watched.feeder = Feeder(self.engine, watched.engine_name, pieces)

    def _stop(self, watched: Watched) -> None:
        if watched.feeder is None or watched.watch is None:
            if watched.status not in ("ended", "failed"):
                set_status(self.hub, watched, "stopped", "")
            return
        watched.watch.stopped.set()
        watched.feeder.stop()
        self._steps.call(lambda: self._detach(watched))
        if watched.status not in ("ended", "failed"):
            set_status(self.hub, watched, "stopped", "")

    def _detach(self, watched: Watched) -> None:
        """Takes a stream out of the engine; in the thread that steps, or when it has ended."""
        if watched.engine_name in self.engine.names:
            self._taker.save(watched)
            self.engine.remove(watched.engine_name)
        self._by_engine_name.pop(watched.engine_name, None)
        watched.feeder = watched.watch = watched.place = None
        watched.read = watched.state_kept = None
        watched.engine_name = ""

    def _end(self, watched: Watched, error: Exception | None) -> None:
        """A stream has nothing more to say; in the thread that steps."""
        if watched.watch is None or watched.watch.stopped.is_set():
            return  # it was stopped
        if error is not None and not isinstance(error, VigiliaError | OSError):
            log.error("a stream failed", exc_info=error, extra={"stream": watched.name})
        self._detach(watched)
        if error is None:
            with contextlib.suppress(sqlite3.Error):  # then its end is found again next time
                self.journal.ended(watched.name, True)
            set_status(self.hub, watched, "ended", "")
        else:
            set_status(self.hub, watched, "failed", str(error) or type(error).__name__)
