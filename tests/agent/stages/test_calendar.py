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


def test_opening_hours_as_spans_over_a_change_of_the_clock() -> None:
    """Vienna loses an hour on 2025-03-30; a day that is always open has 23 then."""
    zone = ZoneInfo("Europe/Vienna")
    start = datetime(2025, 3, 29, tzinfo=zone).timestamp()
    end = datetime(2025, 4, 1, tzinfo=zone).timestamp()
    always = Plan(zone).open_spans(start, end)
    assert [(close - opening) / 3_600 for opening, close in always] == [24.0, 23.0, 24.0]
    shop = Plan(zone, (weekly("mon-fri", "08:00-18:00"),)).open_spans(start, end)
    assert [(close - opening) / 3_600 for opening, close in shop] == [10.0]
    cut = Plan(zone, (weekly("all", "08:00-18:00"),)).open_spans(start + 9 * 3_600, start + 10 * 3_600)
    assert cut == [(start + 9 * 3_600, start + 10 * 3_600)]


def test_the_next_visit_is_a_single_one_or_that_of_the_week() -> None:
    monday = datetime(2025, 3, 10, tzinfo=UTC).timestamp()
    week = Plan(weekly_visits=(weekly("thu", "09:00-11:00"),))
    assert week.next_visit(monday) == monday + 3 * 86_400 + 9 * 3_600
    assert week.next_visit(monday + 3 * 86_400 + 9 * 3_600) == monday + 10 * 86_400 + 9 * 3_600
    both = Plan(visits=(Visit(monday + 3_600, monday + 7_200),), weekly_visits=week.weekly_visits)
    assert both.next_visit(monday) == monday + 3_600
    assert Plan().next_visit(monday) is None
