"""Functions that another thread is to run at a moment of its choosing, and whose result one waits
for."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["ANSWER_SECONDS", "Calls"]

T = TypeVar("T")

ANSWER_SECONDS = 30.0


class Calls:
    """Functions that wait for the thread that runs them.

    Args:
        wake: wakes that thread.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    @property
    def empty(self) -> bool:
        """Whether none waits."""
        return self._waiting.empty()

    def call(self, function: Callable[[], T]) -> T:
        """Hands a function over and waits for its result.

        Raises:
            TimeoutError: the thread did not come to it.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._waiting.put(run)
        self._wake()
        return future.result(timeout=ANSWER_SECONDS)

    def run(self) -> None:
        """Runs what waits; in the thread that was meant."""
        while True:
            try:
                one = self._waiting.get_nowait()
            except queue.Empty:
                return
            one()
