"""Results go to the disk first, then to everybody who wants to know.

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

from vigilia.engine import Result
from vigilia.serving.cursor import Row
from vigilia.serving.hub import Hub
from vigilia.serving.journal import Appended, Journal
from vigilia.serving.schema_events import LabelEvent
from vigilia.serving.watched import Watched

__all__ = ["JournalWriter"]

log = logging.getLogger("vigilia.serving")

_FIRST_RETRY_SECONDS, _MOST_RETRY_SECONDS = 0.1, 5.0


class JournalWriter:
    """Writes results, and announces what is written; used by one thread.

    Args:
        journal: where they are written.
        hub: who is told.

    Attributes:
        on_retry: waits so many seconds between two tries to write; returns False to give up.
        problem: why results cannot be written now; empty if they can.
        failures: writes that failed.
        commit_seconds: of the last write.
    """

    def __init__(self, journal: Journal, hub: Hub) -> None:
        self._journal = journal
        self._hub = hub
        self.on_retry: Callable[[float], bool] = _wait
        self.problem = ""
        self.failures = 0
        self.commit_seconds = 0.0

    def write(self, results: Sequence[tuple[Watched, Result]]) -> bool:
        """Takes results in their order, all or none; False if it gave up.

        What is in the journal already is passed over and announced to nobody; so is what is
        forgotten while it waits.
        """
        written = self._written(results)
        if written is None:
            return False
        for watched, result, done in written:
            _count(watched, result)
            if done.rows:
                self._announce(watched, result, done)
        return True

    def _written(
        self, results: Sequence[tuple[Watched, Result]]
    ) -> list[tuple[Watched, Result, Appended]] | None:
        pause = _FIRST_RETRY_SECONDS
        while True:
            began = time.perf_counter()
            # Between two tries a stream may be removed, and its name no longer be in the journal.
            kept = [one for one in results if not one[0].forgotten]
            try:
                appended = self._journal.append(
                    [(watched.name, _row(result)) for watched, result in kept]
                )
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
            return [(*one, done) for one, done in zip(kept, appended, strict=True)]

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
