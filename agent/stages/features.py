"""Features: what a model is given, written as what it is, so that a model's card alone tells the pipeline what to make.

    mean(motion.rms_ms2,60s)                    mean, max, min of a number
    last(environment.temperature_c,900s)        the newest value within the span
    delta(cashDispenser.presents,60s)           growth of a counter, over resets
    changes(auxiliaries.cabinetDoor,900s)       how often a word changed
    share(auxiliaries.cabinetDoor=open|tampered,60s)   part of the span spent in these words
    ago(auxiliaries.cabinetDoor=open|tampered,900s)    1 while in these words, falling to 0 the span's length after the last time

A feature is NaN while its point has said nothing usable within the span: missing is not zero. Spans slide in steps of a
fifteenth of their length.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from agent.records import Reading, Value
from agent.stages.counter import growth
from agent.vocabulary import point

STEPS = 15
STATISTICS = ("mean", "max", "min", "last", "delta", "changes", "share", "ago")
_FEATURE = re.compile(r"(\w+)\(([\w.]+)(?:=([\w|]+))?,(\d+)s\)")


@dataclass(frozen=True, slots=True)
class Feature:
    """One parsed feature."""

    statistic: str
    point: str
    words: frozenset[str]
    span: float  # seconds


def parse(text: str) -> Feature:
    """Read a feature. Raises ValueError that says what the pipeline cannot make."""
    found = _FEATURE.fullmatch(text)
    if found is None or found[1] not in STATISTICS:
        raise ValueError(f"feature {text!r}: expected one of {', '.join(STATISTICS)} of a point over whole seconds")
    words = frozenset(found[3].split("|")) if found[3] else frozenset[str]()
    entry = point(found[2])
    if entry is None:
        raise ValueError(f"feature {text!r}: the vocabulary has no point {found[2]!r}")
    if bool(words) != (found[1] in ("share", "ago")):
        raise ValueError(f"feature {text!r}: words belong to share and ago, and only there")
    if unknown := words - set(entry.words):
        raise ValueError(f"feature {text!r}: {found[2]} has no word {min(unknown)!r}")
    if not 0 < float(found[4]) <= 7 * 86_400:
        raise ValueError(f"feature {text!r}: the span must be between 1s and a week")
    return Feature(found[1], found[2], words, float(found[4]))


class _Step:
    """What one point did in a fifteenth of a span."""

    __slots__ = ("changes", "delta", "end", "high", "low", "n", "spent", "sum")

    def __init__(self, end: float) -> None:
        self.end = end
        self.n = self.changes = 0
        self.sum = self.delta = 0.0
        self.low, self.high = float("inf"), float("-inf")
        self.spent: dict[str, float] = {}


class _Slide:
    """One point over one sliding span."""

    __slots__ = ("_length", "_since", "_steps", "last", "seen")

    def __init__(self, span: float) -> None:
        self._length = span / STEPS
        self._steps: deque[_Step] = deque(maxlen=STEPS + 1)
        self._since = 0.0
        self.last: Value = None
        self.seen: dict[str, float] = {}  # word -> when it last held

    def _step(self, at: float) -> _Step:
        steps = self._steps
        if steps and at < steps[-1].end:
            return steps[-1]
        step = _Step(at - at % self._length + self._length)
        steps.append(step)
        return step

    def feed(self, value: Any, at: float) -> None:
        step = self._step(at)
        last = self.last
        if isinstance(value, str):
            self._spend(at)
            step.changes += last is not None and value != last
            self.seen[value] = at
        else:
            step.sum += value
            step.low = min(step.low, value)
            step.high = max(step.high, value)
            if isinstance(last, int | float) and value != last:
                step.delta += growth(last, value)
        step.n += 1
        self.last = value

    def lose(self, at: float) -> None:
        self._spend(at)
        if isinstance(self.last, str):
            self.last = None

    def _spend(self, at: float) -> None:
        """Credit the word that held until `at`."""
        if isinstance(self.last, str) and at > self._since:
            step = self._step(at)
            step.spent[self.last] = step.spent.get(self.last, 0.0) + at - self._since
            self.seen[self.last] = at
        self._since = max(at, self._since)

    def shift(self, by: float) -> None:
        self._since += by
        self.seen = {word: at + by for word, at in self.seen.items()}
        for step in self._steps:
            step.end += by

    def value(self, feature: Feature, now: float) -> float:
        if isinstance(self.last, str):
            self._spend(now)
        if feature.statistic == "ago":
            return self._ago(feature, now)
        steps = [step for step in self._steps if step.end > now - feature.span]
        if not any(step.n or step.spent for step in steps):
            return nan
        return _STATISTICS[feature.statistic](self, steps, feature)

    def _ago(self, feature: Feature, now: float) -> float:
        if not self.seen:
            return nan
        latest = max((self.seen.get(word, float("-inf")) for word in feature.words), default=float("-inf"))
        return max(0.0, 1.0 - (now - latest) / feature.span)


def _mean(_: _Slide, steps: Sequence[_Step], __: Feature) -> float:
    n = sum(step.n for step in steps)
    return sum(step.sum for step in steps) / n if n else nan


def _high(_: _Slide, steps: Sequence[_Step], __: Feature) -> float:
    high = max(step.high for step in steps)
    return high if high != float("-inf") else nan


def _low(_: _Slide, steps: Sequence[_Step], __: Feature) -> float:
    low = min(step.low for step in steps)
    return low if low != float("inf") else nan


def _last(slide: _Slide, _: Sequence[_Step], __: Feature) -> float:
    return float(slide.last) if isinstance(slide.last, int | float) else nan


def _share(_: _Slide, steps: Sequence[_Step], feature: Feature) -> float:
    total = sum(sum(step.spent.values()) for step in steps)
    held = sum(seconds for step in steps for word, seconds in step.spent.items() if word in feature.words)
    return held / total if total else nan


_STATISTICS = {
    "mean": _mean,
    "max": _high,
    "min": _low,
    "last": _last,
    "delta": lambda _, steps, __: float(sum(step.delta for step in steps)),
    "changes": lambda _, steps, __: float(sum(step.changes for step in steps)),
    "share": _share,
}


class Features:
    """Some models' features of one machine, kept up with every Reading."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._slides: dict[tuple[str, float], _Slide] = {}
        self._by_point: dict[str, list[_Slide]] = {}
        for feature in features:
            key = feature.point, feature.span
            if key not in self._slides:
                self._slides[key] = _Slide(feature.span)
                self._by_point.setdefault(feature.point, []).append(self._slides[key])

    def feed(self, reading: Reading) -> None:
        """Take note of a Reading that has been cleaned, so that None alone is not usable."""
        slides = self._by_point.get(reading.point)
        if slides is None:
            return
        for slide in slides:
            if reading.value is not None:
                slide.feed(reading.value, reading.at)
            else:
                slide.lose(reading.at)

    def values(self, features: Sequence[Feature], now: float) -> list[float]:
        """The features' values at `now`, in their order; NaN where nothing is known."""
        return [self._slides[feature.point, feature.span].value(feature, now) for feature in features]

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds: every moment that is remembered moves with it."""
        for slide in self._slides.values():
            slide.shift(by)
