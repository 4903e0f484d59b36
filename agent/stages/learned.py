"""Tests that learn what is usual at this very machine. Until they have seen enough of it they never hold.

What they have learned is given out as `state()` and taken back by `restore(state)`: a restart must not cost them weeks.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, tzinfo
from math import inf
from typing import Any

import msgspec

from agent.records import Value
from agent.stages.counter import growth
from agent.stages.evidence import STEPS, Sudden
from agent.stages.rules import Condition

DAY, HOUR, WEEK_HOURS = 86_400.0, 3_600.0, 168
LEARN = DAY  # s of ordinary values before anything is unusual
FORGET = 14 * DAY  # s: time constant of what is usual
LONGEST = 7 * DAY  # s that are looked back for what was expected
SEEN_LIMIT = 8  # weeks: how many of them an hour's mean remembers
SEEN_LEAST = 2  # weeks before an hour of the week is known
_NUMBER = (int, float)


class _Usual(msgspec.Struct):
    mean: float = 0.0
    learned: float = 0.0  # seconds of values behind it
    at: float = -inf  # of the newest value behind it


class Usual(Sudden):
    """above_usual, below_usual: the mean of the values within `over` against the mean of the weeks before.

    Each news counts once, however long it stays: an insertion time is one card. What is unusual is not learned.
    """

    def __init__(self, condition: Condition) -> None:
        self._sign = 1 if condition.above_usual is not None else -1
        share = condition.above_usual if condition.above_usual is not None else condition.below_usual
        assert share is not None
        self._factor = 1.0 + self._sign * share
        self._over = condition.over
        self._width = condition.over / STEPS
        self._least = condition.least
        self._steps: deque[list[float]] = deque()  # [end, n, sum]
        self._n = 0.0
        self._sum = 0.0
        self._usual = _Usual()
        self.dirty = False

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        if not isinstance(value, _NUMBER) or not counts:
            return holds
        if not self._steps or at >= self._steps[-1][0]:
            self._steps.append([at - at % self._width + self._width, 0, 0.0])
        step = self._steps[-1]
        step[1] += 1
        step[2] += value
        self._n += 1
        self._sum += value
        return self.tick(at, holds=holds)

    def tick(self, now: float, *, holds: bool) -> bool:
        while self._steps and self._steps[0][0] <= now - self._over:
            end, n, total = self._steps.popleft()
            self._n -= n
            self._sum = self._sum - total if self._steps else 0.0  # rounding does not add up
            if not holds:
                self._learn(end, total / n)
        if self._n < self._least or self._usual.learned < LEARN:
            return holds  # too little to say anything else
        return self._sign * self._sum / self._n > self._sign * self._factor * self._usual.mean

    def _learn(self, at: float, mean: float) -> None:
        """Take a step's mean into what is usual, with the weight of the time since the one before, an hour at most."""
        usual = self._usual
        seconds = min(max(at - usual.at, 0.0), HOUR) if usual.at > -inf else 0.0
        usual.learned = min(usual.learned + seconds, FORGET)
        weight = seconds / usual.learned if usual.learned else 1.0
        usual.mean += (mean - usual.mean) * weight
        usual.at = max(usual.at, at)
        self.dirty = True

    def due(self, *, holds: bool) -> float:
        return self._steps[0][0] + self._over if holds and self._steps else inf

    def lose(self, at: float) -> None:
        """What was heard before still counts."""

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds."""
        for step in self._steps:
            step[0] += by
        self._usual.at += by

    def state(self) -> dict[str, Any]:
        """What is usual."""
        found: dict[str, Any] = msgspec.to_builtins(self._usual)
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what was usual; what cannot be read is learned anew."""
        try:
            self._usual = msgspec.convert(state, _Usual)
        except msgspec.ValidationError:
            return


class _Hours(msgspec.Struct):
    """Events an hour, for each hour of the week from Monday 00:00 local time on, and in how many weeks each was seen."""

    means: list[float]
    seen: list[int]


