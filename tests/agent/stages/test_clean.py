"""Cleaning: each quality with its reason, duplicates, silence at its own moment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Quality, Reading, Value
from agent.stages.clean import POINTS_LIMIT, Calibration, Clean, CleanSettings, Limits

TEMPERATURE = "environment.temperature_c"
DOOR = "auxiliaries.cabinetDoor"


def reading(point: str, value: Any, at: float = 0.0, quality: Quality = Quality.GOOD, reason: str = "") -> Reading:
    return Reading("m", point, value, at, quality, reason)


def clean(**settings: Any) -> Clean:
    return Clean("m", CleanSettings(**settings))


def judged(stage: Clean, point: str, value: Any, at: float = 0.0) -> tuple[Value, str, str]:
    found = stage.feed(reading(point, value, at))
    assert found is not None
    return found.value, found.quality.value, found.reason


@pytest.mark.parametrize(
    ("point", "value", "reason"),
    [
        ("no.such.point", 1, "unknownPoint"),
        (DOOR, "ajar", "unknownWord"),
        (DOOR, 1, "unknownWord"),
        (TEMPERATURE, "warm", "notANumber"),
        (TEMPERATURE, True, "notANumber"),
        (TEMPERATURE, 126, "outOfLimits"),
        (TEMPERATURE, float("nan"), "outOfLimits"),
        (TEMPERATURE, float("inf"), "outOfLimits"),
        (TEMPERATURE, None, "noAnswer"),
        (DOOR, None, "noAnswer"),
    ],
)
def test_what_is_bad_has_no_value_any_more(point: str, value: Any, reason: str) -> None:
    assert judged(clean(), point, value) == (None, "bad", reason)


@pytest.mark.parametrize(
    ("point", "value"), [(DOOR, "bolted"), (TEMPERATURE, -55), (TEMPERATURE, 21.5), ("storage.unit9.count", 0)]
)
def test_what_is_good_is_passed_on_as_it_is(point: str, value: Any) -> None:
    given_one = reading(point, value)
    assert clean().feed(given_one) is given_one


@pytest.mark.parametrize("quality", [Quality.BAD, Quality.STALE])
def test_a_value_that_the_source_calls_bad_does_not_travel_on(quality: Quality) -> None:
    found = clean().feed(reading(DOOR, "open", quality=quality, reason="theirs"))
    assert found == reading(DOOR, None, quality=quality, reason="theirs")


def test_a_value_that_the_source_calls_uncertain_is_looked_at_all_the_same() -> None:
    stage = clean()
    assert stage.feed(reading(DOOR, "open", quality=Quality.UNCERTAIN, reason="undated")) == reading(
        DOOR, "open", quality=Quality.UNCERTAIN, reason="undated"
    )
    found = stage.feed(reading(DOOR, "ajar", 1.0, Quality.UNCERTAIN, "undated"))
    assert found == reading(DOOR, None, 1.0, Quality.BAD, "unknownWord")


def test_own_limits_are_narrower() -> None:
    stage = clean(limits={TEMPERATURE: Limits(low=-20, high=80)})
    assert judged(stage, TEMPERATURE, 81) == (None, "bad", "outOfLimits")
    assert judged(stage, TEMPERATURE, 80, 1.0) == (80, "good", "")


def test_a_change_that_is_too_fast_is_uncertain() -> None:
    stage = clean(limits={TEMPERATURE: Limits(rate=0.5)})
    assert judged(stage, TEMPERATURE, 20.0, 0.0) == (20.0, "good", "")
    assert judged(stage, TEMPERATURE, 24.9, 10.0) == (24.9, "good", "")
    assert judged(stage, TEMPERATURE, 31.0, 20.0) == (31.0, "uncertain", "rate")
    assert judged(stage, TEMPERATURE, 90.0, 20.0 + 181.0) == (90.0, "good", "")  # nothing is known of so long a time


def test_a_spike_is_bad_and_a_step_is_believed_in_the_end() -> None:
    stage = clean(limits={TEMPERATURE: Limits(spike=5.0)})
    steady = [20.0, 20.1, 19.9, 20.0, 20.1, 19.9, 20.0]
    assert all(judged(stage, TEMPERATURE, value, float(at))[1] == "good" for at, value in enumerate(steady))
    assert judged(stage, TEMPERATURE, 60.0, 7.0) == (None, "bad", "spike")
    assert judged(stage, TEMPERATURE, 20.1, 8.0) == (20.1, "good", "")
    assert [judged(stage, TEMPERATURE, 40.0, 9.0 + at)[2] for at in range(6)][-1] == ""


def test_a_sensor_that_repeats_itself_for_too_long_is_stuck() -> None:
    stage = clean(limits={TEMPERATURE: Limits(stuck_after=60.0)})
    reasons = [judged(stage, TEMPERATURE, 20.0, at)[2] for at in (0.0, 30.0, 59.9, 60.0, 90.0)]
    assert reasons == ["", "", "", "stuck", "stuck"]
    assert judged(stage, TEMPERATURE, 20.1, 120.0)[2] == ""
    assert judged(stage, TEMPERATURE, 20.1, 130.0)[2] == ""


def test_a_calibration_comes_before_every_limit() -> None:
    fahrenheit = Calibration(scale=5 / 9, offset=-160 / 9)
    stage = clean(calibration={TEMPERATURE: fahrenheit}, limits={TEMPERATURE: Limits(high=100.0)})
    value, quality, _ = judged(stage, TEMPERATURE, 212.0)
    assert value == pytest.approx(100.0, abs=1e-9)
    assert quality in ("good", "bad")
    assert judged(stage, TEMPERATURE, 213.0, 1.0) == (None, "bad", "outOfLimits")
    assert judged(stage, TEMPERATURE, 32.0, 2.0)[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("settings", [{"low": 2, "high": 1}, {"rate": 0}, {"spike": -1}, {"stuck_after": 0}])
def test_limits_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^(low|rate|spike|stuck_after): "):
        Limits(**settings)


@pytest.mark.parametrize("settings", [{"scale": 0.0}, {"offset": float("nan")}, {"scale": float("inf")}])
def test_calibrations_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^scale: "):
        Calibration(**settings)


def test_a_duplicate_is_dropped_and_counted() -> None:
    stage = clean()
    assert stage.feed(reading(DOOR, "open", 5.0)) is not None
    assert stage.feed(reading(DOOR, "open", 5.0)) is None
    assert stage.feed(reading(DOOR, "closed", 5.0)) is not None
    assert stage.feed(reading(DOOR, "ajar", 6.0)) is not None
    assert stage.feed(reading(DOOR, "ajar", 6.0)) is None  # known by what was said, not by what was made of it
    assert stage.duplicates == 2


def test_a_late_reading_is_counted_and_passed_on() -> None:
    stage = clean()
    stage.feed(reading(DOOR, "open", 5.0))
    assert stage.feed(reading(DOOR, "closed", 4.0)) is not None
    assert stage.late == 1


def test_a_point_goes_silent_once_at_its_own_moment() -> None:
    stage = clean(silent_after=180.0)
    stage.tick(0.0)
    stage.feed(reading(DOOR, "open", 10.0))
    stage.feed(reading(TEMPERATURE, 20.0, 15.0))
    assert stage.due <= 190.0
    assert stage.tick(stage.due) == []
    assert stage.due == 190.0
    assert stage.tick(193.0) == [reading(DOOR, None, 190.0, Quality.STALE, "silent")]
    assert stage.tick(400.0) == [reading(TEMPERATURE, None, 195.0, Quality.STALE, "silent")]
    assert stage.tick(1_000.0) == []
    assert stage.feed(reading(DOOR, "open", 1_001.0)) is not None
    assert stage.tick(1_181.0) == [reading(DOOR, None, 1_181.0, Quality.STALE, "silent")]


def test_what_was_not_usable_anyway_does_not_become_stale() -> None:
    stage = clean()
    stage.tick(0.0)
    stage.feed(reading(DOOR, None, 1.0))
    assert stage.tick(1_000.0) == []


def test_a_point_known_from_before_a_restart_can_go_silent_unheard() -> None:
    stage = clean(silent_after=60.0)
    stage.tick(0.0)
    stage.expect([DOOR, TEMPERATURE], 0.0)
    assert stage.values() == {DOOR: None, TEMPERATURE: None}
    stage.feed(reading(TEMPERATURE, 20.0, 30.0))
    assert [stale.point for stale in stage.tick(60.0)] == [DOOR]
    assert stage.values() == {DOOR: None, TEMPERATURE: 20.0}


def test_a_hostile_source_cannot_fill_the_memory() -> None:
    stage = clean()
    for number in range(POINTS_LIMIT + 5):
        stage.feed(reading(f"invented.{number}", 1.0))
    assert stage.refused == 5
    assert len(stage.values()) == POINTS_LIMIT


def test_a_clock_that_was_set_makes_nothing_silent() -> None:
    stage = clean(silent_after=180.0)
    stage.tick(0.0)
    stage.feed(reading(DOOR, "open", 100.0))
    stage.shift(1e6)
    assert stage.tick(1e6 + 150.0) == []
    assert stage.tick(1e6 + 280.0) == [reading(DOOR, None, 1e6 + 280.0, Quality.STALE, "silent")]


_VALUES = st.one_of(st.none(), st.floats(), st.integers(), st.booleans(), st.sampled_from(["open", "closed", "ajar", ""]))


@given(st.lists(st.tuples(st.sampled_from([DOOR, TEMPERATURE, "x.y"]), _VALUES, st.floats(0, 1e4)), max_size=40))
def test_none_means_not_usable_and_nothing_else_does(fed: list[tuple[str, Any, float]]) -> None:
    stage = clean(limits={TEMPERATURE: Limits(rate=1.0, spike=3.0, stuck_after=10.0)})
    for point, value, at in fed:
        found = stage.feed(reading(point, value, at))
        if found is not None:
            assert (found.value is None) is (found.quality in (Quality.BAD, Quality.STALE))
            assert (found.quality is Quality.GOOD) is (found.reason == "")
