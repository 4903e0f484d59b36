"""Weekly spans and single visits, in the machine's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from agent.stages.calendar import Plan, Visit, Weekly, weekly


@pytest.mark.parametrize(
    ("days", "span", "expected"),
    [
        ("mon", "06:00-22:00", Weekly(frozenset({0}), 360, 1320)),
        ("mon-fri", "0:00-24:00", Weekly(frozenset(range(5)), 0, 1440)),
        ("sat-mon", "09:30-09:31", Weekly(frozenset({5, 6, 0}), 570, 571)),
        ("all", "23:59-24:00", Weekly(frozenset(range(7)), 1439, 1440)),
    ],
)
def test_spans(days: str, span: str, expected: Weekly) -> None:
    assert weekly(days, span) == expected


@pytest.mark.parametrize(
    ("days", "span"),
    [("monday", "06:00-22:00"), ("mon-", "06:00-22:00"), ("", "06:00-22:00"), ("mon", "6-22"), ("mon", "22:00-06:00"),
     ("mon", "06:00-24:01"), ("mon", "06:60-07:00"), ("mon", "06:00-06:00")],
)  # fmt: skip
def test_spans_that_are_none_say_what_would_be_right(days: str, span: str) -> None:
    with pytest.raises(ValueError, match=r"expected a (day|span).*got"):
        weekly(days, span)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2025-03-28T05:59:59+01:00", False),
        ("2025-03-28T06:00:00+01:00", True),
        ("2025-03-28T21:59:59+01:00", True),
        ("2025-03-28T22:00:00+01:00", False),
        ("2025-03-29T12:00:00+01:00", False),  # Saturday
        ("2025-03-31T06:00:00+02:00", True),  # summer time has begun
        ("2025-03-31T06:00:00+01:00", True),
        ("2025-03-31T05:00:00+01:00", True),  # six o'clock by the new time
    ],
)
def test_opening_hours_are_local(moment: str, is_open: bool) -> None:
    plan = Plan(ZoneInfo("Europe/Vienna"), (weekly("mon-fri", "06:00-22:00"),))
    assert plan.is_open(at(moment)) is is_open


def test_visits_are_half_open() -> None:
    plan = Plan(visits=(Visit(100.0, 200.0),))
    assert [plan.visit_planned(moment) for moment in (99.9, 100.0, 199.9, 200.0)] == [False, True, True, False]


def test_weekly_visits() -> None:
    plan = Plan(UTC, weekly_visits=(weekly("tue", "09:00-11:00"),))
    assert plan.visit_planned(at("2025-03-11T10:00:00+00:00"))
    assert not plan.visit_planned(at("2025-03-12T10:00:00+00:00"))
