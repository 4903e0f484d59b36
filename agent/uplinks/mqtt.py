"""MQTT 5 and 3.1.1 with QoS 1: an envelope is delivered when the PUBACK of the very message that carried it has come.

A retained status topic says {"link":"up"} while the link stands, {"link":"down"} after a goodbye, and {"link":"lost"}, the last
will, when it broke. docs/platform-link.md tells the topics and what becomes of each reason code.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.encode import ENCODINGS
from agent.errors import Unreachable
from agent.records import Envelope, Receipt
from agent.settings import Duration, Size
from agent.uplinks import Refused, mqtt_reasons
from agent.uplinks.dial import connect
from agent.uplinks.endpoint import Scheme, parse, secret, tls_context
from agent.uplinks.mqtt_session import GOODBYE, LoopClient, Session
from agent.uplinks.portions import Outcome, Portions, Verdict, check_batch

log = logging.getLogger(__name__)

SCHEMES = {"mqtt": Scheme(1883, secure=False), "mqtts": Scheme(8883, secure=True)}
PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
ANY_SIZE = 268_435_455  # bytes; the largest packet there is (MQTT 5, 1.5.5)
AROUND = 64  # bytes of a PUBLISH that are neither topic nor payload, at most


@dataclass(frozen=True, slots=True)
class Settings:
    """One broker, and how this gateway speaks to it."""

    url: str
    """mqtt:// or mqtts:// host[:port]"""
    username: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    """Trusted CA certificates in PEM; the system's when not given."""
    certificate: Path | None = None
    key: Path | None = None
    client_id: str = ""
    """The gateway's id when not given."""
    protocol: Literal["5", "3.1.1"] = "5"
    """3.1.1 has no word for refusing a message: what such a broker drops counts as delivered."""
    topic: str = "atm/{gateway}/{lane}"
    status_topic: str = "atm/{gateway}/status"
    """Empty: no status and no last will."""
    encoding: Literal["json", "cbor"] = "json"
    ack_timeout: Duration = 10.0
    """How long the broker may take for one answer before the link counts as broken."""
    keepalive: Duration = 30.0
    batch: int = 100
    """Envelopes in one message, at most."""
    batch_bytes: Size = 64 * 1024
    unheard: Literal["accept", "keep"] = "accept"
    """What to make of a broker that takes a message and has no subscriber for it (reason 0x10, MQTT 5 alone)."""
    insecure: bool = False
    """Allow mqtt:// to another machine. It never loosens what mqtts:// verifies."""

    def __post_init__(self) -> None:
        endpoint = parse(self.url, SCHEMES, insecure=self.insecure)
        if endpoint.path:
            raise ValueError("url: it has a path, which means nothing to MQTT; leave it out")
        if not endpoint.secure and (self.ca or self.certificate or self.key):
            raise ValueError("url: ca, certificate and key are for mqtts://; leave them out, or use mqtts://")
        if self.key and not self.certificate:
            raise ValueError("key: there is no certificate for it; give `certificate` too")
        if self.password_file and not self.username:
            raise ValueError("password_file: there is no user for it; give `username` too")
        levels = self.topic.split("/")
        if "{gateway}" not in levels or "{lane}" not in levels:
            raise ValueError("topic: {gateway} and {lane} must each be a level of it, as in atm/{gateway}/{lane}")
        for key, topic in (("topic", self.topic), ("status_topic", self.status_topic)):
            if "+" in topic or "#" in topic or topic.startswith("$"):
                raise ValueError(f"{key}: wildcards (+ #) and names that begin with $ cannot be published to")
        if not 1 <= self.keepalive <= 65_535:
            raise ValueError("keepalive: expected 1s to 65535s")
        check_batch(self.ack_timeout, self.batch, self.batch_bytes)


def open_uplink(name: str, gateway: str, settings: Settings) -> MqttUplink:
    """The uplink, not connected yet."""
    return MqttUplink(name, gateway, settings)


