"""A rig a driver: the real line or pin, a device on it that does what a test wants, and the source that listens.

`talk` lets the device say something new and gives the value that must come out; `spoil` puts noise on its line.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import gpiozero
import serial
from gpiozero import InputDevice
from gpiozero.pins.mock import MockPin

from agent.sources import Source
from agent.sources import board as board_driver
from agent.sources import gpio as gpio_driver
from agent.sources.contacts import Contact
from agent.sources.loops import Loop
from agent.sources.pins import Chip
from agent.wire.board import Frame, FrameType, Key, encode
from tests.agent.sources.converters import MOSI, Converter


async def soon(_: float) -> None:
    """A back-off that lets the other end have its turn."""
    await asyncio.sleep(0.001)


class LineRig:
    """A device on a pty that says a frame when `talk` is called."""

    point = "environment.temperature_c"
    end = b"\0"  # of a frame, and of whatever stood before it
    numbers = range(2, 20)  # said through noise

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        del loops
        self._context, self._plug, self._monkeypatch = context, plug, monkeypatch
        self._seq = 0

    async def start(self) -> None:
        """Called first, on the loop."""

    async def stop(self) -> None:
        """Called last."""

    def source(self) -> Source:
        raise NotImplementedError

    def frame(self, number: int) -> bytes:
        """What the device says."""
        raise NotImplementedError

    def talk(self, number: int) -> Any:
        """Let the device say something new; the value that must come out."""
        self.say(self.frame(number))
        return number % 100

    def hush(self) -> None:
        """Let the device say nothing, until it is to talk again."""

    async def drip(self, number: int) -> Any:
        """As `talk`, byte by byte."""
        for byte in self.frame(number):
            self.say(bytes((byte,)))
            await asyncio.sleep(0)
        return number % 100

    def spoil(self, noise: str, rng: random.Random) -> None:
        """Noise on the line."""
        frame = self.frame(99)
        if noise == "babble":
            self.say(rng.randbytes(200) + self.end)
        elif noise == "half frames":
            self.say(frame[: rng.randrange(1, len(frame) - 1)] + self.end + frame[rng.randrange(2, len(frame)) :])
        elif noise == "zeros":
            self.say(bytes(500) + self.end)
        elif noise == "endless":
            self.say(b"\x55" * 3000 + self.end)

    def say(self, data: bytes) -> None:
        self._plug.say(data)

    def heard(self) -> bytes:
        """What the gateway has sent."""
        return self._plug.heard_raw()

    def unplug(self) -> None:
        self._plug.unplug()

    async def plug(self) -> None:
        self._plug.plug()

    @asynccontextmanager
    async def occupied(self) -> AsyncIterator[None]:
        with serial.Serial(str(self._plug.path), exclusive=True):
            yield


class BoardRig(LineRig):
    """A board of few words."""

    def source(self) -> Source:
        settings = board_driver.Settings(port=str(self._plug.path), silent_after=1.0)
        return board_driver.BoardSource(self._context, settings, random.Random(3), soon)

    def frame(self, number: int) -> bytes:
        self._seq += 1
        return encode(Frame(FrameType.READING, self._seq, self._seq * 1000, {Key.BOOT: 5, Key.VALUES: {25: number % 100}}))


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

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""

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


class LoopRig(GpioRig):
    """The same door on a loop, behind a converter on the simulated SPI bus."""

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        monkeypatch.setattr(gpiozero.Device, "pin_factory", loops)
        loops.pin_class = MockPin
        self._levels = [0.5] * 8

    def _factory(self) -> Any:
        factory = super()._factory()
        Converter(factory).levels = self._levels  # a factory that was closed has forgotten who is on its bus
        return factory

    def source(self) -> Source:
        settings = gpio_driver.Settings(loops=(Loop(channel=2, point=self.point, debounce=0.0),), sample=0.02)
        object.__setattr__(settings, "refresh", 0.02)
        return gpio_driver.GpioSource(self._context, settings, Chip(self._factory), random.Random(3), soon)

    def talk(self, number: int) -> Any:
        closed = number % 2 == 0
        self._levels[2] = 0.5 if closed else 0.667
        return "closed" if closed else "open"

    def unplug(self) -> None:
        self._there = False
        self._monkeypatch.setattr(gpiozero.MCP3008, "_read", _gone)

    async def plug(self) -> None:
        self._there = True
        self._monkeypatch.setattr(gpiozero.MCP3008, "_read", READ)

    @asynccontextmanager
    async def occupied(self) -> AsyncIterator[None]:
        holder = InputDevice(MOSI, pin_factory=self._loops)
        yield
        holder.close()


READ = gpiozero.MCP3008._read


def _gone(_: object) -> None:
    raise OSError(19, "No such device")


class _NoFolder:
    def glob(self, _: str) -> list[Any]:
        return []


_NO_FOLDER = _NoFolder()
