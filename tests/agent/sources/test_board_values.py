from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Quality, Reading
from agent.sources.board_values import CODES_LOGGED, BoardValues
from agent.vocabulary import fault, point
from agent.wire.board import Frame, FrameType, Key
from agent.wire.board_points import POINTS

AT = 1_750_000_000.5


def frame(values: object) -> Frame:
    return Frame(FrameType.READING, 0, 0, {Key.BOOT: 1, Key.VALUES: values})


def board_values() -> BoardValues:
    return BoardValues("board", "atm-1", {1000: "auxiliaries.contact.lid"})


def test_every_point_of_the_link_is_in_the_vocabulary():
    assert [name for name in POINTS.values() if point(name) is None] == []


def test_words_numbers_and_points_of_the_makers_own():
    readings = board_values().readings(frame({1: "open", 25: 21.5, 55: 7, 1000: "closed"}), AT)
    assert readings == [
        Reading("atm-1", "auxiliaries.cabinetDoor", "open", AT),
        Reading("atm-1", "environment.temperature_c", 21.5, AT),
        Reading("atm-1", "cashDispenser.presents", 7, AT),
        Reading("atm-1", "auxiliaries.contact.lid", "closed", AT),
    ]


def test_null_is_asked_and_not_usable_never_ok_and_no_mistake():
    values = board_values()
    assert values.readings(frame({1: None, 25: None}), AT) == [
        Reading("atm-1", "auxiliaries.cabinetDoor", None, AT, Quality.BAD, "noValue"),
        Reading("atm-1", "environment.temperature_c", None, AT, Quality.BAD, "noValue"),
    ]
    assert values.unknown == 0


@pytest.mark.parametrize(
    ("code", "value", "reason"),
    [
        (1, "ajar", "unknownWord"),
        (1, "Closed", "unknownWord"),
        (1, 0, "unknownWord"),
        (1, True, "unknownWord"),
        (1, "x" * 65, "unknownWord"),
        (1, b"open", "unknownWord"),
        (25, "warm", "notANumber"),
        (25, True, "notANumber"),
        (25, [21.5], "notANumber"),
        (25, float("nan"), "outOfLimits"),
        (25, float("inf"), "outOfLimits"),
        (25, -274, "outOfLimits"),
        (25, 1e300, "outOfLimits"),
        (55, -1, "outOfLimits"),
        (55, 2**64, "outOfLimits"),
        (55, 10**400, "outOfLimits"),
    ],
)
def test_what_cannot_be_used_is_none_and_bad_with_the_reason_and_counted(code, value, reason, caplog):
    values = board_values()
    good, bad = values.readings(frame({2: "locked", code: value}), AT)
    assert good == Reading("atm-1", "auxiliaries.safeDoor", "locked", AT)  # one wrong value does not hide the others
    assert bad == Reading("atm-1", POINTS[code], None, AT, Quality.BAD, reason)
    assert values.unknown == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"source board: {POINTS[code]}: value refused ({reason}): the board's firmware is wrong there"
    ]


def test_a_refused_value_never_reaches_the_log(caplog):
    number = "4111111111111111"
    board_values().readings(frame({1: number, 25: number, number: 1, 55: 4111111111111111111111}), AT)
    assert caplog.records
    assert "4111" not in caplog.text


def test_points_that_nobody_knows_are_counted_and_logged_once(caplog):
    values = board_values()
    for _ in range(3):
        assert values.readings(frame({9999: 1, 25: 20.0}), AT) == [Reading("atm-1", "environment.temperature_c", 20.0, AT)]
    assert values.unknown == 3
    assert len(caplog.records) == 1
    assert "point 9999" in caplog.text
    assert "`points`" in caplog.text
    values.readings(frame(dict.fromkeys(range(2000, 2500), 1)), AT)
    assert len(caplog.records) == CODES_LOGGED
    assert values.unknown == 503


@pytest.mark.parametrize("payload", [None, 7, "open", [1, "open"]])
def test_a_frame_without_values_gives_nothing_and_is_counted(payload, caplog):
    values = board_values()
    assert values.readings(frame(payload), AT) == []
    assert values.unknown == 1
    assert "without values" in caplog.text


def test_quality_and_reason_of_a_whole_frame():
    readings = board_values().readings(frame({1: "open"}), AT, Quality.UNCERTAIN, "undated")
    assert readings == [Reading("atm-1", "auxiliaries.cabinetDoor", "open", AT, Quality.UNCERTAIN, "undated")]


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=80), st.binary(max_size=4), st.lists(st.integers())
)


@given(st.dictionaries(st.one_of(st.sampled_from(sorted(POINTS)), st.integers(), st.text(max_size=3)), anything, max_size=12))
def test_a_reading_holds_what_the_vocabulary_allows_and_nothing_else(values):
    logging.disable(logging.CRITICAL)
    try:
        readings = board_values().readings(frame(values), AT)
    finally:
        logging.disable(logging.NOTSET)
    assert len(readings) == sum(type(code) is int and (code in POINTS or code == 1000) for code in values)
    for reading in readings:
        entry = point(reading.point)
        assert entry is not None
        assert fault(entry, reading.value) is None
        assert type(reading.value) in (int, float, str, type(None))
        assert (reading.value is None) == (reading.quality is Quality.BAD) == (reading.reason != "")
