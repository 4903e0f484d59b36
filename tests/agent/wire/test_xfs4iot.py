"""XFS4IoT messages, statuses and storage, both ways, against the standard's own shapes."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.vocabulary import BOOL, fault, point
from agent.wire import xfs4iot, xfs4iot_status
from agent.wire.xfs4iot import MESSAGE_LIMIT, BadMessage, Header, Message
from agent.wire.xfs4iot_status import COMMON, ROWS
from agent.wire.xfs4iot_storage import COUNTS_LIMIT, UNITS_LIMIT, Storage, units

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "xfs4iot.json").read_text())
SERVICE = ("cashDispenser",)
NAMES = {
    "{position}": "outDefault",
    "{source}": "upper",
    "{camera}": "room",
    "{input}": "disableGas",
    "{warning}": "armedAlarm",
    "{error}": "light",
}


def filled(name: str) -> str:
    return ".".join(NAMES.get(part, part) for part in name.split("."))


@pytest.mark.parametrize("name", GOLDEN["exchange"])
def test_golden_messages_both_ways(name):
    text = json.dumps(GOLDEN["exchange"][name])
    message = xfs4iot.decode(text)
    assert json.loads(xfs4iot.encode(message)) == GOLDEN["exchange"][name]


def test_the_published_exchange():
    assert json.loads(xfs4iot.encode(xfs4iot.command("Common.Status", "2.0", 41, 5000))) == GOLDEN["exchange"]["ask"]
    completion = xfs4iot.decode(json.dumps(GOLDEN["exchange"]["completion"]))
    assert completion.completion == "success"
    assert xfs4iot_status.values(completion.payload or {}, SERVICE) == GOLDEN["exchange_points"]


def test_a_completion_of_before_2023_tells_its_code_in_the_payload():
    older = '{"header":{"name":"Common.Status","requestId":1,"type":"completion"},"payload":{"completionCode":"deviceNotReady"}}'
    assert xfs4iot.decode(older).completion == "deviceNotReady"
    assert xfs4iot.decode(older.replace('"completion"}', '"event"}')).completion is None


@pytest.mark.parametrize("case", GOLDEN["status"], ids=lambda case: next(iter(case["payload"])))
def test_golden_statuses(case):
    assert xfs4iot_status.values(case["payload"], SERVICE) == case["points"]


@pytest.mark.parametrize("case", GOLDEN["older"])
def test_the_older_event_of_auxiliaries(case):
    assert xfs4iot_status.values(xfs4iot_status.older(case["payload"]), ()) == case["points"]


def test_golden_storage():
    storage = Storage()
    assert storage.told(GOLDEN["storage"]["payload"], whole=True) == GOLDEN["storage"]["points"]


WORDS = [(filled(entry.name), word) for entry, _ in ROWS for word in entry.words]
WORDS += [(f"cardReader.{name}", word) for name in COMMON for word in point(f"cardReader.{name}").words]  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "word"), WORDS, ids=str)
def test_every_word_both_ways(name, word):
    payload = xfs4iot_status.payload({name: word}, "cardReader")
    assert json.loads(json.dumps(payload)) == payload
    assert xfs4iot_status.values(payload, ("cardReader",)) == {name: word}


def test_every_word_of_the_standard_is_in_the_table():
    """Part of the table is its own test: what the vocabulary knows of a device is asked of it."""
    assert len(ROWS) == 74
    assert len(WORDS) > 280


@pytest.mark.parametrize("name", sorted({name for name, _ in WORDS}))
def test_null_is_never_a_word(name):
    word = point(name).words[0]  # type: ignore[union-attr]

    def emptied(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: each if key == "position" else emptied(each) for key, each in node.items()}
        return [emptied(each) for each in node] if isinstance(node, list) else None

    assert xfs4iot_status.values(emptied(xfs4iot_status.payload({name: word}, "cardReader")), ("cardReader",)) == {}


@pytest.mark.parametrize("raw", [True, 1, 0.5, "maybe", [], {}, ["ok"]])
def test_what_is_no_word_is_given_as_none_or_for_refusal(raw):
    found = xfs4iot_status.values({"printer": {"media": raw, "paper": {"upper": raw}}, "auxiliaries": {"UPS": {"low": raw}}}, ())
    for name, value in found.items():
        entry = point(name)
        assert entry is not None
        assert value is None or (isinstance(value, str) and (fault(entry, value) or entry.words == BOOL))


def test_services_are_told_from_interfaces():
    services = xfs4iot_status.services_of
    assert services(["Common", "CashManagement", "CashDispenser", "CashAcceptor", "Storage"]) == ("cashDispenser", "cashAcceptor")
    assert services(["Common", "Crypto", "KeyManagement", "Keyboard", "PinPad"]) == ("keyboard", "pinPad")
    assert services(["Common", "KeyManagement"]) == ("keyManagement",)
    assert services(["Common", "Toaster"]) == ()


def test_a_storage_event_changes_what_it_names():
    storage = Storage()
    storage.told(GOLDEN["storage"]["payload"], whole=True)
    event = GOLDEN["exchange"]["event"]["payload"] | {
        "unit1": {"cash": {"status": {"replenishmentStatus": "low", "accuracy": None}}}
    }
    found = storage.told(event, whole=False)
    assert found["storage.unit1.replenishmentStatus"] == "low"
    assert (found["storage.unit1.accuracy"], found["storage.unit1.count"]) == ("accurate", 1332)
    assert found["storage.unit2.replenishmentStatus"] == "low"
    found = storage.told({"unit1": {"cash": {"out": {"presented": {"type20USD1": {"fit": 710}}}}}}, whole=False)
    assert (found["storage.unit1.presented"], found["storage.unit1.count"]) == (710, 1322)
    whole = storage.told({"unit1": {"status": "missing", "cash": {"status": {"replenishmentStatus": None}}}}, whole=True)
    assert whole["storage.unit1.replenishmentStatus"] is None
    assert "storage.unit1.count" not in whole


counts = st.integers(0, 5000)
shown = st.fixed_dictionaries(
    {
        "storage.unit1.status": st.sampled_from(["ok", "missing"]),
        "storage.unit1.replenishmentStatus": st.sampled_from(["ok", "low", "full"]),
    },
    optional={f"storage.unit1.{name}": counts for name in ("count", "presented", "rejected", "retracted", "deposited")},
)


@given(shown)
def test_storage_both_ways(points):
    found = Storage().told(units(points), whole=True)
    assert {name: found.get(name) for name in points} == points


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8)
            | st.sampled_from(["cash", "status", "unit1", "in", "out", "initial", "positions", "position", "UPS"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([path[0] for _, path in ROWS] + ["common", "unit1", "unit2"]), json_values, max_size=4))
def test_no_payload_raises_anything(payload):
    for value in xfs4iot_status.values(payload, SERVICE).values():
        assert value is None or isinstance(value, str)
    xfs4iot_status.older(payload)
    storage = Storage()
    for whole in (True, False):
        storage.told(payload, whole=whole)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_text_raises_anything_but_bad_message(text):
    with suppress(BadMessage):
        xfs4iot.decode(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"header":' * 20_000, " " * (MESSAGE_LIMIT + 1), '{"header":{"name":"a","type":"order"}}', "{}", "\udcff"],
)
def test_what_is_no_message_is_refused(text):
    with pytest.raises(BadMessage):
        xfs4iot.decode(text)


def test_memory_is_bounded():
    storage = Storage()
    for number in range(300):
        notes = {f"type{each}": {"fit": each} for each in range(100)}
        storage.told(
            {
                f"unit{number}": {
                    "cash": {"status": {"out": {"presented": {f"{number}{key}": each for key, each in notes.items()}}}}
                }
            },
            whole=False,
        )
        storage.told(
            {"unit0": {"cash": {"status": {"out": {"presented": {f"{number}{key}": each for key, each in notes.items()}}}}}},
            whole=False,
        )
    assert len(storage._units) == UNITS_LIMIT
    assert max(len(unit._counts) for unit in storage._units.values()) <= COUNTS_LIMIT
    many = {"camera": {"media": {f"camera{number}": "ok" for number in range(1000)}}}
    assert len(xfs4iot_status.values(many, ())) == xfs4iot_status.NAMES_LIMIT


def test_unsolicited_and_completed_are_what_a_service_sends():
    ask = xfs4iot.command("Common.Status", "2.0", 7, 10)
    assert xfs4iot.acknowledged(ask).header == Header("Common.Status", "acknowledge", 7, "2.0")
    assert xfs4iot.completed(ask, None, "unsupportedCommand") == Message(
        Header("Common.Status", "completion", 7, "2.0", completion_code="unsupportedCommand")
    )
    assert xfs4iot.unsolicited("Common.ErrorEvent", {}).header.request_id is None
