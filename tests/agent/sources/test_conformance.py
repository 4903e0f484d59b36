"""What every source must do, whatever is behind it. A new driver adds a rig and gets these tests."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import serial
from gpiozero import InputDevice

from agent.records import Reading
from agent.sources import Source
from agent.sources import board as board_driver
from agent.sources import gpio as gpio_driver
from agent.sources.contacts import Contact
from agent.sources.pins import Chip
from agent.vocabulary import fault, point
from agent.wire.board import Frame, FrameType, Key, encode

pytestmark = pytest.mark.usefixtures("nothing_leaks")

STATE = "gateway.source.board"


async def soon(_: float) -> None:
    """A back-off that lets the other end have its turn."""
    await asyncio.sleep(0.001)


class BoardRig:
    """A board of few words on a pty. Its device speaks when `talk` is called."""

    point = "environment.temperature_c"

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        del loops
        self._context, self._plug, self._monkeypatch = context, plug, monkeypatch
        self._seq = 0

    def source(self) -> Source:
        settings = board_driver.Settings(port=str(self._plug.path), silent_after=1.0)
        return board_driver.BoardSource(self._context, settings, random.Random(3), soon)

    def talk(self, number: int) -> Any:
        """Let the device say something new; the value that must come out."""
        self.say(encode(Frame(FrameType.READING, self._seq, self._seq * 1000, {Key.BOOT: 5, Key.VALUES: {25: number % 100}})))
        self._seq += 1
        return number % 100

    def say(self, data: bytes) -> None:
        self._plug.say(data)

    def unplug(self) -> None:
        self._plug.unplug()

    async def plug(self) -> None:
        self._plug.plug()

    @asynccontextmanager
    async def occupied(self) -> AsyncIterator[None]:
        with serial.Serial(str(self._plug.path), exclusive=True):
            yield


class ServerRig(BoardRig):
    """The same board behind a device server."""

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._tcp = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer) -> None:
        self._writers.append(writer)
        while await reader.read(1000):
            pass
        writer.close()

    def source(self) -> Source:
        settings = board_driver.Settings(port=f"socket://127.0.0.1:{self._tcp}", silent_after=1.0)
        return board_driver.BoardSource(self._context, settings, random.Random(3), soon)

    def say(self, data: bytes) -> None:
        for writer in self._writers:
            if not writer.is_closing():
                writer.write(data)

    def unplug(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._tcp)

    async def stop(self) -> None:
        self.unplug()
        async with asyncio.timeout(5):
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                await task


class GpioRig:
    """A door contact on a simulated pin."""

    point = "auxiliaries.safeDoor"

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        del plug
        self._context, self._loops, self._monkeypatch = context, loops, monkeypatch
        self._there = True
        monkeypatch.setattr("agent.sources.pins.CHIPS", _NO_FOLDER)

    def source(self) -> Source:
        contact = Contact(pin=17, point=self.point, debounce=0.0)
        settings = gpio_driver.Settings(contacts=(contact,), pin_factory="mock", refresh=1.0)
        object.__setattr__(settings, "refresh", 0.02)  # a chip that is gone is noticed when it is read
        return gpio_driver.GpioSource(self._context, settings, Chip(self._factory), random.Random(3), soon)

    def _factory(self) -> Any:
        if not self._there:
            raise OSError("can not open gpiochip")
        return self._loops

    def talk(self, number: int) -> Any:
        closed = number % 2 == 0
        thread = threading.Thread(target=lambda: self._loops.pin(17).drive(closed=closed))
        thread.start()
        thread.join()
        return "closed" if closed else "open"

    def unplug(self) -> None:
        self._there = False
        self._monkeypatch.setattr(self._loops.pin_class, "_get_state", _gone)

    async def plug(self) -> None:
        self._there = True
        self._monkeypatch.setattr(self._loops.pin_class, "_get_state", lambda pin: pin._state)

    @asynccontextmanager
    async def occupied(self) -> AsyncIterator[None]:
        holder = InputDevice(17, pin_factory=self._loops)
        yield
        holder.close()


def _gone(_: object) -> None:
    raise OSError(19, "No such device")


class _NoFolder:
    def glob(self, _: str) -> list[Any]:
        return []


_NO_FOLDER = _NoFolder()


@pytest.fixture(params=[BoardRig, ServerRig, GpioRig], ids=["board", "board_behind_a_server", "gpio"])
async def rig(request, context, plug, loops, monkeypatch):
    made = request.param(context, plug, loops, monkeypatch)
    if isinstance(made, ServerRig):
        await made.start()
    yield made
    if isinstance(made, ServerRig):
        await made.stop()


SPEAKING = pytest.mark.parametrize("rig", [BoardRig, ServerRig], ids=["board", "board_behind_a_server"], indirect=True)


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


@pytest.mark.parametrize("rig", [BoardRig, GpioRig], ids=["board", "gpio"], indirect=True)
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


@SPEAKING
async def test_it_says_when_the_device_is_silent(rig):
    async with followed(rig.source()) as listener:
        await listener.until(STATE, "ok", say=again(rig, 1))
        await listener.until(STATE, "silent")
        await listener.until(STATE, "ok", say=again(rig, 2))


@SPEAKING
@pytest.mark.parametrize("noise", ["babble", "half frames", "byte at a time", "zeros", "endless"])
async def test_it_hears_through_noise(rig, noise):
    rng = random.Random(11)
    frame = encode(Frame(FrameType.READING, 0, 0, {Key.BOOT: 5, Key.VALUES: {25: 99}}))

    def spoil() -> None:
        if noise == "babble":
            rig.say(rng.randbytes(200) + b"\0")
        elif noise == "half frames":
            rig.say(frame[: rng.randrange(1, len(frame) - 1)] + b"\0" + frame[rng.randrange(2, len(frame)) :])
        elif noise == "zeros":
            rig.say(bytes(500))
        elif noise == "endless":
            rig.say(b"\x55" * 3000 + b"\0")

    async with followed(rig.source()) as listener:
        await listener.until(STATE, "ok", say=again(rig, 1))
        for number in range(2, 20):
            spoil()
            if noise == "byte at a time":
                whole = encode(Frame(FrameType.READING, number, 0, {Key.BOOT: 5, Key.VALUES: {25: number}}))
                for byte in whole:
                    rig.say(bytes((byte,)))
                    await asyncio.sleep(0)
                value = number
            else:
                value = rig.talk(number)
            await listener.until(rig.point, value)


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
