"""What watches live streams on one device of a cluster: a model, an engine, a thread a stream.

A plain class; `vigilia.scale.live_host` makes an actor of it, several of whose methods may run at
once. It writes nothing anywhere: what it finds out goes to the service through the outbox, and
whoever was taken for dead and is not says it to nobody. If the service does not ask for a minute,
cameras are let go, since somebody else is to watch them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import vigilia
from vigilia.errors import OptionError, VigiliaError
from vigilia.running import fingerprint
from vigilia.scale.live_news import Assignment, Doing, Left, Stated, Told
from vigilia.scale.outbox import Outbox, OutboxLedger
from vigilia.scale.parcel import Parcel
from vigilia.serving.feeding import open_camera
from vigilia.serving.heap import few_heaps
from vigilia.serving.host import MemoryRead
from vigilia.serving.hub import Event, Hub
from vigilia.serving.local_host import LocalHost
from vigilia.serving.prepared import PreparedConnection
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched
from vigilia.stream import StreamClassifier

__all__ = ["LiveWorker"]

LEASE_SECONDS = 60.0
_PREPARED_SECONDS = 60.0
_BUSY_SECONDS = 10.0
_MOST_STEPS = 2000


class LiveWorker:
    """Watches the streams that it is given, until it is told to let them go."""

    def __init__(self) -> None:
        self._outbox = Outbox()
        self._changing = threading.RLock()
        self._watched: dict[str, tuple[int, Watched]] = {}
        self._prepared: dict[str, tuple[float, Watched, PreparedConnection]] = {}
        self._steps: deque[tuple[float, int]] = deque(maxlen=_MOST_STEPS)
        self._stepped: deque[tuple[float, float]] = deque()
        self._asked_at = time.monotonic()
        self._closed = threading.Event()
        self._host: LocalHost | None = None

    def open(
        self,
        version: str,
        parcel: Parcel,
        model_hash: str,
        device: str,
        threads: int,
        options: Mapping[str, Any],
    ) -> None:
        """Gets ready.

        Args:
            version: of the Vigilia that serves.
            parcel: the model.
            model_hash: which it is.
            device: where it runs.
            threads: for computing.
            options: `room`, `batch` and `snapshot_seconds` of `LocalHost`.

        Raises:
            VigiliaError: another version is installed here, or model or device cannot be used.
        """
        import torch

        if version != vigilia.__version__:
            raise VigiliaError(
                f"Vigilia {vigilia.__version__} is installed there and {version} here; "
                "install the same on all machines"
            )
        few_heaps()
        torch.set_num_threads(threads)
        model = parcel.unpacked(device)
        assert isinstance(model, StreamClassifier)
        if fingerprint(model) != model_hash:
            raise VigiliaError("the model did not arrive as it was sent")
        self._model = model
        self._ledger = OutboxLedger(self._outbox, model_hash)
        hub = Hub()
        hub.add_sink(self._hear)
        self._host = LocalHost(
            model, self._ledger, self._ledger, self._ledger, hub, on_step=self._note, **options
        )
        self._asked_at = time.monotonic()
        threading.Thread(target=self._look_after, name="vigilia-lease", daemon=True).start()

    # Streams come and go.

    def prepare(self, options: StreamOptions) -> None:
        """Opens a camera that another worker still watches; `watch` then takes it over."""
        watched = Watched(options)
        connection = PreparedConnection(
            lambda: open_camera(watched, self._model),
            fps=self._model.preprocessing.fps,
            max_gap_seconds=options.max_gap_seconds,
        )
        with self._changing:
            self._forget_prepared(options.name)
            self._prepared[options.name] = (time.monotonic(), watched, connection)

    def watch(self, given: Assignment) -> None:
        """Starts to watch a stream, where the journal and the snapshot say."""
        name = given.options.name
        with self._changing:
            _, watched, connection = self._prepared.pop(name, (0.0, Watched(given.options), None))
            watched.opened = connection
            self._ledger.begin(given)
            self._watched[name] = given.number, watched
            try:
                self._opened.start(watched, again=given.again)
            except OptionError as error:  # no room, though there should be
                self._outbox.put(given.number, Stated("failed", str(error)))
                self._forget(name)

    def let_go(self, leaving: Mapping[str, int]) -> None:
        """Stops streams behind the step they are at; what each found out, its snapshot, and that it
        is gone, is in the outbox then.

        Args:
            leaving: names, and the placements that are meant; another one of that name stays.
        """
        with self._changing:
            meant = [
                watched
                for name, (number, watched) in list(self._watched.items())
                if leaving.get(name) == number
            ]
            self._opened.stop(meant)
            for watched in meant:
                self._forget(watched.name)

    def close(self) -> None:
        """Lets go of everything; a worker is otherwise ended with its process."""
        self._closed.set()
        if self._host is not None:
            self.let_go({name: number for name, (number, _) in list(self._watched.items())})
            self._host.close()

    def stay(self) -> None:
        """The service is there, though it cannot take anything now."""
        self._asked_at = time.monotonic()

    # What there is to know.

    def told(self, acknowledged: int, seconds: float, streams: int) -> Told:
        """What is new.

        Args:
            acknowledged: see `Outbox.take`.
            seconds: to wait at most.
            streams: that the service has, here and elsewhere.
        """
        self._asked_at = time.monotonic()
        self._opened.others = max(0, streams - len(self._watched))
        entries = self._outbox.take(acknowledged, seconds)
        # Without the lock: a stream that stops may hold it for long.
        doing = {
            number: Doing(watched.reconnects, watched.duration_seconds, watched.frames.now())
            for number, watched in list(self._watched.values())
        }
        prepared = {
            name: None if connection.failed else connection.kept_seconds
            for name, (_, _, connection) in list(self._prepared.items())
        }
        steps: list[tuple[float, int]] = []
        while self._steps and len(steps) < _MOST_STEPS:
            steps.append(self._steps.popleft())
        self._asked_at = time.monotonic()
        return Told(
            entries=entries,
            now=time.monotonic(),
            doing=doing,
            prepared=prepared,
            steps=tuple(steps),
            totals=self._opened.totals(),
            busy=self._busy(),
            problem="" if self._opened.alive else self._opened.problem or "stepping has ended",
            snapshot_failures=self._opened.snapshot_failures,
        )

    def picture(self, name: str, width: int) -> bytes | None:
        """The last picture of a stream, as JPEG."""
        _, watched = self._watched.get(name, (0, None))
        return None if watched is None else self._opened.picture(watched, width)

    def memory(self, name: str) -> MemoryRead | None:
        """See `LocalHost.memory`."""
        _, watched = self._watched.get(name, (0, None))
        return None if watched is None else self._opened.memory(watched)

    # Inside.

    @property
    def _opened(self) -> LocalHost:
        assert self._host is not None
        return self._host

    def _hear(self, event: Event) -> None:
        """A stream's status is another; one that has ended is gone from here."""
        if event.kind != "status":
            return
        name, status = event.data["stream"], event.data["status"]
        number, watched = self._watched.get(name, (0, None))
        if watched is None:
            return
        self._outbox.put(number, Stated(status, event.data["problem"]))
        if status in ("ended", "failed"):
            self._forget(name)

    def _forget(self, name: str) -> None:
        number, _ = self._watched.pop(name, (0, None))
        self._ledger.forget(name)
        if number:
            self._outbox.put(number, Left())

    def _forget_prepared(self, name: str) -> None:
        _, _, connection = self._prepared.pop(name, (0.0, None, None))
        if connection is not None:
            connection.close()

    def _note(self, seconds: float, rows: int) -> None:
        now = time.monotonic()
        self._steps.append((seconds, rows))
        self._stepped.append((now, seconds))
        while self._stepped and self._stepped[0][0] < now - _BUSY_SECONDS:
            self._stepped.popleft()

    def _busy(self) -> float:
        since = time.monotonic() - _BUSY_SECONDS
        spent = sum(seconds for at, seconds in list(self._stepped) if at >= since)
        return min(1.0, spent / _BUSY_SECONDS)

    def _look_after(self) -> None:
        """Lets go of what nobody asks for."""
        while not self._closed.wait(1.0):
            now = time.monotonic()
            with self._changing:
                for name, (at, _, _) in list(self._prepared.items()):
                    if now - at > _PREPARED_SECONDS:
                        self._forget_prepared(name)
            if now - self._asked_at > LEASE_SECONDS:
                self.let_go({name: number for name, (number, _) in list(self._watched.items())})
