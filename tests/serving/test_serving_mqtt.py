"""MQTT as a broker sees it: what is said, what is kept, and what is said when the service vanishes.

The broker is a few lines: enough of MQTT 3.1.1 for a client that publishes without acknowledgement.
"""

from __future__ import annotations

import json
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.helpers import Service, file_options, wait_for
from vigilia.errors import MissingExtraError
from vigilia.serving.config import MqttOptions, read_config
from vigilia.serving.hub import Event, Hub
from vigilia.serving.mqtt import Mqtt

REFUSED = 5  # not authorised


class Broker:
    """Keeps what it is told; hangs up on who has another password than it wants."""

    def __init__(self) -> None:
        self.password: str | None = None
        self.retained: dict[str, str] = {}
        self.heard: list[tuple[str, str, bool]] = []
        self.connections: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        """Every connection breaks, as when the service's machine loses power."""
        for one in self.connections:
            one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        will: tuple[str, str] | None = None
        file = connection.makefile("rb")
        try:
            while first := file.read(1):
                body = file.read(_length(file))
                kind = first[0] >> 4
                if kind == 1:  # CONNECT
                    will, password = _connect(body)
                    refused = self.password is not None and password != self.password
                    connection.sendall(bytes([0x20, 2, 0, REFUSED if refused else 0]))
                    if refused:
                        will = None
                        break
                elif kind == 3:  # PUBLISH
                    topic, rest = _text(body)
                    self._take(topic, rest.decode(), bool(first[0] & 1))
                elif kind == 12:  # PINGREQ
                    connection.sendall(b"\xd0\0")
                elif kind == 14:  # DISCONNECT: nothing has gone wrong
                    will = None
                    break
        except OSError:
            pass
        finally:
            connection.close()
            if will is not None:
                self._take(*will, True)

    def _take(self, topic: str, payload: str, retain: bool) -> None:
        self.heard.append((topic, payload, retain))
        if retain and payload:
            self.retained[topic] = payload
        elif retain:
            self.retained.pop(topic, None)


def _length(file: Any) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)[0]
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


def _text(data: bytes) -> tuple[str, bytes]:
    (size,) = struct.unpack(">H", data[:2])
    return data[2 : 2 + size].decode(), data[2 + size :]


def _connect(body: bytes) -> tuple[tuple[str, str] | None, str]:
    _, rest = _text(body)
    flags, rest = rest[1], rest[4:]
    _, rest = _text(rest)  # who it is
    will, password = None, ""
    if flags & 4:
        topic, rest = _text(rest)
        payload, rest = _text(rest)
        will = topic, payload
    if flags & 128:
        _, rest = _text(rest)
    if flags & 64:
        password, rest = _text(rest)
    return will, password


@pytest.fixture
def broker() -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt.client", reason="the extra `mqtt` is not installed")
    made = Broker()
    yield made
    made.close()


Serve = Callable[..., Service]


def test_a_broker_knows_every_state_and_home_assistant_finds_the_streams(
    serve: Serve, tmp_path: Path, recording: Path, broker: Broker
) -> None:
    hub = Hub()
    told: list[Event] = []
    hub.add_sink(told.append)
    service = serve(tmp_path, hub=hub)
    options = MqttOptions("127.0.0.1", broker.port, prefix="barn/vigilia")
    mqtt = Mqtt(options, hub, lambda: service.supervisor.streams)
    wait_for(lambda: broker.retained.get("barn/vigilia/available") == "online")
    service.supervisor.add(file_options(recording, "pen.1"))
    wait_for(lambda: broker.retained.get("barn/vigilia/pen.1/status") == "ended")
    state = json.loads(broker.retained["barn/vigilia/pen.1/state"])
    cursor = service.journal.cursor("pen.1")
    assert cursor is not None
    assert state["label"] == cursor.now.label
    assert state["position_seconds"] == cursor.until_seconds
    about = json.loads(broker.retained["homeassistant/sensor/barn_vigilia_pen_1/config"])
    assert about["state_topic"] == "barn/vigilia/pen.1/state"
    assert about["availability_topic"] == "barn/vigilia/available"
    assert about["unique_id"] == "barn_vigilia_pen_1"
    changes = [json.loads(text) for topic, text, _ in broker.heard if topic.endswith("/events")]
    assert changes == [event.data for event in told if event.data.get("changed")]
    assert len(changes) > 3
    assert not any(retain for topic, _, retain in broker.heard if topic.endswith("/events"))

    service.supervisor.remove("pen.1")
    wait_for(lambda: set(broker.retained) == {"barn/vigilia/available"})
    mqtt.close()
    wait_for(lambda: broker.retained["barn/vigilia/available"] == "offline")


def test_a_broker_says_that_the_service_has_vanished_and_is_told_again_when_it_is_back(
    serve: Serve, tmp_path: Path, recording: Path, broker: Broker
) -> None:
    hub = Hub()
    service = serve(tmp_path, hub=hub)
    service.supervisor.add(file_options(recording))
    mqtt = Mqtt(MqttOptions("127.0.0.1", broker.port), hub, lambda: service.supervisor.streams)
    wait_for(lambda: mqtt.connected)
    wait_for(lambda: "homeassistant/sensor/vigilia_pen/config" in broker.retained)
    broker.retained.clear()
    broker.hang_up()
    wait_for(lambda: ("vigilia/available", "offline", True) in broker.heard)
    wait_for(lambda: broker.retained.get("vigilia/available") == "online")
    wait_for(lambda: "homeassistant/sensor/vigilia_pen/config" in broker.retained)
    mqtt.close()


def test_a_wrong_password_is_said_and_nothing_is_held_up(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.password = "another one"
    hub = Hub()
    with caplog.at_level(logging.WARNING, "vigilia.serving"):
        mqtt = Mqtt(MqttOptions("127.0.0.1", broker.port, "eve", "s3cret"), hub, list, client=None)
        wait_for(lambda: "the MQTT broker refuses us" in caplog.text)
        for _ in range(2000):
            hub.publish("status", {"stream": "pen", "status": "running"})
    assert not mqtt.connected
    assert "s3cret" not in caplog.text
    mqtt.close()


def test_what_is_published_without_paho() -> None:
    class Client:
        def __init__(self) -> None:
            self.said: list[tuple[str, str]] = []

        def publish(self, topic: str, payload: str, **_: Any) -> None:
            self.said.append((topic, payload))

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    client = Client()
    hub = Hub()
    Mqtt(MqttOptions("broker", discovery=False), hub, list, client=client)
    event = {
        "stream": "pen",
        "label": None,
        "confidence": None,
        "since_seconds": 2.0,
        "start_seconds": 0.0,
        "position_seconds": 2.0,
        "lag_seconds": 0.1,
        "changed": False,
    }
    hub.publish("label", event)
    ((topic, payload),) = client.said
    assert topic == "vigilia/pen/state"
    assert json.loads(payload)["label"] is None


def test_tls_has_its_own_port_and_a_missing_client_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "serve.toml").write_text("[mqtt]\nhost = 'broker'\ntls = true\n")
    options = read_config(tmp_path / "serve.toml").mqtt
    assert options is not None
    assert (options.port, options.tls) == (8883, True)
    monkeypatch.setitem(__import__("sys").modules, "paho.mqtt", None)
    with pytest.raises(MissingExtraError, match=r"\[mqtt\]"):
        Mqtt(options, Hub(), list)