class Overdue:
    """overdue: nothing happened since a moment, although so much was to be expected by hour and weekday.

    With nothing for so long that `overdue` events were expected, chance alone explains it once in e^overdue times.
    """

    def __init__(self, condition: Condition, zone: tzinfo) -> None:
        assert condition.overdue is not None
        self._limit = condition.overdue
        self._zone = zone
        self._hours = _Hours([0.0] * WEEK_HOURS, [0] * WEEK_HOURS)
        self._last: Value = None
        self._since = inf  # when something last happened, or the point was first heard
        self._asked = -inf
        self._hour = -inf  # start of the hour that is being counted
        self._count = 0.0
        self._whole = False  # it was heard from its beginning on
        self.dirty = False

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        last, self._last = self._last, value
        if holds:
            self._hour = -inf  # a machine that was down teaches nothing about its customers
        self._turn(at, heard=last is not None)
        if isinstance(last, _NUMBER) and isinstance(value, _NUMBER):
            self._count += growth(last, value)
        self._since = at
        return False

    def _turn(self, now: float, *, heard: bool) -> None:
        """Learn the hours that have ended by `now`. What is quiet teaches nothing before something happens again."""
        start = now - now % HOUR
        if not 0.0 <= start - self._hour <= DAY:  # the first moment, or nobody was there
            self._hour, self._count, self._whole = start, 0.0, False
        while self._hour < start:
            if self._whole:
                self._learn(self._index(self._hour))
            self._hour += HOUR
            self._count, self._whole = 0.0, heard

    def _learn(self, index: int) -> None:
        means, seen = self._hours.means, self._hours.seen
        seen[index] = min(seen[index] + 1, SEEN_LIMIT)
        means[index] += (self._count - means[index]) / seen[index]
        self.dirty = True

    def _index(self, at: float) -> int:
        local = datetime.fromtimestamp(at, UTC).astimezone(self._zone)
        return local.weekday() * 24 + local.hour

    def _rate(self, at: float) -> float:
        index = self._index(at)
        return self._hours.means[index] if self._hours.seen[index] >= SEEN_LEAST else 0.0

    def _expected(self, until: float) -> tuple[float, float]:
        """Events expected since the last one, up to `until` or the moment at which there are too many, and that moment."""
        at, expected = max(self._since, until - LONGEST), 0.0
        while at < until:
            end = min(at - at % HOUR + HOUR, until)
            rate = self._rate(at) / HOUR
            if rate and expected + rate * (end - at) >= self._limit:
                return self._limit, at + (self._limit - expected) / rate
            expected += rate * (end - at)
            at = end
        return expected, until

    def tick(self, now: float, *, holds: bool) -> bool:
        self._asked = now
        if self._last is None:
            return False
        expected, _ = self._expected(now)
        return expected >= self._limit

    def due(self, *, holds: bool) -> float:
        if holds or self._last is None:
            return inf
        _, moment = self._expected(max(self._since, self._asked) + DAY)
        return moment

    def lose(self, at: float) -> None:
        """Nobody counts, so the hour says nothing; whether something is overdue begins anew."""
        self._turn(at, heard=False)
        self._last = None
        self._whole = False

    def began(self, holds_since: float) -> float:
        """With the last event."""
        return self._since

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds."""
        self._since += by
        self._asked += by
        self._hour, self._whole = -inf, False

    def state(self) -> dict[str, Any]:
        """What is usual."""
        found: dict[str, Any] = {
            "means": [round(mean, 3) for mean in self._hours.means],
            "seen": list(self._hours.seen),
        }
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what was usual; what cannot be read is learned anew."""
        try:
            hours = msgspec.convert(state, _Hours)
        except msgspec.ValidationError:
            return
        if len(hours.means) == len(hours.seen) == WEEK_HOURS:
            self._hours = hours
