"""A platform's end, a line to it that can fail, and uplinks over that line: the same for every protocol."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiocoap
import aiocoap.credentials
import msgspec
import pytest

from agent.encode import ENCODINGS, json
from agent.encode.sparkplug import decode
from agent.errors import Unreachable
from agent.receive import coap as coap_receiver
from agent.receive.intake import Intake
from agent.receive.ledger import Account
from agent.receive.mqtt import Broker, Subscriber
from agent.receive.tls import server_context
from agent.records import Alarm, Envelope, Summary
from agent.uplinks import Uplink, coap, mqtt, sparkplug, thingsboard, thingspeak
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.uplinks.contexts import context
from tests.agent.uplinks.thingspeak_end import Thingspeak
from tests.servers import HOST, TcpRelay, UdpRelay, free_port, mosquitto

MESSAGE_LIMIT = 100_000  # bytes that the broker takes in one message
LIMIT = 5.0  # s for what must succeed
SHORT = 0.6  # s for what must fail
NAME = "localhost"  # of every platform; where it leads to is the platform's to say
DTLS = importlib.util.find_spec("DTLSSocket") is not None
PSK = "sesame-open-16by"


class Clock:
    """The running loop's clock, which can be put forward: a test of a timeout waits for no time to pass."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._loop = asyncio.get_running_loop()
        time = self._loop.time
        self._loop.time = lambda: time() + self._ahead  # type: ignore[method-assign]

    def skip(self, seconds: float) -> None:
        """So much time has passed."""
        self._ahead += seconds

    def close(self) -> None:
        del self._loop.time


