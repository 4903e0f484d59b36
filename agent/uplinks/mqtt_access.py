"""What every uplink over MQTT needs before it can say anything: a broker, who asks, what to make of its answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from paho.mqtt.enums import MQTTProtocolVersion

from agent.settings import Duration
from agent.uplinks import Refused, mqtt_reasons
from agent.uplinks.dial import connect, upgrade
from agent.uplinks.endpoint import Endpoint, Scheme, parse, secret, tls_context
from agent.uplinks.mqtt_session import ANY_SIZE, LoopClient, Session, Sock, Welcome
from agent.uplinks.portions import Outcome, Verdict

SCHEMES = {
    "mqtt": Scheme(1883, secure=False),
    "mqtts": Scheme(8883, secure=True),
    "ws": Scheme(80, secure=False),
    "wss": Scheme(443, secure=True),
}
LEAST_PACKET = 1024  # bytes that a broker must take; with fewer it would condemn every record, and none of them is to blame
PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
AROUND = 64  # bytes of a PUBLISH that are neither topic, payload nor properties, at most


@dataclass(frozen=True, slots=True)
class Access:
    """One broker, and as whom this gateway speaks to it: the settings that all uplinks over MQTT have."""

    url: str
    """mqtt:// or mqtts:// host[:port], ws:// or wss:// host[:port]/path"""
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
    ack_timeout: Duration = 10.0
    """How long the broker may take for one answer before the link counts as broken."""
    keepalive: Duration = 30.0
    insecure: bool = False
    """Allow mqtt:// or ws:// to another machine. It never loosens what mqtts:// and wss:// verify."""

    def check_access(self) -> Endpoint:
        """Where the broker is. Raises ValueError("key: what is wrong, what would be right")."""
        endpoint = parse(self.url, SCHEMES, insecure=self.insecure)
        if endpoint.path and not self.is_websocket:
            raise ValueError("url: it has a path, which means nothing to MQTT; leave it out, or use ws:// or wss://")
        if not endpoint.secure and (self.ca or self.certificate or self.key):
            raise ValueError("url: ca, certificate and key are for mqtts:// and wss://; leave them out, or use one of these")
        if self.key and not self.certificate:
            raise ValueError("key: there is no certificate for it; give `certificate` too")
        if self.password_file and not self.username:
            raise ValueError("password_file: there is no user for it; give `username` too")
        if not 1 <= self.keepalive <= 65_535:
            raise ValueError("keepalive: expected 1s to 65535s")
        return endpoint

    @property
    def is_websocket(self) -> bool:
        """Whether MQTT travels in a WebSocket."""
        return self.url.startswith("ws")


class Will(NamedTuple):
    """What the broker says for us when the link breaks, with QoS 1."""

    topic: str
    payload: bytes
    retain: bool


async def opened(
    owner: str, access: Access, client_id: str, will: Will | None = None, *, expiry: int = 0
) -> tuple[Session, Welcome]:
    """A session that the broker has welcomed, the caller's to close. `expiry`: seconds that the broker keeps it afterwards.

    Raises Unreachable, Refused, or ConfigError for a file that is missing.
    """
    password = secret(owner, "password_file", access.password_file) if access.password_file else None
    endpoint = access.check_access()
    sock = await _dial(owner, access, endpoint)
    client = LoopClient(client_id, PROTOCOLS[access.protocol], sock, clean=not expiry)
    if access.username:
        client.username_pw_set(access.username, password)  # type: ignore[arg-type]  # any bytes (MQTT 5, 3.1.3.6)
    if will is not None:
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
    session = Session(client, access.ack_timeout)
    try:
        welcome = await session.connect(endpoint.host, endpoint.port, round(access.keepalive), clean=not expiry, expiry=expiry)
        _heed(welcome, endpoint)
    except BaseException:
        session.close()
        raise
    return session, welcome


def _heed(welcome: Welcome, endpoint: Endpoint) -> None:
    """What the CONNACK says. Raises Refused or Unreachable."""
    if welcome.reason >= mqtt_reasons.FAILURE:
        raise mqtt_reasons.failure(welcome.reason, f"{endpoint} refuses the connection", at_connect=True)
    if welcome.maximum_qos < 1:
        raise mqtt_reasons.failure(0x9B, str(endpoint))
    if welcome.largest < LEAST_PACKET:
        limit = f"{endpoint} takes {welcome.largest} bytes in a packet at most, and one record alone may have more"
        raise Refused(f"{limit}; let it take {LEAST_PACKET} or more")


async def _dial(owner: str, access: Access, endpoint: Endpoint) -> Sock:
    """A connection that MQTT can be spoken on."""
    tls = tls_context(owner, access.ca, access.certificate, access.key) if endpoint.secure else None
    sock = await connect(endpoint, tls, access.ack_timeout)
    return await upgrade(sock, endpoint, access.ack_timeout) if access.is_websocket else sock


class Largest:
    """How many bytes a packet may have: as the broker says, and as it ends the link for. Lives as long as the uplink.

    A DISCONNECT names no packet. With several on their way the largest may be to blame, or another: the next ones go one by one.
    """

    def __init__(self) -> None:
        self._told = self._learned = ANY_SIZE
        self._sizes: list[int] = []  # of what is on its way
        self._doubtful = False  # the last link ended for one of several
        self._blamed: Session | None = None

    @property
    def bytes(self) -> int:
        """The largest packet that the broker takes, as far as it is known."""
        return min(self._told, self._learned)

    def heed(self, welcome: Welcome) -> None:
        """A new link."""
        self._told, self._sizes, self._blamed = welcome.largest, [], None

    def window(self, wanted: int) -> int:
        """How many messages may be on their way at once."""
        return 1 if self._doubtful else wanted

    def watch(self, session: Session, size: int, sent: asyncio.Future[Any]) -> None:
        """A message of so many bytes is on its way."""
        self._sizes.append(size)
        sent.add_done_callback(lambda sent: self._over(session, size, failed=sent.cancelled() or sent.exception() is not None))

    def _over(self, session: Session, size: int, *, failed: bool) -> None:
        if not failed:
            self._doubtful = False
        elif session.reason == mqtt_reasons.TOO_LARGE and session is not self._blamed:  # the others are on their way still
            self._blamed, largest = session, max(self._sizes, default=size)
            if (self._doubtful or len(self._sizes) == 1) and largest > LEAST_PACKET:
                self._learned = min(self._learned, largest - 1)
            self._doubtful = len(self._sizes) > 1
        if size in self._sizes:
            self._sizes.remove(size)


def judged(reason: int, topic: str, size: int) -> Verdict:
    """What a PUBACK says of its message of `size` bytes. Raises Refused or Unreachable when it is not about the message."""
    if reason < mqtt_reasons.FAILURE:
        return Verdict(Outcome.TAKEN)
    if reason == mqtt_reasons.TOO_LARGE:
        return Verdict(Outcome.TOO_LARGE, f"{size} bytes are too large for the broker (0x95)")
    if reason == mqtt_reasons.FORMAT_INVALID:
        return Verdict(Outcome.REFUSED, "the broker does not take this payload (0x99)")
    raise mqtt_reasons.failure(reason, topic)
