"""Every driver of a line, in each of its modes, as a scene in virtual time: a device with two states, and a line that may spoil.

`poll` lets the device be heard once: a round of questions, a report, a cycle of its master's. `turn` gives it its other state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.records import Reading, Value
from agent.sources import Context, ccnet, cctalk, ebds, id003, lcdm, lines, mdb, modbus, nmea, ups
from agent.sources.board_link import BoardLink
from agent.sources.board_values import BoardValues
from agent.sources.exchange import Polled, Round
from agent.wire import board as board_wire
from agent.wire import ccnet as ccnet_wire
from agent.wire import crc
from agent.wire import ebds as ebds_wire
from agent.wire import id003 as id003_wire
from agent.wire.ebds import Reply
from firmware_sim.twins import cctalk as cctalk_twin
from firmware_sim.twins import lcdm as lcdm_twin
from firmware_sim.twins import mdb as mdb_twin
from firmware_sim.twins import modbus as modbus_twin
from firmware_sim.twins import nmea as nmea_twin
from firmware_sim.twins import ups as ups_twin
from firmware_sim.uart import Shape
from tests.agent.sources.wired import Answerer, Wired

START = 1_750_000_000.0
CONTEXT = Context("scene", "atm-1", "gw-1", lambda: START)
PORT = "/dev/ttyUSB0"
PAUSE = 0.2  # s between two polls of one who is listened to

Passed = list[tuple[float, bytes]]
"""What passes over a line: seconds after the beginning of the poll, bytes."""


class State:
    """Which of its two states a device is in."""

    other = False


class Scene:
    """One driver and its device. `spoil` is what happens to bytes on the line."""

    def __init__(self, state: State, point: str, *values: Value) -> None:
        self.spoil: Callable[[bytes], bytes] = bytes
        self.point = point
        self._state = state
        self._values = values

    @property
    def truth(self) -> Value:
        """What `point` ought to say."""
        return self._values[self._state.other]

    def turn(self) -> None:
        """The device is in its other state from now on."""
        self._state.other = not self._state.other

    def mend(self) -> None:
        """The line is good from now on."""
        self.spoil = bytes

    def poll(self) -> list[Reading]:
        """It is heard once more; what the driver gave."""
        raise NotImplementedError


class Asked(Scene):
    """A device that is asked. A poll is a round of its driver."""

    def __init__(self, state: State, device: Polled, twin: Answerer, point: str, *values: Value) -> None:
        super().__init__(state, point, *values)
        self._rounds = 0
        self._round = device.round
        device.round = self._counted  # type: ignore[method-assign]
        self.device = device
        self._line = Wired([device], [twin], self._spoilt, self._spoilt)

    @property
    def sent(self) -> list[bytes]:
        """All that has left."""
        return self._line.sent

    def _counted(self) -> Round:
        self._rounds += 1
        return self._round()

    def _spoilt(self, data: bytes) -> bytes:
        return self.spoil(data)

    def mend(self) -> None:
        """What is under way of the noise is gone with it, and the round that has begun in it ends."""
        super().mend()
        self._line.forget()
        self.poll()

    def poll(self) -> list[Reading]:
        """Until the next round begins: the one under way has ended then."""
        before = self._rounds
        self._line.readings.clear()
        while self._rounds == before:
            self._line.step()
        return list(self._line.readings)


class Heard(Scene):
    """A device that is listened to."""

    def __init__(self, state: State, device: Any, said: Callable[[], Passed], point: str, *values: Value) -> None:
        super().__init__(state, point, *values)
        self._device = device
        self._said = said
        self._mono = 0.0
        device.begin()

    def poll(self) -> list[Reading]:
        """All that is said in a poll, and the pause behind it."""
        readings: list[Reading] = []
        begun = self._mono
        for after, data in self._said():
            self._mono = begun + after
            readings += self._device.hear("device", self.spoil(data), START, self._mono)
            readings += self._device.tick(START, self._mono)
        self._mono += PAUSE
        return [*readings, *self._device.tick(START, self._mono)]


class Board(Scene):
    """A board; a poll is a frame."""

    def __init__(self) -> None:
        super().__init__(State(), "environment.temperature_c", 20, 60)
        self._link = BoardLink(CONTEXT, BoardValues("scene", "atm-1", {}), lambda data: None, 15.0)
        self._number = 0
        self._link.opened(0, START, 0.0)

    def poll(self) -> list[Reading]:
        """One READING."""
        self._number += 1
        payload = {board_wire.Key.BOOT: 7, board_wire.Key.VALUES: {25: self.truth, 26: 40}}
        frame = board_wire.Frame(board_wire.FrameType.READING, self._number, self._number * 1000, payload)
        given = self._link.received(self.spoil(b"\0" + board_wire.encode(frame)), START, float(self._number))
        return [reading for each in given for reading in each.readings]


def _lines(form: Any, check: Any) -> Heard:
    state = State()

    def said() -> Passed:
        line = (b'{"t":%d}' if form == "json" else b"t=%d") % (60 if state.other else 20)
        if check == "crc16":
            line += b"*%04X" % crc.ccitt_false(line)
        return [(0.0, line + b"\r\n")]

    point = "environment.temperature_c"
    settings = lines.Settings(port=PORT, format=form, check=check, fields={"t": lines.Field(point=point)})
    return Heard(state, lines.TextLines(CONTEXT, settings), said, point, 20, 60)


def _nmea() -> Heard:
    state = State()
    twin = nmea_twin.Receiver(lambda: nmea_twin.Where(START, True, 48.0 + state.other * 0.0005, 16.0))
    device = nmea.Receiver(CONTEXT, nmea.Settings(port=PORT, every=1.0))
    return Heard(state, device, lambda: [(0.8, twin.report())], "position.lat", 48.0, 48.0005)


def _mdb() -> Heard:
    state = State()
    device = mdb.Adapter(CONTEXT, mdb.Settings(port=PORT))
    said = lambda: [(0.0, mdb_twin.said(*[f"BV*STACKER*{90 if state.other else 40}*0"] * 2))]  # noqa: E731
    return Heard(state, device, said, "storage.unitCashbox.count", 40, 90)


def _notes(driver: Any, ask: bytes, idling: bytes, full: bytes, joined: bool) -> Heard:
    state = State()

    def said() -> Passed:
        answer = full if state.other else idling
        return [(0.0, ask), (0.02, answer)] if joined else [(0.0, answer)]

    device = driver.Validator(CONTEXT, driver.Settings(port=PORT, joined=joined))
    return Heard(state, device, said, "storage.unit1.replenishmentStatus", "ok", "full")


def _id003(joined: bool) -> Heard:
    ask, idling, full = (id003_wire.encode(id003_wire.Frame(code)) for code in (0x11, 0x11, 0x43))
    return _notes(id003, ask, idling, full, joined)


def _ccnet(joined: bool) -> Heard:
    ask, idling, full = (ccnet_wire.encode(ccnet_wire.Frame(code)) for code in (0x33, 0x14, 0x41))
    return _notes(ccnet, ask, idling, full, joined)


def _ebds(joined: bool) -> Heard:
    ask = ebds_wire.encode(ebds_wire.Frame(ebds_wire.FrameType.COMMAND, 1, b"\x7f\x1c\x10"))
    working = Reply.IDLING | Reply.CASSETTE_ATTACHED
    idling, full = (
        ebds_wire.encode(ebds_wire.Frame(ebds_wire.FrameType.REPLY, 1, ebds_wire.reply(flags)))
        for flags in (working, working | Reply.STACKER_FULL)
    )
    return _notes(ebds, ask, idling, full, joined)


CCTALK: dict[str, tuple[str, str, str]] = {
    "hopper": ("storage.unitHopper.replenishmentStatus", "ok", "low"),
    "validator": ("storage.unitCashbox.replenishmentStatus", "ok", "full"),
}


class Till(cctalk_twin.Till):
    """A till by the state of a scene."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def look(self) -> None:
        """As the scene has it."""
        self.coins = 20 if self._state.other else 200
        event = (0, 14) if self._state.other else (0, 10)
        if self.events[0] != event:
            self.event(*event)


