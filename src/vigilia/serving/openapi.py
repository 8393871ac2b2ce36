"""The description of the API for programs: the body of a new stream, errors, what is no JSON.

What FastAPI finds out by itself is in the routes. It does not know that an error is
`{"error": "one line"}`, which there are, and that a value that cannot be is told with 400.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from vigilia.serving.schema import ErrorView, NewStream
from vigilia.serving.stream_options import DEVICE_PATTERN, NAME_PATTERN, SCHEMES

__all__ = ["NEW_STREAM", "describe"]

_ERRORS = {
    400: "A value cannot be.",
    401: "The token is needed.",
    403: "Another site's page asks.",
    404: "There is none of that name or number, or nothing to show.",
    408: "The body took too long.",
    409: "Not in this state.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The service is not known under that name.",
    500: "A mistake of the service.",
    503: "Results cannot be read or written now, or too many pages are open.",
}
_ADDRESS = (
    f"^({'|'.join(SCHEMES)})://([^\\s/?#@]*@)?"
    r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)?(:[0-9]{1,5})?([/?#][^\x00-\x1f]*)?$"
)
_WITH_STATE = ("/streams", "/timeline", "/seconds", "/summary", "/export", "/drain", "/use")
_MEDIA_TYPES = {
    "/frame.jpg": "image/jpeg",
    "/video": "video/*",
    "/export": "application/octet-stream",
    "/events": "text/event-stream",
    "/metrics": "text/plain",
}


def _new_stream() -> dict[str, Any]:
    """The body of `POST /streams`; the rules are those of `stream_options`."""
    schema = TypeAdapter(NewStream).json_schema()
    schema["additionalProperties"] = False
    keys = schema["properties"]
    keys["name"]["pattern"] = f"^{NAME_PATTERN}$"
    keys["source"] |= {
        "description": "An address, a device, or the absolute path of a file or folder.",
        "examples": ["rtsp://user:password@10.0.0.7/sub", "/dev/video0", "/srv/nvr/cam2"],
        "anyOf": [
            {"pattern": _ADDRESS},
            {"pattern": f"^({DEVICE_PATTERN})$"},
            {"pattern": "^/[^\\x00-\\x1f]*$"},
        ],
    }
    keys["hysteresis"] |= {"minimum": 0, "maximum": 1}
    for key in ("smooth_seconds", "minimum_bout_seconds", "max_gap_seconds"):
        keys[key]["minimum"] = 0.001 if key == "max_gap_seconds" else 0
    return {"required": True, "content": {"application/json": {"schema": schema}}}


NEW_STREAM = {"requestBody": _new_stream()}
"""For `openapi_extra`."""


def describe(app: FastAPI) -> None:
    """Completes what the application says of itself."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = plain()
            schemas = described.setdefault("components", {}).setdefault("schemas", {})
            schemas["ErrorView"] = TypeAdapter(ErrorView).json_schema()
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            for path, operations in described["paths"].items():
                for method, operation in operations.items():
                    _describe(path, method, operation["responses"])
            app.openapi_schema = described
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe(path: str, method: str, responses: dict[str, Any]) -> None:
    responses.pop("422", None)
    for ending, media_type in _MEDIA_TYPES.items():
        if path.endswith(ending):
            responses["200"]["content"] = {media_type: {}}
    if path.endswith("/video"):
        responses["206"] = {"description": "A range of it.", "content": {"video/*": {}}}
    for status in _statuses(path, method):
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorView"}}},
        }


def _statuses(path: str, method: str) -> Iterator[int]:
    """Which errors an operation may answer."""
    if path in ("/healthz", "/readyz"):
        yield 421
        return  # their 503 is no error but the answer
    yield from (400, 401, 403, 421, 500, 503)
    if "{" in path:
        yield 404
    if method != "get":
        yield from (408, 413, 415)
    if path.endswith(_WITH_STATE) and not (path.endswith("/streams") and method == "get"):
        yield 409
