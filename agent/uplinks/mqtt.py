"""MQTT 5 and 3.1.1 with QoS 1: an envelope is delivered when the PUBACK of the very message that carried it has come.

Over TCP, TLS and WebSocket. A retained status topic says {"link":"up"} while the link stands, {"link":"down"} after a goodbye,
and {"link":"lost"}, the last will, when it broke. docs/platform-link.md tells the topics and what becomes of each reason code.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.encode import Encoding, EncodingName, write
from agent.errors import Unreachable
from agent.records import Envelope, Receipt
from agent.settings import Duration, Size
from agent.uplinks import Refused, mqtt_reasons
from agent.uplinks.mqtt_access import AROUND, Access, Largest, Will, judged, opened
from agent.uplinks.mqtt_session import GOODBYE, Session, Welcome
from agent.uplinks.portions import Outcome, Portions, Verdict, at_leisure, check_batch
from agent.uplinks.topics import Topics, check_template

log = logging.getLogger(__name__)

LONGEST_SESSION = 30 * 86_400  # s
MAX_PROPERTIES = 2048  # bytes of names and values; they are paid for with each message


@dataclass(frozen=True, slots=True)
class Settings(Access):
    """One broker, and how this gateway speaks to it."""

    tenant: str = ""
    """For {tenant} in the topics."""
    topic: str = "atm/{gateway}/{lane}"
    """Also {tenant}, {machine} and {kind} (alarm, loss, reading, summary)."""
    status_topic: str = "atm/{gateway}/status"
    """Empty: no status and no last will."""
    request_topic: str = ""
    """Where the platform asks for something; empty: it is not listened to."""
    encoding: EncodingName = "json"
    compress: bool = False
    """Deflate what gets a tenth shorter by it; the content type says so."""
    session_expiry: Duration = 0.0
    """How long the broker keeps requests for a gateway that is away. 0: not at all."""
    message_expiry: Duration = 0.0
    """After so long the broker may drop what no subscriber has fetched (MQTT 5 alone). 0: never."""
    user_properties: Mapping[str, str] = field(default_factory=dict)
    """Of every message (MQTT 5 alone)."""
    batch: int = 100
    """Envelopes in one message, at most."""
    batch_bytes: Size = 64 * 1024
    window: int = 16
    """Messages on their way at once, at most; the broker's Receive Maximum if that is less."""
    unheard: Literal["accept", "keep"] = "accept"
    """What to make of a broker that takes a message and has no subscriber for it (reason 0x10, MQTT 5 alone)."""

    def __post_init__(self) -> None:
        self.check_access()
        check_template("topic", self.topic, self.tenant, names_envelopes=True)
        for key, topic in (("status_topic", self.status_topic), ("request_topic", self.request_topic)):
            check_template(key, topic, self.tenant, names_envelopes=False)
        self._check_version_5()
        check_batch(self.ack_timeout, self.batch, self.batch_bytes, self.window)

    def _check_version_5(self) -> None:
        if self.protocol != "5" and (self.message_expiry or self.user_properties):
            raise ValueError("protocol: message_expiry and user_properties are of MQTT 5; leave them out, or use it")
        for key, value in (("session_expiry", self.session_expiry), ("message_expiry", self.message_expiry)):
            if not 0 <= value <= LONGEST_SESSION:
                raise ValueError(f"{key}: expected 0s to 30d")
        if sum(len(name.encode()) + len(value.encode()) for name, value in self.user_properties.items()) > MAX_PROPERTIES:
            raise ValueError(f"user_properties: longer than {MAX_PROPERTIES} bytes, and they go with every message")


def open_uplink(name: str, gateway: str, settings: Settings) -> MqttUplink:
    """The uplink, not connected yet."""
    return MqttUplink(name, gateway, settings)


class Packed(Properties):
    """Properties that are the same for every message, packed once: paho would do it for each."""

    def __init__(self, properties: Any) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.__dict__["packed"] = properties.pack()

    def pack(self) -> bytes:
        packed: bytes = self.__dict__["packed"]
        return packed


