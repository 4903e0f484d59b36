"""Cash position: notes per storage unit times their value, in integer minor units. Never a guess: unknown in part is unknown.

count(unit) = what the machine says, or initial + in - out since the last exchange (XFS4IoT, CashStorage)

machine.cash                        minor units that can be paid out
machine.exposure                    minor units that a thief would find: the bins that only take notes are in it
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
SIGN = {"presented": -1, "rejected": -1, "deposited": 1}  # what a counter does to the notes in a cassette …
BIN_SIGN = {"rejected": 1, "retracted": 1, "deposited": 1}  # … and in a bin
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
    """What is known of one cassette or bin. `count` of one that says no count is known from the first exchange on."""

    count: int | None = None
    told: bool = False  # by the machine itself
    last: dict[str, float] = {}  # counters, as they were last heard


class Cash:
    """The cash of one machine. `bins`: what a note in each is worth at most, in minor units; a bin is empty after an exchange and
    after it was taken out. `due`: when `tick` must be called next."""

    def __init__(self, machine: str, cassettes: Mapping[str, Cassette], bins: Mapping[str, int] | None = None) -> None:
        self._machine = machine
        self._cassettes = cassettes
        self._bins = bins or {}
        self._units = {unit: _Unit() for unit in (*cassettes, *self._bins)}
        self._points = {
            f"storage.{unit}.{name}": (unit, name)
            for units, names in ((cassettes, ("replenishmentStatus", *SIGN)), (self._bins, ("status", *BIN_SIGN)))
            for unit in units
            for name in ("count", *names)
        }
        self._words: set[str] = set()  # units whose replenishmentStatus the machine says itself
        self._waiting: dict[str, float] = {}  # units that may have no word of their own, and until when they are given time
        self._exchange: Value = None
        self._taken: set[str] = set()  # bins that are not in their place
        self._said: dict[str, tuple[Value, Quality]] = {}
        self._dirty: set[str] = set()
        self.due = inf

    def wants(self, point: str) -> bool:
        """Whether this stage is to be fed with a point's Readings."""
        return point in self._points or (point == EXCHANGE and bool(self._units))

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
        if what == "status":
            self._placed(name, value, reading.at)
            return
        if what == "count":
            unit.told = True
            count = int(value) if isinstance(value, int | float) else None
        elif unit.told or not isinstance(value, int | float):
            return
        else:
            last, unit.last[what] = unit.last.get(what), float(value)
            moved = growth(last, value) if last is not None else 0.0
            sign = BIN_SIGN if name in self._bins else SIGN
            count = None if unit.count is None else unit.count + sign[what] * round(moved)
            self._dirty.add(name)
        if count != unit.count:
            self._counted(name, count, reading.at)

    def _counted(self, name: str, count: int | None, at: float) -> None:
        self._units[name].count = count
        if name in self._cassettes:
            self._waiting.setdefault(name, at + WAIT)
        self.due = min(self.due, at + SETTLE)

    def _initial(self, name: str, count: int, at: float) -> None:
        """What a unit begins with that says no count itself."""
        if not self._units[name].told:
            self._dirty.add(name)
            self._counted(name, count, at)

    def _exchanged(self, reading: Reading) -> None:
        """The end of an exchange sets the initial counts."""
        last, self._exchange = self._exchange, reading.value
        if last != "active" or reading.value != "inactive":
            return
        for name, cassette in self._cassettes.items():
            if cassette.load:
                self._initial(name, cassette.load, reading.at)
        for name in self._bins:
            self._initial(name, 0, reading.at)

    def _placed(self, name: str, status: Value, at: float) -> None:
        """A bin that comes back was emptied."""
        if status == "missing":
            self._taken.add(name)
        elif status is not None and name in self._taken:
            self._taken.remove(name)
            self._initial(name, 0, at)

    def tick(self, now: float) -> list[Reading]:
        """What is to be said at `now`: only what is news."""
        news = [self._money(now), self._exposure(now)] if self._cassettes else [self._exposure(now)]
        wordless = {name: until for name, until in self._waiting.items() if name not in self._words}
        levels = {f"storage.{name}.replenishmentStatus": self._level(name) for name, until in wordless.items() if now >= until}
        news += [self._reading(point, word, now) for point, word in levels.items()]
        self.due = min((until for until in wordless.values() if now < until), default=inf)
        readings = [reading for reading in news if self._said.get(reading.point, (None, Quality.BAD)) != _what(reading)]
        self._said |= {reading.point: _what(reading) for reading in readings}
        return readings

    def _money(self, now: float) -> Reading:
        position = self.position()
        return self._reading("machine.cash", position.value if position is not None else None, now)

    def _exposure(self, now: float) -> Reading:
        """Of bins whose count nobody knows, nothing: then it is more than is said."""
        position = self.position()
        if position is None and (self._cassettes or not self._bins):
            return self._reading("machine.exposure", None, now)
        counts = {name: self._units[name].count for name in self._bins}
        taken = sum(count * self._bins[name] for name, count in counts.items() if count is not None)
        value = taken if position is None else position.value + taken
        return self._reading("machine.exposure", value, now, doubted=None in counts.values())

    def _reading(self, point: str, value: Value, at: float, *, doubted: bool = False) -> Reading:
        if value is None:
            return Reading(self._machine, point, None, at, Quality.BAD, "unknownCount")
        if doubted:
            return Reading(self._machine, point, value, at, Quality.UNCERTAIN, "unknownCount")
        return Reading(self._machine, point, value, at)

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
        """What can be paid out; None while any cassette's count is unknown, or there is none."""
        counts = {name: self._units[name].count for name in sorted(self._cassettes)}
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


def _what(reading: Reading) -> tuple[Value, Quality]:
    return reading.value, reading.quality
