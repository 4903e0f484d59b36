"""Two wires of one line that is listened to, and the state of both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from agent.errors import LineLost
from agent.sources import Context
from agent.sources.lcdm import Listening, Settings
from agent.sources.line import Opened
from agent.sources.tap import TapSource, Watch
from firmware_sim.twins.lcdm import framed
from tests.agent.sources.conftest import Plug
from tests.agent.sources.rigs import soon

CONTEXT = Context("d", "atm-1", "gw-1", lambda: 0.0)
GOOD = framed(1, 0x46, b"\x30\x30\x80\x80")


def watch() -> Watch:
    settings = Settings(port="/dev/ttyUSB0", host_port="/dev/ttyUSB1", silent_after=5.0)
    return Watch(CONTEXT, settings, Listening(CONTEXT, settings))


def state(readings: list[Any]) -> list[Any]:
    return [each.value for each in readings if each.point == "gateway.source.d"]


def test_one_wire_that_is_not_there_is_told_for_as_long_as_it_is_so() -> None:
    it = watch()
    it.arrived("device", Opened(0), 0.0, 0.0)
    readings = it.arrived("host", LineLost("gone"), 0.0, 0.0)
    assert state(readings) == ["missing"]
    assert [each for each in readings if each.point.startswith("cash")] == []  # the dispenser is still heard
    assert state(it.arrived("device", GOOD, 0.0, 1.0)) == []
    assert state(it.arrived("device", b"", 0.0, 20.0)) == []
    it.arrived("host", Opened(0), 0.0, 21.0)
    assert state(it.arrived("device", GOOD, 0.0, 22.0)) == ["ok"]
    readings = it.arrived("device", LineLost("gone"), 0.0, 23.0)
    assert state(readings) == ["missing"]
    assert [each.value for each in readings if each.point == "cashDispenser.device"] == ["noDevice"]


@pytest.mark.parametrize("noise", [b"", b"\xff" * 50])
def test_silence_and_noise(noise: bytes) -> None:
    it = watch()
    it.arrived("device", Opened(0), 0.0, 0.0)
    it.arrived("device", GOOD, 0.0, 1.0)
    assert state(it.arrived("device", noise, 0.0, 5.0)) == []
    assert state(it.arrived("device", noise, 0.0, 6.5)) == ["silent"]


@pytest.fixture
async def both(tmp_path: Any) -> AsyncIterator[tuple[Plug, Plug]]:
    plugs = Plug(tmp_path / "device"), Plug(tmp_path / "host")
    for each in plugs:
        each.plug()
    yield plugs
    for each in plugs:
        each.close()


@pytest.mark.usefixtures("nothing_leaks")
async def test_both_wires_are_heard_and_neither_is_written_to(both: tuple[Plug, Plug]) -> None:
    device, host = both
    settings = Settings(port=str(device.path), host_port=str(host.path), silent_after=1.0)
    source = TapSource(CONTEXT, settings, Listening(CONTEXT, settings), random.Random(1), soon)
    wanted = ["online", "powerOff"]
    async with asyncio.timeout(20), aclosing(source.read(None)) as given:
        async for each in given:
            values = {reading.point: reading.value for reading in each.readings}
            if values.get("cashDispenser.device") == wanted[0]:
                wanted.pop(0)
                if not wanted:
                    break
            if len(wanted) == 2:
                device.say(GOOD)
            else:
                host.say(b"\x04\x50\x02\x46\x03\x13")
    assert device.heard_raw() == host.heard_raw() == b""
