"""Cash position: notes per storage unit times their value, in integer minor units. Never a guess: unknown in part is unknown.

count(unit) = what the machine says, or initial + in - out since the last exchange (XFS4IoT, CashStorage)

machine.cash                        minor units
storage.UNIT.replenishmentStatus    by count, for a machine that has no word for it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import msgspec

from agent.records import CashPosition, Quality, Reading, Value
from agent.stages import Documents
from agent.stages.counter import growth

EXCHANGE = "cashDispenser.exchange"
SIGN = {"presented": -1, "rejected": -1, "deposited": 1}  # what a counter does to the notes in a cassette
WAIT = 5.0  # s in which a machine that has a word of its own will have said it
SETTLE = 0.2  # s: what a frame says together is told together


@dataclass(frozen=True)
class Cassette:
    """What one storage unit holds: the value of a note in minor units of a currency (ISO 4217)."""

    value: int
    currency: str
    capacity: int = 0
    """Notes that fit in; 0 when not known."""
    load: int = 0
    """Notes that are put in at a replenishment: the initial count of a machine that only says what goes in and out."""
    low: int = 0
    """Below so many notes it is low, for a machine that has no near-end switch."""
    high: int = 0
    """Above so many notes it is high; 0: never."""

    def __post_init__(self) -> None:
        for name in ("capacity", "load", "low", "high"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 notes or more, got {getattr(self, name)}")


class _Unit(msgspec.Struct):
    """What is known of one unit. `count` of a unit that says no count is known from the first exchange on."""

    count: int | None = None
    told: bool = False  # by the machine itself
    last: dict[str, float] = {}  # counters, as they were last heard


class Cash:
    """The cash of one machine. `due`: when `tick` must be called next."""

    def __init__(self, machine: str, cassettes: Mapping[str, Cassette]) -> None:
        self._machine = machine
        self._cassettes = cassettes
        self._units = {unit: _Unit() for unit in cassettes}
        self._points = {
            f"storage.{unit}.{name}": (unit, name) for unit in cassettes for name in ("count", "replenishmentStatus", *SIGN)
        }
        self._words: set[str] = set()  # units whose replenishmentStatus the machine says itself
        self._waiting: dict[str, float] = {}  # units that may have no word of their own, and until when they are given time
        self._exchange: Value = None
        self._said: dict[str, Value] = {}
        self._dirty: set[str] = set()
        self.due = inf

    def wants(self, point: str) -> bool:
        """Whether this stage is to be fed with a point's Readings."""
        return point in self._points or (point == EXCHANGE and bool(self._cassettes))

    def feed(self, reading: Reading) -> None:
        """Take note of a Reading that has been cleaned. A count that is not usable makes the position unknown."""
        if reading.point == EXCHANGE:
            self._exchanged(reading)
            return
        name, what = self._points[reading.point]
        unit, value = self._units[name], reading.value
        if what == "replenishmentStatus":
            self._words.add(name)
            return
        if what == "count":
            unit.told = True
            count = int(value) if isinstance(value, int | float) else None
        elif unit.told or not isinstance(value, int | float):
            return
        else:
            last, unit.last[what] = unit.last.get(what), float(value)
            moved = growth(last, value) if last is not None else 0.0
            count = None if unit.count is None else unit.count + SIGN[what] * round(moved)
            self._dirty.add(name)
        if count != unit.count:
            unit.count = count
            self._waiting.setdefault(name, reading.at + WAIT)
            self.due = min(self.due, reading.at + SETTLE)

    def _exchanged(self, reading: Reading) -> None:
        """The end of an exchange sets the initial counts."""
        last, self._exchange = self._exchange, reading.value
        if last != "active" or reading.value != "inactive":
            return
        for name, unit in self._units.items():
            if not unit.told and self._cassettes[name].load:
                unit.count = self._cassettes[name].load
                self._dirty.add(name)
                self._waiting.setdefault(name, reading.at + WAIT)
        self.due = min(self.due, reading.at + SETTLE)

    def tick(self, now: float) -> list[Reading]:
        """What is to be said at `now`: only what is news."""
        position = self.position()
        news: dict[str, Value] = {"machine.cash": position.value if position is not None else None}
        wordless = {name: until for name, until in self._waiting.items() if name not in self._words}
        news |= {f"storage.{name}.replenishmentStatus": self._level(name) for name, until in wordless.items() if now >= until}
        self.due = min((until for until in wordless.values() if now < until), default=inf)
        readings = [_reading(self._machine, point, value, now) for point, value in news.items() if self._said.get(point) != value]
        self._said.update(news)
        return readings

    def _level(self, name: str) -> str | None:
        cassette, count = self._cassettes[name], self._units[name].count
        if count is None:
            return None
        if count <= 0:
            return "empty"
        if count < cassette.low:
            return "low"
        if cassette.capacity and count >= cassette.capacity:
            return "full"
        return "high" if cassette.high and count > cassette.high else "ok"

    def position(self) -> CashPosition | None:
        """What is in the machine; None while any cassette's count is unknown, or there is none."""
        counts = {name: unit.count for name, unit in sorted(self._units.items())}
        known = {name: count for name, count in counts.items() if count is not None}
        if not known or len(known) < len(counts):
            return None
        value = sum(count * self._cassettes[name].value for name, count in known.items())
        return CashPosition(next(iter(self._cassettes.values())).currency, value, known)

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds: every moment that is remembered moves with it."""
        self._waiting = {name: until + by for name, until in self._waiting.items()}
        self.due += by

    # Restart ------------------------------------------------------------------------------------------------------------

    def changed(self) -> Documents:
        """Counts that only this stage knows."""
        names, self._dirty = sorted(self._dirty), set()
        return {name: msgspec.to_builtins(self._units[name]) for name in names}

    def restore(self, documents: Documents) -> None:
        """Go on counting from where an earlier run ended. What cannot be read is unknown until the next exchange."""
        for name, document in documents.items():
            if name in self._units and document is not None:
                try:
                    self._units[name] = msgspec.convert(document, _Unit)
                except msgspec.ValidationError:
                    continue


def _reading(machine: str, point: str, value: Value, at: float) -> Reading:
    if value is None:
        return Reading(machine, point, None, at, Quality.BAD, "unknownCount")
    return Reading(machine, point, value, at)
