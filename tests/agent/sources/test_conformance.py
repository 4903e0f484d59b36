"""What every source must do, whatever is behind it. A new driver adds a rig and gets these tests."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from agent.records import Reading
from agent.sources import Source
from agent.vocabulary import fault, point
from tests.agent.sources.rigs import BoardRig, GpioRig, LoopRig, ServerRig
from tests.agent.sources.rigs_lines import (
    CctalkRig,
    CctalkTapRig,
    LcdmRig,
    LcdmTapRig,
    MdbRig,
    ModbusRig,
    NmeaRig,
    TextRig,
    UpsRig,
)
from tests.agent.sources.rigs_notes import CcnetRig, EbdsRig, Id003Rig
from tests.agent.sources.rigs_services import ServicesRig

pytestmark = [pytest.mark.usefixtures("nothing_leaks"), pytest.mark.filterwarnings("ignore::gpiozero.SPISoftwareFallback")]

STATE = "gateway.source.board"


RIGS = {
    "board": BoardRig,
    "board_behind_a_server": ServerRig,
    "ccnet": CcnetRig,
    "cctalk": CctalkRig,
    "cctalk_tap": CctalkTapRig,
    "ebds": EbdsRig,
    "gpio": GpioRig,
    "gpio_loops": LoopRig,
    "id003": Id003Rig,
    "lcdm": LcdmRig,
    "lcdm_tap": LcdmTapRig,
    "lines": TextRig,
    "mdb": MdbRig,
    "modbus": ModbusRig,
    "nmea": NmeaRig,
    "ups": UpsRig,
    "xfs4iot": ServicesRig,
}
SPEAKING = [name for name in RIGS if name not in ("gpio", "gpio_loops", "xfs4iot")]
ON_A_PORT = [name for name in RIGS if name not in ("board_behind_a_server", "xfs4iot")]
LISTENING = ["ccnet", "cctalk_tap", "ebds", "id003", "lcdm_tap", "lines", "mdb", "nmea"]


@pytest.fixture(params=RIGS)
async def rig(request, context, plug, loops, monkeypatch):
    made = RIGS[request.param](context, plug, loops, monkeypatch)
    await made.start()
    yield made
    await made.stop()


def only(names):
    return pytest.mark.parametrize("rig", names, indirect=True)


class Listener:
    """Follows a source as the agent does, and keeps what it gave."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.readings: list[Reading] = []
        self._new = asyncio.Event()
        self._task = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        async with aclosing(self.source.read(None)) as given_by_source:
            async for given in given_by_source:
                self.readings += given.readings
                self._new.set()

    async def until(self, name: str, *values: object, say: Callable[[], object] | None = None) -> None:
        """Until a new Reading says one of these; `say` is done again and again until then."""
        async with asyncio.timeout(5):
            while not any(reading.point == name and reading.value in values for reading in self.readings):
                if say is not None:
                    say()
                self._new.clear()
                timer = asyncio.get_running_loop().call_later(0.02, self._new.set)
                await self._new.wait()
                timer.cancel()
        self.readings.clear()

    async def stop(self) -> float:
        """Cancel it; how long that took."""
        began = asyncio.get_running_loop().time()
        self._task.cancel()
        await asyncio.wait([self._task])
        return asyncio.get_running_loop().time() - began


@asynccontextmanager
async def followed(source: Source) -> AsyncIterator[Listener]:
    listener = Listener(source)
    try:
        yield listener
    finally:
        assert await listener.stop() < 1.0


def again(rig, number: int):
    return lambda: rig.talk(number)


async def test_it_gives_what_the_device_says(rig):
    async with followed(rig.source()) as listener:
        await listener.until(STATE, "ok", say=again(rig, 2))
        for number in (3, 4, 5):
            value = rig.talk(number)
            await listener.until(rig.point, value)


IDENTITIES = {
    "cctalk": "SIM HOPPER 1.0",
    "ebds": "model 54, revision 15",
    "lcdm": "Puloon LCDM-1000, ROM O16T",
    "modbus": "unit 1 (xy-md02)",
    "ups": "SIMULATED UPS600 V1.0",
}


@pytest.mark.parametrize(("rig", "identity"), IDENTITIES.items(), indirect=["rig"])
async def test_a_device_that_is_asked_or_always_tells_says_who_it_is(rig, identity):
    source = rig.source()
    async with followed(source) as listener:
        await listener.until(STATE, "ok", say=again(rig, 1))
        await listener.until(rig.point, rig.talk(3))
        assert source.identity == identity


async def test_every_reading_is_one_of_the_vocabulary_and_of_a_known_machine(rig):
    async with followed(rig.source()) as listener:
        seen = []
        for number in range(4):
            listener.readings.clear()
            rig.talk(number)
            async with asyncio.timeout(5):
                while not listener.readings:
                    rig.talk(number)
                    await asyncio.sleep(0.005)
            seen += listener.readings
    for reading in seen:
        entry = point(reading.point)
        assert entry is not None, reading.point
        assert fault(entry, reading.value) is None
        assert reading.machine == ("gateway-1" if reading.point.startswith("gateway.") else "atm-1")


