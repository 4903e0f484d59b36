"""From what a board says (number of a point -> value) to Readings, each value looked at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from agent.records import Quality, Reading
from agent.vocabulary import Point, fault, point
from agent.wire.board import Frame, Key
from agent.wire.board_points import POINTS

log = logging.getLogger(__name__)

CODES_LOGGED = 64  # unknown numbers that are logged by name; a board that invents more is only counted


class BoardValues:
    """Readings of one machine. `unknown` counts what could not be used: numbers without a point, values that are none of it."""

    def __init__(self, source: str, machine: str, own: Mapping[int, str]) -> None:
        self.unknown = 0
        self._source = source
        self._machine = machine
        self._entries = {code: _entry(name) for code, name in {**POINTS, **own}.items()}
        self._logged: set[int] = set()

    def readings(self, frame: Frame, at: float, quality: Quality = Quality.GOOD, reason: str = "") -> list[Reading]:
        """A Reading for each point of a READING or EVENT whose number is known; a value that cannot be used gives None, bad."""
        values = frame.payload.get(_VALUES)
        if not isinstance(values, dict):
            self.unknown += 1
            log.warning("source %s: a %s without values: the board's firmware is wrong there", self._source, frame.type.name)
            return []
        machine, entries = self._machine, self._entries
        readings = []
        for code, value in values.items():
            entry = entries.get(code) if type(code) is int else None  # a bool is no number of a point
            if entry is None:
                self._unknown_code(code)
                continue
            name, words, low, high, whole = entry
            kind = type(value)
            # a comparison with NaN is never true
            usable = value in words if kind is str else kind in _NUMBERS and not words and low <= value <= high
            if usable:
                readings.append(Reading(machine, name, value, at, quality, reason))
            else:
                readings.append(self._unusable(whole, value, at))
        return readings

    def _unusable(self, entry: Point, value: object, at: float) -> Reading:
        if value is None:
            return Reading(self._machine, entry.name, None, at, Quality.BAD, "noValue")
        reason = fault(entry, value) or "notAValue"
        self.unknown += 1
        log.warning("source %s: %s: value refused (%s): the board's firmware is wrong there", self._source, entry.name, reason)
        return Reading(self._machine, entry.name, None, at, Quality.BAD, reason)

    def _unknown_code(self, code: object) -> None:
        self.unknown += 1
        if type(code) is int and code not in self._logged and len(self._logged) < CODES_LOGGED:
            self._logged.add(code)
            log.warning(
                "source %s: the board sends point %d, which nobody knows: name it under `points` of this source",
                self._source,
                code,
            )


_VALUES = int(Key.VALUES)
_NUMBERS = frozenset({int, float})  # types, not classes: a bool is no number

_Entry = tuple[str, frozenset[str], float, float, Point]


def _entry(name: str) -> _Entry:
    found = point(name)
    assert found is not None, name  # the table is a test's matter, own names are checked by the settings
    whole = Point(name, found.words, found.unit, found.low, found.high, found.counter)
    return name, frozenset(found.words), found.low, found.high, whole
