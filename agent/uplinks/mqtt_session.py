"""One MQTT connection: paho's client driven by the event loop, on a socket that the loop has opened.

paho's own queue is never a buffer: how many messages are on their way is the caller's to bound, by `window`, and a client lives
no longer than its connection. Made for any uplink that speaks MQTT.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import Unreachable
from agent.uplinks import Refused
from agent.uplinks.mqtt_reasons import FAILURE, FORMAT_INVALID, TOO_LARGE, failure
from agent.uplinks.websocket import WebSocket

Sock: TypeAlias = socket.socket | WebSocket

CLOSED = 0x80
EARLY = "it was closed before it answered; is that the broker's port, does it want TLS, or a client certificate?"
BROKEN = {
    CLOSED: "it was closed without a word; does another client use this client id?",
    0x82: "what came is not MQTT",
    0x8D: "nothing came back within the keepalive",
}  # paho's reasons for a link that no DISCONNECT ended
MAX_INCOMING = 16 * 1024  # bytes of a packet from the broker
UPKEEP = 1.0  # s between looks at the keepalive
GOODBYE = 1.0  # s for the last words of a link that is left
ANY_SIZE = 268_435_455  # bytes; the largest packet there is (MQTT 5, 1.5.5)
ANY_NUMBER = 65_535  # messages on their way at once (MQTT 5, 3.2.2.3.3)


class Welcome(NamedTuple):
    """What a CONNACK says (MQTT 5, 3.2.2): its reason code, and the limits that the broker sets. 3.1.1 sets none."""

    reason: int
    receive_maximum: int = ANY_NUMBER
    largest: int = ANY_SIZE  # bytes of a packet
    maximum_qos: int = 2
    retains: bool = True


class LoopClient(Client):
    """paho's client without a thread. What it leaves no open door for is done here, and nothing else."""

    def __init__(self, client_id: str, protocol: MQTTProtocolVersion, sock: Sock, *, clean: bool = True) -> None:
        """`clean`: nothing is left of an earlier session. Only 3.1.1 is told so here; 5 is told in its CONNECT."""
        flag = None if protocol == MQTTProtocolVersion.MQTTv5 else clean
        super().__init__(CallbackAPIVersion.VERSION2, client_id, flag, protocol=protocol, reconnect_on_failure=False)
        self.max_inflight_messages_set(0)  # no bound of its own, and no search through all of them at each acknowledgement
        self._opened = sock
        self.oversized: set[int] = set()  # packet identifiers
        self.tls_alert = ""  # what the other end said of our half of TLS

    def _create_socket(self) -> Any:
        """paho would look up the name, connect and shake hands here, and the loop would stand still for it."""
        return self._opened

    def _sock_recv(self, bufsize: int) -> bytes:
        """With TLS 1.3 a client certificate is judged after the handshake: the alert comes where the first packet should."""
        try:
            return super()._sock_recv(bufsize)
        except ssl.SSLError as error:
            self.tls_alert = error.reason or ""
            raise

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """mosquitto refuses a message with 0x95, which MQTT 5 (3.4.2.1) does not list for PUBACK: paho would drop the link.

        And to paho a PUBCOMP is as good. It is none of QoS 1: what it answers nobody has acknowledged.
        """
        if cmd == "PUBCOMP":
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        packet = self._in_packet["packet"]
        if len(packet) > 2 and packet[2] == TOO_LARGE:
            self.oversized.add(int.from_bytes(packet[:2], "big"))
            packet[2] = FORMAT_INVALID
        return super()._handle_pubackcomp(cmd)

    def _handle_pubrec(self) -> MQTTErrorCode:
        """An answer to QoS 2, which is never asked for."""
        return MQTTErrorCode.MQTT_ERR_PROTOCOL


