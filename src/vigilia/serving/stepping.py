"""The thread that steps: it polls the engine, hands results on, and does what must come between.

What must not happen between a step and its result (a snapshot, the end of a stream) is handed to
this thread as a function.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from vigilia.engine import StepEngine
from vigilia.serving.results import ResultTaker
from vigilia.serving.watched import Watched

__all__ = ["StepThread", "StepTimes"]

log = logging.getLogger("vigilia.serving")

T = TypeVar("T")

_LOOK_EVERY_SECONDS = 0.25
_ANSWER_SECONDS = 30.0

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
        broken: what ended the stepping; told by /healthz, so that whoever watches starts us anew.
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
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self.broken: Exception | None = None
        taker.on_retry = self._between_tries
        self._thread = threading.Thread(target=self._run, name="vigilia-steps", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def call(self, function: Callable[[], T]) -> T:
        """Runs a function between two steps and waits for its result."""
        if not self._thread.is_alive():
            return function()
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(run)
        self._wake()
        return future.result(timeout=_ANSWER_SECONDS)

    def close(self) -> None:
        """Ends it behind what it is at; idempotent."""
        self._stopping.set()
        self._wake()
        self._thread.join(timeout=_ANSWER_SECONDS)

    def _wake(self) -> None:
        with self._engine.changed:
            self._engine.changed.notify_all()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._run_calls()
                self._poll()
            self._run_calls()
        except Exception as error:
            self.broken = error
            log.exception("stepping has ended")

    def _run_calls(self) -> None:
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return
            call()

    def _poll(self) -> None:
        engine = self._engine
        with engine.changed:
            due = engine.due_in_seconds()
            if (due is None or due > 0) and self._calls.empty():
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
        self._run_calls()
        return not self._stopping.wait(seconds)