class Platform:
    """What the conformance suite needs of a platform."""

    relay: TcpRelay | UdpRelay
    says_status = True  # it is told how the link is
    can_refuse = True  # it has a word for refusing one message
    survives_half_a_handshake = True
    can_move = False  # an association outlives another address of the gateway
    can_repeat = True  # somebody on the line could say its word twice

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.intake = Intake(None, self.lines.append, lambda: 0.0)
        self.clock: Clock
        self._address = HOST

    def uplink(self, **settings: Any) -> Uplink:
        """An uplink to this platform, over the relay."""
        raise NotImplementedError

    async def start(self) -> None:
        """Be there."""

    async def stop(self) -> None:
        """Be gone, as a server that was switched off."""

    def line(self) -> TcpRelay | UdpRelay:
        """A line to it that can fail, not open yet."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Platform]:
        """The platform is there, and its name leads to the line."""
        await self.start()
        self.clock = Clock()
        try:
            with self._named():
                async with self.line() as self.relay:
                    yield self
        finally:
            await self.stop()
            self.clock.close()

    async def move(self, address: str) -> None:
        """Be at another address from here on; the name leads there."""
        await self.relay.close()
        await self.relay.open(address, self.relay.port)
        self._address = address

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        asked = socket.getaddrinfo

        def answer(host: Any, port: Any, *more: Any, **named: Any) -> Any:
            if host == NAME:
                return [(socket.AF_INET, named.get("type", socket.SOCK_STREAM), 0, "", (self._address, port))]
            return asked(host, port, *more, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", answer)
            yield

    async def account(self, received: int) -> Account:
        """The account once so many envelopes have come, or when they do not."""
        for _ in range(500):
            account = self.intake.account()
            if account.received + account.duplicates >= received:
                break
            await asyncio.sleep(0.01)
        return self.intake.account()

    async def gives_up(self, work: Awaitable[Any]) -> Unreachable:
        """The error of what hangs on a line that swallows, once its time is over."""
        working = asyncio.ensure_future(work)
        try:
            await self.relay.swallows()
            self.clock.skip(LIMIT)
            with pytest.raises(Unreachable) as caught:
                await working
        finally:
            working.cancel()
        return caught.value


class MqttPlatform(Platform):
    """mosquitto, and our subscriber behind it."""

    topic = "atm/+/+"

    def __init__(self, folder: Path, scheme: str = "mqtt", certificates: Path | None = None, **settings: Any) -> None:
        super().__init__()
        self.can_refuse = settings.get("protocol") != "3.1.1"
        self.can_repeat = not scheme.endswith("s") or scheme == "ws"
        self._scheme, self._settings, self._subscriber = scheme, settings, None
        lines = ["allow_anonymous true", f"message_size_limit {MESSAGE_LIMIT}", "persistence false"]
        self._door = free_port()
        if scheme != "mqtt":  # a listener of its own; our subscriber has the plain one
            lines += [f"listener {self._door} {HOST}", "socket_domain ipv4"]
        if scheme.startswith("ws"):
            lines.append("protocol websockets")
        if scheme in ("mqtts", "wss"):
            assert certificates is not None
            pairs = {"cafile": "ca.pem", "certfile": "localhost.pem", "keyfile": "localhost.key"}
            lines += [f"{key} {certificates}/{name}" for key, name in pairs.items()]
            lines.append("require_certificate true")
            mine = {"ca": "ca.pem", "certificate": "gw-1.pem", "key": "gw-1.key"}
            self._settings |= {key: certificates / name for key, name in mine.items()}
        self._server = mosquitto(folder, *lines)
        self._port = self._server.port
        if scheme == "mqtt":
            self._door = self._port
        self._server.port = self._door  # the one to wait for

    def url(self) -> str:
        """Of the relay."""
        return f"{self._scheme}://{NAME}:{self.relay.port}" + ("/mqtt" if self._scheme.startswith("ws") else "")

    def uplink(self, **settings: Any) -> Uplink:
        return mqtt.open_uplink(
            "platform", GATEWAY, mqtt.Settings(self.url(), **{"ack_timeout": LIMIT, **self._settings, **settings})
        )

    def line(self) -> TcpRelay:
        return TcpRelay(self._door)

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        broker = Broker(HOST, self._port, "receiver", self.topic)
        self._subscriber = Subscriber(
            self.taker(), broker, self.lines.append, ready=lambda: loop.call_soon_threadsafe(ready.set), ended=lambda: None
        )
        await asyncio.to_thread(self._subscriber.start)
        async with asyncio.timeout(LIMIT):
            await ready.wait()

    def taker(self) -> Any:
        """What takes the messages."""
        return self.intake

    async def stop(self) -> None:
        if self._subscriber is not None:
            await asyncio.to_thread(self._subscriber.stop)
            self._subscriber = None
        self._server.stop()


class Translated(MqttPlatform):
    """mosquitto, and a platform that is told in its own words: what they say of each record is put together again."""

    def taker(self) -> Any:
        return self

    def take(self, _: object, payload: bytes, place: Sequence[str]) -> None:
        """See `Intake.take`."""
        for machine, values in self.records(payload, place):
            lane, identity = next((name.split("/")[0], str(word)) for name, word in values.items() if name.endswith("/position"))
            epoch, position = identity.split("/")
            body = self._body(lane, machine, values)
            at = body.at if isinstance(body, Alarm) else 0.0
            envelope = Envelope(GATEWAY, epoch, lane, int(position), "", 0.0, at, True, body)
            self.intake.take(ENCODINGS["json"], json.encode([envelope]), [GATEWAY, lane])

    def _body(self, lane: str, machine: str, values: dict[str, Any]) -> Alarm | Summary:
        if lane == "summaries":
            return Summary(machine, 0.0, values["window/length_s"], values["window/observed"], {})
        record = next(word for name, word in values.items() if name.endswith("/record"))
        return msgspec.json.decode(record, type=Alarm) if isinstance(record, str) else msgspec.convert(record, Alarm)

    def records(self, payload: bytes, place: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Machine and values of each record in a message."""
        raise NotImplementedError


