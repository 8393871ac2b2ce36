"""Server-sent events, from the hub to a listener that may be slow, away, or gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from vigilia.serving.hub import Event, Hub

__all__ = ["Listeners"]

KEEP_ALIVE_SECONDS = 15.0


class Listeners:
    """The open event streams; no more than so many.

    Args:
        hub: where the events come from.
        most: how many.

    Attributes:
        count: how many there are.
    """

    def __init__(self, hub: Hub, *, most: int = 64) -> None:
        self._hub = hub
        self._most = most
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False
        self.count = 0

    @property
    def full(self) -> bool:
        """Whether another one would be one too many."""
        return self.count >= self._most

    def response(self, request: Request) -> StreamingResponse:
        """The answer to a request for events; goes on behind `Last-Event-ID`."""
        return StreamingResponse(
            self._events(request),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    def close(self) -> None:
        """Ends all, in order; from the loop they run in."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()

    async def _events(self, request: Request) -> AsyncIterator[str]:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.count += 1
        try:
            last = request.headers.get("last-event-id")
            place = self._hub.place(last)
            yield "retry: 2000\n\n"
            if place is None:
                place = self._hub.place()
                yield "event: reset\ndata: {}\n\n"
            assert place is not None
            while True:
                await self._hub.wait(place, KEEP_ALIVE_SECONDS)
                events, place, missed = self._hub.since(place)
                if missed:
                    yield "event: reset\ndata: {}\n\n"
                if events:
                    yield "".join(_text(self._hub.era, event) for event in events)
                else:
                    yield ": still here\n\n"
        except asyncio.CancelledError:
            if not self._closed:
                raise
            task.uncancel()  # the answer is complete, for whoever counts its chunks
        finally:
            self.count -= 1
            with contextlib.suppress(KeyError):
                self._tasks.remove(task)


def _text(era: str, event: Event) -> str:
    data = json.dumps(event.data, allow_nan=False)
    return f"id: {era}-{event.number}\nevent: {event.kind}\ndata: {data}\n\n"