class Session:
    """From CONNECT to the closed socket. Every method belongs to the event loop."""

    def __init__(self, client: LoopClient, ack_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._ack_timeout = ack_timeout
        self._connack: asyncio.Future[Welcome] = self._loop.create_future()
        self._waiting: OrderedDict[int, tuple[asyncio.Future[Any], Callable[[int], Any], float]] = OrderedDict()
        self._overdue: asyncio.TimerHandle | None = None
        self._upkeep: asyncio.TimerHandle | None = None
        self._sock: Any = None
        self._writing = False  # paho has something to write
        self.on_message: Callable[[str, bytes], None] = lambda _topic, _payload: None
        self.lost = asyncio.Event()
        self._cause = ""
        self.why = ""  # once it is lost: the cause, what the broker said of it, and the remedy
        self.reason = 0  # of the broker's DISCONNECT; 0 when it sent none
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write

    async def connect(self, host: str, port: int, keepalive: int, *, clean: bool = True, expiry: int = 0) -> Welcome:
        """The broker's answer to CONNECT. `expiry`: seconds that it keeps this session afterwards. Raises Unreachable."""
        if self._client.protocol == MQTTProtocolVersion.MQTTv5:
            properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_INCOMING  # a broker has nothing long to tell us
            if expiry:
                properties.SessionExpiryInterval = expiry
            self._client.connect(host, port, keepalive, clean_start=clean, properties=properties)
        else:
            self._client.connect(host, port, keepalive)
        self._look_after()
        try:
            async with asyncio.timeout(self._ack_timeout):
                return await self._connack
        except TimeoutError:
            raise self._silent("CONNACK") from None

    def publish(
        self,
        topic: str,
        payload: bytes,
        judge: Callable[[int], Any],
        *,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> asyncio.Future[Any]:
        """Publish with QoS 1. The future has what `judge` makes of the reason code of this very message's PUBACK, or its error.

        The message is on its way on return. Unreachable comes with the future.
        """
        if self.lost.is_set():
            return self._gone()
        info = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        return self._expect(info.mid, judge)

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0: nothing says whether it arrives. For a platform that has another way to acknowledge."""
        if not self.lost.is_set():
            self._client.publish(topic, payload, qos=0)

    def subscribe(self, topic: str) -> asyncio.Future[int]:
        """Subscribe with QoS 1; `on_message` is given what comes. The future has the reason code (MQTT 5, 3.9.3)."""
        if self.lost.is_set():
            return self._gone()
        result, mid = self._client.subscribe(topic, qos=1)
        return self._expect(mid, int) if result == MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None else self._gone()

    def give_up(self, why: str) -> None:
        """The link is dead, though its connection stands: the platform did not acknowledge in its own way."""
        self._fail(why)

    async def goodbye(self) -> None:
        """DISCONNECT in peace, so that the broker forgets the last will."""
        self._client.disconnect()
        await self.lost.wait()

    def close(self) -> None:
        """Let go of the socket and of everything that hangs on it."""
        for timer in (self._upkeep, self._overdue):
            if timer is not None:
                timer.cancel()
        self._upkeep = self._overdue = None
        self._fail("the link was left")
        self._release(self._sock)
        self._client.on_socket_close = None
        self._client.on_socket_unregister_write = None

    # What is waited for -------------------------------------------------------------------------------------------------

    def _expect(self, mid: int, judge: Callable[[int], Any]) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[mid] = (answer, judge, self._loop.time() + self._ack_timeout)
        if self._overdue is None:
            self._overdue = self._loop.call_later(self._ack_timeout, self._look_for_overdue)
        return answer

    def _look_for_overdue(self) -> None:
        """One timer for all of them: the oldest answer is due first."""
        self._overdue = None
        if not self._waiting:
            return
        _, _, due = next(iter(self._waiting.values()))
        if due <= self._loop.time():
            self._silent("PUBACK")
        else:
            self._overdue = self._loop.call_at(due, self._look_for_overdue)

    def _answered(self, mid: int, reason: int) -> None:
        answer, judge, _ = self._waiting.pop(mid, (None, None, 0.0))
        if answer is None or judge is None or answer.done():
            return
        try:
            answer.set_result(judge(reason))
        except Unreachable as error:
            answer.set_exception(error)

    def _silent(self, what: str) -> Unreachable:
        self._fail(f"no {what} from the broker within {self._ack_timeout:g} s")
        return self._error()

    def _gone(self) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = self._loop.create_future()
        answer.set_exception(self._error() if self.lost.is_set() else Unreachable("the link cannot be written to"))
        return answer

    def _fail(self, why: str) -> None:
        """From here on nothing can be sent; whoever waits is told. An acknowledgement that comes now comes too late."""
        if self.lost.is_set():
            return
        self._cause = why
        self.why = str(self._error())
        self.lost.set()
        waiters: list[asyncio.Future[Any]] = [self._connack, *(answer for answer, _, _ in self._waiting.values())]
        self._waiting.clear()
        for waiting in waiters:
            if not waiting.done():
                waiting.set_exception(self._error())
                waiting.exception()  # seen: nobody may be waiting for it any more

    def _error(self) -> Unreachable:
        if self._client.tls_alert:
            return Refused(f"TLS: {self._client.tls_alert}; check `certificate` and `key`")
        return failure(self.reason, self._cause) if self.reason >= FAILURE else Unreachable(self._cause)

    # paho's callbacks ---------------------------------------------------------------------------------------------------

    def _on_connect(self, _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, properties: Properties | None) -> None:
        if not self._connack.done():
            self._connack.set_result(
                Welcome(
                    reason.value,
                    getattr(properties, "ReceiveMaximum", ANY_NUMBER),
                    getattr(properties, "MaximumPacketSize", ANY_SIZE),
                    getattr(properties, "MaximumQoS", 2),
                    bool(getattr(properties, "RetainAvailable", 1)),
                )
            )

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Properties) -> None:
        if mid in self._client.oversized:
            self._client.oversized.discard(mid)
            self._answered(mid, TOO_LARGE)
        else:
            self._answered(mid, reason.value)

    def _on_subscribe(self, _c: Client, _u: Any, mid: int, reasons: Sequence[ReasonCode], _p: Any) -> None:
        self._answered(mid, max(reason.value for reason in reasons))

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._fail(f"the link to the broker broke: {BROKEN[0x82]}")
        else:
            self.on_message(topic, bytes(message.payload))

    def _on_disconnect(self, _c: Client, _u: Any, flags: DisconnectFlags, reason: ReasonCode, _p: Properties | None) -> None:
        if flags.is_disconnect_packet_from_server:
            self.reason = reason.value
            self._fail("the broker ended the link")
        else:
            early = reason.value == CLOSED and not self._connack.done()
            self._fail(f"the link to the broker broke: {EARLY if early else BROKEN.get(reason.value, reason)}")

    def _on_socket_open(self, _c: Client, _u: Any, sock: Any) -> None:
        self._sock = sock
        self._loop.add_reader(sock, self._read)
        if isinstance(sock, WebSocket) and sock.pending():
            self._loop.call_soon(self._read)

    def _on_socket_close(self, _c: Client, _u: Any, sock: Any) -> None:
        self._release(sock)

    def _on_register_write(self, _c: Client, _u: Any, sock: Any) -> None:
        """Write once the caller has given all that it has for now; watch the socket only where that was not enough."""
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._write, sock)

    def _write(self, sock: Any) -> None:
        if not self._writing or sock.fileno() < 0:
            return
        self._client.loop_write()
        if self._writing and sock.fileno() >= 0:
            self._loop.add_writer(sock, self._client.loop_write)

    def _on_unregister_write(self, _c: Client, _u: Any, sock: Any) -> None:
        self._writing = False
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock)

    def _release(self, sock: Any) -> None:
        self._writing = False
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()

    def _read(self) -> None:
        self._acknowledge_at_once()
        self._client.loop_read()
        # TLS and WebSocket hand over whole records: what is left of one makes no socket readable
        while isinstance(self._sock, ssl.SSLSocket | WebSocket) and self._sock.fileno() >= 0 and self._sock.pending():
            self._client.loop_read()

    def _acknowledge_at_once(self) -> None:
        """A broker that gathers small packets (Nagle) holds each PUBACK until the one before is acknowledged; the kernel would
        wait 40 ms with that, and an alarm with it. It forgets this wish each time (tcp(7), TCP_QUICKACK)."""
        if isinstance(self._sock, socket.socket) and self._sock.fileno() >= 0:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _look_after(self) -> None:
        self._client.loop_misc()
        self._upkeep = self._loop.call_later(UPKEEP, self._look_after)