def _cctalk_poll(device: Any, echo: bool) -> Asked:
    state = State()
    driver = cctalk.Asking("scene", cctalk.Settings(port=PORT, device=device, mode="poll"))
    return Asked(state, driver, cctalk_twin.Wire(Till(state), echo=echo), *CCTALK[device])


def _cctalk_tap(device: Any) -> Heard:
    state = State()
    wire = cctalk_twin.Wire(Till(state), echo=False)
    address = cctalk_twin.HOPPER if device == "hopper" else cctalk_twin.VALIDATOR
    asks = [cctalk_twin.frame(unit, header) for unit, header in cctalk_twin.Master.asks if unit == address]

    def said() -> Passed:
        passed = []
        for number, ask in enumerate(asks):
            passed.append((PAUSE * number, ask))
            passed += [(PAUSE * number + delay, data) for delay, data in wire.on_bytes(ask, 0.0)]
        return passed

    return Heard(state, cctalk.Listening(CONTEXT, cctalk.Settings(port=PORT, device=device)), said, *CCTALK[device])


LOW = ("storage.unit1.replenishmentStatus", "ok", "low")
ASK_ROM, ASK_STATUS = lcdm_twin.framed(4, 0x47), lcdm_twin.framed(4, 0x46)


class Dispenser:
    """An LCDM-1000 whose cassette is nearly empty, or not."""

    def __init__(self, state: State) -> None:
        self._state = state

    def status(self) -> Passed:
        """Its answer to STATUS."""
        near = 0xC0 if self._state.other else 0x80
        return [(0.01, b"\x06"), (0.03, lcdm_twin.framed(1, 0x46, bytes((0x30, 0x30, near, 0x80))))]

    def on_bytes(self, data: bytes, now: float) -> Passed:
        """Its answers."""
        del now
        if data == ASK_ROM:
            return [(0.01, b"\x06"), (0.03, lcdm_twin.framed(1, 0x47, b"O16T1A2B"))]
        return self.status() if data == ASK_STATUS else []


