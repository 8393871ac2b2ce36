"""Where the streams are stepped, over HTTP."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, HTTPException

from vigilia.errors import OptionError
from vigilia.serving.room import Room
from vigilia.serving.schema import MachineView

__all__ = ["machines_routes"]


def machines_routes(room: Room) -> APIRouter:
    """The routes of machines; a service without a cluster has one, which cannot be drained."""
    router = APIRouter()
    host = room.supervisor.host

    def changed(id: str, drained: bool) -> dict[str, Any]:
        if id not in {one.id for one in host.machines()}:
            raise HTTPException(404, "there is no such machine")
        try:
            host.drain(id, drained)
        except OptionError as error:
            raise HTTPException(409, str(error)) from error
        found = [one for one in host.machines() if one.id == id]
        if not found:
            raise HTTPException(404, "the machine is gone")
        return dataclasses.asdict(found[0])

    @router.get("/machines")
    def machines() -> list[MachineView]:
        return [dataclasses.asdict(one) for one in host.machines()]  # type: ignore[misc]

    @router.post("/machines/{id}/drain")
    def drain(id: str) -> MachineView:
        return changed(id, True)  # type: ignore[return-value]

    @router.post("/machines/{id}/use")
    def use(id: str) -> MachineView:
        return changed(id, False)  # type: ignore[return-value]

    return router
