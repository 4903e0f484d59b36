"""The notes: cassettes, bins, and where every single note went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from random import Random

from agent.records import Value
from firmware_sim.params import Load, Parameters


@dataclass(frozen=True, slots=True)
class UnitPoints:
    """The names of a storage unit's points."""

    status: str
    replenishment: str
    accuracy: str
    count: str
    presented: str
    rejected: str


def unit_points(unit: str) -> UnitPoints:
    """The names of the points of `unit`."""
    names = ("status", "replenishmentStatus", "accuracy", "count", "presented", "rejected")
    return UnitPoints(*(f"storage.{unit}.{name}" for name in names))


REJECT = "unitReject"  # one bin for rejected and retracted notes
_BIN = unit_points(REJECT)


@dataclass(slots=True)
class Cassette:
    """A storage unit for one denomination. `presented` and `rejected` only grow; `count` is the notes inside."""

    points: UnitPoints
    denomination: int  # minor units
    capacity: int  # notes
    count: int
    near_end: int  # notes at which its near-end switch acts
    wear: float  # 0 new to 1 worn out
    status: str = "ok"
    accuracy: str = "accurate"
    presented: int = 0
    rejected: int = 0

    @property
    def replenishment(self) -> str:
        """The word of `replenishmentStatus`."""
        if self.count == 0:
            return "empty"
        if self.count <= self.near_end:
            return "low"
        return "full" if self.count >= self.capacity else "ok"

    @property
    def usable(self) -> bool:
        """It can be dispensed from."""
        return self.status == "ok" and self.count > 0