async def test_it_survives_unplugging_and_replugging(rig):
    async with followed(rig.source()) as listener:
        await listener.until(STATE, "ok", say=again(rig, 1))
        for number in range(2, 7):
            rig.unplug()
            await listener.until(STATE, "missing", "broken")
            await rig.plug()
            await listener.until(STATE, "ok", say=again(rig, number))
            value = rig.talk(number)
            await listener.until(rig.point, value, say=again(rig, number))


async def test_it_waits_for_a_device_that_is_not_there_yet(rig):
    rig.unplug()
    async with followed(rig.source()) as listener:
        await listener.until(STATE, "missing")
        await rig.plug()
        await listener.until(STATE, "ok", say=again(rig, 1))


@only(ON_A_PORT)
async def test_it_waits_for_a_device_that_somebody_else_has(rig):
    async with rig.occupied():
        listener = Listener(rig.source())
        await listener.until(STATE, "busy")
    await listener.until(STATE, "ok", say=again(rig, 1))
    assert await listener.stop() < 1.0


async def test_it_stops_within_a_second_in_every_state(rig):
    idle = Listener(rig.source())
    assert await idle.stop() < 1.0
    starting = Listener(rig.source())
    await asyncio.sleep(0)
    assert await starting.stop() < 1.0
    working = Listener(rig.source())
    await working.until(STATE, "ok", say=again(rig, 1))
    assert await working.stop() < 1.0
    rig.unplug()
    looking = Listener(rig.source())
    await looking.until(STATE, "missing")
    assert await looking.stop() < 1.0


@only(SPEAKING)
async def test_it_says_when_the_device_is_silent(rig):
    async with followed(rig.source()) as listener:
        await listener.until(STATE, "ok", say=again(rig, 1))
        rig.hush()
        await listener.until(STATE, "silent")
        await listener.until(STATE, "ok", say=again(rig, 2))


@only(SPEAKING)
@pytest.mark.parametrize("noise", ["babble", "half frames", "byte at a time", "zeros", "endless"])
async def test_it_hears_through_noise(rig, noise):
    rng = random.Random(11)
    async with followed(rig.source()) as listener:
        await listener.until(STATE, "ok", say=again(rig, 1))
        for number in rig.numbers:
            rig.spoil(noise, rng)
            value = await rig.drip(number) if noise == "byte at a time" else rig.talk(number)
            await listener.until(rig.point, value)


@only(LISTENING)
async def test_who_listens_is_never_heard(rig):
    rng = random.Random(7)
    async with followed(rig.source()) as listener:
        await listener.until(STATE, "ok", say=again(rig, 1))
        for noise in ("babble", "half frames", "zeros", "endless"):
            rig.spoil(noise, rng)
            await listener.until(rig.point, rig.talk(3))
            assert rig.heard() == b""
        rig.unplug()
        await listener.until(STATE, "missing", "broken")
        await rig.plug()
        await listener.until(STATE, "ok", say=again(rig, 2))
    assert rig.heard() == b""


DENIED = """
import asyncio, os, sys
from contextlib import aclosing
from agent.sources import Context, board, gpio, pins
from agent.sources.contacts import Contact
import encodings.idna, serial.serialposix, gpiozero.pins.mock  # what is imported late may lie where nobody may read

if sys.argv[1] == "board":
    settings = board.Settings(port=sys.argv[2])
    source = board.BoardSource(Context("s", "atm", "gw", lambda: 0.0), settings)
else:
    def factory():
        raise OSError("can not open gpiochip")
    pins.CHIPS = __import__("pathlib").Path(sys.argv[2])
    settings = gpio.Settings(contacts=(Contact(pin=17, point="auxiliaries.safeDoor"),))
    source = gpio.GpioSource(Context("s", "atm", "gw", lambda: 0.0), settings, pins.Chip(factory))

async def main():
    async with aclosing(source.read(None)) as given:
        print(next(each.value for each in (await anext(given)).readings if each.point == "gateway.source.s"))

if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
asyncio.run(main())
"""


@pytest.mark.parametrize("driver", ["board", "gpio"])
def test_it_says_when_it_may_not(driver, plug, open_folder):
    """Root may do everything, so that the one who tries is somebody else."""
    os.chmod(plug.devices[-1], 0o000)
    (open_folder / "gpiochip0").touch()
    os.chmod(open_folder / "gpiochip0", 0o000)
    where = plug.devices[-1] if driver == "board" else str(open_folder)
    done = subprocess.run([sys.executable, "-c", DENIED, driver, where], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "denied\n", done.stderr
    assert "denied" in done.stderr  # the last resort of logging
    assert "it belongs to user" in done.stderr
