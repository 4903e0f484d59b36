"""A UPS: Megatec Q1 as most of them speak it, with its known traps, and Voltronic. It shows the power of the one world."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from firmware_sim.points import numbers
from firmware_sim.twins import Answering, Out
from firmware_sim.uart import Shape
from firmware_sim.world import World

DELAY = 0.03  # s that it thinks before it answers
BYTE = 10 / 2_400  # s on the line
COMMAND_LIMIT = 32  # bytes that it keeps of a command
RATED_W = 600.0
CHANGING = re.compile(rb"S[\d.]+(R\d{4})?|C|CT|CS|T|TL|T\d\d|Q|SON|SOFF")  # commands that do something


class Supply(NamedTuple):
    """The state of the power that a UPS knows of."""

    input_v: float
    battery_v: float  # of 24 V
    charge: float  # 0 to 1
    load_w: float
    temperature_c: float
    mains: bool
    supplied: bool
    failed: bool = False


def supply(world: World) -> Supply:
    """The power of a world as it is now."""
    power, now = world.site.power, world.now
    load = numbers(world.site)["energy.active_power_w"]
    temperature = world.points().get("environment.temperature_c", 20.0)
    return Supply(
        power.input_v(now),
        power.battery_v(now),
        power.charge(now),
        float(load) if isinstance(load, int | float) and power.mains else world.site.params.idle_power_w,
        float(temperature) if isinstance(temperature, int | float) else 20.0,
        power.mains,
        power.supplied,
    )


class Ups(Answering):
    """One UPS. `harmed` keeps the commands that it would have obeyed and that no observer may send."""

    shape = Shape(2_400)

    def __init__(self, state: Callable[[], Supply], *, voltronic: bool = False, per_cell: bool = False) -> None:
        self.harmed: list[bytes] = []
        self._state = state
        self._voltronic = voltronic
        self._per_cell = per_cell
        self._command = b""

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Commands in any chunks; an answer for each."""
        del now
        *commands, self._command = (self._command + data).split(b"\r")
        self._command = self._command[-COMMAND_LIMIT:]
        out, at = [], DELAY
        for command in commands:
            answer = self._answer(command[-COMMAND_LIMIT:])
            at += len(answer) * BYTE
            out.append((at, answer))
        return out

    def _answer(self, command: bytes) -> bytes:
        if CHANGING.fullmatch(command):
            self.harmed.append(command)
            return b""
        said = self._says(command)
        if said is None:
            return b"(NAK\r" if self._voltronic else command + b"\r"
        return said.encode() + b"\r"

    def _says(self, command: bytes) -> str | None:
        if command == b"Q1":
            return self._q1(self._state())
        if command == b"F":
            return "#230.0 003 024.0 50.0"
        if command == b"I":
            return "#SIMULATED       UPS600     V1.0      "
        if self._voltronic:
            return self._says_more(command)
        return None

    def _says_more(self, command: bytes) -> str | None:
        state = self._state()
        if command == b"QPI":
            return "(PI00"
        if command == b"QGS":
            return self._qgs(state)
        if command == b"QMOD":
            return "(F" if state.failed else "(S" if not state.supplied else "(L" if state.mains else "(B"
        if command == b"QWS":
            return "(" + "".join("1" if number == 7 and _low(state) else "0" for number in range(64))
        if command == b"QBV":
            return f"({state.battery_v:05.1f} 02 01 {round(state.charge * 100):03d} {round(30 * state.charge):03d}"
        return None

    def _q1(self, state: Supply) -> str:
        output = state.input_v if state.mains else 230.0 if state.supplied else 0.0
        battery = f"{state.battery_v / 12:4.2f}" if self._per_cell else f"{state.battery_v:04.1f}"
        temperature = "--.-" if self._per_cell else f"{max(0.0, state.temperature_c):04.1f}"
        bits = "".join(
            "1" if bit else "0" for bit in (not state.mains, _low(state), False, state.failed, True, False, False, True)
        )
        hz = 50.0 if state.mains else 0.0
        return f"({state.input_v:05.1f} 140.0 {output:05.1f} {_load(state):03d} {hz:04.1f} {battery} {temperature} {bits}"

    def _qgs(self, state: Supply) -> str:
        output = state.input_v if state.mains else 230.0 if state.supplied else 0.0
        bits = "".join(
            "1" if bit else "0" for bit in (not state.mains, _low(state), False, state.failed, False, False, False, True)
        )
        hz, amperes = 50.0 if state.mains else 0.0, state.load_w / 230.0
        return (
            f"({state.input_v:05.1f} {hz:04.1f} {output:05.1f} 50.0 {amperes:05.1f} {_load(state):03d} 369.1 ---.- "
            f"{state.battery_v:05.1f} ---.- {max(0.0, state.temperature_c):05.1f} 01{bits}00"
        )


def _low(state: Supply) -> bool:
    return state.charge < 0.3


def _load(state: Supply) -> int:
    return min(199, round(100 * state.load_w / RATED_W))


def twin(world: World) -> Ups:
    """A Megatec UPS."""
    return Ups(lambda: supply(world))


def per_cell(world: World) -> Ups:
    """A Megatec UPS that tells the volts of one cell, and has no thermometer."""
    return Ups(lambda: supply(world), per_cell=True)


def voltronic(world: World) -> Ups:
    """A Voltronic UPS."""
    return Ups(lambda: supply(world), voltronic=True)
