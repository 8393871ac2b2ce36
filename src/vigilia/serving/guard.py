"""Who may ask what: checked before any route, in one place.

1. The `Host` must be one that the service was given, or a page elsewhere could reach it under a
   name of its own (DNS rebinding).
2. Nothing that changes something, and no API answer, is for another site's page (`Origin`,
   `Sec-Fetch-Site`); bodies must be JSON, which no form can send.
3. With a token, the API and the metrics are for those who show it: in the `Authorization` header,
   or in a cookie that the page got for it.
4. Bodies are small, and complete within some seconds.

Letters: none.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COOKIE", "SECURITY_HEADERS", "Guard", "Token"]

COOKIE = "vigilia_session"
MOST_BODY_BYTES = 65_536
MOST_BODY_SECONDS = 10.0
SEND_SECONDS = 30.0

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


class Token:
    """The token, and the cookie that stands for it until the service ends."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._key = secrets.token_bytes(32)

    @property
    def needed(self) -> bool:
        """Whether there is one."""
        return bool(self._token)

    def fits(self, given: str) -> bool:
        """Whether it is this one; takes as long either way."""
        return self.needed and hmac.compare_digest(self._token, given.encode())

    def cookie(self) -> str:
        """What the cookie holds: nothing from which the token could be had."""
        return hmac.new(self._key, b"session" + self._token, "sha256").hexdigest()

    def shown(self, headers: Headers) -> bool:
        """Whether a request shows it, or there is none to be shown."""
        if not self.needed:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.fits(given.strip()):
            return True
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(
            morsel.value.encode(), self.cookie().encode()
        )


class Guard:
    """The outermost layer of the application.

    Args:
        app: what lies behind it.
        token: that clients show.
        hosts: names under which the service may be addressed; addresses may be used if
            `any_address`.
        any_address: the service listens for others, who may address it by number.
    """

    def __init__(
        self, app: ASGIApp, *, token: Token, hosts: Iterable[str], any_address: bool
    ) -> None:
        self._app = app
        self._token = token
        self._hosts = {host.lower() for host in hosts} | {"localhost"}
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                return
            await self._app(scope, receive, send)
            return

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            # A client that does not read must not hold what it was sent for ever.
            await asyncio.wait_for(send(message), SEND_SECONDS)

        refused = self._refusal(scope)
        if refused is not None:
            await JSONResponse({"error": refused[1]}, refused[0])(scope, receive, guarded_send)
            return
        try:
            body = await _body(receive) if scope["method"] not in ("GET", "HEAD") else b""
        except _TooMuch as problem:
            await JSONResponse({"error": str(problem)}, problem.status)(
                scope, receive, guarded_send
            )
            return
        told = False

        async def guarded_receive() -> Message:
            nonlocal told
            if scope["method"] in ("GET", "HEAD") or told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            await self._app(scope, guarded_receive, guarded_send)
        except TimeoutError:
            return  # the connection is closed behind this

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not self._known(host):
            return 421, "this service is not known under that name; see allowed_hosts"
        guarded = path.startswith("/api/") or path == "/metrics"
        changes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if guarded or changes:
            origin = headers.get("origin")
            if origin is not None and _netloc(origin) != host.lower():
                return 403, "requests of other sites' pages are refused"
            if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return 403, "requests of other sites' pages are refused"
        if changes:
            size = headers.get("content-length", "0")
            if not size.isdecimal() or len(size) > 12 or int(size) > MOST_BODY_BYTES:
                return 413, f"bodies have at most {MOST_BODY_BYTES} bytes"
            has_body = size != "0" or "transfer-encoding" in headers
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if has_body and kind != "application/json":
                return 415, "bodies must be application/json"
        if guarded and path != "/api/v1/session" and not self._token.shown(headers):
            return 401, "show the token: Authorization: Bearer TOKEN"
        return None

    def _known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._any_address


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


class _TooMuch(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(MOST_BODY_SECONDS):
            more: Any = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise _TooMuch(400, "the body is incomplete")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MOST_BODY_BYTES:
                    raise _TooMuch(413, f"bodies have at most {MOST_BODY_BYTES} bytes")
    except TimeoutError:
        raise _TooMuch(408, "the body took too long") from None
    return bytes(body)
