"""Whether the cash lasts: days of demand out of what is paid out, and what they foretell until the next visit."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.analysis.risk import Demand, SampledDemand
from agent.records import Quality, Reading, Value
from agent.stages.calendar import Plan, Visit, weekly
from agent.stages.outlook import AT_RISK, DAYS_TO_EMPTY, KEPT, PROBABILITY, Outlook

HOUR, DAY = 3_600.0, 86_400.0
MONDAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
A_DAY = 10_000  # minor units that customers ask for
FULL = 1_000_000


class Machine:
    """A machine whose hours are lived through; `said` is the newest value of each point that the stage makes."""

    def __init__(self, plan: Plan | None = None, start: float = MONDAY) -> None:
        self.outlook = Outlook("m", plan or Plan())
        self.cash, self.at = FULL, start
        self.said: dict[str, Reading] = {}
        self.tell("machine.cash", FULL)

    def tell(self, point: str, value: Value) -> None:
        assert self.outlook.wants(point)
        self.outlook.feed(Reading("m", point, value, self.at))

    def pay(self, amount: int) -> None:
        self.cash -= amount
        self.tell("machine.cash", self.cash)

    def wait(self, seconds: float) -> Machine:
        until = self.at + seconds
        while self.outlook.due <= until:
            due = max(self.outlook.due, self.at)
            self.said |= {reading.point: reading for reading in self.outlook.tick(due)}
        self.at = until
        return self

    def days(self, count: int, paid: int = A_DAY) -> Machine:
        """Lived from midnight to midnight; the cash is asked for at noon."""
        for _ in range(count):
            self.wait(DAY / 2).pay(paid)
            self.wait(DAY / 2)
        return self

    def value(self, point: str) -> Value:
        return self.said[point].value if point in self.said else None


def test_a_steady_past_foretells_when_the_cash_is_gone() -> None:
    machine = Machine().days(20)
    machine.tell("machine.cash", 25_000)
    machine.wait(HOUR)
    assert machine.value(DAYS_TO_EMPTY) == 2.5
    assert machine.value(PROBABILITY) == 1.0  # three days ask for 30,000
    assert machine.value(AT_RISK) == 5_000
    machine.tell("machine.cash", FULL)
    machine.wait(HOUR)
    assert (machine.value(PROBABILITY), machine.value(AT_RISK), machine.value(DAYS_TO_EMPTY)) == (0.0, 0, 100.0)


def test_it_looks_as_far_as_the_next_visit() -> None:
    machine = Machine(Plan(weekly_visits=(weekly("wed", "09:00-10:00"),))).days(21)  # it is Monday, 0:00
    machine.tell("machine.cash", 20_000)
    machine.wait(HOUR)
    assert machine.value(PROBABILITY) == 1.0  # two days and eight hours ask for 23,333
    machine.wait(12 * HOUR)
    assert machine.value(PROBABILITY) == 0.0


def test_with_too_short_a_past_nothing_is_said() -> None:
    assert Machine().days(9).said == {}


def test_a_cash_that_is_not_known_is_said_once() -> None:
    machine = Machine().days(20)
    machine.tell("machine.cash", None)
    machine.wait(DAY)
    assert machine.said[PROBABILITY] == Reading("m", PROBABILITY, None, MONDAY + 20 * DAY + HOUR, Quality.BAD, "unknownDemand")


def test_only_news_are_said() -> None:
    machine = Machine().days(20)
    machine.said.clear()
    assert machine.wait(10 * HOUR).said == {}


def demand(machine: Machine, first: date) -> dict[date, tuple[float, bool]]:
    asked = machine.outlook.asks(machine.at)
    assert asked is not None
    assert asked[1] == first
    return {each.day: (each.amount, each.censored) for each in asked[0]}


def test_loads_and_what_is_taken_out_in_an_exchange_are_no_demand() -> None:
    machine = Machine().wait(HOUR)
    machine.pay(300)
    machine.tell("cashDispenser.exchange", "active")
    machine.pay(50_000)
    machine.pay(-80_000)
    machine.tell("cashDispenser.exchange", "inactive")
    machine.pay(200)
    machine.wait(23 * HOUR)
    assert demand(machine, date(2026, 3, 3)) == {date(2026, 3, 2): (500.0, False)}


def test_a_day_without_service_or_without_anybody_who_saw_it_is_no_observation() -> None:
    machine = Machine().days(1)
    machine.tell("machine.service", "outOfService")
    machine.wait(3 * HOUR)
    machine.tell("machine.service", "inService")
    machine.wait(21 * HOUR)
    machine.outlook.shift(5 * HOUR)
    machine.at += 5 * HOUR
    machine.wait(19 * HOUR)
    found = demand(machine, date(2026, 3, 5))
    assert [censored for _, censored in found.values()] == [False, True, True]


def test_a_day_on_which_nobody_could_count_the_cash_is_no_day_without_customers() -> None:
    machine = Machine().days(1)
    machine.tell("machine.cash", None)
    machine.wait(DAY)
    machine.tell("machine.cash", FULL)
    assert [censored for _, censored in demand(machine, date(2026, 3, 4)).values()] == [False]


def test_days_are_those_of_the_machines_own_place() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    machine = Machine(Plan(zone=tokyo), datetime(2026, 3, 2, tzinfo=tokyo).timestamp()).days(2)
    assert demand(machine, date(2026, 3, 4)) == {date(2026, 3, day): (float(A_DAY), False) for day in (2, 3)}


@pytest.mark.parametrize("change", [date(2026, 3, 29), date(2026, 10, 25)])
def test_a_day_of_23_or_25_hours_is_a_whole_one(change: date) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(change.year, change.month, change.day, tzinfo=berlin).timestamp()
    machine = Machine(Plan(zone=berlin), start)
    machine.wait(26 * HOUR)
    found = machine.outlook.asks(machine.at)
    assert found is not None
    assert [(each.day, each.censored) for each in found[0]] == [(change, False)]


def test_what_somebody_foretells_holds_for_its_day() -> None:
    machine = Machine().days(20)
    asked: list[float] = []

    def forecast(days: float) -> Demand:
        asked.append(days)
        return SampledDemand((2.0 * FULL,))

    machine.outlook.foretell(date(2026, 3, 22), forecast)
    assert machine.outlook.asks(machine.at) is None
    machine.wait(HOUR)
    assert machine.value(PROBABILITY) == 1.0
    assert asked
    machine.wait(DAY)
    assert machine.value(PROBABILITY) == 0.0  # the past again, until somebody foretells of the new day
    assert machine.outlook.asks(machine.at) is not None


def test_who_knows_no_more_than_the_past_is_not_asked_again() -> None:
    machine = Machine().days(20)
    machine.outlook.foretell(date(2026, 3, 22), None)
    assert machine.outlook.asks(machine.at) is None
    machine.wait(HOUR)
    assert machine.value(PROBABILITY) == 0.0


def test_days_are_known_again_after_a_restart_and_old_ones_are_let_go() -> None:
    machine = Machine().days(20)
    notes = json.loads(json.dumps(machine.outlook.changed()))
    again = Machine(start=machine.at)
    again.outlook.restore({**notes, "yesterday": {}, "2026-03-01": {"paid": "much"}})
    assert demand(again, date(2026, 3, 22)) == demand(machine, date(2026, 3, 22))
    assert machine.outlook.changed() == {}
    old = {(date(2026, 2, 28) - timedelta(days=number)).isoformat(): {"paid": 1} for number in range(KEPT)}
    again.outlook.restore(old)
    changed = again.outlook.changed()
    assert sorted(name for name, document in changed.items() if document is None) == sorted(old)[:20]


def test_a_clock_that_is_set_far_ahead_and_back_costs_no_day() -> None:
    machine = Machine().days(20)
    for by in (4_000 * DAY, -4_000 * DAY):
        machine.outlook.shift(by)
        machine.at += by
        machine.wait(HOUR)
    past: Any = machine.outlook.asks(machine.at)
    assert [each.day for each in past[0]] == [date(2026, 3, 2 + day) for day in range(20)]


def test_a_machine_whose_cash_nobody_counts_costs_nothing() -> None:
    outlook = Outlook("m", Plan(visits=(Visit(MONDAY, MONDAY + HOUR),)))
    outlook.feed(Reading("m", "machine.service", "inService", MONDAY))
    assert outlook.due == inf
    assert outlook.asks(MONDAY) is None
