"""One MQTT connection: paho's client driven by the event loop, on a socket that the loop has opened.

paho's own queue is never a buffer: one message is on its way at a time, and a client lives no longer than its connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, Literal, TypeVar

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import Unreachable
from agent.uplinks.mqtt_reasons import FAILURE, FORMAT_INVALID, TOO_LARGE, failure

T = TypeVar("T")

BROKEN = {
    0x80: "it was closed without a word; does another client use this client id?",
    0x82: "what came is not MQTT",
    0x8D: "nothing came back within the keepalive",
}  # paho's reasons for a link that no DISCONNECT ended
MAX_INCOMING = 16 * 1024  # bytes of a packet from the broker
UPKEEP = 1.0  # s between looks at the keepalive
GOODBYE = 1.0  # s for the last words of a link that is left


class LoopClient(Client):
    """paho's client without a thread. What it leaves no open door for is done here, and nothing else."""

    def __init__(self, client_id: str, protocol: MQTTProtocolVersion, sock: socket.socket) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False)
        self._opened = sock
        self.oversized: set[int] = set()  # packet identifiers

    def _create_socket(self) -> Any:
        """paho would look up the name, connect and shake hands here, and the loop would stand still for it."""
        return self._opened

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """mosquitto refuses a message with 0x95, which MQTT 5 (3.4.2.1) does not list for PUBACK: paho would drop the link."""
        packet = self._in_packet["packet"]
        if len(packet) > 2 and packet[2] == TOO_LARGE:
            self.oversized.add(int.from_bytes(packet[:2], "big"))
            packet[2] = FORMAT_INVALID
        return super()._handle_pubackcomp(cmd)


class Session:
    """From CONNECT to the closed socket. Every method belongs to the event loop."""

    def __init__(self, client: LoopClient, ack_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._ack_timeout = ack_timeout
        self._connack: asyncio.Future[tuple[int, Properties | None]] = self._loop.create_future()
        self._acks: dict[int, asyncio.Future[int]] = {}
        self._upkeep: asyncio.TimerHandle | None = None
        self._sock: socket.socket | None = None
        self.lost = asyncio.Event()
        self.why = ""  # once it is lost
        self.reason = 0  # of the broker's DISCONNECT; 0 when it sent none
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write

    async def connect(self, host: str, port: int, keepalive: int) -> tuple[int, Properties | None]:
        """The broker's answer to CONNECT: reason code and properties. Raises Unreachable."""
        self._client.connect(host, port, keepalive, properties=self._properties())
        self._look_after()
        return await self._answer(self._connack, "CONNACK")

    def _properties(self) -> Any:
        """Of the CONNECT (MQTT 5, 3.1.2.11); none in 3.1.1. A broker has nothing long to tell us."""
        if self._client.protocol != MQTTProtocolVersion.MQTTv5:
            return None
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_INCOMING
        return properties

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False, properties: Properties | None = None) -> int:
        """Publish with QoS 1. The reason code of this very message's PUBACK (MQTT 5, 3.4.2.1). Raises Unreachable."""
        if self.lost.is_set():
            raise self._error()
        info = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        ack: asyncio.Future[int] = self._loop.create_future()
        self._acks[info.mid] = ack
        try:
            reason = await self._answer(ack, "PUBACK")
        finally:
            del self._acks[info.mid]
        return TOO_LARGE if info.mid in self._client.oversized else reason

    async def goodbye(self) -> None:
        """DISCONNECT in peace, so that the broker forgets the last will."""
        self._client.disconnect()
        await self.lost.wait()

    def close(self) -> None:
        """Let go of the socket and of everything that hangs on it."""
        if self._upkeep is not None:
            self._upkeep.cancel()
            self._upkeep = None
        self._fail("the link was left")
        self._release(self._sock)
        self._client.on_socket_close = None
        self._client.on_socket_unregister_write = None

    async def _answer(self, future: asyncio.Future[T], what: str) -> T:
        try:
            async with asyncio.timeout(self._ack_timeout):
                return await future
        except TimeoutError:
            self._fail(f"no {what} from the broker within {self._ack_timeout:g} s")
            raise self._error() from None

    def _fail(self, why: str) -> None:
        """From here on nothing can be sent; whoever waits is told."""
        if self.lost.is_set():
            return
        self.why = why
        self.lost.set()
        waiters: list[asyncio.Future[Any]] = [self._connack, *self._acks.values()]
        for waiting in waiters:
            if not waiting.done():
                waiting.set_exception(self._error())
        if self._connack.done() and not self._connack.cancelled():
            self._connack.exception()  # seen: nobody may be waiting for it any more

    def _error(self) -> Unreachable:
        return failure(self.reason, self.why) if self.reason >= FAILURE else Unreachable(self.why)

    # paho's callbacks ---------------------------------------------------------------------------------------------------

    def _on_connect(self, _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, properties: Properties | None) -> None:
        if not self._connack.done():
            self._connack.set_result((reason.value, properties))

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Properties) -> None:
        ack = self._acks.get(mid)
        if ack is not None and not ack.done():
            ack.set_result(reason.value)

    def _on_disconnect(self, _c: Client, _u: Any, flags: DisconnectFlags, reason: ReasonCode, _p: Properties | None) -> None:
        if flags.is_disconnect_packet_from_server:
            self.reason = reason.value
            self._fail("the broker ended the link")
        else:
            self._fail(f"the link to the broker broke: {BROKEN.get(reason.value, reason)}")

    def _on_socket_open(self, _c: Client, _u: Any, sock: Any) -> None:
        self._sock = sock
        self._loop.add_reader(sock, self._read)

    def _on_socket_close(self, _c: Client, _u: Any, sock: Any) -> None:
        self._release(sock)

    def _on_register_write(self, _c: Client, _u: Any, sock: Any) -> None:
        self._loop.add_writer(sock, self._client.loop_write)

    def _on_unregister_write(self, _c: Client, _u: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _release(self, sock: Any) -> None:
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()

    def _read(self) -> None:
        self._client.loop_read()
        # TLS hands over whole records: what is left of one makes no socket readable
        while isinstance(self._sock, ssl.SSLSocket) and self._sock.fileno() >= 0 and self._sock.pending():
            self._client.loop_read()

    def _look_after(self) -> None:
        self._client.loop_misc()
        self._upkeep = self._loop.call_later(UPKEEP, self._look_after)
