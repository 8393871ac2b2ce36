"""Who may ask: this machine, and of the pages in its browser only our own."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse

from vigilia.errors import InputError

__all__ = ["SECURITY_HEADERS", "loopback_socket", "refusal"]

HOSTS = ("127.0.0.1", "localhost")
MOST_BODY_BYTES = 4096

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""On every answer. Scripts come from the page's own folder, so text that slips through is inert."""


def loopback_socket(port: int = 0) -> socket.socket:
    """A socket that only this machine reaches; port 0 takes a free one.

    Raises:
        InputError: the port is taken.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
    except OSError as error:
        found.close()
        raise InputError(
            f"port {port} cannot be used ({error.strerror}); leave --port out to take a free one"
        ) from error
    return found


def refusal(request: Request) -> JSONResponse | None:
    """Why a request is not answered: another site made it, or it is too large."""
    host = request.headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in HOSTS:
        # A foreign name that was made to point to this machine (DNS rebinding).
        return JSONResponse({"error": f"open it as http://{HOSTS[0]}"}, 421)
    if request.method in ("GET", "HEAD"):
        return None
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return JSONResponse({"error": "requests of other sites are refused"}, 403)
    size = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers or not size.isdecimal():
        return JSONResponse({"error": "say the length of the body"}, 411)
    if int(size) > MOST_BODY_BYTES:
        return JSONResponse({"error": "the body is too large"}, 413)
    return None
