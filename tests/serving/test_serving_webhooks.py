"""Webhooks over a real socket: answers that are none, redirects, silence, passwords."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator

import pytest

from serving.helpers import wait_for
from vigilia.serving import webhooks
from vigilia.serving.config import WebhookOptions
from vigilia.serving.hub import Hub
from vigilia.serving.webhooks import Webhooks

OK = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


class Listener:
    """Answers each request with the next of `answers`, None with silence; OK behind the last."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.requests: list[bytes] = []
        self._silent: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._socket.close()
        for one in self._silent:
            one.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            request = b""
            while b"changed" not in request:  # the last key of the body
                request += connection.recv(65_536)
            self.requests.append(request)
            answer = self.answers.pop(0) if self.answers else OK
            if answer is None:
                self._silent.append(connection)
                continue
            with connection:
                connection.sendall(answer)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def told(listener: Listener, *, user: str = "") -> Webhooks:
    """Webhooks that were told of one change."""
    hub = Hub()
    url = f"http://{user}127.0.0.1:{listener.port}/hook?key=1"
    hooks = Webhooks([WebhookOptions(url)], hub, first_seconds=0.001)
    hub.publish("label", {"stream": "pen", "label": "rest", "changed": True})
    return hooks


def test_an_answer_that_is_no_http_is_tried_again(listener: Listener) -> None:
    listener.answers = [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 2000 x\r\n\r\n"]
    hooks = told(listener)
    wait_for(lambda: hooks.counts["delivered"] == 1)
    assert hooks.counts["retried"] == 3
    hooks.close()


def test_a_redirect_is_refused_and_not_followed(listener: Listener) -> None:
    elsewhere = Listener()
    to = f"http://127.0.0.1:{elsewhere.port}/".encode()
    listener.answers = [b"HTTP/1.1 307 x\r\nLocation: " + to + b"\r\nContent-Length: 0\r\n\r\n"]
    hooks = told(listener)
    wait_for(lambda: hooks.counts["refused"] == 1)
    assert elsewhere.requests == []
    assert len(listener.requests) == 1, "asking again would change nothing"
    elsewhere.close()
    hooks.close()


def test_who_does_not_answer_is_asked_again(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_TIMEOUT_SECONDS", 0.3)
    listener.answers = [None]
    hooks = told(listener)
    wait_for(lambda: hooks.counts["delivered"] == 1)
    assert hooks.counts["retried"] == 1
    keys = [
        line for one in listener.requests for line in one.split(b"\r\n") if b"dempotency" in line
    ]
    assert len(keys) == 2
    assert len(set(keys)) == 1, "the same call, for who has heard it already"
    hooks.close()


def test_a_password_in_the_address_is_sent_as_a_header(listener: Listener) -> None:
    hooks = told(listener, user="eve:s%3Acret@")
    wait_for(lambda: hooks.counts["delivered"] == 1)
    (request,) = listener.requests
    shown = base64.b64encode(b"eve:s:cret")
    assert b"Authorization: Basic " + shown in request
    assert request.startswith(b"POST /hook?key=1 HTTP/1.1")
    assert b"eve" not in request.replace(shown, b"")
    hooks.close()
