"""A rig of the machine's own services: their publisher on a real WebSocket."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from agent.sources import Source, xfs4iot
from firmware_sim.firmware import Pace
from firmware_sim.publisher import ServicePublisher
from firmware_sim.world import World
from tests.agent.sources.rigs import soon


class ServicesRig:
    """The services of a machine whose safe is opened and closed in turn."""

    point = "auxiliaries.safeDoor"

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        del plug, loops, monkeypatch
        self._context = context
        self._world = World(seed=3)
        self._port = 0
        self._publisher: ServicePublisher | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self.plug()

    async def stop(self) -> None:
        self.unplug()
        await self._done()

    def source(self) -> Source:
        source = xfs4iot.open_source(self._context, xfs4iot.Settings(url=f"ws://127.0.0.1:{self._port}"))
        source._sleep, source._rng = soon, random.Random(1)
        return source

    def talk(self, number: int) -> Any:
        del number
        housing = self._world.site.housing
        housing.safe = "open" if housing.safe != "open" else "closed"
        if self._publisher is not None:
            self._do(self._tell(self._publisher))
        return housing.safe

    async def _tell(self, publisher: ServicePublisher) -> None:
        for service, text in publisher._services.events():
            for client, at in list(publisher._clients.items()):
                if at == service:
                    await publisher._say(client, text)

    def unplug(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            self._do(publisher.__aexit__(None, None, None))

    async def plug(self) -> None:
        await self._done()
        pace = Pace(self._world.now, time.time(), 1.0)
        publisher = ServicePublisher((self._world, pace), ("127.0.0.1", self._port), time.time)
        self._publisher = await publisher.__aenter__()
        self._port = publisher._port

    def _do(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _done(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
