"""Features, by hand: what a model is given is what its text says."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest

from agent.records import Reading
from agent.stages.features import Feature, Features, parse

DOOR = "auxiliaries.cabinetDoor"
RMS = "motion.rms_ms2"
PRESENTS = "cashDispenser.presents"


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        (f"mean({RMS},60s)", Feature("mean", RMS, frozenset(), 60.0)),
        (f"share({DOOR}=open|tampered,900s)", Feature("share", DOOR, frozenset({"open", "tampered"}), 900.0)),
        ("last(storage.unit3.count,1s)", Feature("last", "storage.unit3.count", frozenset(), 1.0)),
    ],
)
def test_what_can_be_made(text: str, feature: Feature) -> None:
    assert parse(text) == feature


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("mean", "expected one of"),
        (f"median({RMS},60s)", "expected one of"),
        (f"mean({RMS},60)", "expected one of"),
        ("mean(motion.rms,60s)", "the vocabulary has no point"),
        (f"mean({RMS}=high,60s)", "words belong to share and ago"),
        (f"share({DOOR},60s)", "words belong to share and ago"),
        (f"share({DOOR}=ajar,60s)", "has no word 'ajar'"),
        (f"mean({RMS},0s)", "between 1s and a week"),
        (f"mean({RMS},604801s)", "between 1s and a week"),
    ],
)
def test_what_cannot_be_made_says_why(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse(text)


def made(text: str, *items: tuple[str, Any, float], now: float) -> float:
    """The value of one feature after these values."""
    feature = parse(text)
    features = Features([feature])
    for point, value, at in items:
        features.feed(Reading("m", point, value, at))
    return features.values([feature], now)[0]


NUMBERS = [(RMS, 1.0, 0.0), (RMS, 4.0, 10.0), (RMS, None, 20.0), (RMS, 1.0, 30.0)]


@pytest.mark.parametrize(("statistic", "value"), [("mean", 2.0), ("max", 4.0), ("min", 1.0), ("last", 1.0)])
def test_numbers(statistic: str, value: float) -> None:
    assert made(f"{statistic}({RMS},60s)", *NUMBERS, now=59.0) == value


def test_what_is_older_than_the_span_does_not_count() -> None:
    assert made(f"max({RMS},60s)", *NUMBERS, now=72.0) == 1.0
    assert isnan(made(f"max({RMS},60s)", *NUMBERS, now=100.0))


def test_growth_over_resets() -> None:
    items = [(PRESENTS, 100, 0.0), (PRESENTS, 103, 10.0), (PRESENTS, 2, 20.0), (PRESENTS, 2, 30.0)]
    assert made(f"delta({PRESENTS},60s)", *items, now=40.0) == 5.0
    assert made(f"delta({PRESENTS},60s)", *items[:1], now=40.0) == 0.0


WORDS = [(DOOR, "closed", 0.0), (DOOR, "open", 40.0), (DOOR, "closed", 50.0)]


def test_words() -> None:
    assert made(f"changes({DOOR},60s)", *WORDS, now=59.0) == 2.0
    assert made(f"share({DOOR}=open|tampered,60s)", *WORDS, now=60.0) == pytest.approx(10 / 60)
    assert made(f"ago({DOOR}=open,100s)", *WORDS[:2], now=45.0) == 1.0
    assert made(f"ago({DOOR}=open,100s)", *WORDS, now=75.0) == pytest.approx(0.75)
    assert made(f"ago({DOOR}=open,100s)", *WORDS, now=500.0) == 0.0
    assert made(f"ago({DOOR}=tampered,100s)", *WORDS, now=75.0) == 0.0


def test_a_word_that_is_not_usable_is_spent_in_no_word() -> None:
    items = [(DOOR, "open", 0.0), (DOOR, None, 20.0), (DOOR, "closed", 40.0)]
    assert made(f"share({DOOR}=open,60s)", *items, now=60.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "text", [f"mean({RMS},60s)", f"share({DOOR}=open,60s)", f"ago({DOOR}=open,60s)", f"delta({PRESENTS},60s)"]
)
def test_missing_is_not_zero(text: str) -> None:
    assert isnan(made(text, now=0.0))


def test_one_point_over_several_spans_in_the_order_that_was_asked() -> None:
    wanted = [parse(text) for text in (f"max({RMS},900s)", f"min({RMS},60s)", f"last({DOOR},60s)")]
    features = Features(wanted)
    for at, value in ((0.0, 9.0), (600.0, 2.0), (610.0, 3.0)):
        features.feed(Reading("m", RMS, value, at))
    found = features.values(wanted, 620.0)
    assert found[:2] == [9.0, 2.0]
    assert isnan(found[2])


def test_a_clock_that_was_set_forgets_nothing() -> None:
    feature = parse(f"max({RMS},60s)")
    features = Features([feature])
    features.feed(Reading("m", RMS, 9.0, 7_200.0))
    features.shift(-3_600.0)
    features.feed(Reading("m", RMS, 2.0, 3_610.0))
    assert features.values([feature], 3_620.0) == [9.0]
    assert features.values([feature], 3_668.0) == [2.0]
