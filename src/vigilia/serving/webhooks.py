"""Webhooks: other programs are told when a state changes, again and again until they have heard.

The body is the label event as JSON. With a secret, `X-Vigilia-Signature` is `sha256=` and the
HMAC-SHA256 of the body. Every call has an `Idempotency-Key`, since a call whose answer was lost is
made again. What waits is bounded, and a service that ends forgets it: the journal is the record.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import logging
import queue
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from vigilia.serving.config import WebhookOptions
from vigilia.serving.hub import Event, Hub

__all__ = ["Webhooks"]

log = logging.getLogger("vigilia.serving")

MOST_WAITING = 1000
MOST_TRIES = 6
_TIMEOUT_SECONDS = 10.0

Post = Callable[[str, bytes, Mapping[str, str]], int]
"""Address, body, headers -> status."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could lead anywhere, with the body."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def post(address: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Posts, and returns the status. A user and password in the address are sent as a header.

    Raises:
        OSError: nobody answered, or not in HTTP.
    """
    address, more = _without_user(address)
    request = urllib.request.Request(address, body, {**headers, **more}, method="POST")
    opener = urllib.request.build_opener(_NoRedirects())
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except http.client.HTTPException as error:
        raise OSError(f"the answer is no HTTP ({type(error).__name__})") from error


def _without_user(address: str) -> tuple[str, dict[str, str]]:
    """An address without user and password, and the header that says them."""
    pieces = urlsplit(address)
    user, at, host = pieces.netloc.rpartition("@")
    if not at:
        return address, {}
    shown = base64.b64encode(unquote(user).encode()).decode()
    return pieces._replace(netloc=host).geturl(), {"Authorization": f"Basic {shown}"}


class Webhooks:
    """A thread for each webhook, so that one that does not answer holds up no other.

    Args:
        webhooks: whom to tell.
        hub: where the changes come from.
        post: does the posting.
        first_seconds: before the second try; doubled each time.

    Attributes:
        counts: calls by outcome: delivered, retried, refused, dropped.
    """

    def __init__(
        self,
        webhooks: Sequence[WebhookOptions],
        hub: Hub,
        *,
        post: Post = post,
        first_seconds: float = 1.0,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._post = post
        self._first_seconds = first_seconds
        self._ended = threading.Event()
        self._queues: list[tuple[WebhookOptions, queue.Queue[tuple[str, bytes] | None]]] = []
        self._era = hub.era
        for one in webhooks:
            waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue(MOST_WAITING)
            self._queues.append((one, waiting))
            threading.Thread(
                target=self._run, args=(one, waiting), name="vigilia-webhook", daemon=True
            ).start()
        if webhooks:
            hub.add_sink(self._take)

    def close(self) -> None:
        """Ends the threads; what waits is not sent."""
        self._ended.set()
        for _, waiting in self._queues:
            try:
                waiting.put_nowait(None)
            except queue.Full:
                continue  # it looks whether this has ended after every call

    def _take(self, event: Event) -> None:
        if event.kind != "label" or not event.data["changed"]:
            return
        body = json.dumps(event.data).encode()
        for one, waiting in self._queues:
            if one.streams and event.data["stream"] not in one.streams:
                continue
            try:
                waiting.put_nowait((f"{self._era}-{event.number}", body))
            except queue.Full:
                self.counts["dropped"] += 1

    def _run(self, one: WebhookOptions, waiting: queue.Queue[tuple[str, bytes] | None]) -> None:
        host = urlsplit(one.url).hostname
        while not self._ended.is_set():
            item = waiting.get()
            if item is None:
                return
            if not self._delivered(one, *item):
                log.warning("a webhook was not delivered", extra={"why": str(host)})

    def _delivered(self, one: WebhookOptions, key: str, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if one.secret:
            digest = hmac.new(one.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Vigilia-Signature"] = f"sha256={digest}"
        for number in range(MOST_TRIES):
            try:
                status = self._post(one.url, body, headers)
            except (OSError, ValueError):
                status = 0
            if 200 <= status < 300:
                self.counts["delivered"] += 1
                return True
            if 300 <= status < 500 and status not in (408, 425, 429):
                self.counts["refused"] += 1
                return False  # asking again would change nothing
            self.counts["retried"] += 1
            if self._ended.wait(self._first_seconds * 2**number):
                return False
        self.counts["dropped"] += 1
        return False
