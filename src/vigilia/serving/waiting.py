"""A service that cannot begin yet: the disk is full, or its journal locked.

It lives and is not ready, and says so to whoever asks: a process that ended instead would be
started again and again, and given up by some who do that.
"""

from __future__ import annotations

import logging
import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vigilia.serving.protocol import patient_settings

__all__ = ["Waiting"]

log = logging.getLogger("vigilia.serving")

_FIRST_SECONDS, _MOST_SECONDS = 1.0, 30.0


class Waiting:
    """Answers /healthz with 200 and everything else with 503, on a socket that is listened at;
    used as a context.

    Args:
        listening: stays open.

    Attributes:
        problem: why it waits.
    """

    def __init__(self, listening: socket.socket) -> None:
        self.problem = ""
        self._listening = listening
        self._pause = _FIRST_SECONDS

        def healthz(_: Request) -> Response:
            return JSONResponse({"alive": True})

        def readyz(_: Request) -> Response:
            return JSONResponse({"ready": False, "problem": self.problem}, 503)

        def other(_: Request) -> Response:
            return JSONResponse({"error": f"not yet: {self.problem}"}, 503)

        app = Starlette(
            routes=[
                Route("/healthz", healthz),
                Route("/readyz", readyz),
                Route("/{path:path}", other, methods=["GET", "POST", "DELETE"]),
            ]
        )
        self._server = uvicorn.Server(patient_settings(app, connections=16, ending_seconds=1))
        self._thread = threading.Thread(target=self._run, name="vigilia-waiting", daemon=True)

    def wait(self, problem: str) -> None:
        """Waits before the next try, longer each time."""
        if problem != self.problem:
            log.error("the service cannot begin yet", extra={"why": problem})
        self.problem = problem
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _MOST_SECONDS)

    def __enter__(self) -> Waiting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        # It closes what it listens at.
        self._server.run(sockets=[self._listening.dup()])
