"""What a stream's thread does: open the source, go on where it was, hand out pieces."""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import av

from vigilia.engine import Piece, Place, StepEngine, pieces
from vigilia.errors import CheckpointError
from vigilia.relevance import GateOptions
from vigilia.running.classify import start
from vigilia.serving.cameras import Connection, Watch, camera_items
from vigilia.serving.ledger import Ledger, SnapshotStore
from vigilia.serving.recordings import recording_identity, recording_items, wait_for_first
from vigilia.serving.snapshots import Snapshot
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched
from vigilia.stream import StreamClassifier
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.video import Gap, Sample, VideoReader
from vigilia.video.source import Source, resolve

__all__ = ["Feeding", "open_camera"]

log = logging.getLogger("vigilia.serving")

T = TypeVar("T")

_RETRY_SECONDS = 0.5


class _StoppedError(Exception):
    """The stream is to end while it waits for the journal."""


class Feeding:
    """Makes the pieces of streams.

    Args:
        engine: that takes them.
        model: of the engine.
        ledger: says how far streams are labelled.
        snapshots: of the streams.

    Attributes:
        waiting: streams that cannot begin, since the journal cannot be used now; and why.
    """

    def __init__(
        self,
        engine: StepEngine,
        model: StreamClassifier,
        *,
        ledger: Ledger,
        snapshots: SnapshotStore,
    ) -> None:
        self._engine = engine
        self._model = model
        self._ledger = ledger
        self._snapshots = snapshots
        self.waiting: dict[str, str] = {}

    def pieces(self, watched: Watched, watch: Watch) -> Iterator[Piece]:
        """Everything a stream has to say from here on; runs in its thread.

        Raises:
            VigiliaError: it cannot go on; the message says why.
        """
        try:
            yield from self._pieces(watched, watch)
        except _StoppedError:
            return

    def _pieces(self, watched: Watched, watch: Watch) -> Iterator[Piece]:
        options = watched.options
        engine_name = watched.engine_name
        if options.follow and not wait_for_first(options.source, watch):
            return  # a folder that holds nothing yet could not be known again
        snapshot = self._snapshot(watched)
        if not options.live:
            identity = self._identity(options, snapshot)
            self._kept(watched, watch, lambda: self._ledger.claim(watched.name, identity))
        place = Place(start(self._model).window)
        if snapshot is not None:
            self._engine.resume(engine_name, snapshot.state)
            place = self._place_of_camera(watched, snapshot) if options.live else snapshot.place
        items = (
            self._camera(watched, watch) if options.live else self._recording(watched, watch, place)
        )
        for piece in pieces(watched.frames.counted(items), place, gate=_gate(options)):
            if not options.live and not self._room(engine_name, watch):
                return
            if watch.stopped.is_set():
                return  # what the end of the samples flushed is not an end
            yield piece

    def _identity(self, options: StreamOptions, snapshot: Snapshot | None) -> dict[str, Any]:
        """What the results of a recording are about."""
        gate = _gate(options)
        about: dict[str, Any] = {
            "max_gap_seconds": options.max_gap_seconds,
            "gate": None if gate is None else dataclasses.asdict(gate),
        }
        position = None if snapshot is None else snapshot.place.position
        if not (options.follow and position is not None and position.part):
            about["recording"] = recording_identity(options.source, follow=options.follow)
        return about

    def _kept(self, watched: Watched, watch: Watch, use: Callable[[], T]) -> T:
        """What the journal says, or writes, as soon as that works."""
        try:
            while True:
                try:
                    return use()
                except sqlite3.Error as error:
                    problem = f"the journal cannot be used now ({error}); is the disk full?"
                    self.waiting[watched.name] = problem
                    watch.report("waiting", problem)
                if watch.wait(_RETRY_SECONDS):
                    raise _StoppedError
        finally:
            self.waiting.pop(watched.name, None)

    def _place_of_camera(self, watched: Watched, snapshot: Snapshot) -> Place:
        """Where a camera's frames go on.

        Its frames of the past do not join new ones, unless these follow at once: behind the last
        label, where a stream that was moved is taken over. (Where they do not, a hole comes first
        and empties the clip.)
        """
        until = self._ledger.until_seconds(watched.name)
        if until is None or abs(until - snapshot.until_seconds) > ROUNDING_SECONDS:
            return Place(start(self._model).window)
        return Place(dataclasses.replace(snapshot.place.window, fresh=0))

    def _snapshot(self, watched: Watched) -> Snapshot | None:
        fresh = start(self._model)
        try:
            return self._snapshots.load(
                watched.name,
                fresh=fresh.state,
                window=fresh.window,
                until_seconds=self._ledger.until_seconds(watched.name),
            )
        except CheckpointError as error:
            log.warning("the snapshot is passed over", extra={"stream": watched.name, "why": error})
            return None

    def _room(self, engine_name: str, watch: Watch) -> bool:
        """Waits until a recording's piece drops none; False if it was stopped meanwhile."""
        engine = self._engine
        with engine.changed:
            while not watch.stopped.is_set():
                if engine_name not in engine.names:
                    return False
                if engine.stats(engine_name).waiting < engine.queue_clips:
                    return True
                engine.changed.wait(0.5)
        return False

    def _camera(self, watched: Watched, watch: Watch) -> Iterator[Sample | Gap]:

        def connect() -> Connection:
            opened, watched.opened = watched.opened, None
            return opened or open_camera(watched, self._model)

        return camera_items(
            connect,
            watch,
            fps=self._model.preprocessing.fps,
            max_gap_seconds=watched.options.max_gap_seconds,
            wall_start=self._wall_start(watched, watch),
            on_wall_start=lambda wall: self._note_wall_start(watched, watch, wall),
            until_seconds=self._ledger.until_seconds(watched.name) or 0.0,
        )

    def _wall_start(
        self, watched: Watched, watch: Watch, seconds: float | None = None
    ) -> float | None:
        return self._kept(watched, watch, lambda: self._ledger.wall_start(watched.name, seconds))

    def _note_wall_start(self, watched: Watched, watch: Watch, wall: float) -> None:
        self._wall_start(watched, watch, wall)

    def _recording(self, watched: Watched, watch: Watch, place: Place) -> Iterator[Sample | Gap]:
        options = watched.options
        if options.wall_start is not None:
            self._wall_start(watched, watch, options.wall_start)

        def pass_over(problem: str) -> None:
            log.warning("a file is damaged", extra={"stream": watched.name, "why": problem})
            watch.report("running", problem)

        def note(reader: object) -> None:
            assert isinstance(reader, VideoReader)
            watched.duration_seconds = reader.duration_seconds

        return recording_items(
            lambda parts: _open(
                watched,
                self._model,
                Source(options.source, parts=tuple(parts)),
                on_damage=pass_over if options.follow else None,
            ),
            watch,
            source=options.source,
            follow=options.follow,
            realtime=options.realtime,
            fps=self._model.preprocessing.fps,
            max_gap_seconds=options.max_gap_seconds,
            resume=place.position,
            on_open=note,
        )


def _gate(options: StreamOptions) -> GateOptions | None:
    return GateOptions() if options.gate else None


def open_camera(watched: Watched, model: StreamClassifier) -> VideoReader:
    """Opens a camera; its pictures become the stream's."""
    return _open(watched, model, resolve(watched.options.source))


def _open(
    watched: Watched,
    model: StreamClassifier,
    source: Source,
    *,
    on_damage: Callable[[str], None] | None = None,
) -> VideoReader:
    def look(picture: av.VideoFrame) -> None:
        watched.picture = picture

    pre = model.preprocessing
    reader = VideoReader(
        source, size=(pre.width, pre.height), threads=1, on_picture=look, on_damage=on_damage
    )
    watched.frames.read_by(reader)
    return reader
