"""Answers that many ask for at once are made once: whoever looks, streams keep the processor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["SharedAnswer"]

T = TypeVar("T")

_SHARE = 0.1
_MOST_SECONDS = 1.0


class SharedAnswer(Generic[T]):
    """An answer that is given again while it is fresh; safe to use from several threads.

    It is fresh for nine times as long as it took to make, so that making it takes a tenth of one
    thread's time at most: some milliseconds where there are few streams, and on a machine that has
    too much to do, where making it takes long, up to a second.

    Args:
        make: makes the answer; what it raises is passed on and not kept.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(self, make: Callable[[], T], *, clock: Callable[[], float] = time.monotonic):
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[float, T] | None = None

    def get(self) -> T:
        """The answer, a second old at most; who asks while it is made waits for it."""
        with self._lock:
            began = self._clock()
            if self._kept is not None and began < self._kept[0]:
                return self._kept[1]
            answer = self._make()
            ended = self._clock()
            fresh = min((ended - began) * (1 / _SHARE - 1), _MOST_SECONDS)
            self._kept = (ended + fresh, answer)
            return answer

    def forget(self) -> None:
        """Something has changed: who asks from now on is told of it."""
        with self._lock:
            self._kept = None
