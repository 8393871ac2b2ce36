"""Who holds connections and asks for nothing keeps nobody out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving.helpers import wait_for
from vigilia.serving import server as server_module
from vigilia.serving.config import ServeConfig
from vigilia.serving.server import make_server, open_service

MOST = 8


@pytest.fixture
def port(
    tmp_path: Path, model_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """Of a service that takes eight connections."""
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", MOST)
    config = ServeConfig(tmp_path / "serve.toml", model=str(model_files["fam"]), data=tmp_path)
    listening = socket.create_server(("127.0.0.1", 0))
    with open_service(config) as (_, app):
        server = make_server(app)
        running = threading.Thread(target=lambda: server.run(sockets=[listening]))
        running.start()
        wait_for(lambda: server.started)
        yield listening.getsockname()[1]
        server.should_exit = True
        running.join(30)
        assert not running.is_alive()


def opened(port: int, asking: str = "") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    if asking:
        connection.sendall(f"GET {asking} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def status(connection: socket.socket) -> int:
    return int(connection.recv(65_536).split()[1])


def test_connections_that_ask_for_nothing_make_room_for_those_that_do(port: int) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(opened(port)) for _ in range(3 * MOST)]
        for path in ("/healthz", "/api/v1/streams", "/healthz"):
            with opened(port, path) as connection:
                assert status(connection) == 200
        assert idle[0].recv(1) == b"", "the one that had waited longest is closed"
        idle[-1].sendall(b"GET /api/v1/streams HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status(idle[-1]) == 200, "and the newest is heard"


def test_health_is_told_though_every_connection_is_busy(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(MOST):
            listener = stack.enter_context(opened(port, "/api/v1/events"))
            assert status(listener) in (200, 503)
        with opened(port, "/api/v1/streams") as connection:
            assert status(connection) == 503
        for path in ("/healthz", "/healthz?x=1"):
            with opened(port, path) as connection:
                assert status(connection) == (200 if path == "/healthz" else 503)
        with opened(port) as connection:
            two = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.sendall((two + two.replace("healthz", "api/v1/streams")).encode())
            assert status(connection) == 503, "nothing else rides along"
