"""When a machine is open and when somebody is expected: weekly spans and single visits, in the machine's own time zone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_RANGE = re.compile(r"(\w{3})(?:-(\w{3}))?")
DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Weekly:
    """A span of each named weekday (0 is Monday), in minutes of the day [start, end)."""

    days: frozenset[int]
    start: int
    end: int


ALWAYS = Weekly(frozenset(range(7)), 0, DAY_MINUTES)


@dataclass(frozen=True)
class Visit:
    """A planned visit: seconds since the epoch, [start, end)."""

    start: float
    end: float
    who: str = ""


def weekly(days: str, span: str) -> Weekly:
    """Read `mon-fri` (or `sat`, or `all`) and `06:00-22:00`. Raises ValueError with what would be right."""
    return Weekly(_days(days), *_span(span))


def _days(text: str) -> frozenset[int]:
    if text == "all":
        return frozenset(range(7))
    found = _RANGE.fullmatch(text)
    if found is None or found[1] not in DAYS or (found[2] or found[1]) not in DAYS:
        raise ValueError(f"expected a day or a range of days such as mon-fri, or all; got {text!r}")
    first, last = DAYS.index(found[1]), DAYS.index(found[2] or found[1])
    return frozenset((first + offset) % 7 for offset in range((last - first) % 7 + 1))


def _span(text: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a span such as 06:00-22:00, got {text!r}")
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if int(found[2]) > 59 or int(found[4]) > 59 or not start < end <= DAY_MINUTES:
        raise ValueError(f"expected a span within one day, the first time before the second, got {text!r}")
    return start, end


def within(spans: tuple[Weekly, ...], at: float, zone: tzinfo) -> bool:
    """Whether the moment lies in one of the weekly spans."""
    local = datetime.fromtimestamp(at, UTC).astimezone(zone)
    minute = local.hour * 60 + local.minute
    return any(local.weekday() in span.days and span.start <= minute < span.end for span in spans)


@dataclass(frozen=True)
class Plan:
    """What is expected of one machine and when."""

    zone: tzinfo = UTC
    hours: tuple[Weekly, ...] = (ALWAYS,)
    visits: Sequence[Visit] = ()
    weekly_visits: tuple[Weekly, ...] = ()

    def is_open(self, at: float) -> bool:
        """Whether customers may use the machine."""
        return ALWAYS in self.hours or within(self.hours, at, self.zone)

    def visit_planned(self, at: float) -> bool:
        """Whether somebody is expected at the machine."""
        if any(visit.start <= at < visit.end for visit in self.visits):
            return True
        return bool(self.weekly_visits) and within(self.weekly_visits, at, self.zone)

    def open_spans(self, start: float, end: float) -> list[tuple[float, float]]:
        """The opening hours between two moments, in order."""
        return [
            (max(opens, start), min(closes, end))
            for opens, closes in _moments(self.hours, start, end, self.zone)
            if closes > start and opens < end
        ]

    def next_visit(self, after: float) -> float | None:
        """When somebody is expected next; None when nobody is within a week and no single visit is planned."""
        coming = [visit.start for visit in self.visits if visit.start > after]
        coming += [begin for begin, _ in _moments(self.weekly_visits, after, after + WEEK, self.zone) if begin > after]
        return min(coming, default=None)


WEEK = 7 * 86_400.0


def _moments(spans: Sequence[Weekly], start: float, end: float, zone: tzinfo) -> list[tuple[float, float]]:
    """The weekly spans on each local day from that of `start` to that of `end`, as seconds since the epoch."""
    day = datetime.fromtimestamp(start, UTC).astimezone(zone).date()
    last = datetime.fromtimestamp(end, UTC).astimezone(zone).date()
    found: list[tuple[float, float]] = []
    while day <= last:
        found += [(_moment(day, span.start, zone), _moment(day, span.end, zone)) for span in spans if day.weekday() in span.days]
        day += timedelta(days=1)
    return sorted(found)


def _moment(day: date, minute: int, zone: tzinfo) -> float:
    """A minute of a local day; its last one ends where the next day begins."""
    day, minute = day + timedelta(days=minute // DAY_MINUTES), minute % DAY_MINUTES
    return datetime.combine(day, time(minute // 60, minute % 60), zone).timestamp()
