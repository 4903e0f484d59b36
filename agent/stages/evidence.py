"""The tests of a condition: each follows one point through time and says whether it holds.

A test is fed with a usable value that is news, and asked again at `due`, when time alone may change its answer. What every
test of a point may need (the newest value, when it came, when it changed) stands in the point's Watch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Protocol

from agent.records import Value
from agent.stages.counter import growth
from agent.stages.rules import Condition

STEPS = 60  # what happened over a time is remembered in so many steps of it, whatever a flood of events brings
_NUMBER = (int, float)


@dataclass(slots=True, eq=False)
class Watch:
    """What is known of one point that rules look at."""

    point: str
    heard: float  # when something usable was last heard
    changed: float  # when the value was last another one
    value: Value = None
    reason: str = ""
    silenced: bool = False  # a test of silence holds: whatever is heard next is news


class Test(Protocol):
    """One test on one point. `holds` is its answer up to now."""

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        """A usable value that is news. With `counts` false it belongs to a planned visit: only the newest value is taken over."""

    def tick(self, now: float, *, holds: bool) -> bool:
        """Whether it holds at `now`, if nothing new is heard."""

    def due(self, *, holds: bool) -> float:
        """When time alone may change the answer; infinite when it cannot."""

    def lose(self, at: float) -> None:
        """The point gave something that is not usable."""

    def began(self, holds_since: float) -> float:
        """When what the test is about began, if it holds since then: a silence began with the last word."""

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds: every moment that is remembered moves with it."""


class Sudden:
    """A test of something that begins when the test begins to hold."""

    def began(self, holds_since: float) -> float:
        """When what the test is about began."""
        return holds_since


class _Instant(Sudden):
    """A test that the newest value alone decides."""

    def tick(self, now: float, *, holds: bool) -> bool:
        return holds

    def due(self, *, holds: bool) -> float:
        return inf

    def lose(self, at: float) -> None:
        """Nothing is remembered."""

    def shift(self, by: float) -> None:
        """Nothing is remembered."""


class Word(_Instant):
    """is, is_not"""

    def __init__(self, condition: Condition) -> None:
        self._words = frozenset(condition.is_ or condition.is_not)
        self._wanted = bool(condition.is_)

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        return (value in self._words) is self._wanted


class Level(_Instant):
    """above, below, with the hysteresis of `clear`"""

    def __init__(self, condition: Condition) -> None:
        self._sign = 1 if condition.above is not None else -1
        bound = condition.above if condition.above is not None else condition.below
        assert bound is not None
        self._raise = self._sign * bound
        self._clear = self._raise if condition.clear is None else self._sign * condition.clear
        self.calm = (-inf, bound) if self._sign > 0 else (bound, inf)

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        return isinstance(value, _NUMBER) and self._sign * value > (self._clear if holds else self._raise)


class Steps:
    """Amounts of the last `over` seconds, summed in sixtieths of it."""

    def __init__(self, over: float) -> None:
        self._over = over
        self._width = over / STEPS
        self._steps: deque[list[float]] = deque()  # [end, amount]

    def add(self, amount: float, at: float) -> None:
        """Something happened at `at`. What comes late counts as the newest."""
        if self._steps and at < self._steps[-1][0]:
            self._steps[-1][1] += amount
        else:
            self._steps.append([at - at % self._width + self._width, amount])

    def total(self, now: float) -> float:
        """All that happened within `over` before `now`."""
        while self._steps and self._steps[0][0] <= now - self._over:
            self._steps.popleft()
        return sum(amount for _, amount in self._steps)

    @property
    def due(self) -> float:
        """When the oldest amount is forgotten."""
        return self._steps[0][0] + self._over if self._steps else inf

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds."""
        for step in self._steps:
            step[0] += by


class Growth(Sudden):
    """grows, changes: what was counted within the last `over` seconds; with `per`, compared with another counter"""

    def __init__(self, condition: Condition) -> None:
        self._least = condition.grows if condition.grows is not None else float(condition.changes or 0)
        self._counter = condition.grows is not None
        self._ratio = condition.ratio
        self._last: Value = None
        self._last_per: Value = None
        self._own, self._per = Steps(condition.over), Steps(condition.over)

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        amount = self._amount(self._last, value)
        self._last = value
        if amount and counts:
            self._own.add(amount, at)
        return self.tick(at, holds=holds)

    def feed_per(self, value: Value, at: float, *, counts: bool) -> None:
        """A usable value of the counter that the growth is compared with."""
        if not isinstance(value, _NUMBER):
            return  # it goes on counting unheard, as the other one does
        last, self._last_per = self._last_per, value
        if isinstance(last, _NUMBER) and counts:
            self._per.add(growth(last, value), at)

    def _amount(self, last: Value, value: Value) -> float:
        if last is None or value == last:
            return 0.0
        if not self._counter:
            return 1.0
        return growth(last, value) if isinstance(last, _NUMBER) and isinstance(value, _NUMBER) else 0.0

    def tick(self, now: float, *, holds: bool) -> bool:
        total = self._own.total(now)
        return total >= self._least and (self._ratio is None or total >= self._ratio * self._per.total(now))

    def due(self, *, holds: bool) -> float:
        return self._own.due if holds else inf

    def lose(self, at: float) -> None:
        """A counter goes on counting unheard."""

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds."""
        self._own.shift(by)
        self._per.shift(by)


