"""The application: guard, API, health, metrics, and the page if it is there."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from vigilia.errors import InputError, MissingExtraError, VigiliaError
from vigilia.installation import install_command
from vigilia.serving.config import ServeConfig
from vigilia.serving.schema import Session
from vigilia.serving.supervisor import Supervisor

try:
    import prometheus_client  # noqa: F401
    from anyio.to_thread import current_default_thread_limiter
    from fastapi import Body, FastAPI, HTTPException, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.exceptions import HTTPException as StarletteHTTPException
except ImportError as error:
    raise MissingExtraError(
        f"serving needs fastapi and prometheus-client: {install_command('serve')}"
    ) from error

from vigilia.serving.guard import COOKIE, SECURITY_HEADERS, Guard, Token
from vigilia.serving.metrics import Metrics
from vigilia.serving.openapi import describe
from vigilia.serving.room import Room
from vigilia.serving.routes import routes

__all__ = ["create_app"]

PAGE = Path(__file__).with_name("page")
ANSWERING_THREADS = 6


def create_app(config: ServeConfig, supervisor: Supervisor, metrics: Metrics) -> FastAPI:
    """The application over streams that run; it does not end them.

    Args:
        config: of the service.
        supervisor: of its streams.
        metrics: that the supervisor tells of its steps.
    """
    room = Room(config, supervisor)
    room.check_truths()
    metrics.watch(supervisor)
    metrics.listeners = lambda: room.listeners.count
    token = Token(config.token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Answers and steps share one interpreter; with forty threads that answer, the one that
        # steps would wait for forty others.
        current_default_thread_limiter().total_tokens = ANSWERING_THREADS
        yield
        room.listeners.close()
        room.close()

    app = FastAPI(
        title="Vigilia",
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.room = room
    _tell_errors(app)
    _of_health(app, supervisor, metrics)
    _of_session(app, token)
    app.include_router(routes(room))
    describe(app)
    app.add_middleware(
        Guard,
        token=token,
        hosts=(config.bind.host, *config.allowed_hosts),
        any_address=not config.bind.loopback,
    )
    if (PAGE / "index.html").is_file():
        app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def _tell_errors(app: FastAPI) -> None:
    """Every error is `{"error": "one line"}`."""

    @app.exception_handler(Exception)
    def _ours(_: Request, error: Exception) -> JSONResponse:
        # The log has the rest. This answer is made outside of the guard.
        told = f"this is a mistake of the service ({type(error).__name__}); its log says more"
        return JSONResponse({"error": told}, 500, headers=SECURITY_HEADERS)

    @app.exception_handler(VigiliaError)
    def _vigilia(_: Request, error: VigiliaError) -> JSONResponse:
        status = 400 if isinstance(error, InputError | MissingExtraError) else 503
        return JSONResponse({"error": " ".join(str(error).split())}, status)

    @app.exception_handler(sqlite3.Error)
    def _journal(_: Request, error: sqlite3.Error) -> JSONResponse:
        return JSONResponse({"error": f"the journal cannot be used now ({error})"}, 503)

    @app.exception_handler(StarletteHTTPException)
    def _http(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    def _value(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(one) for one in first["loc"][1:]) or "the body"
        return JSONResponse({"error": f"{where}: {first['msg']}"}, 400)


def _of_health(app: FastAPI, supervisor: Supervisor, metrics: Metrics) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        """The process works: 503 means that it should be started anew."""
        alive = supervisor.alive
        return JSONResponse({"alive": alive}, 200 if alive else 503)

    @app.get("/readyz")
    async def readyz() -> Response:
        """Streams are stepped and results can be written."""
        ready = supervisor.alive and not supervisor.problem
        return JSONResponse({"ready": ready, "problem": supervisor.problem}, 200 if ready else 503)

    @app.get("/metrics")
    def numbers() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _of_session(app: FastAPI, token: Token) -> None:
    @app.get("/api/v1/session")
    def session(request: Request) -> Session:
        return {"token_needed": token.needed, "allowed": token.shown(request.headers)}

    @app.post("/api/v1/session")
    def log_in(
        given: Annotated[str, Body(alias="token", embed=True, max_length=1000)],
        request: Request,
        response: Response,
    ) -> Session:
        if token.needed:
            if not token.fits(given):
                raise HTTPException(401, "this is not the token")
            response.set_cookie(
                COOKIE,
                token.cookie(),
                httponly=True,
                samesite="strict",
                secure=request.url.scheme == "https",
            )
        return {"token_needed": token.needed, "allowed": True}
