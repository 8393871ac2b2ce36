"""Downloads over HTTP: how they are asked for, and how they are answered."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Response
from starlette.types import Receive, Scope, Send

from vigilia.serving.downloads import PIECE_BYTES, Download

__all__ = ["EpochSeconds", "file_response"]

EpochSeconds = Annotated[float, Query(ge=0.1, le=3600)]
"""Length of an epoch of a hypnogram."""


class _FileResponse(Response):
    """Sends a download piece by piece, as fast as it is fetched, and closes it."""

    def __init__(self, made: Download, headers: dict[str, str]) -> None:
        super().__init__(media_type=made.media_type, headers=headers)
        self._made = made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._made.file as file:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            while piece := file.read(PIECE_BYTES):
                more = file.tell() < self._made.size
                await send({"type": "http.response.body", "body": piece, "more_body": more})


def file_response(made: Download) -> Response:
    """A file that the browser saves under its name."""
    disposition = f"attachment; filename*=UTF-8''{quote(made.name)}"
    headers = {"Content-Disposition": disposition, "Content-Length": str(made.size)}
    return _FileResponse(made, headers)
