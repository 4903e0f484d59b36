"""Updates of ThingSpeak channels, as its documentation of channels/<id>/publish has them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.encode.thingspeak import Channel, Update, leading, update_of
from agent.records import PointSummary, Reading, Summary
from tests.agent.envelopes import alarm, envelope, loss, summary

AT = 1_420_070_399  # 2014-12-31 23:59:59 UTC, as in the documentation's example
FIELDS = {
    1: "environment.temperature_c",
    2: "environment.temperature_c/max",
    3: "auxiliaries.cabinetDoor",
    4: "scores/attack_risk",
}
CHANNELS = (Channel(1417, "ATM-7", FIELDS), Channel(1418, "ATM-8", {1: "environment.temperature_c"}))


def reading(
    position: int, value: Any, *, at: float = AT, point: str = "environment.temperature_c", machine: str = "ATM-7"
) -> Any:
    return envelope("readings", position, Reading(machine, point, value, at))


def test_the_payload_is_a_form_with_the_time_in_iso_8601() -> None:
    update = Update(1417, AT, {"field1": "100", "status": "50 % & more"})
    assert update.payload() == b"field1=100&status=50+%25+%26+more&created_at=2014-12-31T23%3A59%3A59Z"


def test_a_summary_says_its_means_its_last_words_and_what_is_asked_for_by_path() -> None:
    points = {
        "environment.temperature_c": PointSummary(n=3, min=20.0, mean=21.5, max=23.0, last=22.0),
        "auxiliaries.cabinetDoor": PointSummary(n=1, last="open", states={"open": 60.0}),
    }
    window = Summary("ATM-7", AT - 60.0, AT, 1.0, points, scores={"attack_risk": 0.25})
    assert update_of(envelope("summaries", 1, window), CHANNELS) == Update(
        1417, AT, {"field1": "21.5", "field2": "23", "field3": "open", "field4": "0.25"}
    )


def test_an_alarm_is_a_status_and_its_point_a_field() -> None:
    update = update_of(alarm(1), CHANNELS)
    assert update is not None
    assert update.said == {"status": "black_box severity 4 auxiliaries.cabinetDoor open", "field3": "open"}


def test_a_loss_is_told_of_in_the_first_channel() -> None:
    update = update_of(loss(2, "summaries", 3, 9), CHANNELS)
    assert update is not None
    assert (update.channel, update.said) == (1417, {"status": "lost: 7 of summaries, 3 to 9: evicted"})


@pytest.mark.parametrize(
    "told", [summary(1), reading(1, None), reading(1, 3.0, machine="ATM-9"), reading(1, 3.0, point="motion.rms")]
)
def test_what_has_no_field_has_no_update(told: Any) -> None:
    assert update_of(told, CHANNELS) is None


def test_records_of_one_second_share_an_update_until_a_field_would_be_said_twice() -> None:
    door = reading(3, "open", at=AT + 0.9, point="auxiliaries.cabinetDoor")
    count, update = leading([summary(1), reading(2, 20.0), door, reading(4, 21.0)], CHANNELS)
    assert count == 3
    assert update == Update(1417, AT, {"field1": "20", "field3": "open"})
    assert leading([reading(1, 20.0), reading(2, 20.0, machine="ATM-8")], CHANNELS)[0] == 1
    assert leading([reading(1, 20.0), reading(2, "open", at=AT + 1.0, point="auxiliaries.cabinetDoor")], CHANNELS)[0] == 1
    assert leading([summary(1), summary(2)], CHANNELS) == (2, None)


@given(st.lists(st.tuples(st.sampled_from([*FIELDS.values(), "motion.rms"]), st.integers(0, 1), st.floats(-50, 50)), max_size=12))
@settings(max_examples=80)
def test_every_value_that_has_a_field_is_in_exactly_one_update(told: list[tuple[str, int, float]]) -> None:
    portion = [reading(number, value, at=AT + late, point=name) for number, (name, late, value) in enumerate(told, 1)]
    said = 0
    while portion:
        count, update = leading(portion, CHANNELS)
        assert count >= 1
        said += len(update.said) if update is not None else 0
        portion = portion[count:]
    assert said == sum(name in FIELDS.values() for name, _, _ in told)
