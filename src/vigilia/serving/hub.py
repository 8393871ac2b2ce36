"""Events for whoever listens: one ring of the last ones, and a place in it for each listener.

Nothing is queued per listener, so a slow one costs nothing: if the ring has moved on past its
place, it is told that events were missed and goes on with the next. `Last-Event-ID` is the place,
so a page that was away for a moment misses nothing, and one that was away for long knows it.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "Hub"]

RING = 2048


@dataclass(frozen=True)
class Event:
    """Something that happened; `data` becomes JSON."""

    number: int
    kind: str
    data: Mapping[str, Any]


class Hub:
    """Takes events from any thread, gives them to listeners and to the loop they wait in.

    Attributes:
        era: differs from one run of the service to the next; numbers count within it.
    """

    def __init__(self, size: int = RING) -> None:
        self.era = secrets.token_hex(4)
        self._ring: deque[Event] = deque(maxlen=size)
        self._lock = threading.Lock()
        self._next = 0
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._sinks: list[Callable[[Event], None]] = []

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tells everybody; never waits."""
        with self._lock:
            event = Event(self._next, kind, data)
            self._next += 1
            self._ring.append(event)
            # Each is woken once: a burst costs what one event does.
            waiting = list(self._waiting.items())
            self._waiting.clear()
            sinks = list(self._sinks)
        for flag, loop in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(flag.set)
        for sink in sinks:
            sink(event)

    def add_sink(self, sink: Callable[[Event], None]) -> None:
        """Calls `sink` with every event, in the thread that publishes it; it must be quick."""
        with self._lock:
            self._sinks.append(sink)

    def place(self, event_id: str | None = None) -> int | None:
        """The place behind the event of that id; the newest without one; None if it is gone."""
        with self._lock:
            if not event_id:
                return self._next
            era, _, number = event_id.partition("-")
            if era != self.era or not number.isdecimal():
                return None
            return min(int(number) + 1, self._next)

    def since(self, place: int) -> tuple[list[Event], int, bool]:
        """Events from a place on, the place behind them, and whether some were missed."""
        with self._lock:
            oldest = self._next - len(self._ring)
            new = min(self._next - place, len(self._ring))
            events = list(itertools.islice(reversed(self._ring), new))
            return events[::-1], self._next, place < oldest

    async def wait(self, place: int, seconds: float) -> None:
        """Returns when there is an event from `place` on, or after so many seconds."""
        flag, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._lock:
            if self._next > place:
                return
            self._waiting[flag] = loop
        try:
            await asyncio.wait_for(flag.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.pop(flag, None)
