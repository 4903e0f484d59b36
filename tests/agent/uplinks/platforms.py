"""A platform's end, a line to it that can fail, and uplinks over that line: the same for every protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.encode import ENCODINGS, json
from agent.encode.sparkplug import decode
from agent.receive import coap as coap_receiver
from agent.receive.intake import Intake
from agent.receive.ledger import Account
from agent.receive.mqtt import Broker, Subscriber
from agent.records import Alarm, Envelope, Summary
from agent.uplinks import Uplink, coap, mqtt, sparkplug, thingsboard
from tests.agent.envelopes import GATEWAY
from tests.servers import HOST, Relay, TcpRelay, UdpRelay, free_port, mosquitto

MESSAGE_LIMIT = 100_000  # bytes that the broker takes in one message
LIMIT = 5.0  # s for what must succeed
SHORT = 0.6  # s for what must fail


class Platform:
    """What the conformance suite needs of a platform."""

    relay: Relay

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.intake = Intake(None, self.lines.append, lambda: 0.0)

    def uplink(self, **settings: Any) -> Uplink:
        """An uplink to this platform, over the relay."""
        raise NotImplementedError

    async def start(self) -> None:
        """Be there."""

    async def stop(self) -> None:
        """Be gone, as a server that was switched off."""

    async def account(self, received: int) -> Account:
        """The account once so many envelopes have come, or when they do not."""
        for _ in range(500):
            account = self.intake.account()
            if account.received + account.duplicates >= received:
                break
            await asyncio.sleep(0.01)
        return self.intake.account()


class MqttPlatform(Platform):
    """mosquitto, and our subscriber behind it."""

    topic = "atm/+/+"

    def __init__(self, folder: Path, protocol: str, encoding: str) -> None:
        super().__init__()
        self._settings = {"protocol": protocol, "encoding": encoding}
        limits = f"message_size_limit {MESSAGE_LIMIT}"
        self._server = mosquitto(folder, "allow_anonymous true", limits, "persistence false")
        self._subscriber: Subscriber | None = None

    def uplink(self, **settings: Any) -> Uplink:
        url = f"mqtt://{HOST}:{self.relay.port}"
        return mqtt.open_uplink("platform", GATEWAY, mqtt.Settings(url, **{"ack_timeout": LIMIT, **self._settings, **settings}))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Platform]:
        await self.start()
        try:
            async with TcpRelay(self._server.port) as self.relay:
                yield self
        finally:
            await self.stop()

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        broker = Broker(HOST, self._server.port, "receiver", self.topic)
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

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "5", "json")

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

    def uplink(self, **settings: Any) -> Uplink:
        given = {"ack_timeout": LIMIT, "group": "bank", **settings}
        return sparkplug.open_uplink("platform", GATEWAY, sparkplug.Settings(f"mqtt://{HOST}:{self.relay.port}", **given))

    def records(self, payload: bytes, place: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        if place[2] in ("NBIRTH", "NDEATH"):
            self.lines.append(f"link  {place[3]}: {'up' if place[2] == 'NBIRTH' else 'down'}")
        values: dict[str, Any] = {}
        for metric in decode(payload).metrics if place[2] == "DDATA" else ():
            values[metric.name] = metric.value
            if metric.name.endswith("/position"):  # the last one of its record
                yield place[4], values
                values = {}


class ThingsboardPlatform(Translated):
    """Its transport."""

    topic = "v1/gateway/telemetry"

    def uplink(self, **settings: Any) -> Uplink:
        given = {"ack_timeout": LIMIT, **settings}
        return thingsboard.open_uplink("platform", GATEWAY, thingsboard.Settings(f"mqtt://{HOST}:{self.relay.port}", **given))

    def records(self, payload: bytes, place: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for machine, entries in msgspec.json.decode(payload).items():
            for entry in entries:
                yield machine, {name.replace(".", "/"): value for name, value in entry["values"].items()}


class CoapPlatform(Platform):
    """Our own CoAP server."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._settings = {"encoding": encoding}
        self._port = free_port()
        self._task: asyncio.Task[None] | None = None

    def uplink(self, **settings: Any) -> Uplink:
        url = f"coap://{HOST}:{self.relay.port}/atm"
        return coap.open_uplink("platform", GATEWAY, coap.Settings(url, **{"ack_timeout": LIMIT, **self._settings, **settings}))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Platform]:
        await self.start()
        try:
            async with UdpRelay(self._port) as self.relay:
                yield self
        finally:
            await self.stop()

    async def start(self) -> None:
        ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(coap_receiver.serve(self.intake, HOST, self._port, lambda _: ready.set(), self._stop))
        await ready.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._stop.set()
            await self._task
            self._task = None