class Cash:
    """Every note that was loaded is in a cassette, a bin, on its way, or taken: `places` and `loaded` agree always."""

    def __init__(self, params: Parameters, rng: Random) -> None:
        self._params = params
        self._rng = rng
        self.loaded: Counter[int] = Counter()  # notes by denomination, since the world began
        self.returned: Counter[int] = Counter()  # carried away at a replenishment
        self.taken: Counter[int] = Counter()  # by customers and by thieves
        self.slot: Counter[int] = Counter()  # presented, not taken yet
        self.transit: list[Cassette] = []  # between cassette and slot: for each note the cassette that it came from
        self.rejects: Counter[int] = Counter()
        self.retracts: Counter[int] = Counter()
        self.rejected = rng.randrange(400, 2_000)  # counters of a machine that has worked for years
        self.retracted = rng.randrange(20, 200)
        self.cassettes = tuple(self._new(number, load) for number, load in enumerate(params.cassettes, start=1))
        self._spoken: object = None  # the state that …
        self._words: dict[str, Value] = {}  # … these words tell of

    def _new(self, number: int, load: Load) -> Cassette:
        count = round(load.notes * self._params.start_fill)
        self.loaded[load.denomination] += count
        cassette = Cassette(
            unit_points(f"unit{number}"), load.denomination, load.capacity, count, self._near_end(), self._params.wear
        )
        cassette.presented = self._rng.randrange(50_000, 400_000)
        cassette.rejected = round(cassette.presented * self._params.rejects_per_note)
        return cassette

    def _near_end(self) -> int:
        scatter = self._rng.gauss(self._params.near_end_notes, self._params.near_end_scatter)
        return max(20, round(scatter))

    def reload(self, *, outside_exchange: bool = False) -> None:
        """Swap all cassettes for full ones and empty the bins. Cassettes moved outside an exchange are `manipulated`."""
        for cassette, load in zip(self.cassettes, self._params.cassettes, strict=True):
            self.returned[cassette.denomination] += cassette.count
            self.loaded[cassette.denomination] += load.notes
            cassette.count = load.notes
            cassette.near_end = self._near_end()
            self._spoken = None
            cassette.status = "manipulated" if outside_exchange else "ok"
            cassette.accuracy = "unknown" if outside_exchange else "accurateSet"
        self.empty_bin()

    def empty_bin(self) -> None:
        """Carry away what was rejected and retracted."""
        for notes in (self.rejects, self.retracts):
            self.returned += notes
            notes.clear()

    def loot(self) -> int:
        """Thieves carry the cassettes away; gives minor units."""
        value = 0
        for cassette in self.cassettes:
            value += cassette.count * cassette.denomination
            self.taken[cassette.denomination] += cassette.count
            cassette.count, cassette.status = 0, "missing"
        return value

    @property
    def bin_count(self) -> int:
        """Notes in the reject and retract bin."""
        return sum(self.rejects.values()) + sum(self.retracts.values())

    @property
    def bin_level(self) -> str:
        """The word of the bin's `replenishmentStatus`."""
        count, capacity = self.bin_count, self._params.bin_capacity
        if count >= capacity:
            return "full"
        return "high" if count >= self._params.bin_high_share * capacity else "ok"

    def roll_up(self, bin_level: str) -> str:
        """The word of `cashManagement.dispenser`: can notes be paid out at all?"""
        cassettes = self.cassettes
        usable = sum(cassette.usable for cassette in cassettes)
        if bin_level == "full" or not usable:
            return "stop"
        good = usable == len(cassettes) and all(cassette.count > cassette.near_end for cassette in cassettes)
        return "ok" if good and bin_level == "ok" else "attention"

    def places(self) -> Counter[int]:
        """Notes by denomination, wherever they are now. Equals `loaded`."""
        total = self.returned + self.taken + self.slot + self.rejects + self.retracts
        total.update(cassette.denomination for cassette in self.transit)
        for cassette in self.cassettes:
            total[cassette.denomination] += cassette.count
        return total

    def dispensable(self) -> int:
        """Minor units that could be paid out."""
        return sum(cassette.count * cassette.denomination for cassette in self.cassettes if cassette.usable)

    def mix(self, amount: int) -> dict[int, int] | None:
        """Notes by denomination for `amount`: the fewest that there are; None when it cannot be made up."""
        stock: Counter[int] = Counter()
        for cassette in self.cassettes:
            if cassette.usable:
                stock[cassette.denomination] += cassette.count
        found = _fewest(amount, sorted(stock, reverse=True), stock, self._params.max_notes)
        return None if found is None else {value: notes for value, notes in found.items() if notes}

    def nearest(self, amount: int) -> int:
        """The greatest sum not above `amount` that can be paid out: what a customer takes instead. 0 when there is none."""
        unit = gcd(*(cassette.denomination for cassette in self.cassettes if cassette.usable))
        if not unit:
            return 0
        sums = range(amount - amount % unit, 0, -unit)
        return next((smaller for smaller in sums if self.mix(smaller) is not None), 0)

    def source(self, denomination: int) -> Cassette | None:
        """The cassette that the next note comes from: the fullest, so that they empty together."""
        fitting = [one for one in self.cassettes if one.denomination == denomination and one.usable]
        return max(fitting, key=lambda one: one.count, default=None)

    def words(self) -> dict[str, Value]:
        """The storage units' words; nobody may change them."""
        state = self.bin_count, [(one.count, one.status, one.accuracy) for one in self.cassettes]
        if state != self._spoken:  # most that happens to a machine moves no note
            self._spoken, self._words = state, self._speak()
        return self._words

    def _speak(self) -> dict[str, Value]:
        level = self.bin_level
        words: dict[str, Value] = {
            _BIN.status: "ok",
            _BIN.replenishment: level,
            "cashManagement.dispenser": self.roll_up(level),
        }
        for cassette in self.cassettes:
            names = cassette.points
            words[names.status] = cassette.status
            words[names.replenishment] = cassette.replenishment
            words[names.accuracy] = cassette.accuracy
        return words

    def numbers(self) -> dict[str, Value]:
        """The storage units' counts. The bin presents nothing, so that point is not fitted."""
        numbers: dict[str, Value] = {
            _BIN.count: self.bin_count,
            _BIN.rejected: self.rejected,
            f"storage.{REJECT}.retracted": self.retracted,
        }
        for cassette in self.cassettes:
            numbers[cassette.points.count] = cassette.count
            numbers[cassette.points.presented] = cassette.presented
            numbers[cassette.points.rejected] = cassette.rejected
        return numbers


def _fewest(amount: int, values: Sequence[int], stock: Counter[int], room: int) -> dict[int, int] | None:
    """The smallest set of at most `room` notes that makes up `amount`; `values` come greatest first."""
    if not values:
        return None if amount else {}
    value, smaller = values[0], values[1:]
    best: dict[int, int] | None = None
    for notes in range(min(amount // value, stock[value], room), -1, -1):
        rest = amount - notes * value
        if best is not None and smaller and notes + -(-rest // smaller[0]) >= sum(best.values()):
            break  # even the best remainder cannot beat what was found
        found = _fewest(rest, smaller, stock, room - notes)
        if found is not None and (best is None or notes + sum(found.values()) < sum(best.values())):
            best = {value: notes} | found
    return best
