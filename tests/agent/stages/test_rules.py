"""What a rule may say, and which points fit a pattern."""

from __future__ import annotations

from typing import Any

import pytest

from agent.records import EventClass, Severity
from agent.stages.rules import TESTS, Condition, Rule, fits


@pytest.mark.parametrize(
    ("pattern", "name", "fit"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("*.b", "a.b", True),
        ("a.*.c", "a.b.c", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.c", False),
        ("*", "a.b", False),
    ],
)
def test_a_star_stands_for_one_segment(pattern: str, name: str, fit: bool) -> None:
    assert fits(pattern, name) is fit


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "needs exactly one test"),
        ({"is_": ("on",), "above": 1.0}, "needs exactly one test"),
        ({"is_": ("on",), "clear": 1.0}, "clear: goes only with above or below"),
        ({"above": 5.0, "clear": 6.0}, "clear: must be on the calm side"),
        ({"below": 5.0, "clear": 4.0}, "clear: must be on the calm side"),
        ({"grows": 1.0, "per": "transaction.count"}, "per: goes with grows and ratio"),
        ({"grows": 1.0, "ratio": 0.5}, "per: goes with grows and ratio"),
        ({"changes": 1, "per": "transaction.count", "ratio": 0.5}, "per: goes with grows and ratio"),
        ({"grows": 1.0, "altogether": 5.0}, "altogether: goes with is"),
        ({"is_": ("on",), "altogether": 5.0, "for_": 5.0}, "altogether: goes with is"),
        ({"is_": ("on",), "altogether": 61.0}, "altogether: expected more than 0s and at most over"),
        ({"above": 5.0, "stuck_after": 60.0}, "stuck_after: goes only with rises"),
        ({"rises": 5.0, "stuck_after": 0.0}, "stuck_after: expected more than 0"),
        ({"grows": 1.0, "over": 0.0}, "over: expected more than 0"),
        ({"grows": 0.0}, "grows: expected more than 0"),
        ({"changes": 0}, "changes: expected more than 0"),
        ({"silent": -1.0}, "silent: expected more than 0"),
        ({"above_usual": 0.0}, "above_usual: expected more than 0"),
        ({"is_": ("on",), "for_": -1.0}, "for: expected 0s or more"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Condition("auxiliaries.cabinetDoor", **fields)


def test_every_test_of_the_list_is_a_field() -> None:
    assert set(TESTS) <= set(Condition.__dataclass_fields__)


def rule(**fields: Any) -> Rule:
    return Rule(
        **{"rule": "r", "when": (Condition("a", above=1),), "class_": EventClass.FAULT, "severity": Severity(2), **fields}
    )


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"when": ()}, "when: needs at least one condition"),
        ({"need": "some"}, "need: expected all, any or a number"),
        ({"need": 2}, "need: expected 1 to 1"),
        ({"need": 0}, "need: expected 1 to 1"),
    ],
)
def test_rules_that_make_no_sense_are_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        rule(**fields)


def test_how_many_conditions_are_needed() -> None:
    two = (Condition("a", above=1), Condition("b", above=1))
    assert [rule(when=two, need=need).needed for need in ("all", "any", 1, 2)] == [2, 1, 1, 2]
