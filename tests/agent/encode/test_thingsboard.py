"""ThingsBoard's words: what its own client library publishes for the same values, and a millisecond for each record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.encode import thingsboard as api
from agent.records import Alarm, EventClass, Quality, Reading, Severity
from tests.agent.envelopes import GATEWAY, alarm, envelope, loss, summary

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "thingsboard.json").read_text())
AT = 1_760_000_000.123


def reading(
    position: int, value: Any, *, at: float = AT, point: str = "environment.temperature_c", machine: str = "ATM-7"
) -> Any:
    return envelope("readings", position, Reading(machine, point, value, at))


def told(*envelopes: Any, moments: api.Moments | None = None) -> list[tuple[str, Any]]:
    moments = moments or api.Moments()
    rows = [(each, moments.of(each, [*values]), values) for each, values in ((each, api.values_of(each)) for each in envelopes)]
    return [(topic, json.loads(payload)) for topic, payload in api.telemetry(rows)]


def golden(topic: str) -> list[Any]:
    return [row["payload"] for row in GOLDEN if row["topic"] == topic]


def test_its_own_client_library_publishes_the_same_for_the_same_values() -> None:
    records = [reading(1, -3.25, at=1_760_000_000.0), reading(2, 21.5), reading(3, "open", point="auxiliaries.safeDoor")]
    records += [reading(4, 4500000, point="cash.value"), reading(5, 3, point="gateway.backlog", machine=GATEWAY)]
    of_devices, own = told(*records)
    assert of_devices == ("v1/gateway/telemetry", *golden("v1/gateway/telemetry"))
    assert own == ("v1/devices/me/telemetry", *golden("v1/devices/me/telemetry"))
    warning = Alarm(GATEWAY, AT, "disk", EventClass.GATEWAY, Severity.WARNING, "gateway.store", "full", ())
    states = [(topic, json.loads(payload)) for topic, payload in api.attributes([alarm(1), envelope("alarms", 2, warning)])]
    assert states == [(topic, *golden(topic)) for topic in ("v1/gateway/attributes", "v1/devices/me/attributes")]
    topic, payload = api.connection("ATM-7", "atm")
    assert json.loads(payload) == golden(topic)[0]
    call = api.call("v1/gateway/rpc", b'{"device": "ATM-7", "data": {"id": 7, "method": "open", "params": {}}}')
    assert call is not None
    topic, payload = call.answer({"error": "no"})
    assert json.loads(payload) == golden(topic)[0]


def test_two_records_of_one_key_in_one_millisecond_both_stand() -> None:
    [(_, payload)] = told(reading(1, 20.0), reading(2, 21.0), reading(3, 1.0, point="environment.humidity_pct"), reading(4, 22.0))
    ts = round(AT * 1000)
    assert payload["ATM-7"] == [
        {"ts": ts, "values": {"environment.temperature_c": 20.0, "environment.humidity_pct": 1.0}},
        {"ts": ts + 1, "values": {"environment.temperature_c": 21.0}},
        {"ts": ts + 2, "values": {"environment.temperature_c": 22.0}},
    ]


def test_sent_again_a_record_has_the_millisecond_that_it_had() -> None:
    moments = api.Moments()
    first, second, third = reading(1, 20.0), reading(2, 21.0), reading(3, 22.0)
    before = told(first, second, moments=moments)
    moments.let_go([second, third])
    again = told(second, third, moments=moments)
    assert again[0][1]["ATM-7"][0] == before[0][1]["ATM-7"][1]
    assert again[0][1]["ATM-7"][1]["ts"] == round(AT * 1000) + 2


@given(st.lists(st.tuples(st.integers(0, 6), st.sets(st.sampled_from("abc"), min_size=1)), max_size=40))
@settings(max_examples=100)
def test_while_time_goes_forward_no_key_has_a_millisecond_twice(steps: list[tuple[int, set[str]]]) -> None:
    moments, seen, now = api.Moments(), set(), 1_760_000_000_000
    for position, (step, keys) in enumerate(sorted(steps, key=lambda each: each[0]), 1):
        at = moments.of(reading(position, 1.0, at=(now + step) / 1000), sorted(keys))
        assert at >= now + step
        assert not seen & {(key, at) for key in keys}
        seen |= {(key, at) for key in keys}


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), min_size=1, max_size=60), st.integers(0, 59))
@settings(max_examples=60)
def test_who_is_reminded_of_what_was_settled_goes_on_as_if_nothing_had_happened(steps: list[tuple[int, str]], cut: int) -> None:
    """Killed after any record: the ones behind it get the milliseconds that they would have had."""
    now, records = 1_760_000_000_000, []
    for position, (step, point) in enumerate(steps, 1):
        now += step
        records.append(reading(position, 1.0, at=now / 1000, point=point))
    whole, after = api.Moments(), api.Moments()
    expected = [whole.of(each, [*api.values_of(each)]) for each in records]
    for each in records[: cut + 1]:  # what it is reminded of
        after.of(each, [*api.values_of(each)])
    after.let_go(records[cut + 1 :])
    assert [after.of(each, [*api.values_of(each)]) for each in records[cut + 1 :]] == expected[cut + 1 :]


def test_there_is_no_null_in_what_thingsboard_gets() -> None:
    assert api.values_of(reading(1, None)) == {"environment.temperature_c.quality": "bad"}
    stale = envelope("readings", 1, Reading("ATM-7", "environment.temperature_c", 21, AT, Quality.STALE))
    assert api.values_of(stale) == {"environment.temperature_c": 21.0, "environment.temperature_c.quality": "stale"}
    assert None not in api.values_of(summary(1)).values()


def test_an_alarm_is_whole_and_has_its_identity() -> None:
    [(_, payload)] = told(alarm(41))
    values = payload["ATM-7"][0]["values"]
    assert values["alarm.black_box"] == 4
    assert values["alarm.black_box.record"]["evidence"] == [["auxiliaries.cabinetDoor", "open", 1_760_000_041.0]]
    assert values["alarms.position"] == "e1f2/41"


def test_a_loss_is_the_gateways_own() -> None:
    [(topic, [entry])] = told(loss(2, "summaries", 3, 9))
    assert topic == "v1/devices/me/telemetry"
    assert json.loads(entry["values"]["loss"])["count"] == 7


TOKEN = "aGVhZA.Ym9keQ.c2ln"


@pytest.mark.parametrize(
    ("topic", "asked", "signed", "answer"),
    [
        ("v1/gateway/rpc", {"device": "ATM-7", "data": {"id": 3, "method": "request", "params": TOKEN}}, True, "v1/gateway/rpc"),
        (
            "v1/gateway/rpc",
            {"device": "ATM-7", "data": {"id": 3, "method": "setValue", "params": TOKEN}},
            False,
            "v1/gateway/rpc",
        ),
        ("v1/devices/me/rpc/request/12", {"method": "request", "params": TOKEN}, True, "v1/devices/me/rpc/response/12"),
        ("v1/devices/me/rpc/request/12", {"method": "request", "params": {"a": 1}}, False, "v1/devices/me/rpc/response/12"),
    ],
)
def test_calls(topic: str, asked: Any, signed: bool, answer: str) -> None:
    call = api.call(topic, json.dumps(asked).encode())
    assert call is not None
    assert call.signed == (TOKEN.encode() if signed else None)
    assert call.topic == answer


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b'{"device": 1}', b'{"device": "a", "data": {}}', b"[" * 5000])
def test_a_call_that_is_none_has_no_answer(payload: bytes) -> None:
    assert api.call("v1/gateway/rpc", payload) is None


def test_a_call_without_a_number_has_no_answer() -> None:
    assert api.call("v1/devices/me/rpc/request/x+y", b"{}") is None
