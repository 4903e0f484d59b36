"""Rigs of the devices that speak on a line of their own or are asked on one."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from agent.sources import Source, cctalk, lcdm, lines, mdb, modbus, nmea, ups
from agent.sources.bus import PolledSource
from agent.sources.tap import TapSource
from firmware_sim.twins import cctalk as cctalk_twin
from firmware_sim.twins import lcdm as lcdm_twin
from firmware_sim.twins import mdb as mdb_twin
from firmware_sim.twins import modbus as modbus_twin
from firmware_sim.twins import nmea as nmea_twin
from firmware_sim.twins import ups as ups_twin
from firmware_sim.uart import Shape
from firmware_sim.world import World
from tests.agent.sources.rigs import LineRig, soon


class TextRig(LineRig):
    """A microcontroller that prints JSON."""

    end = b"\n"

    def source(self) -> Source:
        settings = lines.Settings(port=str(self._plug.path), silent_after=1.0, fields={"t": lines.Field(point=self.point)})
        return TapSource(self._context, settings, lines.TextLines(self._context, settings), random.Random(3), soon)

    def frame(self, number: int) -> bytes:
        return b'{"t": %d, "other": [1, {"t": 5}]}\r\n' % (number % 100)


class MdbRig(LineRig):
    """The adapter of an MDB bus, which tells how many notes are in the cashbox."""

    point = "storage.unitCashbox.count"
    end = b"\n"

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        monkeypatch.setattr("agent.sources.values.REPEAT", 0.0)

    def source(self) -> Source:
        settings = mdb.Settings(port=str(self._plug.path), silent_after=1.0)
        return TapSource(self._context, settings, mdb.Adapter(self._context, settings), random.Random(3), soon)

    def frame(self, number: int) -> bytes:
        return 2 * mdb_twin.said(f"BV*STACKER*{number % 100}*0")


class NmeaRig(LineRig):
    """A satellite receiver on its way to the north."""

    point = "position.lat"
    end = b"\n"

    def source(self) -> Source:
        settings = nmea.Settings(port=str(self._plug.path), silent_after=1.0)
        object.__setattr__(settings, "every", 0.0)
        return TapSource(self._context, settings, nmea.Receiver(self._context, settings), random.Random(3), soon)

    def frame(self, number: int) -> bytes:
        where = nmea_twin.Where(1.7e9, True, 48.0 + 0.0005 * (number % 100), 16.0)
        return 2 * nmea_twin.Receiver(lambda: where).report()

    def talk(self, number: int) -> Any:
        return round(48.0 + 0.0005 * super().talk(number), 6)

    async def drip(self, number: int) -> Any:
        return round(48.0 + 0.0005 * await super().drip(number), 6)


class AskedRig(LineRig):
    """A device that answers: its twin on the other end of the pty."""

    numbers = range(2, 5)

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        monkeypatch.setattr("agent.sources.lcdm.WITHIN", 0.3)
        for name, value in {"SHORTEST": 0.002, "QUIET": 0.02, "SILENT_AFTER": 1}.items():
            monkeypatch.setattr(f"agent.sources.exchange.{name}", value)
        self.number = 0
        self._muted = self._dripping = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._plug.master, self._asked)

    async def stop(self) -> None:
        if self._plug.master >= 0:
            self._loop.remove_reader(self._plug.master)

    def _asked(self) -> None:
        answer = b"".join(data for _, data in self.twin.on_bytes(self._plug.heard_raw(), 0.0))
        if self._dripping:
            task = asyncio.ensure_future(self._drop(answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif not self._muted:
            self.say(answer)

    async def _drop(self, answer: bytes) -> None:
        for byte in answer:
            self.say(bytes((byte,)))
            await asyncio.sleep(0)

    def talk(self, number: int) -> Any:
        self.number, self._muted, self._dripping = number % 100, False, False
        return self.value()

    async def drip(self, number: int) -> Any:
        value = self.talk(number)
        self._dripping = True
        return value

    def hush(self) -> None:
        self._muted = True

    def unplug(self) -> None:
        self._loop.remove_reader(self._plug.master)
        super().unplug()

    async def plug(self) -> None:
        await super().plug()
        self._loop.add_reader(self._plug.master, self._asked)

    def value(self) -> Any:
        """What must come out for the number."""
        return self.number


class UpsRig(AskedRig):
    """A UPS."""

    point = "powerManagement.load_pct"
    end = b"\r"

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        self.twin = ups_twin.Ups(self._state)

    def _state(self) -> ups_twin.Supply:
        return ups_twin.Supply(230.0, 27.4, 1.0, self.number * ups_twin.RATED_W / 10, 24.0, mains=True, supplied=True)

    def value(self) -> Any:
        return self.number * 10

    def frame(self, number: int) -> bytes:
        del number
        return self.twin.on_bytes(b"Q1\r", 0.0)[0][1]

    def source(self) -> Source:
        settings = ups.Settings(port=str(self._plug.path))
        object.__setattr__(settings, "every", 0.01)
        return PolledSource(self._context, settings, ups.Ups(settings), random.Random(3), soon)


class ModbusRig(AskedRig):
    """A thermometer on a bus."""

    end = b""

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        registers = modbus_twin.climate(lambda: {self.point: self.number})
        self.twin = modbus_twin.Bus([modbus_twin.Unit(1, registers)], Shape(9_600))

    def frame(self, number: int) -> bytes:
        return modbus_twin.Unit(1, modbus_twin.climate(lambda: {self.point: number})).answer(4, 1, 2)

    def source(self) -> Source:
        settings = modbus.Settings(port=str(self._plug.path), map="xy-md02", within=0.3)
        device = modbus.Device("board", settings)
        device.every = 0.01
        return PolledSource(self._context, settings, device, random.Random(3), soon)


class CctalkRig(AskedRig):
    """A hopper that has paid so many coins."""

    point = "storage.unitHopper.presented"
    end = b""

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        self._till = cctalk_twin.Till()
        self.twin = cctalk_twin.Wire(self._till)

    def talk(self, number: int) -> Any:
        self._till.paid = number % 100
        return super().talk(number)

    def frame(self, number: int) -> bytes:
        return cctalk_twin.frame(1, 0, number.to_bytes(3, "little"), 3)

    def source(self) -> Source:
        settings = cctalk.Settings(port=str(self._plug.path), device="hopper", mode="poll")
        device = cctalk.Asking("board", settings)
        device.every = 0.01
        device._says.asked = tuple(each._replace(every=0.0) for each in device._says.asked)
        return PolledSource(self._context, settings, device, random.Random(3), soon)


class CctalkTapRig(LineRig):
    """The same hopper, whose master is heard to ask it."""

    point = "storage.unitHopper.presented"
    end = b""
    numbers = range(2, 5)

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        monkeypatch.setattr("agent.sources.values.REPEAT", 0.0)

    def frame(self, number: int) -> bytes:
        asked = cctalk_twin.frame(cctalk_twin.HOPPER, 168)
        return 2 * (asked + cctalk_twin.frame(1, 0, (number % 100).to_bytes(3, "little"), cctalk_twin.HOPPER))

    def source(self) -> Source:
        settings = cctalk.Settings(port=str(self._plug.path), device="hopper", silent_after=1.0)
        source = TapSource(self._context, settings, cctalk.Listening(self._context, settings), random.Random(3), soon)
        source._taps["device"].patience = 0.1
        return source


class LcdmRig(AskedRig):
    """A note dispenser whose cassette is nearly empty, or not."""

    point = "storage.unit1.replenishmentStatus"
    end = b""

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        world = World("normal_week", seed=4)
        self._cassette = world.site.cash.cassettes[0]
        self.twin = lcdm_twin.Lcdm(world)

    def talk(self, number: int) -> Any:
        self._cassette.count = 1 if number % 2 else 1_000
        return super().talk(number)

    def value(self) -> Any:
        return "low" if self.number % 2 else "ok"

    def frame(self, number: int) -> bytes:
        del number
        return lcdm_twin.framed(1, 0x46, b"\x30\x30\x80\x80")

    def source(self) -> Source:
        settings = lcdm.Settings(port=str(self._plug.path), mode="poll")
        object.__setattr__(settings, "every", 0.01)
        return PolledSource(self._context, settings, lcdm.Asking(settings), random.Random(3), soon)


class LcdmTapRig(LineRig):
    """The same dispenser as its PC asks it: its answers, nearly empty each second time."""

    point = "storage.unit1.replenishmentStatus"
    end = b""
    numbers = range(2, 5)

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        self._low = False

    def frame(self, number: int) -> bytes:
        del number
        return 2 * (b"\x06" + lcdm_twin.framed(1, 0x46, bytes((0x30, 0x30, 0xC0 if self._low else 0x80, 0x80))))

    def talk(self, number: int) -> Any:
        self._low = not self._low
        super().talk(number)
        return "low" if self._low else "ok"

    async def drip(self, number: int) -> Any:
        self._low = not self._low
        await super().drip(number)
        return "low" if self._low else "ok"

    def source(self) -> Source:
        settings = lcdm.Settings(port=str(self._plug.path), model="lcdm-1000", silent_after=1.0)
        return TapSource(self._context, settings, lcdm.Listening(self._context, settings), random.Random(3), soon)
