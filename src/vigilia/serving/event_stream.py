"""Server-sent events, from the hub to a listener that may be slow, away, or gone."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from vigilia.serving.hub import Event, Hub

__all__ = ["Listeners"]

KEEP_ALIVE_SECONDS = 15.0

_RESET = b"event: reset\ndata: {}\n\n"


class Listeners:
    """The open event streams; no more than so many.

    Events are gathered for a moment and become text once for all who listen: a label of each of a
    hundred cameras a second, to sixty pages, is a few hundred pieces and not six thousand. After a
    moment of silence an event is told at once.

    Args:
        hub: where the events come from.
        most: how many.
        gather_seconds: between two pieces.

    Attributes:
        count: how many there are.
    """

    def __init__(self, hub: Hub, *, most: int = 64, gather_seconds: float = 0.25) -> None:
        self._hub = hub
        self._most = most
        self._gather_seconds = gather_seconds
        self._closed = False
        self._gathering: asyncio.Task[None] | None = None
        self._gathered_at = -math.inf
        self._place = 0
        self._pieces: dict[int, tuple[bytes, int]] = {}
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
        # Not by cancelling those who listen: one that is just being told would break off, or, up to
        # Python 3.11, not notice.
        self._closed = True
        if self._gathering is not None:
            self._gathering.cancel()

    async def _events(self, request: Request) -> AsyncIterator[bytes]:
        self.count += 1
        try:
            known = self._hub.place(request.headers.get("last-event-id"))
            # Before anything is sent: what comes while it is sent is told, too.
            place = self._hub.place() if known is None else known
            assert place is not None
            yield b"retry: 2000\n\n"
            if known is None:
                yield _RESET
            while not self._closed:
                piece, place = self._piece(place)
                if piece:
                    yield piece
                await self._next(place)
                if self._hub.place() == place and not self._closed:
                    yield b": still here\n\n"
        finally:
            self.count -= 1

    async def _next(self, place: int) -> None:
        """Waits, together with all others, until there is something to tell or it is time to say
        that nothing is."""
        if self._closed or place < self._place:  # gathered while the last piece was sent
            return
        if self._gathering is None or self._gathering.done():
            self._gathering = asyncio.create_task(self._gather())
        await asyncio.wait([self._gathering])

    async def _gather(self) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._gathered_at + self._gather_seconds - clock())
        await self._hub.wait(self._place, KEEP_ALIVE_SECONDS)
        self._gathered_at = clock()
        newest = self._hub.place()
        assert newest is not None
        self._place = newest
        self._pieces.clear()

    def _piece(self, place: int) -> tuple[bytes, int]:
        """What is to be told from a place on, and the place behind it."""
        if place not in self._pieces:
            events, behind, missed = self._hub.since(place)
            text = "".join(_text(self._hub.era, event) for event in events)
            self._pieces[place] = (_RESET * missed + text.encode(), behind)
        return self._pieces[place]


def _text(era: str, event: Event) -> str:
    data = json.dumps(event.data, allow_nan=False)
    return f"id: {era}-{event.number}\nevent: {event.kind}\ndata: {data}\n\n"
