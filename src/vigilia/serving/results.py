"""What becomes of a batch of results: the disk first, then everybody who wants to know.

A write that fails (disk full, file locked) is tried again until it works. Nothing is stepped
meanwhile, so nothing piles up: recordings wait, and what cameras lose becomes a hole.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vigilia.engine import Result, StepEngine
from vigilia.errors import OutputError
from vigilia.serving.cursor import Row
from vigilia.serving.feeding import Feeding
from vigilia.serving.hub import Hub
from vigilia.serving.journal import Appended, Journal
from vigilia.serving.schema_events import LabelEvent
from vigilia.serving.snapshots import Snapshot, save_snapshot
from vigilia.serving.watched import LastRead, Watched

__all__ = ["ResultTaker"]

log = logging.getLogger("vigilia.serving")

_FIRST_RETRY_SECONDS, _MOST_RETRY_SECONDS = 0.1, 5.0


class ResultTaker:
    """Takes what the engine says; used by the thread that steps.

    Args:
        engine: whose results they are.
        journal: where they are written.
        hub: who is told.
        feeding: says where snapshots lie.
        model_hash: goes into snapshots.
        snapshot_seconds: how often they are taken.

    Attributes:
        on_retry: waits so many seconds between two tries to write; returns False to give up.
        problem: why results cannot be written now; empty if they can.
        failures: writes that failed, snapshots included.
        commit_seconds: of the last write.
    """

    def __init__(
        self,
        engine: StepEngine,
        journal: Journal,
        hub: Hub,
        feeding: Feeding,
        *,
        model_hash: str,
        snapshot_seconds: float,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._hub = hub
        self._feeding = feeding
        self._model_hash = model_hash
        self._snapshot_seconds = snapshot_seconds
        self.on_retry: Callable[[float], bool] = _wait
        self.problem = ""
        self.failures = 0
        self.commit_seconds = 0.0

    def take(self, results: Sequence[tuple[Watched, Result]]) -> None:
        """Takes the results of one poll, ends left out, in their order."""
        rows = [(watched.name, _row(result)) for watched, result in results]
        appended = self._written(rows)
        if appended is None:
            return
        for (watched, result), done in zip(results, appended, strict=True):
            _count(watched, result)
            if watched.engine_name != result.name:
                continue  # stopped while the disk was full
            sound = result.probabilities is not None
            watched.place = result.place if sound else None
            self._note_part(watched, result)
            if done.rows:
                self._announce(watched, result, done)
        for watched in dict.fromkeys(watched for watched, _ in results):
            self._keep_for_view(watched)
            if time.monotonic() - watched.saved_at >= self._snapshot_seconds:
                self.save(watched)

    def save(self, watched: Watched) -> None:
        """Saves where a stream stands, if it stands behind a clip; a failure is only noted."""
        cursor = self._journal.cursor(watched.name)
        if watched.place is None or cursor is None or cursor.until_seconds is None:
            return
        if self.problem or watched.engine_name not in self._engine.names:
            return  # what cannot be written is behind the state already
        state = self._engine.state(watched.engine_name)
        until = float(state.seconds[0])
        watched.saved_at = time.monotonic()
        try:
            save_snapshot(
                self._feeding.snapshot_path(watched.name),
                Snapshot(state, watched.place, until),
                model_hash=self._model_hash,
            )
        except OutputError as error:
            self.failures += 1
            log.warning(
                "a snapshot cannot be written", extra={"stream": watched.name, "why": str(error)}
            )

    def _written(self, rows: list[tuple[str, Row]]) -> list[Appended] | None:
        pause = _FIRST_RETRY_SECONDS
        while True:
            began = time.perf_counter()
            try:
                appended = self._journal.append(rows)
            except sqlite3.Error as error:
                self.failures += 1
                if not self.problem:
                    log.error("results cannot be written", extra={"why": str(error)})
                self.problem = f"results cannot be written ({error}); is the disk full?"
                if not self.on_retry(pause):
                    return None
                pause = min(2 * pause, _MOST_RETRY_SECONDS)
                continue
            if self.problem:
                log.info("results can be written again")
            self.problem = ""
            self.commit_seconds = time.perf_counter() - began
            return appended

    def _announce(self, watched: Watched, result: Result, done: Appended) -> None:
        after, before = done.after.now, done.before.now
        assert after is not None
        for row in done.rows:
            label = None if row.probabilities is None else after.label
            watched.label_seconds[label] += row.end_seconds - row.start_seconds
        watched.confidence = _confidence(result, after.label, done.after.segmenter.classes)
        if result.probabilities is not None:
            watched.lag_seconds = result.lag_seconds
        event: LabelEvent = {
            "stream": watched.name,
            "label": after.label,
            "confidence": watched.confidence,
            "since_seconds": after.end_seconds - after.start_seconds,
            "start_seconds": done.rows[0].start_seconds,
            "position_seconds": done.rows[-1].end_seconds,
            "lag_seconds": result.lag_seconds,
            "changed": before is None or before.label != after.label,
        }
        self._hub.publish("label", dict(event))

    def _note_part(self, watched: Watched, result: Result) -> None:
        position = None if result.place is None else result.place.position
        if position is None or watched.options.live or position.part in watched.known_parts:
            return
        try:
            self._journal.note_part(watched.name, position.part, position.part_offset_seconds)
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


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return True


def _row(result: Result) -> Row:
    probabilities: Any = result.probabilities
    if probabilities is not None and not np.isfinite(probabilities).all():
        probabilities = None  # a model that says nothing sensible has not seen anything
    return Row(result.start_seconds, result.end_seconds, probabilities)


def _count(watched: Watched, result: Result) -> None:
    if result.kind in ("stepped", "kept"):
        watched.counts[result.kind] += 1
    watched.counts["dropped"] += result.dropped


def _confidence(result: Result, label: str | None, classes: tuple[str, ...]) -> float | None:
    if label is None or result.probabilities is None:
        return None
    return float(result.probabilities[classes.index(label)])
