"""The shell around the XFS4IoT services: real WebSockets, with TLS where asked, and the clock that moves the world on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from aiohttp import WSMsgType, web

from agent.wire.xfs4iot import MESSAGE_LIMIT, PUBLISHER_PATH
from firmware_sim.firmware import Pace
from firmware_sim.twins.xfs4iot import BY_NAME, PUBLISHER, Services
from firmware_sim.world import World

LOOK_EVERY = 0.1  # s between two looks at what the world has changed


class ServicePublisher:
    """All services of one machine on one TCP port. Used as `async with`."""

    def __init__(
        self,
        world: tuple[World, Pace],
        endpoint: tuple[str, int],
        clock: Callable[[], float],
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self._world, self._pace = world
        self._host, self._port = endpoint
        self._clock = clock
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(*certificate)
        self._clients: dict[web.WebSocketResponse, str] = {}
        self._stopped = asyncio.Event()
        self._services: Services
        self._runner: web.AppRunner

    @property
    def address(self) -> str:
        """What the gateway is to dial."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'wss' if self._tls else 'ws'}://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get(PUBLISHER_PATH, self._welcome)
        application.router.add_get(PUBLISHER_PATH + "/{service}", self._welcome)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._services = Services(self._world, self.address)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for site in list(self._runner.sites):
            await site.stop()
        await asyncio.sleep(0.01)  # what was accepted last becomes a connection, which can be closed
        for client in list(self._clients):
            await client.close()
        await self._runner.cleanup()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopped.set()

    async def run(self, until: float, after_each: Callable[[], None]) -> None:
        """Serve until the real time `until`, or until `stop`. `after_each` is called whenever the world has moved."""
        while not self._stopped.is_set() and (now := self._clock()) < until:
            self._world.run_to(max(self._pace.world(now), self._world.now))
            for service, text in self._services.events():
                for client, at in list(self._clients.items()):
                    if at == service:
                        await self._say(client, text)
            after_each()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), LOOK_EVERY)

    async def _welcome(self, request: web.Request) -> web.StreamResponse:
        service = request.match_info.get("service", PUBLISHER)
        if service != PUBLISHER and service not in BY_NAME:
            raise web.HTTPNotFound
        client = web.WebSocketResponse(max_msg_size=MESSAGE_LIMIT)
        await client.prepare(request)
        self._clients[client] = service
        try:
            async for message in client:
                if message.type is WSMsgType.TEXT:
                    for text in self._services.on_text(service, message.data):
                        await self._say(client, text)
        finally:
            del self._clients[client]
        return client

    async def _say(self, client: web.WebSocketResponse, text: str) -> None:
        with suppress(ConnectionError):  # it has just gone
            await client.send_str(text)
