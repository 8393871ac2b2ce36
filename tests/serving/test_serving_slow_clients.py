"""Clients over real sockets: slow, idle, too many (with short limits), or back again."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from vigilia.serving import guard, protocol, server
from vigilia.serving.config import read_config
from vigilia.serving.hub import Hub
from vigilia.serving.server import make_server, open_service

MOST_CONNECTIONS = 12


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, model_files: dict[str, Path]
) -> Iterator[tuple[int, Hub]]:
    """The port of a service without streams, whose patience is short."""
    config = tmp_path_factory.mktemp("service") / "serve.toml"
    config.write_text(f'model = "{model_files["fam"]}"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "HEAD_SECONDS", 0.5)
        patch.setattr(guard, "MOST_BODY_SECONDS", 0.5)
        patch.setattr(guard, "SEND_SECONDS", 1.0)
        patch.setattr(server, "MOST_CONNECTIONS", MOST_CONNECTIONS)
        with open_service(read_config(config)) as (supervisor, app):
            ready = threading.Event()
            serving = make_server(app, on_ready=ready.set)
            listening = socket.create_server(("127.0.0.1", 0))
            port = listening.getsockname()[1]
            thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]})
            thread.start()
            assert ready.wait(60)
            yield port, supervisor.hub
            serving.should_exit = True
            thread.join(30)


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.settimeout(30)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the other side hangs up."""
    data = b""
    while piece := connection.recv(65_536):
        data += piece
    return data


def answered(port: int) -> int:
    """The status of a plain request."""
    with connected(port) as connection:
        connection.sendall(
            b"GET /api/v1/formats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        return int(rest_of(connection).split()[1])


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX: "])
def test_a_head_that_does_not_come_is_not_waited_for(
    service: tuple[int, Hub], beginning: bytes
) -> None:
    port, _ = service
    with connected(port) as connection:
        began = time.monotonic()
        connection.sendall(beginning)
        assert rest_of(connection) == b""
        assert time.monotonic() - began < 10


def test_a_head_that_comes_byte_by_byte_is_no_better(service: tuple[int, Hub]) -> None:
    port, _ = service
    began = time.monotonic()
    with connected(port) as connection, suppress(ConnectionError):
        while time.monotonic() < began + 20:
            connection.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() < began + 10, "it was hung up on"


def test_a_body_that_does_not_come_is_answered_with_408(service: tuple[int, Hub]) -> None:
    port, _ = service
    with connected(port) as connection:
        connection.sendall(
            b"POST /api/v1/streams HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        head, _, body = rest_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert json.loads(body) == {"error": "the body took too long"}


def test_who_does_not_read_is_given_up(service: tuple[int, Hub]) -> None:
    port, hub = service
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.settimeout(30)
        connection.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in connection.recv(15)
        given_up = threading.Event()

        def talk() -> None:
            for number in range(10**6):
                if given_up.wait(0.005):
                    return
                hub.publish("label", {"n": number, "text": "x" * 20_000})

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            time.sleep(4.0)  # it is asked to read much, and does not
            given_up.set()
            talking.join()
            # What the system had taken comes; then the end, in the middle of something.
            try:
                said = rest_of(connection)
            except ConnectionError:
                said = b""
            assert not said.endswith(b"0\r\n\r\n")
        finally:
            given_up.set()
    assert answered(port) == 200


def heard(service: tuple[int, Hub], last: str | None) -> tuple[str, list[str]]:
    """What a page is told that says which event it heard last, up to one that is published now."""
    port, hub = service
    shown = "" if last is None else f"Last-Event-ID: {last}\r\n"
    with connected(port) as connection:
        head = f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{shown}\r\n"
        connection.sendall(head.encode())
        text = b""
        while b"retry" not in text:
            text += connection.recv(65_536)
        hub.publish("label", {"n": "new"})
        while b'"new"' not in text:
            text += connection.recv(65_536)
    return text.decode(), re.findall(r'"n": (\S+?)}', text.decode())


def test_a_page_that_comes_back_hears_what_it_missed_or_that_it_missed_some(
    service: tuple[int, Hub],
) -> None:
    _, hub = service
    text, told = heard(service, None)
    assert told == ['"new"'], "who comes first hears what comes"
    (last,) = re.findall(r"id: (\S+)", text)
    for number in range(3):
        hub.publish("label", {"n": number})
    text, told = heard(service, last)
    assert told == ["0", "1", "2", '"new"']
    assert "event: reset" not in text
    text, told = heard(service, "of-another-service-7")
    assert told == ['"new"']
    assert "event: reset" in text, "it must ask for everything anew"
