"""The whole way out: a store on disk, its writer, the forward loop, an uplink, a line that fails, and the platform's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from agent.forward import Arrivals, Link, Plan, forward
from agent.records import Body, Stamp
from agent.store.lane_store import Bounds
from agent.store.opening import open_durable, open_memory
from agent.store.writer import Writer
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.uplinks.platforms import CoapPlatform, MqttPlatform, Platform

PLAN = Plan(batch=20, batch_bytes=16 * 1024, first_pause=0.02, longest_pause=0.1, look=0.5)
STAMP = Stamp(1_760_000_000.0, 100.0, "boot", synced=True)
BOUNDS = Bounds(32 * 1024 * 1024, 0, 7.0, 16 * 1024 * 1024)


@pytest.fixture(params=["mqtt", "coap"])
async def platform(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Platform]:
    made = CoapPlatform(tmp_path) if request.param == "coap" else MqttPlatform(tmp_path)
    async with made.open():
        yield made


async def test_an_outage_loses_nothing(platform: Platform, tmp_path: Path) -> None:
    disk, _ = open_durable(tmp_path / "store", GATEWAY, ["platform"], BOUNDS, lambda: "first-life")
    memory = open_memory(GATEWAY, ["platform"], BOUNDS, "memory")
    words: list[str] = []
    arrivals = Arrivals()
    link = Link("platform", words.append, asyncio.get_running_loop().time)
    uplink = platform.uplink(ack_timeout=0.5)
    async with Writer(disk, memory, ["platform"], 0.01) as writer:

        async def keep(bodies: list[Body]) -> None:
            await writer.put(bodies, {}, STAMP)
            arrivals.announce(alarm=any(type(body).__name__ == "Alarm" for body in bodies))

        task = asyncio.create_task(forward(uplink, writer, arrivals, link, PLAN, Random(1)))
        try:
            await keep([summary(position).body for position in range(1, 51)])
            await _until(lambda: link.accepted == 50)
            platform.relay.silence()
            await keep([summary(position).body for position in range(51, 201)])
            await keep([alarm(position).body for position in range(1, 6)])
            await _until(lambda: link.word == "down")
            assert (await writer.backlog("platform"))["alarms"] == 5
            platform.relay.heal()
            await _until(lambda: link.accepted == 205)
            assert sum((await writer.backlog("platform")).values()) == 0
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    account = await platform.account(205)
    assert (account.received, account.missing) == (205, 0)
    assert words == ["up", "down", "up"]
    assert not any("gap" in line for line in platform.lines)


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):  # 20 s, on a busy machine
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came to that")