def _lcdm_poll() -> Asked:
    state = State()
    return Asked(state, lcdm.Asking(lcdm.Settings(port=PORT, mode="poll")), Dispenser(state), *LOW)


def _lcdm_tap() -> Heard:
    state = State()
    device = lcdm.Listening(CONTEXT, lcdm.Settings(port=PORT, model="lcdm-1000"))
    return Heard(state, device, Dispenser(state).status, *LOW)


def _modbus() -> Asked:
    state, point = State(), "environment.temperature_c"
    registers = modbus_twin.climate(lambda: {point: 60.0 if state.other else 20.0, "environment.humidity_pct": 40.0})
    bus = modbus_twin.Bus([modbus_twin.Unit(1, registers)], Shape(9_600))
    return Asked(state, modbus.Device("scene", modbus.Settings(port=PORT, map="xy-md02")), bus, point, 20.0, 60.0)


def _ups(protocol: Any) -> Asked:
    state = State()
    good = ups_twin.Supply(230.0, 27.4, 1.0, 120.0, 24.0, mains=True, supplied=True)
    bad = good._replace(input_v=0.0, mains=False)
    twin = ups_twin.Ups(lambda: bad if state.other else good, voltronic=protocol == "voltronic")
    device = ups.Ups(ups.Settings(port=PORT, protocol=protocol))
    return Asked(state, device, twin, "powerManagement.powerInStatus", "powering", "noPower")


SCENES: dict[str, Callable[[], Scene]] = {
    "board": Board,
    "ccnet": lambda: _ccnet(False),
    "ccnet, joined": lambda: _ccnet(True),
    "cctalk hopper, poll": lambda: _cctalk_poll("hopper", False),
    "cctalk hopper, tap": lambda: _cctalk_tap("hopper"),
    "cctalk validator, poll": lambda: _cctalk_poll("validator", True),
    "cctalk validator, tap": lambda: _cctalk_tap("validator"),
    "ebds": lambda: _ebds(False),
    "ebds, joined": lambda: _ebds(True),
    "id003": lambda: _id003(False),
    "id003, joined": lambda: _id003(True),
    "lcdm, poll": _lcdm_poll,
    "lcdm, tap": _lcdm_tap,
    "lines, json": lambda: _lines("json", "none"),
    "lines, key=value, crc16": lambda: _lines("keyvalue", "crc16"),
    "mdb": _mdb,
    "modbus": _modbus,
    "nmea": _nmea,
    "ups, megatec": lambda: _ups("megatec"),
    "ups, voltronic": lambda: _ups("voltronic"),
}
