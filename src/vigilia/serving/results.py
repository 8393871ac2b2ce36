"""What becomes of a batch of results beside the journal: snapshots, and what the page may want."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence

import numpy as np

from vigilia.engine import Result, StepEngine
from vigilia.errors import OutputError
from vigilia.serving.ledger import Ledger, SnapshotStore, Writer
from vigilia.serving.snapshots import Snapshot
from vigilia.serving.watched import LastRead, Watched

__all__ = ["ResultTaker"]

log = logging.getLogger("vigilia.serving")


class ResultTaker:
    """Takes what the engine says; used by the thread that steps.

    Args:
        engine: whose results they are.
        ledger: says how far streams are labelled.
        writer: of results.
        snapshots: where they are kept.
        snapshot_seconds: says how often they are taken.

    Attributes:
        writer: likewise.
        failures: snapshots that could not be written.
    """

    def __init__(
        self,
        engine: StepEngine,
        ledger: Ledger,
        writer: Writer,
        snapshots: SnapshotStore,
        *,
        snapshot_seconds: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self.writer = writer
        self._snapshots = snapshots
        self._snapshot_seconds = snapshot_seconds
        self.failures = 0

    def take(self, results: Sequence[tuple[Watched, Result]]) -> None:
        """Takes the results of one poll, ends left out, in their order."""
        if not self.writer.write(results):
            return
        for watched, result in results:
            if watched.engine_name != result.name:
                continue  # stopped while the disk was full
            sound = result.probabilities is not None
            watched.place = result.place if sound else None
            self._note_part(watched, result)
        streams = list(dict.fromkeys(watched for watched, _ in results))
        for watched in streams:
            self._keep_for_view(watched)
        # One at a time: nothing is stepped while it is written, and all began together.
        oldest = min(streams, key=lambda watched: watched.saved_at)
        if time.monotonic() - oldest.saved_at >= self._snapshot_seconds():
            self.save(oldest)

    def save(self, watched: Watched) -> None:
        """Saves where a stream stands, if it stands behind a clip; a failure is only noted."""
        if watched.place is None or self._ledger.until_seconds(watched.name) is None:
            return
        if self.writer.problem or watched.engine_name not in self._engine.names:
            return  # what cannot be written is behind the state already
        state = self._engine.state(watched.engine_name)
        until = float(state.seconds[0])
        watched.saved_at = time.monotonic()
        try:
            self._snapshots.save(watched.name, Snapshot(state, watched.place, until))
        except OutputError as error:
            self.failures += 1
            log.warning(
                "a snapshot cannot be written", extra={"stream": watched.name, "why": str(error)}
            )

    def _note_part(self, watched: Watched, result: Result) -> None:
        position = None if result.place is None else result.place.position
        if position is None or watched.options.live or position.part in watched.known_parts:
            return
        try:
            self._ledger.note_part(watched.name, position.part, position.part_offset_seconds)
        except sqlite3.Error:
            return  # the next result tries again
        watched.known_parts.add(position.part)

    def _keep_for_view(self, watched: Watched) -> None:
        """While somebody looks at its memory: the last clip, and the state before it."""
        if not watched.memory_wanted:
            watched.state_kept = watched.read = None
            return
        if watched.place is None or watched.engine_name not in self._engine.names:
            return
        state = self._engine.state(watched.engine_name)
        frames = np.stack(watched.place.window.frames) if watched.place.window.frames else None
        if frames is not None:
            before = watched.state_kept or state
            watched.read = LastRead(before, frames, float(state.seconds[0]))
        watched.state_kept = state
