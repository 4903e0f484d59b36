"""An MDB bus behind the MDBStuff adapter, which masters it by itself and tells what it hears. Listened to, never written to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agent.records import Reading, Value
from agent.settings import Duration
from agent.sources import Context
from agent.sources.exchange import spoken
from agent.sources.tap import Side, TapSettings, TapSource
from agent.sources.values import Twice, Values
from agent.vocabulary import UNIT_ID
from agent.wire.mdbstuff import Said, is_passed_over, said
from agent.wire.text import Splitter

COUNT_LIMIT = 100_000  # notes or coins in one place
SERVICES = {"BV": "cashAcceptor", "CC": "cashDispenser", "CH1": "cashDispenser", "CH2": "cashDispenser"}
CLEAR = frozenset({"JAM", "DISPJAM", "TUBEJAM", "COINJAM"})
MAINTENANCE = frozenset({"BADMOTOR", "BADSENSOR", "BADTUBESENSOR", "ROMERROR", "ROUTERROR", "UNPLUGGED", "NOSTART"})
FRAUD = frozenset({"FISHING"})
QUIET = frozenset({
    "JUSTRESET", "BUSY", "DISABLED", "INVESCROW", "ESCROWREQ", "PAYOUTBUSY", "NOCREDIT", "DOUBLECOIN", "FILLEDKEY", "BILLWAIT",
})  # fmt: skip
AWAY = {"missing": "noDevice"}
Told: TypeAlias = tuple[int, bool]
"""Notes in the cashbox, and whether it is full."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings(TapSettings):
    """The adapter's line: 9600 8N1. It asks for levels every 666 polls, which is once a minute, and tells them."""

    baud: int = 9_600
    silent_after: Duration = 300.0
    cashbox: str = "unitCashbox"
    """The storage unit behind the note validator. Tubes are unitTube1 and so on, hoppers unitHopper1 and unitHopper2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if UNIT_ID.fullmatch(self.cashbox) is None:
            raise ValueError(f"cashbox: {self.cashbox!r} is no storage unit; expected unit and letters or digits, as unit5")


class Bus:
    """What the lines tell, as points. A state machine over lines."""

    def __init__(self, cashbox: str) -> None:
        self.names: dict[str, str] = {}  # who the devices say they are
        self._box = f"storage.{cashbox}"
        self._accepted = self._rejected = 0
        self._counted: Told | None = None  # what the cashbox must hold now, by what counted before
        self._held: Told | None = None  # and by a level that nobody expected
        self._twice: dict[str, Twice] = {}
        self._hoppers: dict[str, dict[str, int]] = {"CH1": {}, "CH2": {}}

    def told(self, line: Said) -> dict[str, Value] | None:
        """What a line tells; None when it says what nobody knows, or breaks its form."""
        device, topic, fields = line
        if topic == "STATUS" and len(fields) == 1 and device in SERVICES:
            return self._status(device, fields[0])
        if topic == "DISPSTATUS" and len(fields) == 1:  # of the validator's recycler
            return self._trouble(device, fields[0]) or {}
        if device == "SYS":
            return self._system(topic, fields)
        if topic == "ID" and len(fields) >= 3:
            self.names[device] = spoken(" ".join((fields[0], fields[2])).encode())
            return {}
        if device == "BV":
            return self._validator(topic, fields)
        return self._tube(topic, fields) if device == "CC" else self._hopper(device, topic, fields)

    def _trouble(self, device: str, word: str) -> dict[str, Value] | None:
        service = SERVICES[device]
        if word in FRAUD:
            return _trouble(service, "potentialFraud", "fraudAttempt", "maintenance")
        if word in CLEAR:
            return _trouble(service, "hardwareError", "hardware", "clear")
        if word in MAINTENANCE:
            return _trouble(service, "hardwareError", "hardware", "maintenance")
        return None

    def _status(self, device: str, word: str) -> dict[str, Value] | None:
        service = SERVICES[device]
        if (trouble := self._trouble(device, word)) is not None:
            return trouble
        if word == "CBOXOUT" and device == "BV":
            self._counted = self._held = None
            return {f"{self._box}.status": "missing", f"{self._box}.replenishmentStatus": None}
        if word == "BILLREMOVED":
            return {f"{service}.intermediateStacker": "empty"}
        if word == "REJECT":
            self._rejected += 1
            return {f"{service}.rejected": self._rejected}
        return {f"{service}.device": "online"} if word in QUIET else None

    def _system(self, topic: str, fields: Sequence[str]) -> dict[str, Value] | None:
        if topic in ("DEVONLINE", "DEVLOST") and len(fields) == 1:
            service = SERVICES.get(fields[0])
            return {f"{service}.device": "online" if topic == "DEVONLINE" else "powerOff"} if service else {}
        return {} if topic in ("MDBSTART", "PING", "RESET", "VMCSET", "CDSET", "CCSET", "BVSET", "CHSET") else None

    def _validator(self, topic: str, fields: Sequence[str]) -> dict[str, Value] | None:
        if topic == "STACKER":
            return self._stacker(fields) if len(fields) == 2 else {}  # NAK: it does not say
        if topic == "BILLACTION" and len(fields) == 3:
            return self._bill(fields[2])
        if topic == "ATTEMPTS" and len(fields) == 1 and (count := _count(fields[0], 31)) is not None:
            self._rejected += count
            return {"cashAcceptor.rejected": self._rejected}
        return {} if topic in _OTHERS else None

    def _bill(self, route: str) -> dict[str, Value] | None:
        if route in ("STACKER", "RECYCLER"):
            self._accepted += 1
            if route == "STACKER":
                self._counted, self._held = (told and (told[0] + 1, told[1]) for told in (self._counted, self._held))
            return {
                "cashAcceptor.accepted": self._accepted,
                "cashAcceptor.intermediateStacker": "empty",
                "cashAcceptor.device": "online",
            }
        if route == "ESCROW":
            return {"cashAcceptor.intermediateStacker": "notEmpty", "cashAcceptor.device": "online"}
        if route == "RETURN":
            return {"cashAcceptor.intermediateStacker": "empty"}
        if route == "DISREJECT":
            self._rejected += 1
            return {"cashAcceptor.rejected": self._rejected}
        return {} if route in ("RECMANUAL", "DISPMANUAL", "REC2CB") else None

    def _stacker(self, fields: Sequence[str]) -> dict[str, Value] | None:
        """Notes come one by one, and each is told: a level that does not fit counts once the next one fits it."""
        number, filled = _count(fields[0]), _is_full(fields[1])
        if number is None or filled is None:
            return None
        told = (number, filled)
        if told not in (self._counted, self._held):
            self._held = told
            return {}
        self._counted, self._held = told, None
        word = "full" if filled else "ok"
        return {f"{self._box}.count": number, f"{self._box}.replenishmentStatus": word, f"{self._box}.status": "ok"}

    def _tube(self, topic: str, fields: Sequence[str]) -> dict[str, Value] | None:
        if topic != "TUBE":
            return {} if topic in _OTHERS else None
        if len(fields) != 4 or _count(fields[0], 16) is None or not _is_money(fields[1]):
            return None
        return self._level(f"storage.unitTube{int(fields[0])}", fields[2], fields[3])

    def _hopper(self, device: str, topic: str, fields: Sequence[str]) -> dict[str, Value] | None:
        if topic != "FILL":
            return {} if topic in _OTHERS else None
        if len(fields) < 3 or not _is_money(fields[0]) or (count := _count(fields[1])) is None or _is_full(fields[2]) is None:
            return None
        held = self._hoppers[device]
        held[fields[0]] = count
        return self._level(f"storage.unitHopper{device[2]}", str(sum(held.values())), fields[2])

    def _level(self, unit: str, count: str, full: str) -> dict[str, Value] | None:
        """A count and its word. There is no check on the line: a change counts once it was said twice."""
        number, filled = _count(count), _is_full(full)
        if number is None or filled is None:
            return None
        word = "full" if filled else "empty" if number == 0 else "ok"
        values: dict[str, Value] = {f"{unit}.count": number, f"{unit}.replenishmentStatus": word}
        passed = self._twice.setdefault(unit, Twice()).passed(values)
        return passed if len(passed) == len(values) else {}


_OTHERS = frozenset({
    "CFG", "CFG4", "COINSUP", "BILLSUP", "TUBESTATREQ", "DIAG", "DEPOSIT", "SLUG", "ENABLE", "DISABLE", "FEATCFG", "FEATENABLE",
    "DISPENSE", "DISPENSED", "PAYSTATUS", "PAID", "PAYOUTEND", "DISP", "SUMPAYOUT", "MANUALFILL", "MANUALPAYOUT", "MANUALDISP",
    "ESC", "STK", "BILLCFG", "BILLSEC", "RECYCLENABLE", "RECYCLEDISABLE", "DSTATUS", "DISPBILL", "DISPVALUE", "DPS",
    "DPV", "DPVFIN", "DPVUNK", "DPC", "FILLERR", "CFGERR", "TUBERR", "RECYCLECFG", "COINCFG", "ID",
})  # fmt: skip
"""What the adapter says besides, which tells nothing that a point is for."""


def _count(text: str, limit: int = COUNT_LIMIT) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 and int(text) <= limit else None


def _is_full(text: str) -> bool | None:
    """The firmware prints the bit of a place in a word of sixteen: 0, or 1, 2, 4 ... -32768. None when it is no number."""
    digits = text.removeprefix("-")
    return int(digits) != 0 if digits.isascii() and digits.isdecimal() and len(digits) <= 5 else None


def _is_money(text: str) -> bool:
    units, dot, cents = text.partition(".")
    return units.isdecimal() and (not dot or cents.isdecimal()) and len(text) <= 12


def _trouble(service: str, device: str, event: str, action: str) -> dict[str, Value]:
    return {f"{service}.device": device, f"{service}.error.eventId": event, f"{service}.error.action": action}


class Adapter:
    """The adapter's lines. See `Heard`."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.frames = 0
        self._name = context.name
        self._bus = Bus(settings.cashbox)
        self._values = Values(context)
        self._splitter = Splitter()
        self._garbage = self._unknown = 0

    @property
    def identity(self) -> str:
        """Who the devices on the bus say they are."""
        return ", ".join(f"{device} {name}" for device, name in sorted(self._bus.names.items()))

    def begin(self) -> None:
        """Half a line is over."""
        self._garbage += self._splitter.garbage_bytes
        self._splitter = Splitter()

    def hear(self, side: Side, chunk: bytes, at: float, mono: float) -> Sequence[Reading]:
        """What whole lines tell."""
        readings: list[Reading] = []
        for line in self._splitter.feed(chunk).splitlines() if side == "device" else ():
            if not line or is_passed_over(line):
                self.frames += bool(line)
                continue
            heard = said(line)
            if heard is None:
                self._garbage += len(line) + 2
                continue
            values, names = self._bus.told(heard), dict(self._bus.names)
            if values is None:
                self._unknown += 1
                continue
            self.frames += 1
            if heard.topic == "ID" and heard.device in names:
                log.info("source %s: %s is %s", self._name, heard.device, names[heard.device])
            readings += self._values.news(values, at, mono)
        return readings

    def tick(self, at: float, mono: float) -> Sequence[Reading]:
        """Nothing is due by itself."""
        del at, mono
        return ()

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """A silent adapter says nothing of its bus; one that is gone has taken the bus with it."""
        return self._values.readings({"cashAcceptor.device": AWAY[word]}, at) if word in AWAY else ()

    def counters(self) -> Mapping[str, float]:
        """Bytes of what was no line, and lines that say what nobody knows."""
        return {"garbageBytes": self._garbage + self._splitter.garbage_bytes, "unknown": self._unknown + self._values.unknown}


def open_source(context: Context, settings: Settings) -> TapSource:
    """An adapter as configured. Touches no hardware."""
    return TapSource(context, settings, Adapter(context, settings))
