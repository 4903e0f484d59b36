"""One condition of a rule on one point: its test, and since when it has held for long enough."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from math import inf
from typing import Any, TypeAlias

import msgspec

from agent.records import Value
from agent.stages.evidence import Altogether, Growth, Level, Reason, Silent, Spread, Still, Test, Watch, Word
from agent.stages.learned import Overdue, Usual
from agent.stages.rules import TESTS, Condition

_Make: TypeAlias = Callable[[Condition, Watch, tzinfo], Test]
_MAKE: dict[str, _Make] = {
    **dict.fromkeys(("is_", "is_not"), lambda condition, _, __: _word(condition, Word(condition))),
    **dict.fromkeys(("above", "below"), lambda condition, _, __: _word(condition, Level(condition))),
    **dict.fromkeys(("grows", "changes"), lambda condition, _, __: Growth(condition)),
    **dict.fromkeys(("rises", "falls", "swings"), lambda condition, _, __: Spread(condition)),
    **dict.fromkeys(("above_usual", "below_usual"), lambda condition, _, __: Usual(condition)),
    "overdue": lambda condition, _, zone: Overdue(condition, zone),
    "silent": lambda condition, watch, _: Silent(condition, watch),
    "still": lambda condition, watch, _: Still(condition, watch),
    "reason": lambda condition, watch, _: Reason(condition, watch),
}


def _word(condition: Condition, test: Word | Level) -> Test:
    return test if condition.altogether is None else Altogether(test, condition)


class ProbeState(msgspec.Struct, omit_defaults=True):
    """A probe as it is saved: the number of its condition, its point, and what it knows."""

    condition: int
    point: str
    value: Value = None
    holds_since: float | None = None
    true_since: float | None = None
    was_true: float | None = None


class Probe:
    """A condition on one point. `holds_since`: its test holds; `true_since`: it has held for long enough.

    One that is true stays so while its point gives nothing usable: silence is no all-clear.
    """

    __slots__ = (
        "_for", "_lost_at", "_timed", "counts_planned", "family", "high", "holds_since", "instance", "low", "missing", "number",
        "point", "test", "true_since", "value", "was_true",
    )  # fmt: skip

    def __init__(self, condition: Condition, number: int, watch: Watch, zone: tzinfo, *, counts_planned: bool) -> None:
        self.point = watch.point
        self.number = number  # of the condition: those of `when`, then those of `unless`
        self.counts_planned = counts_planned
        self.family: Any = None  # the rule that it serves, and …
        self.instance: Any = None  # … the one instance of it, or None for all
        self.value: Value = None  # what it was when the test began to hold
        self.holds_since: float | None = None
        self.true_since: float | None = None
        self.was_true: float | None = None  # until when the condition was last true
        self._for = condition.for_
        self._lost_at: float | None = None  # since then it is true only as far as anybody knows
        self.test = _MAKE[next(name for name in TESTS if getattr(condition, name) not in (None, ()))](condition, watch, zone)
        # a number from `low` to `high` is no news for a probe that does not hold
        self.low, self.high = self.test.calm if isinstance(self.test, Level | Still | Silent) else (inf, -inf)
        self._timed = isinstance(self.test, Altogether)  # its moment may change although its answer does not
        self.missing = True  # nothing usable was heard, yet or any more

    def feed(self, value: Value, at: float, *, counts: bool) -> bool:
        """Take note of a value that is news. Whether that may have changed anything."""
        if value is None and not isinstance(self.test, Reason):
            self.missing = True
            self.test.lose(at)
            if isinstance(self.test, Silent):
                return False
            if self.true_since is not None:
                self._lost_at = at if self._lost_at is None else self._lost_at
                return False
            return self._set(holds=False, at=at, value=None) or self._timed
        news = self.missing or self._timed
        self._lost_at, self.missing = None, False
        held = self.holds_since is not None
        holds = self.test.feed(value, at, holds=held, counts=counts or self.counts_planned)
        if not holds and not held:
            return news
        return self._set(holds=holds, at=at, value=value) or news

    def compare(self, value: Value, at: float, *, counts: bool) -> None:
        """Take note of the counter that this one's growth is compared with."""
        assert isinstance(self.test, Growth)
        self.test.feed_per(value, at, counts=counts or self.counts_planned)

    def tick(self, now: float, value: Value) -> bool:
        """Let the time be `now`. Whether that changed anything."""
        if self._lost_at is not None:
            return False
        return self._set(holds=self.test.tick(now, holds=self.holds_since is not None), at=now, value=value)

    def _set(self, *, holds: bool, at: float, value: Value) -> bool:
        held, true = self.holds_since, self.true_since
        if holds:
            if held is None:
                self.holds_since = at
                self.value = value
            assert self.holds_since is not None
            if true is None and at >= self.holds_since + self._for:
                self.true_since = at
        elif held is not None:
            if true is not None or at >= held + self._for:
                self.was_true = at
            self.holds_since = self.true_since = None
        return held is not self.holds_since or true is not self.true_since

    @property
    def due(self) -> float:
        """When time alone may change something."""
        if self._lost_at is not None:
            return inf
        due = self.test.due(holds=self.holds_since is not None)
        if self.holds_since is not None and self.true_since is None:
            due = min(due, self.holds_since + self._for)
        return due

    @property
    def began(self) -> float:
        """When what the condition is about began, as far as is known."""
        if self.holds_since is None:
            return self.was_true or 0.0
        return self.holds_since if self._lost_at is not None else self.test.began(self.holds_since)

    def evident(self, now: float, within: float, *, holding: bool) -> bool:
        """Whether the condition is true, or was within the last `within` seconds.

        What was true when it was last heard is enough for `holding` an alarm that is open, and for none that would be raised.
        """
        if self.true_since is not None and (self._lost_at is None or holding):
            return True
        last = self.was_true if self._lost_at is None else self._lost_at
        return last is not None and now < last + within

    def forgotten(self, now: float, within: float) -> float:
        """When what was true is evident no more."""
        last = self._lost_at
        if last is None:
            last = self.was_true if self.true_since is None else None
        return inf if last is None or now >= last + within else last + within

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds: every moment that is remembered moves with it."""
        self.test.shift(by)
        for name in ("holds_since", "true_since", "was_true", "_lost_at"):
            moment = getattr(self, name)
            if moment is not None:
                setattr(self, name, moment + by)

    # Restart ------------------------------------------------------------------------------------------------------------

    def state(self) -> ProbeState | None:
        """What must be known again; None when nothing has happened."""
        if self.holds_since is None and self.was_true is None:
            return None
        return ProbeState(self.number, self.point, self.value, self.holds_since, self.true_since, self.was_true)

    def restore(self, state: ProbeState, now: float) -> None:
        """Take back what was known. It stays so until the point is heard again."""
        self.value = state.value
        self.holds_since, self.true_since, self.was_true = state.holds_since, state.true_since, state.was_true
        self._lost_at = now if self.holds_since is not None else None

    @property
    def learned(self) -> Usual | Overdue | None:
        """The test, when it is one that learns."""
        return self.test if isinstance(self.test, Usual | Overdue) else None
