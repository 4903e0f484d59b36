"""Several sources on one port: one owner, turns, and who closes it."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import Any

import pytest

from agent.errors import ConfigError
from agent.records import Reading
from agent.sources import Context
from agent.sources.bus import PolledSource
from agent.sources.exchange import Request, Round
from agent.sources.modbus import Device, Settings
from firmware_sim.twins import modbus as sim
from firmware_sim.uart import Shape
from tests.agent.sources.rigs import soon

pytestmark = pytest.mark.usefixtures("nothing_leaks")


@pytest.fixture
def twin(plug: Any) -> Any:
    units = [sim.Unit(number, sim.climate(lambda number=number: {"environment.temperature_c": number})) for number in (1, 2)]
    return sim.Bus(units, Shape(9_600))


@pytest.fixture
async def bus(plug: Any, twin: Any) -> Any:
    loop = asyncio.get_running_loop()

    def asked() -> None:
        for _, answer in twin.on_bytes(plug.heard_raw(), loop.time()):
            plug.say(answer)

    loop.add_reader(plug.master, asked)
    yield plug
    loop.remove_reader(plug.master)


def source(plug: Any, lines: dict[str, Any], unit: int, **settings: Any) -> PolledSource:
    context = Context(f"s{unit}", f"atm-{unit}", "gw-1", lambda: 0.0, lines)
    made = Settings(port=str(plug.path), map="xy-md02", unit=unit, every=0.2, **settings)
    return PolledSource(context, made, Device(context.name, made), random.Random(1), soon)


async def until(source: PolledSource, name: str) -> Reading:
    async with asyncio.timeout(10), aclosing(source.read(None)) as given:
        async for each in given:
            for reading in each.readings:
                if reading.point == name and reading.value is not None:
                    return reading
    raise AssertionError


async def test_two_sources_share_a_port_and_hear_each_their_own(bus: Any) -> None:
    lines: dict[str, Any] = {}
    one, two = source(bus, lines, 1), source(bus, lines, 2)
    for _ in range(2):  # and again after both have ended
        found = await asyncio.gather(until(one, "environment.temperature_c"), until(two, "environment.temperature_c"))
        assert [(each.machine, each.value) for each in found] == [("atm-1", 1.0), ("atm-2", 2.0)]


async def test_one_goes_on_when_the_other_ends(bus: Any) -> None:
    lines: dict[str, Any] = {}
    one, two = source(bus, lines, 1), source(bus, lines, 2)
    task = asyncio.ensure_future(until(one, "gateway.line.s1.nothing"))
    await until(two, "environment.temperature_c")
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


def test_two_that_want_different_settings_of_one_line_are_a_mistake(plug: Any) -> None:
    lines: dict[str, Any] = {}
    source(plug, lines, 1)
    with pytest.raises(ConfigError, match="source s2: baud: 2400, but 9600 at source s1 of the same line"):
        source(plug, lines, 2, baud=2_400)


class Rude:
    """A driver with a bug: it wants to send what it may not."""

    every, identity = 1.0, ""

    def may_send(self, data: bytes) -> bool:
        return data == b"polite"

    def round(self) -> Round:
        yield Request(b"pay out", None)
        return {}

    def away(self, word: str) -> dict[str, Any]:
        del word
        return {}


async def test_a_request_that_is_not_on_the_list_never_leaves_and_ends_the_source(plug: Any) -> None:
    settings = Settings(port=str(plug.path), map="xy-md02")
    rude = PolledSource(Context("s", "atm-1", "gw-1", lambda: 0.0), settings, Rude(), random.Random(1), soon)
    with pytest.raises(ValueError, match="7 bytes are not on the allow-list"):
        await until(rude, "never")
    assert plug.heard_raw() == b""