class SparkplugPlatform(Translated):
    """A host."""

    topic = "spBv1.0/#"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._names: dict[int, str] = {}  # by alias

    def uplink(self, **settings: Any) -> Uplink:
        given = {"ack_timeout": LIMIT, "group": "bank", **settings}
        return sparkplug.open_uplink("platform", GATEWAY, sparkplug.Settings(self.url(), **given))

    def records(self, payload: bytes, place: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        if place[2] in ("NBIRTH", "NDEATH"):
            self.lines.append(f"link  {place[3]}: {'up' if place[2] == 'NBIRTH' else 'down'}")
        values: dict[str, Any] = {}
        for metric in decode(payload).metrics:
            if place[2].endswith("BIRTH") and metric.alias is not None:
                self._names[metric.alias] = metric.name
            elif place[2] == "DDATA":
                name = self._names[metric.alias or 0]
                values[name] = metric.value
                if name.endswith("/position"):  # the last one of its record
                    yield place[4], values
                    values = {}


class ThingsboardPlatform(Translated):
    """Its transport."""

    topic = "v1/gateway/telemetry"
    says_status = False  # it has no word for it

    def uplink(self, **settings: Any) -> Uplink:
        given = {"ack_timeout": LIMIT, **settings}
        return thingsboard.open_uplink("platform", GATEWAY, thingsboard.Settings(self.url(), **given))

    def records(self, payload: bytes, place: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for machine, entries in msgspec.json.decode(payload).items():
            for entry in entries:
                yield machine, {name.replace(".", "/"): value for name, value in entry["values"].items()}


class ThingspeakPlatform(MqttPlatform):
    """Its end, without the limit of a licence. What an entry tells is told by its second: no identity travels there."""

    says_status = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.can_refuse = False
        self._end: Thingspeak | None = None

    def uplink(self, **settings: Any) -> Uplink:
        fields = {"field1": "motion.rms3", "field3": "auxiliaries.cabinetDoor"}
        given = {"ack_timeout": LIMIT, "channels": (thingspeak.ChannelSettings(1417, "ATM-7", fields),), **settings}
        link = thingspeak.open_uplink("platform", GATEWAY, thingspeak.Settings(self.url(), **given))
        link._free = _Unlimited()
        return link

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)
        self._end = await asyncio.to_thread(Thingspeak, self._port, 0.0, self._enter)

    async def stop(self) -> None:
        if self._end is not None:
            await asyncio.to_thread(self._end.stop)
            self._end = None
        self._server.stop()

    def _enter(self, said: Mapping[str, str]) -> None:
        at = datetime.strptime(said["created_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        told = alarm(int(at - alarm(0).body.at)) if "status" in said else summary(int(at / 60) - 1)  # type: ignore[union-attr]
        self.intake.take(ENCODINGS["json"], json.encode([told]), [GATEWAY, told.lane])


class _Unlimited(dict[int, float]):
    """No channel is ever to be waited for."""

    def __setitem__(self, channel: int, at: float) -> None:
        """Forget it."""


class CoapPlatform(Platform):
    """Our own CoAP server: over UDP, there also with OSCORE, over TLS, and over DTLS where its library is installed."""

    def __init__(self, folder: Path, way: str = "coap", certificates: Path | None = None, **settings: Any) -> None:
        super().__init__()
        self._way, self._settings = way, settings
        self.can_repeat, self.can_move = way != "coaps+tcp", way in ("coap", "oscore")
        self.survives_half_a_handshake = way != "coaps"
        self._port = free_port()
        self._task: asyncio.Task[None] | None = None
        self._contexts: Path | None = None
        self._certificates = certificates
        if way == "oscore":
            self._contexts = context(folder / "contexts" / GATEWAY, "01", "").parent
            self._settings["oscore"] = context(folder / "mine", "", "01")
        elif way == "coaps+tcp":
            assert certificates is not None
            mine = {"ca": "ca.pem", "certificate": "gw-1.pem", "key": "gw-1.key"}
            self._settings |= {key: certificates / name for key, name in mine.items()}
        elif way == "coaps":
            self._settings["psk_file"] = folder / "psk"
            self._settings["psk_file"].write_text(PSK)

    def uplink(self, **settings: Any) -> Uplink:
        scheme = "coap" if self._way == "oscore" else self._way
        url = f"{scheme}://{NAME}:{self.relay.port}/atm"
        return coap.open_uplink("platform", GATEWAY, coap.Settings(url, **{"ack_timeout": LIMIT, **self._settings, **settings}))

    def line(self) -> TcpRelay | UdpRelay:
        return TcpRelay(self._port) if self._way == "coaps+tcp" else UdpRelay(self._port)

    async def start(self) -> None:
        ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._serve(lambda _: ready.set()))
        await ready.wait()

    async def _serve(self, ready: Callable[[str], None]) -> None:
        if self._way == "coaps":
            await self._serve_dtls(ready)
            return
        tls, files = None, self._certificates
        if self._way == "coaps+tcp" and files is not None:
            tls = server_context(files / "localhost.pem", files / "localhost.key", files / "ca.pem")
        await coap_receiver.serve(self.intake, HOST, self._port, ready, self._stop, self._contexts, tls)

    async def _serve_dtls(self, ready: Callable[[str], None]) -> None:
        """aiocoap's own DTLS server, which `receive` does not offer: it is for trying things out."""
        credentials = aiocoap.credentials.CredentialsMap()
        credentials.load_from_dict({f":{GATEWAY}": {"dtls": {"client-identity": GATEWAY.encode(), "psk": PSK.encode()}}})
        server = await aiocoap.Context.create_server_context(
            coap_receiver._Inbox(self.intake, lambda _: None),
            bind=(HOST, self._port - 1),  # aiocoap counts from CoAP's own port
            transports=["tinydtls_server"],
            server_credentials=credentials,
        )
        try:
            ready("")
            await self._stop.wait()
        finally:
            await server.shutdown()

    async def stop(self) -> None:
        if self._task is not None:
            self._stop.set()
            await self._task
            self._task = None