class MqttUplink:
    """See `agent.uplinks.Uplink`. `on_request` is given what comes on the request topic, on the event loop."""

    def __init__(self, name: str, gateway: str, settings: Settings) -> None:
        self.name = name
        self.on_request: Callable[[bytes], None] | None = None
        self._settings = settings
        self._client_id = settings.client_id or gateway
        self._topics = Topics(settings.topic, gateway, settings.tenant)
        self._status_topic = Topics(settings.status_topic, gateway, settings.tenant).template
        self._request_topic = Topics(settings.request_topic, gateway, settings.tenant).template
        self._portions = Portions(settings.batch, settings.batch_bytes, self._topics.leading)
        self._welcome = Welcome(0)
        self._largest = Largest()
        self._packed: dict[str, Packed] = {}  # by media type
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        will = Will(self._status_topic, b'{"link":"lost"}', retain=True) if self._status_topic else None
        expiry = round(self._settings.session_expiry)
        session, self._welcome = await opened(f"uplink {self.name}", self._settings, self._client_id, will, expiry=expiry)
        self._largest.heed(self._welcome)
        try:
            await self._listen(session)
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

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool] = at_leisure) -> Receipt:
        window = min(self._settings.window, self._welcome.receive_maximum)
        return await self._portions.deliver(batch, self._post, self._largest.window(window), urgent)

    async def lost(self) -> str:
        await self._link.lost.wait()
        return self._link.why

    @property
    def _link(self) -> Session:
        assert self._session is not None, "an uplink is used inside `async with`"
        return self._session

    async def _listen(self, session: Session) -> None:
        """Let the platform ask for something. Raises Unreachable."""
        on_request = self.on_request
        if not self._request_topic or on_request is None:
            return
        session.on_message = lambda _topic, payload: on_request(payload)
        reason = await session.subscribe(self._request_topic)
        if reason >= mqtt_reasons.FAILURE:
            log.warning("uplink %s: requests: %s", self.name, mqtt_reasons.failure(reason, self._request_topic))

    async def _tell(self, session: Session, word: str) -> None:
        """Say how the link is. Its PUBACK also proves that the way back is open."""
        if not self._status_topic:
            return
        payload, retain = f'{{"link":"{word}"}}'.encode(), self._welcome.retains
        reason: int = await session.publish(self._status_topic, payload, int, retain=retain)
        if reason >= mqtt_reasons.FAILURE and word == "up":
            log.warning("uplink %s: status: %s", self.name, mqtt_reasons.failure(reason, self._status_topic))

    def _post(self, portion: Sequence[Envelope]) -> asyncio.Future[Verdict]:
        topic = self._topics.of(portion[0])
        payload, encoding = write(self._settings.encoding, portion, compress=self._settings.compress)
        if self._portions.too_long(portion, len(payload)):
            return _said(Verdict(Outcome.TOO_LONG))
        properties = self._properties(encoding)
        size = len(payload) + len(topic.encode()) + AROUND + (len(properties.pack()) if properties is not None else 0)
        if size > self._largest.bytes:
            return _said(Verdict(Outcome.TOO_LARGE, f"{size} bytes; the broker takes {self._largest.bytes} at most"))
        session = self._link
        sent = session.publish(topic, payload, lambda reason: self._judge(reason, topic, size), properties=properties)
        self._largest.watch(session, size, sent)
        return sent

    def _properties(self, encoding: Encoding) -> Packed | None:
        """Of a PUBLISH (MQTT 5, 3.3.2.3); none in 3.1.1."""
        if self._settings.protocol != "5":
            return None
        if encoding.media_type not in self._packed:
            properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = encoding.media_type
            properties.PayloadFormatIndicator = int(encoding.is_text)  # UTF-8 text, or bytes
            if self._settings.message_expiry:
                properties.MessageExpiryInterval = round(self._settings.message_expiry)
            if self._settings.user_properties:
                properties.UserProperty = list(self._settings.user_properties.items())
            self._packed[encoding.media_type] = Packed(properties)
        return self._packed[encoding.media_type]

    def _judge(self, reason: int, topic: str, size: int) -> Verdict:
        """What a PUBACK says of its message. Raises Refused or Unreachable when it is not about the message."""
        if reason == mqtt_reasons.NO_SUBSCRIBERS and self._settings.unheard == "keep":
            raise Refused(f"{topic}: nobody subscribes to it (0x10); subscribe the platform, or set `unheard: accept`")
        return judged(reason, topic, size)


def _said(verdict: Verdict) -> asyncio.Future[Verdict]:
    said: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    said.set_result(verdict)
    return said
