"""What one point did in one open window. A track is kept from window to window; `close` makes its PointSummary and starts anew.

    NumberTrack     n, min, mean, max, last, deviation
    CounterTrack    n, last, delta over resets and wraps
    WordTrack       n, last, changes, seconds in each word

The fields of a track are what must be known again after a restart: `agent.stages.windows` saves them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import TypeAlias

from msgspec import Struct, field

from agent.records import PointSummary
from agent.stages.counter import growth
from agent.vocabulary import point

DIGITS = 9  # of mean and deviation: no sensor has more, and a modem is paid by the byte
SECONDS_DIGITS = 3
NEVER = NO_MAX = -inf  # one object each: msgspec leaves out a default that is the very same, and JSON has no infinity
NO_MIN = inf


class NumberTrack(Struct, gc=False, omit_defaults=True, tag_field="track", tag="number"):
    """A running sum around the first value, so that a small spread on a large value keeps its digits."""

    n: int = 0
    bad: int = 0
    late: int = 0
    min: float = NO_MIN
    max: float = NO_MAX
    shift: float = 0.0
    sum: float = 0.0
    square: float = 0.0
    last: float | int | None = None
    at: float = NEVER  # of `last`

    def add(self, value: float, at: float) -> None:
        """Count a usable value."""
        if self.n == 0:
            self.shift = value
        self.n += 1
        off = value - self.shift
        self.sum += off
        self.square += off * off
        if value < self.min:
            self.min = value
        if value > self.max:
            self.max = value
        if at >= self.at:
            self.last = value
            self.at = at

    def add_late(self, value: float, at: float, start: float) -> None:
        """A value of an earlier window is no value of this one."""

    def lose(self, at: float) -> None:
        """Asked and not usable."""
        if at >= self.at:
            self.last = None
            self.at = at

    def pause(self, seen: float, now: float) -> None:
        """Nobody looked between `seen` and `now`."""

    def close(self, end: float) -> PointSummary:
        """The window's PointSummary; the next window begins."""
        summary = PointSummary(bad=self.bad, late=self.late)
        if self.n:
            mean_off = self.sum / self.n
            variance = max(0.0, self.square / self.n - mean_off * mean_off)
            summary = PointSummary(
                n=self.n,
                bad=self.bad,
                late=self.late,
                min=self.min,
                mean=round(self.shift + mean_off, DIGITS),
                max=self.max,
                last=self.last,
                deviation=round(sqrt(variance), DIGITS),
            )
        self.n = self.bad = self.late = 0
        self.min, self.max = NO_MIN, NO_MAX
        self.sum = self.square = 0.0
        return summary


class CounterTrack(Struct, gc=False, omit_defaults=True, tag_field="track", tag="counter"):
    """Growth goes on unheard: what was counted while nobody listened belongs to the window of the next value."""

    n: int = 0
    bad: int = 0
    late: int = 0
    delta: float = 0.0
    last: float | int | None = None
    at: float = NEVER  # of `last`

    def add(self, value: float, at: float) -> None:
        """Count a usable value. One that is older than the last says nothing about growth."""
        self.n += 1
        if at < self.at:
            return
        if self.last is not None and value != self.last:
            self.delta += growth(self.last, value)
        self.last = value
        self.at = at

    def add_late(self, value: float, at: float, start: float) -> None:
        """A value of an earlier window; its growth is in that of the next."""

    def lose(self, at: float) -> None:
        """Asked and not usable."""

    def pause(self, seen: float, now: float) -> None:
        """Nobody looked between `seen` and `now`."""

    def close(self, end: float) -> PointSummary:
        """The window's PointSummary; the next window begins."""
        summary = PointSummary(n=self.n, bad=self.bad, late=self.late, last=self.last, delta=self.delta)
        self.n = self.bad = self.late = 0
        self.delta = 0.0
        return summary


