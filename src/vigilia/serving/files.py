"""Downloads over HTTP: how they are asked for, and how they are answered."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Response

from vigilia.serving.downloads import Download

__all__ = ["EpochSeconds", "file_response"]

EpochSeconds = Annotated[float, Query(ge=0.1, le=3600)]
"""Length of an epoch of a hypnogram."""


def file_response(made: Download) -> Response:
    """A file that the browser saves under its name."""
    disposition = f"attachment; filename*=UTF-8''{quote(made.name)}"
    headers = {"Content-Disposition": disposition}
    return Response(made.data, media_type=made.media_type, headers=headers)
