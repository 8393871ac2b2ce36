"""The routes of the API; what they answer is in `vigilia.serving.schema`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from vigilia.errors import VideoError
from vigilia.serving.cursor import Cursor
from vigilia.serving.downloads import EPOCH_SECONDS, download, export_formats
from vigilia.serving.fields import Fields
from vigilia.serving.files import EpochSeconds, file_response
from vigilia.serving.openapi import NEW_STREAM
from vigilia.serving.pictures import MOST_PIXELS_WIDE, parts_view
from vigilia.serving.room import Room
from vigilia.serving.routes_corrections import corrections_routes
from vigilia.serving.routes_machines import machines_routes
from vigilia.serving.schema import (
    ExportFormat,
    MemoryView,
    Part,
    SecondsView,
    Stream,
    TimelineView,
)
from vigilia.serving.shared_answer import SharedAnswer
from vigilia.serving.stream_options import stream_options
from vigilia.serving.summary import summary_view
from vigilia.serving.view_recording import MEDIA_TYPES
from vigilia.serving.views import stream_view, timeline_of, timeline_view
from vigilia.serving.watched import Watched

__all__ = ["routes"]

From = Annotated[float, Query(alias="from", allow_inf_nan=False)]
To = Annotated[float, Query(alias="to", allow_inf_nan=False)]
Picture = Annotated[int, Query(ge=16, le=MOST_PIXELS_WIDE)]

_BEGINNING, _END = -1e15, 1e15


def routes(room: Room) -> APIRouter:
    """The API over everything that a service has."""
    router = APIRouter(prefix="/api/v1")
    of_streams(router, room)
    of_results(router, room)
    of_pictures(router, room)
    router.include_router(corrections_routes(room))
    router.include_router(machines_routes(room))

    @router.get("/formats")
    def formats() -> list[ExportFormat]:
        return export_formats()

    @router.get("/events")
    async def events(request: Request) -> StreamingResponse:
        if room.listeners.full:
            raise HTTPException(503, "too many pages are open")
        return room.listeners.response(request)

    return router


def _known(room: Room) -> Callable[[str], Watched]:
    def known(name: str) -> Watched:
        watched = room.supervisor.get(name)
        if watched is None:
            raise HTTPException(404, f"there is no stream named {name!r}")
        return watched

    return known


def of_streams(router: APIRouter, room: Room) -> None:
    """Streams: which there are, added, removed, started, stopped."""
    known, supervisor = _known(room), room.supervisor

    def view(watched: Watched) -> Stream:
        name = watched.name
        wall_start = supervisor.journal.wall_start(name)
        return stream_view(watched, supervisor.journal.cursor(name), wall_start)

    def view_all() -> bytes:
        return bytes(JSONResponse([view(watched) for watched in supervisor.streams]).body)

    all_streams = SharedAnswer(view_all)

    def told(watched: Watched) -> Stream:
        all_streams.forget()
        return view(watched)

    @router.get("/streams", response_model=list[Stream])
    def streams() -> Response:
        return Response(all_streams.get(), media_type="application/json")

    @router.post("/streams", status_code=201, openapi_extra=NEW_STREAM)
    def add(table: Annotated[dict[str, Any], Body()]) -> Stream:
        options = stream_options(Fields("the stream", table, expand=False))
        room.check_added(options)
        if supervisor.get(options.name) is not None:
            raise HTTPException(409, f"there already is a stream named {options.name!r}")
        return told(supervisor.add(options, table=table))

    @router.delete("/streams/{name}", status_code=204)
    def remove(name: str, forget: bool = False) -> None:
        known(name)
        supervisor.remove(name, forget=forget)
        all_streams.forget()

    @router.post("/streams/{name}/start")
    def start(name: str) -> Stream:
        known(name)
        return told(supervisor.start(name))

    @router.post("/streams/{name}/stop")
    def stop(name: str) -> Stream:
        known(name)
        return told(supervisor.stop(name))


def of_results(router: APIRouter, room: Room) -> None:
    """What was seen, and what the model attends to."""
    known, supervisor = _known(room), room.supervisor

    def cursor_of(name: str) -> Cursor:
        known(name)
        cursor = supervisor.journal.cursor(name)
        if cursor is None:
            raise HTTPException(409, "this stream has no results that could be read")
        return cursor

    @router.get("/streams/{name}/timeline")
    def timeline(name: str, start: From = _BEGINNING, end: To = _END) -> TimelineView:
        return timeline_view(
            room.reader,
            cursor_of(name),
            start,
            end,
            wall_start=supervisor.journal.wall_start(name),
            truth=room.truth(known(name)),
        )

    @router.get("/streams/{name}/seconds")
    def seconds(
        name: str,
        start: From = _BEGINNING,
        end: To = _END,
        points: Annotated[int, Query(ge=1, le=20_000)] = 4000,
    ) -> SecondsView:
        return room.reader.points(cursor_of(name), start, end, points=points)

    @router.get("/streams/{name}/memory")
    def memory(name: str) -> MemoryView:
        read = supervisor.host.memory(known(name))
        if read is None:
            return {"seconds": None, "stages": []}
        return {
            "seconds": read.seconds,
            "stages": [
                {
                    "stage": one.stage,
                    "slots": [
                        {"age_seconds": age, "span_clips": span, "attention": share}
                        for age, span, share in zip(
                            one.age_seconds, one.span_clips, one.slots, strict=True
                        )
                    ],
                    "feedback_attention": one.feedback,
                    "nothing_attention": one.nothing,
                }
                for one in read.stages
            ],
        }

    @router.get("/streams/{name}/export")
    def export(
        name: str,
        format: str = "csv",
        corrected: bool = False,
        start: From = -math.inf,
        end: To = math.inf,
        epoch_seconds: EpochSeconds = EPOCH_SECONDS,
    ) -> Response:
        watched = known(name)
        timeline = timeline_of(
            room.reader,
            cursor_of(name),
            watched,
            supervisor.model,
            start_seconds=start,
            end_seconds=end,
            corrections=room.reader.corrections(name) if corrected else None,
            with_scores=format == "json",
        )
        made = download(
            timeline,
            format,
            name + ".corrected" * corrected,
            wall_start=supervisor.journal.wall_start(name),
            zone=watched.options.wall_zone,
            fps=room.frame_rate(watched),
            epoch_seconds=epoch_seconds,
        )
        return file_response(made)

    @router.get("/streams/{name}/summary")
    def summary(
        name: str, corrected: bool = False, start: From = -math.inf, end: To = math.inf
    ) -> dict[str, Any]:
        return summary_view(
            timeline_of(
                room.reader,
                cursor_of(name),
                known(name),
                supervisor.model,
                start_seconds=start,
                end_seconds=end,
                corrections=room.reader.corrections(name) if corrected else None,
            )
        )


def of_pictures(router: APIRouter, room: Room) -> None:
    """What it looks like."""
    known, supervisor = _known(room), room.supervisor

    @router.get("/streams/{name}/frame.jpg")
    def frame(
        name: str,
        seconds: Annotated[float | None, Query(allow_inf_nan=False)] = None,
        width: Picture = MOST_PIXELS_WIDE,
    ) -> Response:
        watched = known(name)
        picture = None
        if watched.options.live or seconds is None:
            picture = supervisor.host.picture(watched, width)
        if picture is None and not watched.options.live:
            try:
                at = -math.inf if seconds is None else seconds
                picture = room.pictures.at(watched, at, room.reader.parts(name), width)
            except VideoError as error:
                raise HTTPException(404, str(error)) from error
        if picture is None:
            raise HTTPException(404, "no frame has come yet")
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @router.get("/streams/{name}/parts")
    def parts(name: str) -> list[Part]:
        watched = known(name)
        if watched.options.live:
            return []
        try:
            return parts_view(watched, room.reader.parts(name))
        except VideoError as error:
            raise HTTPException(404, str(error)) from error

    @router.get("/streams/{name}/video")
    def video(name: str, part: Annotated[int, Query(ge=0)] = 0) -> FileResponse:
        watched = known(name)
        if watched.options.live:
            raise HTTPException(404, "a camera has no file; frame.jpg shows its latest frame")
        try:
            path = room.part(watched, part)
        except VideoError as error:
            raise HTTPException(404, str(error)) from error
        media_type = MEDIA_TYPES.get(path.suffix.lower())
        if media_type is None:
            raise HTTPException(404, "browsers cannot play this video; frame.jpg shows its frames")
        return FileResponse(path, media_type=media_type, content_disposition_type="inline")
