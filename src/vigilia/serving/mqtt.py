"""MQTT, where paho-mqtt is installed: every stream's state as a retained message.

PREFIX/NAME/state         {"label": ..., "confidence": ..., "since_seconds": ...}, retained
PREFIX/NAME/status        running, reconnecting, ..., retained
PREFIX/available          online or offline, retained; the broker says offline if we vanish
homeassistant/sensor/...  what Home Assistant needs to find the streams by itself
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from vigilia.errors import MissingExtraError
from vigilia.serving.config import MqttOptions
from vigilia.serving.hub import Event, Hub
from vigilia.serving.watched import Watched

__all__ = ["Mqtt"]


class Mqtt:
    """Publishes what the hub tells; the client keeps its own connection up.

    Args:
        options: of the broker.
        hub: where events come from.
        streams: those there are, for discovery.
        client: in place of paho's own.

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
        self._client = _paho(options) if client is None else client
        self._client.will_set(self._topic("available"), "offline", retain=True)
        self._client.on_connect = self._connected
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

    def _connected(self, *_: Any) -> None:
        self._publish("available", "online")
        for watched in self._streams():
            self._discover(watched.name)
            self._publish(f"{watched.name}/status", watched.status)

    def _take(self, event: Event) -> None:
        name = event.data.get("stream", "")
        if event.kind == "label":
            self._discover(name)
            kept = ("label", "confidence", "since_seconds", "position_seconds")
            self._publish(f"{name}/state", json.dumps({key: event.data[key] for key in kept}))
        elif event.kind == "status":
            self._publish(f"{name}/status", event.data["status"])

    def _discover(self, name: str) -> None:
        """Home Assistant's discovery message, once a stream."""
        if not self._options.discovery or name in self._found:
            return
        self._found.add(name)
        number = re.sub(r"[^A-Za-z0-9_-]", "_", f"{self._options.prefix}_{name}")
        about = {
            "name": name,
            "unique_id": number,
            "state_topic": self._topic(f"{name}/state"),
            "value_template": "{{ value_json.label or 'unobserved' }}",
            "json_attributes_topic": self._topic(f"{name}/state"),
            "availability_topic": self._topic("available"),
        }
        topic = f"homeassistant/sensor/{number}/config"
        self._client.publish(topic, json.dumps(about), qos=0, retain=True)

    def _topic(self, rest: str) -> str:
        return f"{self._options.prefix}/{rest}"

    def _publish(self, rest: str, payload: str) -> None:
        self._client.publish(self._topic(rest), payload, qos=0, retain=True)


def _paho(options: MqttOptions) -> Any:
    try:
        from paho.mqtt import client as paho  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("mqtt needs paho-mqtt: pip install paho-mqtt") from error
    made = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if options.username:
        made.username_pw_set(options.username, options.password or None)
    return made
