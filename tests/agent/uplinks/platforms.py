"""A platform's end, a line to it that can fail, and uplinks over that line: the same for every protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agent.receive import coap as coap_receiver
from agent.receive.intake import Intake
from agent.receive.ledger import Account
from agent.receive.mqtt import Broker, Subscriber
from agent.uplinks import Uplink, coap, mqtt
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
        broker = Broker(HOST, self._server.port, "receiver", "atm/+/+")
        self._subscriber = Subscriber(
            self.intake, broker, self.lines.append, ready=lambda: loop.call_soon_threadsafe(ready.set), ended=lambda: None
        )
        await asyncio.to_thread(self._subscriber.start)
        async with asyncio.timeout(LIMIT):
            await ready.wait()

    async def stop(self) -> None:
        if self._subscriber is not None:
            await asyncio.to_thread(self._subscriber.stop)
            self._subscriber = None
        self._server.stop()


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
