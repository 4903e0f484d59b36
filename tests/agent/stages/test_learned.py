"""What is usual at one machine: learned, used, not spoilt by what is unusual, and kept over a restart."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from zoneinfo import ZoneInfo

import pytest

from agent.stages.learned import WEEK_HOURS, Overdue, Usual
from agent.stages.rules import Condition
from tests.agent.stages.rulebook import TRANSACTIONS, Story, rule

HOUR, DAY = 3_600.0, 86_400.0
MONDAY = datetime(2025, 3, 10, tzinfo=UTC).timestamp()
VOLTAGE = "powerManagement.batteryVoltage_v"
INSERTION = "cardReader.insertionTime_s"


def worn() -> Story:
    return Story(rule(Condition(VOLTAGE, below_usual=0.02, over=6 * HOUR, least=10, for_=HOUR), hold=6 * HOUR))


def volts(story: Story, start: float, days: float, level: float, slope: float = 0.0) -> Story:
    """A reading every ten minutes around a level (V) that changes by `slope` V a day."""
    for number in range(round(days * 144)):
        at = start + 600.0 * number
        story.tell(VOLTAGE, round(level + slope * (at - start) / DAY + 0.02 * ((number % 7) - 3) / 3, 2), at)
    return story


def test_nothing_is_unusual_before_a_day_has_been_seen() -> None:
    story = volts(worn(), MONDAY, 0.5, 27.4)
    assert volts(story, MONDAY + DAY / 2, 0.25, 20.0).told == []


def test_a_battery_that_wears_is_told_long_before_its_end() -> None:
    story = volts(volts(worn(), MONDAY, 3.0, 27.4), MONDAY + 3 * DAY, 4.0, 27.4, slope=-0.4)
    ((at, what),) = story.told
    assert what == "raised"
    assert 1.2 < (at - MONDAY - 3 * DAY) / DAY < 2.5  # 2 % of 27.4 V are lost after 1.4 days


@pytest.mark.parametrize("nominal", [12.6, 27.4, 54.6])
def test_what_is_usual_is_no_matter_of_the_battery_that_is_fitted(nominal: float) -> None:
    story = volts(worn(), MONDAY, 3.0, nominal)
    assert volts(story, MONDAY + 3 * DAY, 1.0, nominal * 0.97).told != []


def test_what_is_unusual_is_not_learned() -> None:
    story = volts(volts(worn(), MONDAY, 3.0, 27.4), MONDAY + 3 * DAY, 30.0, 26.0)
    assert [what for _, what in story.told] == ["raised"]  # after a month it is still not usual


def test_what_was_learned_survives_a_restart() -> None:
    story = volts(worn(), MONDAY, 3.0, 27.4).restart(MONDAY + 3 * DAY)
    assert [what for _, what in volts(story, MONDAY + 3 * DAY, 1.0, 26.0).told] == ["raised"]


def test_each_card_counts_once_and_few_cards_are_no_evidence() -> None:
    story = Story(rule(Condition(INSERTION, above_usual=0.3, over=6 * HOUR, least=10), hold=HOUR))
    rng = Random(1)
    at = MONDAY
    for _ in range(600):
        at += 900.0
        story.tell(INSERTION, round(1.1 * rng.lognormvariate(0, 0.18), 2), at).tell(INSERTION, None, at + 60.0)
    assert story.told == []
    for number in range(40):
        at += 600.0
        story.tell(INSERTION, round(1.65 + 0.01 * number, 2), at)
    assert [what for _, what in story.told] == ["raised"]


@pytest.mark.parametrize("state", [{}, {"mean": "x"}, {"mean": 1.0, "learned": []}])
def test_a_memory_that_cannot_be_read_is_learned_anew(state: dict[str, object]) -> None:
    test = Usual(Condition(VOLTAGE, below_usual=0.02))
    test.restore(state)
    assert test.feed(27.0, 0.0, holds=False, counts=True) is False


# Overdue --------------------------------------------------------------------------------------------------------------------


def busy(story: Story, start: float, days: int, a_day: int = 48, hours: tuple[int, int] = (8, 20)) -> Story:
    """Transactions, evenly spread over the opening hours of each day."""
    count = 1_000
    story.tell(TRANSACTIONS, count, start)
    for day in range(days):
        for number in range(a_day):
            at = start + day * DAY + (hours[0] + (hours[1] - hours[0]) * (number + 0.5) / a_day) * HOUR
            count += 1
            story.tell(TRANSACTIONS, count, at)
    return story


def late() -> Story:
    return Story(rule(Condition(TRANSACTIONS, overdue=12.0), hold=0.0))


def test_what_is_expected_is_missed_after_so_many_hours() -> None:
    story = busy(late(), MONDAY, 21).wait(MONDAY + 21 * DAY + 20 * HOUR)
    assert [((at - MONDAY) / HOUR, what) for at, what in story.told] == [(pytest.approx(21 * 24 + 8 + 11.5 / 4), "raised")]
    assert story.tell(TRANSACTIONS, 5_000, MONDAY + 22 * DAY).wait(MONDAY + 22 * DAY + 1).told[-1][1] == "cleared"


def test_nights_are_quiet_and_nobody_wonders() -> None:
    assert busy(late(), MONDAY, 28).told == []


def test_two_weeks_are_needed_to_know_an_hour() -> None:
    assert busy(late(), MONDAY, 7).wait(MONDAY + 13 * DAY).told == []


def test_a_day_on_which_the_machine_was_down_teaches_nothing() -> None:
    story = busy(late(), MONDAY, 21).wait(MONDAY + 27.9 * DAY)
    assert [what for _, what in story.told] == ["raised"]
    again = busy(story, MONDAY + 28 * DAY, 7).wait(MONDAY + 35 * DAY + 20 * HOUR)
    assert (again.told[-1][0] - MONDAY) / HOUR == pytest.approx(35 * 24 + 8 + 11.5 / 4)


def test_a_counter_that_nobody_hears_is_not_overdue() -> None:
    story = busy(late(), MONDAY, 21).tell(TRANSACTIONS, None, MONDAY + 21 * DAY).wait(MONDAY + 22 * DAY)
    assert story.told == []
    assert story.tell(TRANSACTIONS, 9_000, MONDAY + 22 * DAY + 9 * HOUR).wait(MONDAY + 22 * DAY + 11.9 * HOUR).told == []


def test_what_was_learned_of_the_week_survives_a_restart() -> None:
    story = busy(late(), MONDAY, 21).restart(MONDAY + 21 * DAY).tell(TRANSACTIONS, 2_008, MONDAY + 21 * DAY)
    assert len(story.wait(MONDAY + 21 * DAY + 20 * HOUR).told) == 1


def test_hours_are_those_of_the_machine() -> None:
    """Three weeks before and three days after the clocks go forward in Vienna: local hours stay what they were."""
    start = datetime(2025, 3, 9, 23, tzinfo=UTC).timestamp()  # midnight in Vienna
    story = busy(Story(rule(Condition(TRANSACTIONS, overdue=12.0)), zone=ZoneInfo("Europe/Vienna")), start, 21)
    midnight = datetime(2025, 3, 30, 22, tzinfo=UTC).timestamp()  # of 31 March, summer time
    story.wait(midnight + 20 * HOUR)
    assert [(at - midnight) / HOUR for at, _ in story.told] == [pytest.approx(11.0)]  # from eight, four an hour


def test_after_days_without_anybody_the_hour_begins_anew() -> None:
    test = Overdue(Condition(TRANSACTIONS, overdue=5.0), UTC)
    for at, value in ((MONDAY, 1), (MONDAY + 10 * HOUR, 50), (MONDAY + 200 * HOUR, 60)):
        test.feed(value, at, holds=False, counts=True)
    state = test.state()
    assert sum(state["seen"]) <= 11
    assert len(state["means"]) == WEEK_HOURS


@pytest.mark.parametrize("state", [{}, {"means": [1.0], "seen": [1]}, {"means": "x", "seen": []}])
def test_hours_that_cannot_be_read_are_learned_anew(state: dict[str, object]) -> None:
    test = Overdue(Condition(TRANSACTIONS, overdue=5.0), UTC)
    test.restore(state)
    assert test.state()["seen"] == [0] * WEEK_HOURS