class WordTrack(Struct, gc=False, omit_defaults=True, tag_field="track", tag="word"):
    """A word holds until the next one; a Reading that is not usable ends it, and the time that follows is spent in no word."""

    n: int = 0
    bad: int = 0
    late: int = 0
    changes: int = 0
    last: str | None = None
    at: float = NEVER  # of the Reading that said `last`
    since: float = 0.0  # up to here, time is spent
    states: dict[str, float] = field(default_factory=dict)

    def add(self, value: str, at: float) -> None:
        """Count a usable word. An older one cannot undo a newer one."""
        self.n += 1
        if at < self.at:
            return
        self.at = at
        if value != self.last:
            self.changes += self.last is not None
            self.spend(at)
            self.last = value

    def add_late(self, value: str, at: float, start: float) -> None:
        """A word of an earlier window that is news holds from the start of this one."""
        if at >= self.at:
            self.at = at
            if value != self.last:
                self.changes += self.last is not None
                self.spend(start)
                self.last = value

    def lose(self, at: float) -> None:
        """Asked and not usable."""
        if at >= self.at:
            self.at = at
            self.spend(at)
            self.last = None

    def spend(self, at: float) -> None:
        """The word held until `at`."""
        if at > self.since:
            if self.last is not None:
                self.states[self.last] = self.states.get(self.last, 0.0) + at - self.since
            self.since = at

    def pause(self, seen: float, now: float) -> None:
        """Nobody looked between `seen` and `now`: the word held until `seen`, and what it was meanwhile is nobody's time."""
        self.spend(seen)
        self.since = now

    def close(self, end: float) -> PointSummary:
        """The window's PointSummary; the next window begins."""
        self.spend(end)
        states = {word: round(seconds, SECONDS_DIGITS) for word, seconds in self.states.items()}
        summary = PointSummary(self.n, self.bad, self.late, last=self.last, states=states or None, changes=self.changes)
        self.n = self.bad = self.late = self.changes = 0
        self.states = {}
        return summary


Track: TypeAlias = NumberTrack | CounterTrack | WordTrack


def new_track(name: str, value: object, at: float) -> Track:
    """The track that fits a point."""
    entry = point(name)
    if entry is not None and entry.counter:
        return CounterTrack()
    if (entry is not None and entry.words) or isinstance(value, str):
        return WordTrack(since=at)
    return NumberTrack()


def joined(first: PointSummary, second: PointSummary) -> PointSummary:
    """What one point did in two windows, the first before the second. The window of a sum is the sum of its windows."""
    states = dict(first.states or {})
    for word, seconds in (second.states or {}).items():
        states[word] = round(states.get(word, 0.0) + seconds, SECONDS_DIGITS)
    mean, deviation = _spread(first, second)
    deltas = [each.delta for each in (first, second) if each.delta is not None]
    return PointSummary(
        n=first.n + second.n,
        bad=first.bad + second.bad,
        late=first.late + second.late,
        min=_of(min, first.min, second.min),
        mean=mean,
        max=_of(max, first.max, second.max),
        last=second.last if second.n or second.last is not None or second.bad else first.last,
        deviation=deviation,
        delta=sum(deltas) if deltas else None,
        states=states or None,
        changes=first.changes + second.changes,
    )


def _of(choose: Callable[[list[float]], float], first: float | None, second: float | None) -> float | None:
    known = [each for each in (first, second) if each is not None]
    return choose(known) if known else None


def _spread(first: PointSummary, second: PointSummary) -> tuple[float | None, float | None]:
    """Mean and deviation of both together (Chan, Golub, LeVeque 1979)."""
    if second.mean is None or first.mean is None:
        known = first if second.mean is None else second
        return known.mean, known.deviation
    n, m = first.n, second.n
    apart = second.mean - first.mean
    mean = first.mean + apart * m / (n + m)
    inner = n * (first.deviation or 0.0) ** 2 + m * (second.deviation or 0.0) ** 2
    return mean, sqrt((inner + apart * apart * n * m / (n + m)) / (n + m))
