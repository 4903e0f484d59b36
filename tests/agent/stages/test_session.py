"""Recorded sessions: what is written is read, what is wrong is named by its line."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Alarm, Envelope, EventClass, Evidence, Quality, Reading, Severity
from agent.stages.session import Recorder, SessionError, read

DOOR, SAFE, RMS = "auxiliaries.cabinetDoor", "auxiliaries.safeDoor", "motion.rms_ms2"
HEAD = '{"session": 1, "machine": "m"}'


def test_a_session_by_hand() -> None:
    lines = [
        HEAD,
        "",
        '{"at": 10.0, "values": {"auxiliaries.cabinetDoor": "locked", "motion.rms_ms2": 0.5}}',
        '{"at": 20, "again": true, "values": {"motion.rms_ms2": 0.75}}',
        '{"at": 21.5, "values": {"auxiliaries.cabinetDoor": "open"}}',
        '{"at": 30.0, "again": true, "values": {"motion.rms_ms2": null}, "quality": "bad", "reason": "noValue"}',
        '{"at": 31.0, "machine": "other", "values": {"auxiliaries.safeDoor": "bolted"}}',
    ]
    assert list(read(lines)) == [
        [Reading("m", DOOR, "locked", 10.0), Reading("m", RMS, 0.5, 10.0)],
        [Reading("m", DOOR, "locked", 20.0), Reading("m", RMS, 0.75, 20.0)],
        [Reading("m", DOOR, "open", 21.5)],
        [Reading("m", DOOR, "open", 30.0), Reading("m", RMS, None, 30.0, Quality.BAD, "noValue")],
        [Reading("other", SAFE, "bolted", 31.0)],
    ]


def test_the_output_of_history_is_a_session() -> None:
    reading = Reading("m", DOOR, "open", 5.0)
    alarm = Alarm("m", 6.0, "r", EventClass.SECURITY, Severity(3), DOOR, "open", (Evidence(DOOR, "open", 5.0),))
    envelopes = [
        Envelope("gw", "e", "readings", number, "b", 1.0, 2.0, True, body) for number, body in enumerate((reading, alarm))
    ]
    lines = [msgspec.json.encode(each) for each in envelopes] + [msgspec.json.encode(reading)]
    assert list(read(lines)) == [[reading], [reading]]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "session:2: .*expected a moment"),
        ("[1]", "is no JSON object"),
        ('{"at": "noon", "values": {}}', "Expected `float`"),
        ('{"values": {"a": 1}}', "missing required field `at`"),
        ('{"at": 1.0, "value": {"a": 1}}', "unknown field `value`"),
        ('{"at": 1e12, "values": {"a": 1}}', "is no time"),
        ('{"at": -1, "values": {"a": 1}}', "is no time"),
        ('{"at": 1.0, "values": {"a": [1]}}', "Expected"),
        ('{"at": 1.0, "values": {"a": 1}, "quality": "fine"}', "Invalid enum value"),
        ('{"kind": "reading", "point": "a"}', "missing required field"),
        ('{"session": 2}', "version 2; this agent reads version 1"),
        ('{"at": 1.0, "values": {"a": "' + "x" * 1024 * 1024 + '"}}', "is longer than"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(line: str, wrong: str) -> None:
    with pytest.raises(SessionError, match=wrong) as caught:
        list(read([HEAD, line]))
    assert str(caught.value).startswith("session:2: ")


def test_a_moment_needs_a_machine() -> None:
    with pytest.raises(SessionError, match=r"s\.jsonl:1: names no machine"):
        list(read(['{"at": 1.0, "values": {"a": 1}}'], "s.jsonl"))


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(SessionError, match="session:1"):
        list(read([b'{"at": 1.0, "\xff": 1}']))


_MOMENT = st.tuples(
    st.sampled_from(["m", "n"]),
    st.sampled_from([0.0, 1.5, 2.25, 60.0, 1741831800.125]),
    st.dictionaries(
        st.sampled_from([DOOR, SAFE, RMS, "storage.unit1.count"]),
        st.one_of(st.none(), st.integers(-5, 5), st.floats(-10, 10), st.sampled_from(["open", "closed"])),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([(Quality.GOOD, ""), (Quality.UNCERTAIN, "rate"), (Quality.BAD, "noValue")]),
)


@given(st.lists(_MOMENT, max_size=30))
def test_what_is_recorded_is_read(told: list[tuple[str, float, dict[str, float | str | None], tuple[Quality, str]]]) -> None:
    recorder = Recorder("m", "a note")
    lines, said = [recorder.head], []
    for machine, at, values, (quality, reason) in told:
        readings = [Reading(machine, point, value, at, quality, reason) for point, value in values.items()]
        lines += recorder.lines(readings)
        said.append({each.point: each for each in readings})
    found = [{each.point: each for each in readings} for readings in read(lines)]
    assert found == said


def test_what_hardly_changes_is_small() -> None:
    recorder = Recorder("m")
    points = {f"auxiliaries.contact.c{number}": "closed" for number in range(50)}
    first, second = (
        next(recorder.lines([Reading("m", point, value, at) for point, value in points.items()])) for at in (0.0, 60.0)
    )
    assert len(first) > 1_000
    assert second == b'{"at":60.0,"again":true}'