class Spread(Sudden):
    """rises, falls, swings: how far apart values lie within the last `over` seconds. A value is in effect until the next, unless
    it stood still for `stuck_after`."""

    def __init__(self, condition: Condition) -> None:
        self._over = condition.over
        self._stuck_after = condition.stuck_after if condition.stuck_after is not None else inf
        self._changed = inf
        self._width = condition.over / STEPS
        self._rises, self._falls, self._swings = condition.rises, condition.falls, condition.swings
        self._last: float | None = None
        self._steps: deque[list[float]] = deque()  # [end, lowest, highest]
        self._low, self._high = inf, -inf  # of all steps

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        if not isinstance(value, _NUMBER):
            return False
        if value != self._last:
            if at - self._changed >= self._stuck_after:
                self.lose(at)
            self._changed = at
        before = self._last if self._last is not None and counts else value
        self._last = float(value)
        low, high = (before, value) if before < value else (value, before)
        if not self._steps or at >= self._steps[-1][0]:
            self._steps.append([at - at % self._width + self._width, low, high])
        step = self._steps[-1]
        if low < step[1]:
            step[1] = low
        if high > step[2]:
            step[2] = high
        if low < self._low:
            self._low = low
        if high > self._high:
            self._high = high
        return self.tick(at, holds=holds)

    def tick(self, now: float, *, holds: bool) -> bool:
        steps, extreme = self._steps, False
        while steps and steps[0][0] <= now - self._over:
            _, low, high = steps.popleft()
            extreme = extreme or low <= self._low or high >= self._high
        if extreme:  # what is forgotten was the lowest of all, or the highest
            self._low = min((step[1] for step in steps), default=inf)
            self._high = max((step[2] for step in steps), default=-inf)
        if self._last is None or not steps:
            return False
        if self._rises is not None:
            return self._last - self._low >= self._rises
        if self._falls is not None:
            return self._high - self._last >= self._falls
        return self._high - self._low >= (self._swings or 0.0)

    def due(self, *, holds: bool) -> float:
        return self._steps[0][0] + self._over if holds and self._steps else inf

    def lose(self, at: float) -> None:
        """What the value was meanwhile is not known: the next one is a beginning."""
        self._last = None
        self._steps.clear()
        self._low, self._high = inf, -inf

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds."""
        self._changed += by
        for step in self._steps:
            step[0] += by


class Silent:
    """silent: nothing usable was heard for so long"""

    calm = (-inf, inf)

    def __init__(self, condition: Condition, watch: Watch) -> None:
        self._limit = condition.silent or 0.0
        self._watch = watch

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        return False

    def tick(self, now: float, *, holds: bool) -> bool:
        self._watch.silenced = now >= self._watch.heard + self._limit
        return self._watch.silenced

    def due(self, *, holds: bool) -> float:
        return inf if holds else self._watch.heard + self._limit

    def lose(self, at: float) -> None:
        """What is not usable ends no silence."""

    def began(self, holds_since: float) -> float:
        """With the last word."""
        return self._watch.heard

    def shift(self, by: float) -> None:
        """The Watch moves."""


class Still:
    """still: the point is heard, and says the same for so long"""

    calm = (-inf, inf)

    def __init__(self, condition: Condition, watch: Watch) -> None:
        self._limit = condition.still or 0.0
        self._watch = watch

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        return False  # it is news, so it is not still

    def tick(self, now: float, *, holds: bool) -> bool:
        return self._watch.value is not None and now >= self._watch.changed + self._limit

    def due(self, *, holds: bool) -> float:
        return inf if holds or self._watch.value is None else self._watch.changed + self._limit

    def lose(self, at: float) -> None:
        """The next value is news."""

    def began(self, holds_since: float) -> float:
        """With the first of the same values."""
        return self._watch.changed

    def shift(self, by: float) -> None:
        """The Watch moves."""


class Reason(_Instant):
    """reason: the point's quality has this reason; fed by the Judge, whatever the value"""

    def __init__(self, condition: Condition, watch: Watch) -> None:
        self._reason = condition.reason
        self._watch = watch

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        return self._watch.reason == self._reason


class Altogether(Sudden):
    """altogether: the seconds during which a test held, summed over the last `over` seconds"""

    def __init__(self, test: Word | Level, condition: Condition) -> None:
        assert condition.altogether is not None
        self._test = test
        self._least = condition.altogether
        self._over = condition.over
        self._held = False
        self._spans: deque[list[float]] = deque(maxlen=1_000)  # [start, end]; the last one grows while the test holds

    def feed(self, value: Value, at: float, *, holds: bool, counts: bool) -> bool:
        held, self._held = self._held, self._test.feed(value, at, holds=self._held, counts=counts)
        if held:
            self._spans[-1][1] = max(self._spans[-1][1], at)
        if self._held and not held:
            self._spans.append([at, at])
        return self.tick(at, holds=holds)

    def _total(self, now: float) -> float:
        start = now - self._over
        if self._held:
            self._spans[-1][1] = max(self._spans[-1][1], now)
        while self._spans and self._spans[0][1] <= start and not (self._held and len(self._spans) == 1):
            self._spans.popleft()
        return sum(end - max(begin, start) for begin, end in self._spans)

    def tick(self, now: float, *, holds: bool) -> bool:
        return self._total(now) >= self._least

    def due(self, *, holds: bool) -> float:
        if not self._spans:
            return inf
        now = self._spans[-1][1]
        if self._held:
            return inf if holds else now + self._least - self._total(now)
        return self._forgotten() if holds else inf

    def _forgotten(self) -> float:
        """When so much of it is older than `over` that too little is left."""
        excess = sum(end - begin for begin, end in self._spans) - self._least
        for begin, end in self._spans:
            if end - begin > excess:
                return begin + excess + self._over
            excess -= end - begin
        return inf

    def lose(self, at: float) -> None:
        """While nothing usable is heard, no time is counted."""
        if self._held:
            self._total(at)
        self._held = False

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds."""
        for span in self._spans:
            span[0], span[1] = span[0] + by, span[1] + by
