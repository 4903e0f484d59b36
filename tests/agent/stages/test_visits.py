"""Who is at the machine: signs of service mode against the calendar."""

from __future__ import annotations

from typing import Any

import pytest

from agent.records import Reading
from agent.stages.calendar import Plan, Visit, weekly
from agent.stages.visits import GRACE, LINGER, OVERRUN, SETTLE, Visits

SWITCH = "auxiliaries.operatorSwitch"
VENDOR = "vendorMode.service"
EXCHANGE = "cashDispenser.exchange"
DOOR = "auxiliaries.cabinetDoor"
PLAN = Plan(visits=(Visit(3_600.0, 7_200.0, "technician"),))


class Day:
    """One day at a machine; `said` is each word of machine.visit with its time."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.visits = Visits("m", plan)
        self.said: list[tuple[float, str]] = []
        self.wait(0.0)

    def wait(self, until: float) -> Day:
        while self.visits.due <= until:
            due = max(self.visits.due, 0.0)
            self.said += [(round(due, 1), str(each.value)) for each in self.visits.tick(due) if each.point == "machine.visit"]
        return self

    def tell(self, point: str, value: Any, at: float) -> Day:
        self.wait(at)
        self.visits.feed(Reading("m", point, value, at))
        return self


@pytest.mark.parametrize(
    ("point", "word"), [(SWITCH, "maintenance"), (SWITCH, "supervisor"), (VENDOR, "active"), (EXCHANGE, "active")]
)
def test_service_mode_within_the_calendar_is_planned(point: str, word: str) -> None:
    day = Day().tell(point, word, 4_000.0).wait(4_100.0)
    assert day.said == [(0.0, "none"), (4_000.0 + SETTLE, "planned")]
    assert day.visits.planned


def test_service_mode_outside_the_calendar_is_unplanned() -> None:
    day = Day().tell(SWITCH, "maintenance", 1_000.0).tell(SWITCH, "run", 1_500.0).wait(3_000.0)
    assert day.said == [(0.0, "none"), (1_000.2, "unplanned"), (1_500.0 + LINGER, "none")]
    assert not day.visits.planned


def test_the_calendar_alone_proves_nothing() -> None:
    assert Day().wait(7_000.0).said == [(0.0, "none")]


def test_several_signs_are_one_visit_and_it_lingers() -> None:
    day = Day().tell(SWITCH, "maintenance", 4_000.0).tell(VENDOR, "active", 4_010.0).tell(VENDOR, "inactive", 5_000.0)
    day.tell(SWITCH, "run", 5_010.0).tell(SWITCH, "maintenance", 5_040.0).tell(SWITCH, "run", 5_050.0).wait(6_000.0)
    assert day.said == [(0.0, "none"), (4_000.2, "planned"), (5_050.0 + LINGER, "none")]


def test_a_planned_visit_may_take_longer_but_not_for_ever() -> None:
    day = Day().tell(SWITCH, "supervisor", 7_000.0).wait(20_000.0)
    assert day.said[:2] == [(0.0, "none"), (7_000.2, "planned")]
    ((at, word),) = day.said[2:]
    assert word == "unplanned"
    assert 7_140.0 + OVERRUN <= at <= 7_200.0 + OVERRUN  # the calendar is looked at once a minute


def test_who_comes_too_early_is_unplanned_until_expected() -> None:
    day = Day().tell(SWITCH, "supervisor", 3_000.0).wait(5_000.0)
    assert day.said == [(0.0, "none"), (3_000.2, "unplanned"), (3_600.0, "planned")]


def test_who_is_expected_may_open_a_door_first() -> None:
    day = Day().tell(DOOR, "open", 4_000.0).tell(SWITCH, "maintenance", 4_050.0).wait(4_500.0)
    assert day.said == [(0.0, "none"), (4_000.2, "planned")]


def test_a_door_without_service_mode_is_no_visit_for_long() -> None:
    day = Day()
    for second in range(600):  # the board repeats every second that it is open
        day.tell(DOOR, "open", 4_000.0 + second)
    assert day.said == [(0.0, "none"), (4_000.2, "planned"), (4_000.0 + GRACE, "none")]


@pytest.mark.parametrize(("word", "at"), [("open", 1_000.0), ("tampered", 4_000.0), ("closed", 4_000.0)])
def test_a_door_that_nobody_expects_or_that_is_forced_is_no_visit(word: str, at: float) -> None:
    assert Day().tell(DOOR, word, at).wait(at + 60.0).said == [(0.0, "none")]


def test_what_gives_nothing_usable_shows_no_service_mode() -> None:
    day = Day().tell(VENDOR, "active", 4_000.0).tell(VENDOR, None, 4_100.0).wait(5_000.0)
    assert day.said == [(0.0, "none"), (4_000.2, "planned"), (4_100.0 + LINGER, "none")]


def test_opening_hours_are_told() -> None:
    visits = Visits("m", Plan(hours=(weekly("all", "06:00-22:00"),)))
    said: list[tuple[float, Any]] = []
    due = 0.0
    while due < 86_400.0:
        said += [(due, each.value) for each in visits.tick(due) if each.point == "machine.open"]
        due = visits.due
    assert said == [(0.0, "false"), (6 * 3_600.0, "true"), (22 * 3_600.0, "false")]


def test_a_clock_that_was_set_keeps_the_visit() -> None:
    day = Day().tell(SWITCH, "supervisor", 4_000.0).tell(SWITCH, "run", 4_100.0)
    day.visits.shift(-100.0)
    assert day.wait(4_059.0).said == [(0.0, "none"), (4_000.2, "planned")]
    assert day.wait(4_061.0).said[-1] == (4_060.0, "none")


def test_somebody_who_is_announced_is_expected_until_the_end_or_the_withdrawal() -> None:
    day = Day(Plan()).wait(100.0)
    day.visits.announce(Visit(0.0, 10_000.0, "locksmith"))
    day.tell(SWITCH, "maintenance", 200.0).wait(300.0)
    assert day.said[-1] == (200.0 + SETTLE, "planned")
    day.visits.withdraw(300.0)
    day.wait(300.0 + 2 * OVERRUN)
    assert day.said[-1][1] == "unplanned"


def test_who_was_announced_is_expected_after_a_restart_too() -> None:
    before = Day(Plan())
    before.visits.announce(Visit(0.0, 100.0))
    before.visits.announce(Visit(0.0, 10_000.0, "locksmith"))
    documents = before.visits.changed()
    assert before.visits.changed() == {}
    after = Day(Plan())
    after.visits.restore({name: document for name, document in documents.items() if document}, 150.0)
    after.visits.due = 150.0
    assert after.tell(SWITCH, "supervisor", 200.0).wait(300.0).said[-1][1] == "planned"
    assert after.visits.changed() == {}


def test_no_more_are_remembered_than_there_is_room_for() -> None:
    day = Day(Plan())
    for number in range(100):
        day.visits.announce(Visit(number, number + 1.0))
    [document] = [each for each in day.visits.changed().values() if each]
    assert len(document["visits"]) == 32
    assert document["visits"][-1] == [99, 100.0, ""]
