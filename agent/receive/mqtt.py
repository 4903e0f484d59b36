"""An MQTT subscriber that takes batches: a PUBACK goes out once what it is for is written down.

Its session is its own and outlives it: what comes while it is away waits at the broker.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.encode import BY_MEDIA_TYPE, MAX_BYTES, Encoding, Undecodable, sniffed
from agent.receive.intake import Intake
from agent.receive.place import topic_filter

SESSION = 7 * 86_400  # s that the broker keeps what waits for us
AROUND = 64 * 1024  # bytes of a packet beside its payload, at most
FAILURE = 0x80
KEEPALIVE = 30  # s


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to subscribe, and as whom."""

    host: str
    port: int
    client_id: str
    topic: str
    tls: ssl.SSLContext | None = None
    username: str = ""
    password: bytes | None = None
    share: str = ""
    """The group of receivers that share what comes (MQTT 5, 4.8.2); empty: this one takes everything."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def filter(self) -> str:
        """What is subscribed to."""
        topic = topic_filter(self.topic)
        return f"$share/{self.share}/{topic}" if self.share else topic


class Subscriber:
    """paho with its own thread; the intake belongs to that thread between `start` and `stop`."""

    def __init__(
        self, intake: Intake, broker: Broker, say: Callable[[str], None], *, ready: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        """`ready` is called when it has subscribed, `ended` when it has given up by itself: `error` says why."""
        self._intake = intake
        self._broker = broker
        self._say = say
        self._ready = ready
        self._ended = ended
        self.error = ""
        self._client = Client(CallbackAPIVersion.VERSION2, broker.client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)  # type: ignore[arg-type]  # any bytes
        if broker.tls is not None:
            self._client.tls_set_context(broker.tls)

    def start(self) -> None:
        """Connect. Raises OSError when the broker cannot be reached."""
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION
        properties.MaximumPacketSize = MAX_BYTES + AROUND
        broker = self._broker
        self._client.connect(broker.host, broker.port, KEEPALIVE, clean_start=False, properties=properties)
        self._client.loop_start()

    def stop(self) -> None:
        """Leave, once and last. The thread has ended on return."""
        client = self._client
        client.disconnect()
        client.loop_stop()
        client.on_connect = client.on_disconnect = client.on_subscribe = client.on_message = None
        del self._client  # paho closes the two sockets that wake its thread when nothing refers to the client any more

    def _end(self, why: str) -> None:
        self.error = why
        self._client.disconnect()
        self._ended()

    def _on_connect(self, client: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        if reason.value >= FAILURE:
            self._end(f"{self._broker} refuses the connection: {reason}; check user, password and client id")
        else:
            client.subscribe(self._broker.filter, qos=1)

    def _on_subscribe(self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.value >= FAILURE]
        if refused:
            self._end(f"{self._broker} refuses the subscription to {self._broker.topic}: {refused[0]}; check its access list")
        else:
            self._ready()

    def _on_disconnect(self, _c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        if reason.value >= FAILURE and not self.error:
            self._say(f"broker {self._broker} lost: {reason}; trying again")

    def _on_message(self, client: Client, _u: Any, message: MQTTMessage) -> None:
        try:
            self._take(message)
        except OSError as error:
            self._end(f"cannot write down what came: {error}; it stays at the broker")
        except Exception:
            self._end("this receiver broke down over a message; it stays at the broker")
            raise
        else:
            client.ack(message.mid, message.qos)

    def _take(self, message: MQTTMessage) -> None:
        try:
            place = message.topic.split("/")
        except UnicodeDecodeError:
            self._say("refused a message: its topic is not UTF-8")
            return
        with contextlib.suppress(Undecodable):  # counted and said; not acknowledged it would come again for ever
            self._intake.take(_encoding(message), bytes(message.payload), place)


def _encoding(message: MQTTMessage) -> Encoding:
    """By its content type, or by its first bytes where there is none: MQTT 3.1.1 has no word for it."""
    named = BY_MEDIA_TYPE.get(getattr(message.properties, "ContentType", ""))
    return named or sniffed(bytes(message.payload))
