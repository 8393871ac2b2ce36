"""The thread that steps: it polls the engine, hands results on, and does what must come between.

What must not happen between a step and its result (a snapshot, the end of a stream) is handed to
this thread as a function.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vigilia.engine import StepEngine
from vigilia.serving.calls import ANSWER_SECONDS, Calls
from vigilia.serving.results import ResultTaker
from vigilia.serving.watched import Watched

__all__ = ["StepThread", "StepTimes"]

log = logging.getLogger("vigilia.serving")

T = TypeVar("T")

_LOOK_EVERY_SECONDS = 0.25

HANGS_SECONDS = 300.0
"""A step, or the snapshot behind it, that takes longer will not come back: no real one does."""

StepTimes = Callable[[float, int], None]
"""Told the seconds and the rows of every batch."""


class StepThread:
    """Steps until it is closed.

    Args:
        engine: that is polled.
        taker: of its results.
        find: the stream of a name in the engine; None if it has none.
        on_end: told of streams that have nothing more to say, and why.
        on_step: told of every batch.

    Attributes:
        broken: what ended the stepping; the process ends with it, to be started anew.
    """

    def __init__(
        self,
        engine: StepEngine,
        taker: ResultTaker,
        *,
        find: Callable[[str], Watched | None],
        on_end: Callable[[Watched, Exception | None], None],
        on_step: StepTimes,
    ) -> None:
        self._engine = engine
        self._taker = taker
        self._find = find
        self._on_end = on_end
        self._on_step = on_step
        self._calls = Calls(self._wake)
        self._stopping = threading.Event()
        self.broken: Exception | None = None
        self._seen_at = time.monotonic()
        taker.writer.on_retry = self._between_tries
        self._thread = threading.Thread(target=self._run, name="vigilia-steps", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs, and does not hang."""
        return self._thread.is_alive() and not self.hangs

    @property
    def hangs(self) -> bool:
        """Whether it has been at one thing for too long; waiting for a full disk is none."""
        return time.monotonic() - self._seen_at > HANGS_SECONDS

    def call(self, function: Callable[[], T]) -> T:
        """Runs a function between two steps and waits for its result."""
        if not self._thread.is_alive():
            return function()
        return self._calls.call(function)

    def close(self) -> None:
        """Ends it behind what it is at; idempotent."""
        self._stopping.set()
        self._wake()
        self._thread.join(timeout=ANSWER_SECONDS)

    def _wake(self) -> None:
        with self._engine.changed:
            self._engine.changed.notify_all()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._seen_at = time.monotonic()
                self._calls.run()
                self._poll()
            self._calls.run()
        except Exception as error:
            self.broken = error
            log.exception("stepping has ended")

    def _poll(self) -> None:
        engine = self._engine
        with engine.changed:
            due = engine.due_in_seconds()
            if (due is None or due > 0) and self._calls.empty:
                engine.changed.wait(_LOOK_EVERY_SECONDS if due is None else due)
        before, began = engine.totals(), time.perf_counter()
        found = [(self._find(result.name), result) for result in engine.poll()]
        after = engine.totals()
        if after.batches > before.batches:
            self._on_step(time.perf_counter() - began, after.rows - before.rows)
        known = [(watched, result) for watched, result in found if watched is not None]
        results = [(watched, result) for watched, result in known if result.kind != "ended"]
        if results:
            self._taker.take(results)
        for watched, result in known:
            if result.kind == "ended":
                self._on_end(watched, result.error)

    def _between_tries(self, seconds: float) -> bool:
        """Waits while results cannot be written; False if the service is ending."""
        self._seen_at = time.monotonic()
        self._calls.run()
        return not self._stopping.wait(seconds)
