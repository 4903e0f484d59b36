"""Devices on a Modbus bus: an XY-MD02 and an Eastron SDM120. They show the climate and the power of the one world."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

from agent.records import Value
from firmware_sim.twins import Answering, Out
from firmware_sim.twins.sensed import Sensed
from firmware_sim.uart import Shape
from firmware_sim.world import World

SILENCE = 0.05  # s; a request that stops in the middle is forgotten
REQUEST = 8  # bytes of a request to read
DELAY = 0.02  # s
KEPT = 256  # bytes
INPUT, HOLDING = 4, 3
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3

Table = Mapping[tuple[int, int], int]
"""(function, address) -> register"""


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, one bit at a time, low byte first."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0xA001 if register & 1 else register >> 1
    return register.to_bytes(2, "little")


class Unit:
    """One device. `registers` gives all that it has, as they are now."""

    def __init__(self, unit: int, registers: Callable[[], Table]) -> None:
        self.unit = unit
        self._registers = registers

    def answer(self, function: int, address: int, count: int) -> bytes:
        """The answer to a read, whole."""
        if function not in (INPUT, HOLDING):
            return self._refuse(function, ILLEGAL_FUNCTION)
        if not 0 < count <= 125:
            return self._refuse(function, ILLEGAL_VALUE)
        table = self._registers()
        values = [table.get((function, number)) for number in range(address, address + count)]
        if None in values:
            return self._refuse(function, ILLEGAL_ADDRESS)
        body = bytes((self.unit, function, 2 * count)) + b"".join(int(value or 0).to_bytes(2, "big") for value in values)
        return body + crc(body)

    def _refuse(self, function: int, code: int) -> bytes:
        body = bytes((self.unit, function | 0x80, code))
        return body + crc(body)


class Bus(Answering):
    """Devices on one pair of wires. `harmed` keeps the requests that would have written."""

    def __init__(self, units: Sequence[Unit], shape: Shape) -> None:
        self.shape = shape
        self.harmed: list[bytes] = []
        self._units = {unit.unit: unit for unit in units}
        self._held = b""
        self._last = 0.0

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Requests in any chunks; the one who is meant answers."""
        if now - self._last > SILENCE:
            self._held = b""
        self._last = now
        self._held = (self._held + data)[-KEPT:]
        out = []
        while len(self._held) >= REQUEST:
            frame = self._held[:REQUEST]
            if crc(frame[:-2]) != frame[-2:]:
                self._held = self._held[1:]
                continue
            self._held = self._held[REQUEST:]
            if frame[1] in (5, 6, 15, 16):
                self.harmed.append(frame)
            if (unit := self._units.get(frame[0])) is not None:
                answer = unit.answer(frame[1], *struct.unpack(">HH", frame[2:6]))
                out.append((DELAY + len(answer) * 10 / self.shape.baud, answer))
        return out


def climate(values: Callable[[], Mapping[str, Value]]) -> Callable[[], Table]:
    """The registers of an XY-MD02."""

    def table() -> Table:
        found = values()
        tenths = [_tenths(found.get(name)) for name in ("environment.temperature_c", "environment.humidity_pct")]
        return {(INPUT, 1): tenths[0], (INPUT, 2): tenths[1], (HOLDING, 0x101): 1, (HOLDING, 0x102): 9600}

    return table


def _tenths(value: Value) -> int:
    return round(10 * value) & 0xFFFF if isinstance(value, int | float) else 0


def meter(values: Callable[[], Mapping[str, float]]) -> Callable[[], Table]:
    """The registers of an SDM120: two for each float, and zeros between."""

    def table() -> Table:
        registers = dict.fromkeys(((INPUT, number) for number in range(0x160)), 0)
        for address, value in values().items():
            high, low = struct.unpack(">HH", struct.pack(">f", value))
            registers[INPUT, int(address, 16)], registers[INPUT, int(address, 16) + 1] = high, low
        return registers

    return table


def energy(world: World) -> Callable[[], Mapping[str, float]]:
    """What a meter in a world shows, by address."""

    def values() -> Mapping[str, float]:
        points = world.points()
        volts, watts = points.get("powerManagement.inputVoltage_v"), points.get("energy.active_power_w")
        v, w = (float(each) if isinstance(each, int | float) else 0.0 for each in (volts, watts))
        factor = 0.92 if w else 1.0
        va = w / factor
        kwh = 1_000.0 + (world.now - world.start) * 0.12 / 3_600.0
        return {
            "0000": v, "0006": va / v if v else 0.0, "000C": w, "0012": va, "0018": (va * va - w * w) ** 0.5, "001E": factor,
            "0046": 50.0 if v else 0.0, "0048": kwh, "0156": kwh,
        }  # fmt: skip

    return values


def _climate(world: World) -> Callable[[], Table]:
    return climate(Sensed(world, ("environment.temperature_c", "environment.humidity_pct"), "modbus").values)


def twin(world: World) -> Bus:
    """An XY-MD02 (unit 1) and an SDM120 (unit 2) on one bus of 9600 baud."""
    return Bus([Unit(1, _climate(world)), Unit(2, meter(energy(world)))], Shape(9_600))


def xy_md02(world: World) -> Bus:
    """An XY-MD02 as it leaves its maker."""
    return Bus([Unit(1, _climate(world))], Shape(9_600))


def sdm120(world: World) -> Bus:
    """An SDM120 as it leaves its maker."""
    return Bus([Unit(1, meter(energy(world)))], Shape(2_400))
