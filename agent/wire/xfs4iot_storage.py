"""From Storage.GetStorage and its events to points: what is in each cassette, bin and tray.

`total = initial + in - out` is reported by nobody and is made here. The events tell only what has changed, so that a unit keeps
what was said of it; null is "unchanged" there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from agent.records import Value
from agent.vocabulary import UNIT_ID

UNITS_LIMIT = 64  # units of one device
COUNTS_LIMIT = 256  # counts of one unit: by direction, kind of note and fitness
KINDS = ("cash", "card", "check", "deposit", "printer", "banknoteNeutralization")
OUT = ("presented", "rejected", "distributed", "unknown", "stacked", "diverted", "transport")
IN = ("deposited", "retracted", "rejected", "distributed", "transport")
COUNTERS = {"presented": ("out", "presented"), "rejected": ("out", "rejected"), "retracted": ("in", "retracted"),
            "deposited": ("in", "deposited")}  # fmt: skip
WORDS = ("replenishmentStatus", "operationStatus", "accuracy")

Key: TypeAlias = tuple[str, ...]


class Unit:
    """What was said of one storage unit."""

    def __init__(self) -> None:
        self.words: dict[str, str | None] = {}
        self._counts: dict[Key, int] = {}
        self._cards: int | None = None

    def told(self, unit: Mapping[str, Any], *, whole: bool) -> None:
        """Take a unit object: `whole`, where null is "not there", or what has changed."""
        if whole:
            self.words = dict.fromkeys(self.words)  # what was there and is not named any more cannot be used
            self._counts.clear()
        if isinstance(status := unit.get("status"), str):
            self.words["status"] = status
        self._state(unit)  # of a CountsChangedEvent the counts alone
        for kind in KINDS:
            if isinstance(part := unit.get(kind), Mapping):
                self._state(part)
                if isinstance(state := part.get("status"), Mapping):
                    self._state(state)

    def _state(self, state: Mapping[str, Any]) -> None:
        for name in WORDS:
            if isinstance(word := state.get(name), str):
                self.words[name] = word
        if (cards := _count(state.get("count"))) is not None:
            self._cards = cards
        if (initial := state.get("initial")) is not None:
            self._counts = {key: count for key, count in self._counts.items() if key[0] != "initial"}
            self._take(("initial", ""), initial)
        for way, names in (("in", IN), ("out", OUT)):
            counts = state.get(way)
            if isinstance(counts, Mapping):
                for name in names:
                    self._take((way, name), counts.get(name))

    def _take(self, key: Key, counts: Any) -> None:
        for inner, count in _counts_of(counts):
            if len(self._counts) < COUNTS_LIMIT or (*key, *inner) in self._counts:
                self._counts[(*key, *inner)] = count

    def values(self) -> dict[str, Value]:
        """What it shows, by the last part of the point's name."""
        found: dict[str, Value] = dict(self.words)
        sums: dict[tuple[str, str], int] = {}
        for key, count in self._counts.items():
            sums[key[0], key[1]] = sums.get((key[0], key[1]), 0) + count
        if any(way == "initial" for way, _ in sums):
            found["count"] = max(0, sum(-count if way == "out" else count for (way, _), count in sums.items()))
        elif self._cards is not None:
            found["count"] = self._cards
        return found | {name: sums[key] for name, key in COUNTERS.items() if key in sums}


class Storage:
    """All units of one device."""

    def __init__(self) -> None:
        self._units: dict[str, Unit] = {}

    def told(self, units: Any, *, whole: bool) -> dict[str, Value]:
        """Take the units of a completion (`whole`) or of an event; gives the points of those that were named."""
        if not isinstance(units, Mapping):
            return {}
        found: dict[str, Value] = {}
        for name, unit in units.items():
            if isinstance(unit, Mapping) and UNIT_ID.fullmatch(name) and (name in self._units or len(self._units) < UNITS_LIMIT):
                known = self._units.setdefault(name, Unit())
                known.told(unit, whole=whole)
                found |= {f"storage.{name}.{last}": value for last, value in known.values().items()}
        return found


def _count(raw: Any) -> int | None:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 2**31 else None


def _counts_of(counts: Any) -> Iterator[tuple[Key, int]]:
    """The numbers of a count object: {"unrecognized": 2, "type20USD1": {"fit": 5, "unfit": 1}}; or one number alone."""
    if (alone := _count(counts)) is not None:
        yield (), alone
    elif isinstance(counts, Mapping):
        for name, inner in counts.items():
            for key, count in _counts_of(inner) if not isinstance(inner, Mapping) else _flat(inner):
                yield (name, *key), count


def _flat(counts: Mapping[str, Any]) -> Iterator[tuple[Key, int]]:
    for name, raw in counts.items():
        if (count := _count(raw)) is not None:
            yield (name,), count


def units(shown: Mapping[str, Value]) -> dict[str, Any]:
    """The `storage` of a Storage.GetStorage that says these points. For a service's own end."""
    made: dict[str, Any] = {}
    for point, value in shown.items():
        _, _, rest = point.partition("storage.")
        unit, _, last = rest.partition(".")
        if value is None or not last:
            continue
        entry = made.setdefault(unit, {"cash": {"status": {}}})
        state = entry["cash"]["status"]
        if last == "status":
            entry["status"] = value
        elif last in WORDS:
            state[last] = value
        elif last == "count":
            state["total"] = value  # turned into `initial` below
        elif last in COUNTERS:
            way, name = COUNTERS[last]
            state.setdefault(way, {})[name] = {"unrecognized": value}
    for entry in made.values():
        state = entry["cash"]["status"]
        if (total := state.pop("total", None)) is not None:
            moved = {way: sum(each["unrecognized"] for each in state.get(way, {}).values()) for way in ("in", "out")}
            initial = total - moved["in"] + moved["out"]
            state["initial"] = {"unrecognized": max(0, initial)}
            if initial < 0:  # more has gone than was ever there: nobody knows where to
                state.setdefault("out", {})["unknown"] = {"unrecognized": -initial}
    return made
