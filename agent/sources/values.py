"""From what a device says (point -> value) to Readings, each value looked at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from agent.records import Quality, Reading, Value
from agent.sources import Context
from agent.vocabulary import Point, fault, point

REPEAT = 60.0  # s after which an unchanged value is given again: a window without it would know nothing

RESTLESS = 2  # different values in a row that are held back

log = logging.getLogger(__name__)


class Values:
    """Readings of one machine. `unknown` counts values that are none of their point: out of its limits, or no word of it."""

    def __init__(self, context: Context) -> None:
        self.unknown = 0
        self._context = context
        self._given: dict[str, tuple[Value, float]] = {}

    def readings(self, values: Mapping[str, Value], at: float) -> list[Reading]:
        """A Reading for each value; one that cannot be used, and None, gives None, bad."""
        return [self._reading(name, value, at) for name, value in values.items()]

    def news(self, values: Mapping[str, Value], at: float, mono: float) -> list[Reading]:
        """As `readings`, but only what has changed or was not given for a minute. For lines that repeat themselves."""
        fresh = {}
        for name, value in values.items():
            last = self._given.get(name)
            if last is None or last[0] != value or mono - last[1] >= REPEAT:
                self._given[name] = (value, mono)
                fresh[name] = value
        return self.readings(fresh, at)

    def forget(self) -> None:
        """Everything is news again."""
        self._given.clear()

    def _reading(self, name: str, value: Value, at: float) -> Reading:
        if value is None:
            return Reading(self._context.machine, name, None, at, Quality.BAD, "noValue")
        reason = fault(_entry(name), value)
        if reason is None:
            return Reading(self._context.machine, name, value, at)
        self.unknown += 1
        log.warning("source %s: %s: value refused (%s)", self._context.name, name, reason)
        return Reading(self._context.machine, name, None, at, Quality.BAD, reason)


def _entry(name: str) -> Point:
    entry = point(name)
    assert entry is not None, name  # a driver's own points are a test's matter, configured ones are checked by its settings
    return entry


class Twice:
    """A change counts once it was read twice: for protocols whose check is weak or missing.

    A value that is what it was, within the point's tolerance, passes. Another one is held back until the next reading says
    the same; one that never stands still passes the third time. While something is held back `pending` is true, and the
    driver had better ask again soon.
    """

    def __init__(self, tolerance: Mapping[str, float] | None = None) -> None:
        self._tolerance = tolerance or {}
        self._passed: dict[str, Value] = {}
        self._held: dict[str, tuple[Value, int]] = {}  # and how many different ones were held in a row

    @property
    def pending(self) -> bool:
        """A change waits for its second reading."""
        return bool(self._held)

    def passed(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Those values that count. What is held back and is not among them now was a mistake."""
        counting: dict[str, Value] = {}
        before, self._held = self._held, {}
        for name, value in values.items():
            if value == self._passed.get(name, _NOTHING):
                counting[name] = value
                continue
            held, times = before.get(name, (_NOTHING, 0))
            if times >= RESTLESS or any(self._same(name, value, known) for known in (self._passed.get(name, _NOTHING), held)):
                counting[name] = self._passed[name] = value
            else:
                self._held[name] = (value, times + 1)
        return counting

    def known(self, values: Mapping[str, Value]) -> None:
        """These count already, for another reason."""
        self._passed.update(values)
        for name in values:
            self._held.pop(name, None)

    def forget(self) -> None:
        """Everything is new again: the line was lost, or the device was."""
        self._passed.clear()
        self._held.clear()

    def _same(self, name: str, value: Value, known: object) -> bool:
        if value == known:
            return True
        width = self._tolerance.get(name)
        if width is None or not isinstance(value, int | float) or not isinstance(known, int | float):
            return False
        return abs(value - known) <= width


class _Nothing:
    """Equals no value, None neither."""


_NOTHING: Any = _Nothing()
