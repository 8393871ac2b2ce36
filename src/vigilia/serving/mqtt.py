"""MQTT, where paho-mqtt is installed: every stream's state as a retained message.

PREFIX/NAME/state         {"label": ..., "confidence": ..., "since_seconds": ...}, retained
PREFIX/NAME/status        running, reconnecting, ..., retained
PREFIX/events             the label event at every change of state, as Frigate's, not retained
PREFIX/available          online or offline, retained; the broker says offline if we vanish
homeassistant/sensor/...  what Home Assistant needs to find the streams by itself
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import vigilia
from vigilia.errors import MissingExtraError
from vigilia.installation import install_command
from vigilia.serving.config import MqttOptions
from vigilia.serving.hub import Event, Hub
from vigilia.serving.watched import Watched

__all__ = ["Mqtt"]

log = logging.getLogger("vigilia.serving")

_STATE = ("label", "confidence", "since_seconds", "position_seconds", "lag_seconds")


class Mqtt:
    """Publishes what the hub tells; the client keeps its own connection up.

    Args:
        options: of the broker.
        hub: where events come from.
        streams: those there are, for discovery.
        client: in place of paho's own.

    Attributes:
        connected: to the broker, now.

    Raises:
        MissingExtraError: paho-mqtt is not installed.
    """

    def __init__(
        self,
        options: MqttOptions,
        hub: Hub,
        streams: Callable[[], Sequence[Watched]],
        *,
        client: Any = None,
    ) -> None:
        self._options = options
        self._streams = streams
        self._found: set[str] = set()
        self.connected = False
        self._client = _paho(options) if client is None else client
        self._client.will_set(self._topic("available"), "offline", retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        # Bounded, and never waits: a broker that is away must not hold up the streams.
        self._client.max_queued_messages_set(1000)
        self._client.connect_async(options.host, options.port)
        self._client.loop_start()
        hub.add_sink(self._take)

    def close(self) -> None:
        """Says good-bye."""
        self._publish("available", "offline")
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any = None) -> None:
        if getattr(reason, "is_failure", False):
            log.warning("the MQTT broker refuses us", extra={"why": str(reason)})
            return
        self.connected = True
        self._publish("available", "online")
        self._found.clear()  # the broker may have forgotten what it was told
        for watched in self._streams():
            self._discover(watched.name)
            self._publish(f"{watched.name}/status", watched.status)

    def _on_disconnect(self, *arguments: Any) -> None:
        if self.connected:
            log.warning("the MQTT broker is away", extra={"why": str(arguments[3:4])})
        self.connected = False

    def _take(self, event: Event) -> None:
        name = event.data.get("stream", "")
        if event.kind == "label":
            self._discover(name)
            self._publish(f"{name}/state", json.dumps({key: event.data[key] for key in _STATE}))
            if event.data["changed"]:
                self._publish("events", json.dumps(event.data), retain=False)
        elif event.kind == "status" and event.data["status"] == "removed":
            self._forget(name)
        elif event.kind == "status":
            self._publish(f"{name}/status", event.data["status"])

    def _discover(self, name: str) -> None:
        """Home Assistant's discovery message, once a stream and connection."""
        if not self._options.discovery or name in self._found:
            return
        self._found.add(name)
        about = {
            "name": name,
            "unique_id": self._identity(name),
            "state_topic": self._topic(f"{name}/state"),
            "value_template": "{{ value_json.label or 'unobserved' }}",
            "json_attributes_topic": self._topic(f"{name}/state"),
            "availability_topic": self._topic("available"),
            "icon": "mdi:cctv",
            "device": {
                "identifiers": [f"vigilia_{self._options.prefix}"],
                "name": "Vigilia",
                "manufacturer": "Vigilia",
                "sw_version": vigilia.__version__,
            },
            "origin": {"name": "Vigilia", "sw": vigilia.__version__},
        }
        self._client.publish(self._discovery(name), json.dumps(about), qos=0, retain=True)

    def _forget(self, name: str) -> None:
        """A stream was removed: an empty message ends what is retained."""
        self._found.discard(name)
        for topic in ("state", "status"):
            self._publish(f"{name}/{topic}", "")
        if self._options.discovery:
            self._client.publish(self._discovery(name), "", qos=0, retain=True)

    def _identity(self, name: str) -> str:
        return re.sub(r"[^A-Za-z0-9_-]", "_", f"{self._options.prefix}_{name}")

    def _discovery(self, name: str) -> str:
        return f"homeassistant/sensor/{self._identity(name)}/config"

    def _topic(self, rest: str) -> str:
        return f"{self._options.prefix}/{rest}"

    def _publish(self, rest: str, payload: str, *, retain: bool = True) -> None:
        self._client.publish(self._topic(rest), payload, qos=0, retain=retain)


def _paho(options: MqttOptions) -> Any:
    try:
        from paho.mqtt import client as paho
    except ImportError as error:
        raise MissingExtraError(f"mqtt needs paho-mqtt: {install_command('mqtt')}") from error
    made = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if options.tls:
        made.tls_set()  # the system's certificates; the host's name is checked
    if options.username:
        made.username_pw_set(options.username, options.password or None)
    return made
