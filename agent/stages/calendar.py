"""When a machine is open and when somebody is expected: weekly spans and single visits, in the machine's own time zone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

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
    hours: tuple[Weekly, ...] = (Weekly(frozenset(range(7)), 0, DAY_MINUTES),)
    visits: Sequence[Visit] = ()
    weekly_visits: tuple[Weekly, ...] = ()

    def is_open(self, at: float) -> bool:
        """Whether customers may use the machine."""
        return within(self.hours, at, self.zone)

    def visit_planned(self, at: float) -> bool:
        """Whether somebody is expected at the machine."""
        return any(visit.start <= at < visit.end for visit in self.visits) or within(self.weekly_visits, at, self.zone)