class MqttUplink:
    """See `agent.uplinks.Uplink`."""

    def __init__(self, name: str, gateway: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._endpoint = parse(settings.url, SCHEMES, insecure=settings.insecure)
        self._client_id = settings.client_id or gateway
        self._topic = settings.topic.replace("{gateway}", gateway)
        self._status_topic = settings.status_topic.replace("{gateway}", gateway)
        self._encoding = ENCODINGS[settings.encoding]
        self._portions = Portions()
        self._learned = ANY_SIZE  # bytes of a packet, from a broker that ended the link for a larger one
        self._largest = ANY_SIZE
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        settings, owner = self._settings, f"uplink {self.name}"
        password = secret(owner, "password_file", settings.password_file) if settings.password_file else None
        tls = tls_context(owner, settings.ca, settings.certificate, settings.key) if self._endpoint.secure else None
        sock = await connect(self._endpoint, tls, settings.ack_timeout)
        client = LoopClient(self._client_id, PROTOCOLS[settings.protocol], sock)
        if settings.username:
            client.username_pw_set(settings.username, password)  # type: ignore[arg-type]  # any bytes (MQTT 5, 3.1.3.6)
        if self._status_topic:
            client.will_set(self._status_topic, b'{"link":"lost"}', qos=1, retain=True)
        session = Session(client, settings.ack_timeout)
        try:
            reason, properties = await session.connect(self._endpoint.host, self._endpoint.port, round(settings.keepalive))
            self._welcome(reason, properties)
            await self._tell(session, "up")
        except BaseException:
            session.close()
            raise
        self._session = session
        return self

    async def __aexit__(self, *exc: object) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            if not session.lost.is_set():
                async with asyncio.timeout(GOODBYE):
                    await self._tell(session, "down")
                    await session.goodbye()
        except (Unreachable, TimeoutError):
            pass  # the broker says {"link":"lost"} for us
        finally:
            session.close()

    async def send(self, batch: Sequence[Envelope]) -> Receipt:
        return await self._portions.deliver(batch, self._post)

    async def lost(self) -> str:
        await self._link.lost.wait()
        return self._link.why

    @property
    def _link(self) -> Session:
        assert self._session is not None, "an uplink is used inside `async with`"
        return self._session

    def _welcome(self, reason: int, properties: Properties | None) -> None:
        """Read a CONNACK (MQTT 5, 3.2.2). Raises Refused or Unreachable."""
        if reason >= mqtt_reasons.FAILURE:
            raise mqtt_reasons.failure(reason, f"{self._endpoint} refuses the connection")
        if getattr(properties, "MaximumQoS", 1) < 1:
            raise mqtt_reasons.failure(0x9B, str(self._endpoint))
        self._largest = min(self._learned, getattr(properties, "MaximumPacketSize", ANY_SIZE))

    async def _tell(self, session: Session, word: str) -> None:
        """Say how the link is. Its PUBACK also proves that the way back is open."""
        if not self._status_topic:
            return
        reason = await session.publish(self._status_topic, f'{{"link":"{word}"}}'.encode(), retain=True)
        if reason >= mqtt_reasons.FAILURE and word == "up":
            log.warning("uplink %s: status: %s", self.name, mqtt_reasons.failure(reason, self._status_topic))

    async def _post(self, portion: Sequence[Envelope]) -> Verdict:
        topic = self._topic.replace("{lane}", portion[0].lane)
        payload = self._encoding.encode(portion)
        size = len(payload) + len(topic.encode()) + AROUND
        if size > self._largest:
            return Verdict(Outcome.TOO_LARGE, f"{size} bytes; the broker takes {self._largest} at most")
        session = self._link
        try:
            reason = await session.publish(topic, payload, properties=self._properties())
        except Unreachable:
            if session.reason == mqtt_reasons.TOO_LARGE:
                self._learned = size - 1
            raise
        return self._judge(reason, topic, size)

    def _properties(self) -> Any:
        """Of a PUBLISH (MQTT 5, 3.3.2.3); none in 3.1.1."""
        if self._settings.protocol != "5":
            return None
        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = self._encoding.media_type
        properties.PayloadFormatIndicator = 1 if self._settings.encoding == "json" else 0  # UTF-8 text, or bytes
        return properties

    def _judge(self, reason: int, topic: str, size: int) -> Verdict:
        """What a PUBACK says of its message. Raises Refused or Unreachable when it is not about the message."""
        if reason == mqtt_reasons.NO_SUBSCRIBERS and self._settings.unheard == "keep":
            raise Refused(f"{topic}: nobody subscribes to it (0x10); subscribe the platform, or set `unheard: accept`")
        if reason < mqtt_reasons.FAILURE:
            return Verdict(Outcome.TAKEN)
        if reason == mqtt_reasons.TOO_LARGE:
            return Verdict(Outcome.TOO_LARGE, f"{size} bytes are too large for the broker (0x95)")
        if reason == mqtt_reasons.FORMAT_INVALID:
            return Verdict(Outcome.REFUSED, "the broker does not take this payload (0x99)")
        raise mqtt_reasons.failure(reason, topic)
