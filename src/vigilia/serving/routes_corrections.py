"""What people say of a stream, over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from vigilia.serving.room import Room
from vigilia.serving.schema import Correction
from vigilia.serving.views import correction_view

__all__ = ["corrections_routes"]

MOST_NAME = 100


class NewCorrectionBody(BaseModel):
    """See `schema.NewCorrection`."""

    model_config = ConfigDict(extra="forbid")

    start_seconds: float = Field(allow_inf_nan=False)
    end_seconds: float = Field(allow_inf_nan=False)
    label: str | None
    by: str = Field("", max_length=MOST_NAME)


def corrections_routes(room: Room) -> APIRouter:
    """The routes of corrections."""
    router = APIRouter()
    journal, hub = room.supervisor.journal, room.supervisor.hub

    def known(name: str) -> None:
        if room.supervisor.get(name) is None:
            raise HTTPException(404, f"there is no stream named {name!r}")

    @router.get("/streams/{name}/corrections")
    def corrections(name: str) -> list[Correction]:
        known(name)
        return [correction_view(one) for one in room.reader.corrections(name)]

    @router.post("/streams/{name}/corrections", status_code=201)
    def correct(name: str, body: NewCorrectionBody) -> Correction:
        known(name)
        room.check_correction(name, body.start_seconds, body.end_seconds, body.label)
        made = journal.notes.correct(
            name, body.start_seconds, body.end_seconds, body.label, " ".join(body.by.split())
        )
        hub.publish("correction", {"stream": name, "id": made.id, "removed": False})
        return correction_view(made)

    @router.delete("/streams/{name}/corrections", status_code=204)
    def take_back(name: str, id: Annotated[int, Query(ge=1, le=2**62)]) -> None:
        known(name)
        if not journal.notes.take_back(name, id):
            raise HTTPException(404, f"there is no correction {id}")
        hub.publish("correction", {"stream": name, "id": id, "removed": True})

    return router
