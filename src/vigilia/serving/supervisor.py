"""The streams of the service: started, stopped, added and removed while others run.

Which there are, what they are called, and what of that is remembered; who steps them is the host
(`host.py`).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigilia.errors import OptionError, VigiliaError
from vigilia.running import fingerprint
from vigilia.serving.fields import Fields
from vigilia.serving.host import Host
from vigilia.serving.hub import Hub
from vigilia.serving.journal import Journal
from vigilia.serving.local_host import LocalHost
from vigilia.serving.snapshots import SnapshotFolder
from vigilia.serving.status import set_status, status_event
from vigilia.serving.stepping import StepTimes
from vigilia.serving.stream_options import StreamOptions, stream_options
from vigilia.serving.watched import Watched
from vigilia.serving.writing import JournalWriter
from vigilia.stream import StreamClassifier

__all__ = ["MakeHost", "Supervisor", "Tools"]

log = logging.getLogger("vigilia.serving")


@dataclass(frozen=True)
class Tools:
    """What a host works with.

    Attributes:
        model: in evaluation mode.
        model_hash: which it is.
        journal: of results.
        writer: of results into it.
        snapshots: of streams.
        hub: told of events.
        on_step: told of every batch.
    """

    model: StreamClassifier
    model_hash: str
    journal: Journal
    writer: JournalWriter
    snapshots: SnapshotFolder
    hub: Hub
    on_step: StepTimes


MakeHost = Callable[[Tools], Host]


class Supervisor:
    """Runs streams until it is closed.

    Args:
        model: in evaluation mode.
        journal: of their results.
        folder: of their snapshots; made if absent.
        most_streams: room in the engine.
        batch: streams stepped together; None for 1 on a CPU and 16 elsewhere.
        snapshot_seconds: how often a stream's state is saved; None for `snapshot_pace`.
        hub: who is told of events.
        on_step: told of every batch.
        make_host: who steps them; by default a device of this machine.

    Attributes:
        host: that steps.
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
        snapshot_seconds: float | None = None,
        hub: Hub | None = None,
        on_step: StepTimes = lambda seconds, rows: None,
        make_host: MakeHost | None = None,
    ) -> None:
        self.model = model
        self.journal = journal
        self.hub = hub or Hub()
        self.model_hash = fingerprint(model)
        tools = Tools(
            model,
            self.model_hash,
            journal,
            JournalWriter(journal, self.hub),
            SnapshotFolder(folder, self.model_hash),
            self.hub,
            on_step,
        )
        self._writer, self._snapshots = tools.writer, tools.snapshots

        def on_this_machine(tools: Tools) -> Host:
            return LocalHost(
                model,
                journal,
                tools.writer,
                tools.snapshots,
                self.hub,
                room=most_streams,
                batch=batch,
                snapshot_seconds=snapshot_seconds,
                on_step=on_step,
            )

        self.host = (make_host or on_this_machine)(tools)
        self._streams: dict[str, Watched] = {}
        self._changing = threading.RLock()

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
        return self.host.problem

    @property
    def alive(self) -> bool:
        """Whether the thread that steps is there, and does not hang."""
        return self.host.alive

    @property
    def broken(self) -> Exception | None:
        """The error that ended the stepping; None if none did."""
        return self.host.broken

    @property
    def write_failures(self) -> int:
        """Writes that failed."""
        return self._writer.failures + self.host.snapshot_failures

    @property
    def commit_seconds(self) -> float:
        """Of the last write."""
        return self._writer.commit_seconds

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
            self.host.check_added(options, len(self._streams))
            watched = Watched(options, declared=table is not None)
            self._streams[options.name] = watched
            try:
                self._open(watched)
                # Behind it: what cannot be opened would not be there after a restart, either.
                if table is not None:
                    self.journal.notes.declare(options.name, table, running)
            except BaseException:
                del self._streams[options.name]
                raise
            self.hub.publish("status", status_event(watched))
            if running and watched.status != "failed":
                self.host.start(watched)
            return watched

    def add_declared(self) -> None:
        """Adds the streams that were added over HTTP in earlier runs; one that cannot be had is
        left out, since the others are to be watched."""
        for name, text, running in self.journal.notes.declared():
            try:
                table = json.loads(text)
                options = stream_options(Fields("a stream added over HTTP", table, expand=False))
                self.add(options, table=table, running=running)
            except sqlite3.Error:
                raise
            except Exception as error:
                # What others say may repeat a password.
                why = str(error) if isinstance(error, VigiliaError) else type(error).__name__
                log.warning("a declared stream is left out", extra={"stream": name, "why": why})

    def start(self, name: str) -> Watched:
        """Starts a stream that does not run; one that has ended is looked at again.

        Raises:
            OptionError: there is none of that name.
        """
        with self._changing:
            watched = self._named(name)
            if watched.running and watched.status in ("ended", "failed"):
                self.host.stop([watched])
            if not watched.running:
                self._open(watched)
                if watched.status != "failed":
                    self.host.start(watched, again=True)
            self.journal.notes.set_running(name, True)
            return watched

    def stop(self, name: str) -> Watched:
        """Stops a stream; it goes on from there when it is started again.

        Raises:
            OptionError: there is none of that name.
        """
        with self._changing:
            watched = self._named(name)
            self.host.stop([watched])
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
            # Before it is stopped: what waits to be written then is behind its name.
            watched.forgotten = forget
            try:
                self.host.stop([watched])
                self.journal.notes.undeclare(name)
                if forget:
                    self._snapshots.forget(name)
                    self.journal.forget(name)
            except BaseException:
                watched.forgotten = False  # it is still there
                raise
            del self._streams[name]
            self.hub.publish("status", {"stream": name, "status": "removed", "problem": ""})

    def close(self) -> bool:
        """Stops everything; every stream's state is saved. Idempotent.

        Returns:
            Whether every thread has ended. A camera that does not answer may hold its thread for
            some seconds more; that thread is left behind.
        """
        with self._changing:
            ended = self.host.stop(self.streams)
        self.host.close()
        return ended

    def _open(self, watched: Watched) -> None:
        """Finds out how far a stream is labelled; one whose results are others' has failed."""
        options, model = watched.options, self.model
        # A camera's model may be exchanged; a recording's labels are one model's.
        identity: dict[str, Any] = {"kind": "camera" if options.live else "recording"}
        if not options.live:
            identity["model"] = self.model_hash
        try:
            self.journal.open_stream(
                watched.name,
                classes=model.classes,
                identity=identity,
                segmenter=options.segmenter,
                cell_seconds=min(1.0, model.preprocessing.stride_seconds),
            )
            set_status(self.hub, watched, "stopped", "")
        except VigiliaError as error:
            set_status(self.hub, watched, "failed", str(error))

    def _named(self, name: str) -> Watched:
        watched = self._streams.get(name)
        if watched is None:
            raise OptionError(f"there is no stream named {name!r}")
        return watched
