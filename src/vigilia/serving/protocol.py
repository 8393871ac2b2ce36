"""HTTP that does not wait for ever: a connection without a whole request is closed in time.

Uvicorn limits how many connections there are, and how long one may be idle between requests, but
waits without an end for the head of a request that comes byte by byte. Nor does it tell those that
ask from those that only hold a place: here the latter make room. Whether the process works is
answered however many there are, or somebody who holds all places would have it started anew.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["PatientProtocol", "patient_settings"]

HEAD_SECONDS = 10.0
HEALTH = b"GET /healthz "
_END = b"\r\n\r\n"


class PatientProtocol(H11Protocol):
    """Closes connections that take longer than `HEAD_SECONDS` over the head of a request."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        healthy = data.startswith(HEALTH) and data.find(_END) == len(data) - len(_END)
        self.limit_concurrency = None if healthy else self.config.limit_concurrency
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _look(self) -> None:
        busy: Any = self.cycle is not None and not self.cycle.response_complete
        if busy:
            self._forget()
        elif self._waiting is None and not self.transport.is_closing():
            self._expect()

    def _make_room(self) -> None:
        """Closes the connection that has asked for nothing the longest, if there are too many."""
        limit = self.config.limit_concurrency
        if limit is None or len(self.connections) < limit:
            return
        idle = [
            (one._waiting.when(), one)
            for one in self.connections
            if isinstance(one, PatientProtocol) and one._waiting is not None and one is not self
        ]
        if idle:
            min(idle, key=lambda pair: pair[0])[1]._close()

    def _expect(self) -> None:
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._close)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _close(self) -> None:
        self._forget()
        if not self.transport.is_closing():
            self.transport.close()


def patient_settings(app: Any, *, connections: int, ending_seconds: int) -> uvicorn.Config:
    """How an application is served: by this protocol, with our own log.

    Args:
        app: that answers.
        connections: at most.
        ending_seconds: for requests that are still answered at the end.
    """
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=connections,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=ending_seconds,
        h11_max_incomplete_event_size=16_384,
    )
