"""ThingSpeak's end of its MQTT API, made after its documentation, with the limit that it keeps in silence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.servers import HOST

READY = 5.0  # s


class Thingspeak:
    """Enters updates into a channel and tells subscribers of each; drops what comes within `limit` seconds of the last."""

    def __init__(self, port: int, limit: float, told: Callable[[Mapping[str, str]], None] = lambda _: None) -> None:
        self.port = port
        self.entries: list[dict[str, str]] = []
        self.dropped = 0
        self._limit, self._last, self._told = limit, float("-inf"), told
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "thingspeak")
        self._client.on_message = self._enter
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect(HOST, port)
        self._client.subscribe("channels/+/publish")
        self._client.loop_start()
        assert self._ready.wait(READY)

    def _enter(self, client: Client, _: Any, message: MQTTMessage) -> None:
        assert message.qos == 0
        if time.monotonic() - self._last < self._limit:
            self.dropped += 1
            return
        self._last = time.monotonic()
        channel = message.topic.split("/")[1]
        said = dict(parse_qsl(message.payload.decode(), strict_parsing=True))
        entry = {"channel_id": channel, "entry_id": len(self.entries) + 1, **said}
        self.entries.append(said)
        self._told(said)
        client.publish(f"channels/{channel}/subscribe", json.dumps(entry))

    def stop(self) -> None:
        client = self._client
        client.disconnect()
        client.loop_stop()
        client.on_message = client.on_subscribe = None
        del self._client
