"""Who says that the power fails, and when the agent hears of it."""

from __future__ import annotations

import pytest

from agent.power import FAILING, PowerWatch
from agent.records import Reading, Value
from agent.vocabulary import fault, point


def reading(point: str, value: Value, machine: str = "ATM-7") -> Reading:
    return Reading(machine, point, value, 1000.0)


@pytest.fixture
def told() -> list[bool]:
    return []


@pytest.fixture
def watch(told: list[bool]) -> PowerWatch:
    return PowerWatch(told.append)


CALM = {"gateway.power": "mains", "powerManagement.powerInStatus": "powering", "auxiliaries.UPS.powering": "false"}


@pytest.mark.parametrize("name", FAILING)
def test_the_words_are_those_of_the_vocabulary(name: str) -> None:
    entry = point(name)
    assert entry is not None
    assert fault(entry, FAILING[name]) is None
    assert fault(entry, CALM[name]) is None


@pytest.mark.parametrize("name", FAILING)
def test_it_is_told_once_and_once_when_it_is_over(watch: PowerWatch, told: list[bool], name: str) -> None:
    watch.see([reading(name, CALM[name])])
    assert told == []
    watch.see([reading("environment.temperature_c", 21.0), reading(name, FAILING[name])])
    watch.see([reading(name, FAILING[name])])
    assert told == [True]
    watch.see([reading(name, CALM[name]), reading(name, CALM[name])])
    assert told == [True, False]


def test_it_is_over_when_nobody_says_so_any_more(watch: PowerWatch, told: list[bool]) -> None:
    watch.see([reading("gateway.power", "battery", "gw"), reading("powerManagement.powerInStatus", "noPower")])
    watch.see([reading("gateway.power", "mains", "gw")])
    assert told == [True]
    watch.see([reading("powerManagement.powerInStatus", "powering")])
    assert told == [True, False]


def test_a_reading_that_is_not_usable_changes_nothing(watch: PowerWatch, told: list[bool]) -> None:
    watch.see([reading("powerManagement.powerInStatus", "noPower"), reading("powerManagement.powerInStatus", None)])
    assert told == [True]
