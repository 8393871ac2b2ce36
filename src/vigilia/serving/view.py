"""The page over one finished recording: read-only but for corrections, for this machine only.

The answers have the paths and shapes of the live service, so that one page shows both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from vigilia.errors import InputError, MissingExtraError, VideoError, VigiliaError
from vigilia.installation import install_command
from vigilia.serving.downloads import EPOCH_SECONDS, export_formats
from vigilia.serving.schema import (
    Correction,
    ExportFormat,
    Part,
    Session,
    Stream,
)
from vigilia.serving.stills import MOST_PIXELS_WIDE, jpeg
from vigilia.serving.view_corrections import Said
from vigilia.serving.view_guard import SECURITY_HEADERS, refusal
from vigilia.serving.view_recording import ViewedRecording

try:
    import uvicorn
    from fastapi import FastAPI, HTTPException, Query, Request, Response
    from fastapi.concurrency import run_in_threadpool
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
    from fastapi.staticfiles import StaticFiles
    from pydantic import BaseModel, ConfigDict, Field
    from starlette.exceptions import HTTPException as StarletteHTTPException
except ImportError as error:
    raise MissingExtraError(f"the page needs fastapi: {install_command('serve')}") from error

from vigilia.serving.files import EpochSeconds, file_response

__all__ = ["PAGE", "create_view_app", "serve_view", "view_server"]

PAGE = Path(__file__).with_name("page")
"""The folder of the page: plain files, nothing is built."""

KEEP_ALIVE_SECONDS = 15.0
MOST_LISTENERS = 32

Seconds = Annotated[float | None, Query(allow_inf_nan=False)]


class NewCorrectionBody(BaseModel):
    """What a page sends; see `schema.NewCorrection`."""

    model_config = ConfigDict(extra="forbid")

    start_seconds: float = Field(allow_inf_nan=False)
    end_seconds: float = Field(allow_inf_nan=False)
    label: str | None
    by: str = Field("", max_length=100)


def create_view_app(recording: ViewedRecording) -> FastAPI:
    """The application: the page at `/`, the interface under `/api/v1`."""
    listeners: set[asyncio.Queue[str | None]] = set()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        recording.close()

    # Answers are typed by schema.py; models made of them would check them again, slowly.
    app = FastAPI(title="Vigilia: a recording", lifespan=lifespan)
    root = "/api/v1/streams"

    @app.middleware("http")
    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        refused = refusal(request)
        response = await call_next(request) if refused is None else refused
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(VigiliaError)
    async def tell(_: Request, error: VigiliaError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400 if isinstance(error, InputError) else 503)

    @app.exception_handler(StarletteHTTPException)
    async def say(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    async def explain(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 400)

    def hang_up() -> None:
        for queue in listeners:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)

    app.state.hang_up = hang_up

    def known(name: str) -> None:
        if name != recording.name:
            raise HTTPException(404, f"there is no stream {name!r}")

    def announce(id: int, *, removed: bool) -> None:
        about = {"stream": recording.name, "id": id, "removed": removed}
        text = f"event: correction\ndata: {json.dumps(about)}\n\n"
        for queue in listeners:
            # A page that does not read learns of it when it asks again.
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(text)

    @app.get("/api/v1/session", response_model=None)
    def session() -> Session:
        return {"token_needed": False, "allowed": True}

    @app.get(root, response_model=None)
    def streams() -> list[Stream]:
        return [recording.stream()]

    @app.get(root + "/{name}/timeline", response_model=None)
    def timeline(
        name: str,
        start: Annotated[Seconds, Query(alias="from")] = None,
        end: Annotated[Seconds, Query(alias="to")] = None,
    ) -> JSONResponse:
        known(name)
        return JSONResponse(recording.segments(*_stretch(start, end)))

    @app.get(root + "/{name}/seconds", response_model=None)
    def seconds(
        name: str,
        start: Annotated[Seconds, Query(alias="from")] = None,
        end: Annotated[Seconds, Query(alias="to")] = None,
        points: Annotated[int, Query(ge=1, le=20_000)] = 4000,
    ) -> JSONResponse:
        known(name)
        found = recording.seconds(*_stretch(start, end), points)
        if found is None:
            raise HTTPException(404, "the timeline keeps no scores; its .json does")
        return JSONResponse(found)

    @app.get(root + "/{name}/memory", response_model=None)
    def memory(name: str) -> None:
        known(name)
        raise HTTPException(404, "a finished timeline does not hold what the model attended to")

    @app.get(root + "/{name}/frame.jpg", response_model=None)
    def frame(
        name: str,
        seconds: Seconds = None,
        width: Annotated[int, Query(ge=16, le=MOST_PIXELS_WIDE)] = MOST_PIXELS_WIDE,
    ) -> Response:
        known(name)
        if recording.stills is None:
            raise HTTPException(404, "the video is not at hand")
        moment = recording.timeline.start_seconds if seconds is None else seconds
        try:
            found = recording.stills.at(moment)
        except VideoError as error:
            raise HTTPException(404, str(error)) from error
        about = {"X-Frame-Seconds": f"{found.seconds:.6f}", "Cache-Control": "no-store"}
        return Response(jpeg(found, width=width), media_type="image/jpeg", headers=about)

    @app.get(root + "/{name}/parts", response_model=None)
    def parts(name: str) -> list[Part]:
        known(name)
        return recording.parts()

    @app.get(root + "/{name}/video", response_model=None)
    def video(name: str, part: int = 0) -> FileResponse:
        known(name)
        if recording.video is None or part != 0:
            raise HTTPException(404, "browsers cannot play this video; frame.jpg shows its frames")
        path, media_type = recording.video
        return FileResponse(path, media_type=media_type, content_disposition_type="inline")

    @app.get(root + "/{name}/corrections", response_model=None)
    def corrections(name: str) -> list[Correction]:
        known(name)
        return [_view(one) for one in recording.corrections.corrections]

    @app.post(root + "/{name}/corrections", status_code=201, response_model=None)
    async def correct(name: str, body: NewCorrectionBody) -> Correction:
        known(name)
        by = " ".join(body.by.split())
        made = await run_in_threadpool(
            recording.corrections.add, body.start_seconds, body.end_seconds, body.label, by
        )
        announce(made.id, removed=False)
        return _view(made)

    @app.delete(root + "/{name}/corrections", status_code=204, response_model=None)
    async def take_back(name: str, id: int) -> None:
        known(name)
        if not await run_in_threadpool(recording.corrections.remove, id):
            raise HTTPException(404, f"there is no correction {id}")
        announce(id, removed=True)

    @app.get("/api/v1/formats", response_model=None)
    def formats() -> list[ExportFormat]:
        return export_formats()

    @app.get(root + "/{name}/export", response_model=None)
    def export(
        name: str,
        format: str = "csv",
        corrected: bool = False,
        epoch_seconds: EpochSeconds = EPOCH_SECONDS,
    ) -> Response:
        known(name)
        return file_response(recording.download(format, corrected, epoch_seconds))

    @app.get(root + "/{name}/summary", response_model=None)
    def summary(name: str, corrected: bool = False) -> dict[str, Any]:
        known(name)
        return recording.summary(corrected)

    @app.get("/api/v1/events", response_model=None)
    async def events(request: Request) -> StreamingResponse:
        if len(listeners) >= MOST_LISTENERS:
            raise HTTPException(503, "too many pages are open")
        return StreamingResponse(_listen(request, listeners), media_type="text/event-stream")

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def view_server(app: FastAPI, on_ready: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """A server whose `run(sockets=...)` calls `on_ready` and, at its end, hangs up on listeners."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Event streams have no end of their own, and would be waited for.
            app.state.hang_up()
            await super().shutdown(sockets)

    return Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))


def serve_view(app: FastAPI, listening: socket.socket, *, on_ready: Callable[[], None]) -> None:
    """Serves until it is interrupted; `on_ready` is called when the page can be opened."""
    with contextlib.suppress(KeyboardInterrupt):
        view_server(app, on_ready).run(sockets=[listening])


def _stretch(start: float | None, end: float | None) -> tuple[float, float]:
    return -math.inf if start is None else start, math.inf if end is None else end


def _view(one: Said) -> Correction:
    return {
        "id": one.id,
        "start_seconds": one.start_seconds,
        "end_seconds": one.end_seconds,
        "label": one.label,
        "by": one.by,
        "written_at": one.written_at,
    }


async def _listen(
    request: Request, listeners: set[asyncio.Queue[str | None]]
) -> AsyncIterator[str]:
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1000)
    listeners.add(queue)
    try:
        yield "retry: 2000\n\n"
        while not await request.is_disconnected():
            try:
                text = await asyncio.wait_for(queue.get(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                text = ": still here\n\n"
            if text is None:
                return
            yield text
    finally:
        listeners.discard(queue)
