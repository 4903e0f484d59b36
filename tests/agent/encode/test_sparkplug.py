"""Sparkplug B: the very bytes that an independent library writes, and the order that an edge node keeps."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.encode import Undecodable
from agent.encode.sparkplug import Metric, Payload, Type, decode, encode, encode_metric, joined
from agent.encode.sparkplug_node import BD_SEQ, REBIRTH, Node
from agent.records import Quality, Reading
from tests.agent.envelopes import alarm, envelope, loss, summary

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "sparkplug.json").read_text())
LATER, BEFORE = 1_760_000_100_000, 1_700_000_000_000  # ms; after and before what the envelopes of the tests tell of


def golden_metrics(told: list[dict[str, Any]]) -> list[Metric]:
    return [
        Metric(each["name"], each["type"], each["value"], each["at"], each["historical"], None, each["alias"]) for each in told
    ]


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["kind"])
def test_the_bytes_are_those_of_an_independent_library(row: dict[str, Any]) -> None:
    metrics = golden_metrics(row["metrics"])
    written = joined([encode_metric(each, typed=row["typed"]) for each in metrics], row["at"], row["seq"])
    assert written.hex() == row["hex"]


@pytest.mark.parametrize("row", [row for row in GOLDEN if row["typed"]], ids=lambda row: row["kind"])
def test_what_an_independent_library_wrote_is_read(row: dict[str, Any]) -> None:
    assert decode(bytes.fromhex(row["hex"])) == Payload(tuple(golden_metrics(row["metrics"])), row["at"], row["seq"])


TYPED = st.one_of(
    st.tuples(st.just(Type.DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(Type.FLOAT), st.floats(allow_nan=False, width=32)),
    st.tuples(st.just(Type.BOOLEAN), st.booleans()),
    st.tuples(st.sampled_from([Type.STRING, Type.TEXT, Type.UUID]), st.text(max_size=40)),
    st.tuples(st.just(Type.INT64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(Type.INT32), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(Type.UINT64), st.integers(0, 2**64 - 1)),
    st.tuples(st.sampled_from(list(Type)[1:]), st.none()),
)
METRICS = st.builds(
    lambda name, typed, at, historical, quality, alias: Metric(name, int(typed[0]), typed[1], at, historical, quality, alias),
    st.text(min_size=1, max_size=30),
    TYPED,
    st.none() | st.integers(0, 2**64 - 1),
    st.booleans(),
    st.sampled_from([None, 0, 192, 500]),
    st.none() | st.integers(0, 2**63),
)


@given(st.lists(METRICS, max_size=5), st.none() | st.integers(0, 2**63), st.none() | st.integers(0, 255))
@settings(max_examples=60)
def test_what_is_written_is_read(metrics: list[Metric], at: int | None, seq: int | None) -> None:
    payload = Payload(tuple(metrics), at, seq)
    assert decode(encode(payload)) == payload


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_no_bytes_do_harm(data: bytes) -> None:
    with contextlib.suppress(Undecodable):
        decode(data)


@given(st.integers(0, len(GOLDEN[0]["hex"]) // 2 - 1), st.integers(0, 255))
@settings(max_examples=150)
def test_no_spoilt_byte_does_harm(at: int, byte: int) -> None:
    data = bytearray.fromhex(GOLDEN[0]["hex"])
    data[at] = byte
    with contextlib.suppress(Undecodable):
        decode(bytes(data))


def test_more_metrics_than_anybody_sends_are_refused() -> None:
    with pytest.raises(Undecodable, match="more than 10000 metrics"):
        decode(b"\x12\x00" * 10_001)


@pytest.mark.parametrize(("kind", "value"), [(Type.INT8, 128), (Type.UINT8, -1), (Type.INT64, 2**63), (Type.UNKNOWN, 1)])
def test_a_value_that_its_type_does_not_have(kind: Type, value: int) -> None:
    with pytest.raises(ValueError, match=r"does not fit|data type"):
        encode_metric(Metric("a", kind, value))


# The edge node -----------------------------------------------------------------------------------------------------------


def node(since: int = BEFORE) -> Node:
    made = Node("bank", "gw-1")
    made.connects(since)
    return made


def heard(messages: list[tuple[str, bytes]], names: dict[int, str] | None = None) -> list[tuple[str, Payload]]:
    """What a host makes of them: births tell names, data the aliases of births; `names` goes on with those of before."""
    names = {} if names is None else names
    out = []
    for topic, payload in messages:
        message = decode(payload)
        if "BIRTH" in topic:
            names.update((each.alias, each.name) for each in message.metrics if each.alias is not None)
        elif "DATA" in topic:
            assert not any(each.name for each in message.metrics)
            named = (replace(each, name=names.get(each.alias or 0, ""), alias=None) for each in message.metrics)
            message = replace(message, metrics=tuple(named))
        out.append((topic.removeprefix("spBv1.0/bank/"), message))
    return out


def reading(position: int, value: Any, **more: Any) -> Any:
    return envelope(
        "readings", position, Reading("ATM-7", "environment.temperature_c", value, 1_760_000_000.0 + position, **more)
    )


def test_the_death_certificate_has_the_number_of_the_connection_and_no_other() -> None:
    made = Node("bank", "gw-1")
    for expected in [*range(256), 0]:
        topic, payload = made.connects(BEFORE)
        assert topic == "spBv1.0/bank/NDEATH/gw-1"
        assert decode(payload) == Payload((Metric(BD_SEQ, Type.INT64, expected),), BEFORE, None)
        birth = heard(made.births(BEFORE))[0][1]
        assert (birth.seq, birth.metrics[0].value) == (0, expected)
        assert made.death(BEFORE)[1] == payload


def test_a_device_is_born_before_its_data_and_again_when_it_has_something_new() -> None:
    made, told_by = node(), dict[int, str]()
    made.births(BEFORE)
    first = heard(made.data(made.metrics([alarm(1)]), BEFORE), told_by)
    assert [topic for topic, _ in first] == ["DBIRTH/gw-1/ATM-7", "DDATA/gw-1/ATM-7"]
    assert [topic for topic, _ in heard(made.data(made.metrics([alarm(2)]), BEFORE))] == ["DDATA/gw-1/ATM-7"]
    third = heard(made.data(made.metrics([summary(1)]), BEFORE), told_by)
    assert [topic for topic, _ in third] == ["DBIRTH/gw-1/ATM-7", "DDATA/gw-1/ATM-7"]
    names = {each.name for each in third[0][1].metrics}
    assert {each.name for each in third[1][1].metrics} <= names
    assert "alarm/black_box" in names
    assert all(each.type and each.at for each in third[0][1].metrics)
    assert not any(each.type for each in third[1][1].metrics)


def test_every_metric_of_the_node_and_its_devices_has_an_alias_of_its_own_and_data_say_nothing_else() -> None:
    """Sparkplug 3.0, 6.4.6: unique among all metrics of an edge node; and none for Node Control/Rebirth (6.4.19)."""
    made = node()
    born = made.births(BEFORE)
    other = envelope("summaries", 2, replace(summary(2).body, machine="ATM-8"))
    told = made.data(made.metrics([alarm(1), loss(2, "summaries", 3, 9), summary(1), other]), BEFORE)
    births = [payload for topic, payload in heard([*born, *told]) if "BIRTH" in topic]
    aliases = {(each.name, each.alias) for each in births[0].metrics}
    assert aliases == {(BD_SEQ, None), (REBIRTH, None)}
    given_to = [each.alias for birth in births[1:] for each in birth.metrics if each.name not in (BD_SEQ, REBIRTH)]
    assert None not in given_to
    assert len(set(given_to)) == len(given_to)
    data = [decode(payload) for topic, payload in told if "DATA" in topic]
    assert {(each.name, each.type) for message in data for each in message.metrics} == {("", 0)}
    assert {each.alias for message in data for each in message.metrics} == {*given_to}
    again = [payload for _, payload in heard(made.births(LATER))]
    assert {each.alias for birth in again for each in birth.metrics} == {None, *given_to}


def test_a_long_text_is_told_once_and_no_birth_repeats_it() -> None:
    made = node()
    made.data(made.metrics([alarm(1, text="x" * 2000)]), BEFORE)
    _, birth = heard(made.births(BEFORE))
    assert {each.name: each.value for each in birth[1].metrics}["alarm/black_box/record"] is None
    assert len(made.births(BEFORE)[1][1]) < 500


def test_the_gateways_own_records_are_the_nodes() -> None:
    made = node()
    made.births(BEFORE)
    messages = heard(made.data(made.metrics([alarm(1), loss(2, "summaries", 3, 9)]), BEFORE))
    assert [topic for topic, _ in messages] == ["NBIRTH/gw-1", "DBIRTH/gw-1/ATM-7", "DDATA/gw-1/ATM-7", "NDATA/gw-1"]
    record, position = messages[-1][1].metrics
    assert json.loads(str(record.value))["count"] == 7
    assert (position.name, position.value) == ("alarms/position", "e1f2/2")
    assert REBIRTH in {each.name for each in messages[0][1].metrics}


def test_every_message_has_the_next_number_and_255_is_followed_by_0() -> None:
    made = node()
    seqs = [payload.seq for _, payload in heard(made.births(BEFORE))]
    for position in range(1, 400):
        seqs += [payload.seq for _, payload in heard(made.data(made.metrics([reading(position, 21.5)]), BEFORE))]
    assert seqs == [number % 256 for number in range(len(seqs))]
    assert heard(made.births(BEFORE))[0][1].seq == 0


def test_what_is_from_before_the_connection_is_history_and_no_birth_tells_it_as_the_present() -> None:
    made = node(since=1_760_000_002_000)
    made.births(LATER)
    told = made.metrics([reading(1, 20.0), reading(2, 21.0), reading(3, None)])
    birth, data = heard(made.data(told, LATER))
    assert [(each.value, each.historical) for each in data[1].metrics] == [(20.0, True), (21.0, False), (None, False)]
    assert [each.at for each in data[1].metrics] == [1_760_000_001_000, 1_760_000_002_000, 1_760_000_003_000]
    assert [each.value for each in birth[1].metrics] == [None]
    made.data(made.metrics([reading(4, 22.0), reading(1, 20.0)]), LATER)
    made.data(made.metrics([reading(5, 23.0)]), LATER)
    assert [each.value for each in heard(made.births(LATER))[1][1].metrics] == [23.0]


def test_an_unusable_value_is_null_and_a_doubtful_one_is_not_good() -> None:
    made = node()
    told = [
        reading(1, None, quality=Quality.BAD),
        reading(2, 3, quality=Quality.STALE),
        reading(3, 4.0),
        reading(4, 5.0, quality=Quality.UNCERTAIN),
    ]
    _, data = heard(made.data(made.metrics(told), BEFORE))
    assert [(each.value, each.quality) for each in data[1].metrics] == [(None, 0), (3.0, 500), (4.0, None), (5.0, 0)]


def test_a_name_that_turns_from_a_number_into_a_word_is_born_again() -> None:
    made = node()
    made.data(made.metrics([reading(1, 21.5)]), BEFORE)
    birth, data = heard(made.data(made.metrics([reading(2, "hot")]), BEFORE))
    assert (birth[0], birth[1].metrics[0].type) == ("DBIRTH/gw-1/ATM-7", Type.STRING)
    assert data[1].metrics[0].value == "hot"


def test_requests_are_offered_only_where_they_are_taken() -> None:
    made = node()
    assert "Node Control/Request" not in {each.name for each in heard(made.births(BEFORE))[0][1].metrics}
    made.takes_requests = True
    assert "Node Control/Request" in {each.name for each in heard(made.births(BEFORE))[0][1].metrics}
