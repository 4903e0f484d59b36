"""SenML Packs: vectors written from RFC 8428 by hand, read by the rules of RFC 8428 alone, and what is no Pack of an agent."""

from __future__ import annotations

import re
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.encode import ENCODINGS, Undecodable, json, senml_cbor, senml_json
from agent.records import Envelope, PointSummary, Quality, Reading, Summary
from tests.agent.envelopes import alarm, envelope, summary

AT = 1_760_000_000.0
MUTE = Reading("M1", "auxiliaries.safeDoor", None, AT, Quality.BAD, "mute")
MEANT = [
    Envelope("g1", "e7", "readings", 5, "b", 1.5, AT + 1, True, Reading("M1", "environment.temperature_c", 21.5, AT)),
    Envelope(
        "g1", "e7", "readings", 6, "b", 2.5, AT + 2, True, Reading("M1", "auxiliaries.safeDoor", None, AT, Quality.BAD, "mute")
    ),
]
JSON = b"""[{"bn":"M1:","bt":1760000000.0,"bgw":"g1","bepoch":"e7","blane":"readings","bboot":"b",
"pos":5,"mono":1.5,"at":1760000001.0,"synced":true,"kind":"reading","n":"environment.temperature_c","u":"Cel","v":21.5},
{"pos":6,"mono":2.5,"at":1760000002.0,"synced":true,"kind":"reading","n":"auxiliaries.safeDoor","vd":"",
"quality":"bad","reason":"mute"}]"""
CBOR = bytes.fromhex(
    "82"  # a Pack of two Records
    "ae"  # map of fourteen
    "21 63 4d313a"  # -2, base name: "M1:"
    "22 fa 4ed1cef0"  # -3, base time, which a single holds exactly
    "63 626777 62 6731"  # "bgw": "g1"
    "66 6265706f6368 62 6537"  # "bepoch": "e7"
    "65 626c616e65 68 72656164696e6773"  # "blane": "readings"
    "65 62626f6f74 61 62"  # "bboot": "b"
    "63 706f73 05"  # "pos": 5
    "64 6d6f6e6f f9 3e00"  # "mono": 1.5 as a half
    "62 6174 fb 41da39de00400000"  # "at"
    "66 73796e636564 f5"  # "synced": true
    "64 6b696e64 67 72656164696e67"  # "kind": "reading"
    "00 7819 656e7669726f6e6d656e742e74656d70657261747572655f63"  # 0, name
    "01 63 43656c"  # 1, unit: "Cel"
    "02 f9 4d60"  # 2, value: 21.5
    "a9"  # map of nine
    "63 706f73 06 64 6d6f6e6f f9 4100 62 6174 fb 41da39de00800000 66 73796e636564 f5"
    "64 6b696e64 67 72656164696e67"
    "00 74 617578696c6961726965732e73616665446f6f72"  # 0, name: "auxiliaries.safeDoor"
    "08 40"  # 8, data value: no bytes
    "67 7175616c697479 63 626164"  # "quality": "bad"
    "66 726561736f6e 64 6d757465"  # "reason": "mute"
)


def resolved(pack: list[dict[str, Any]]) -> list[tuple[str, float, str, Any]]:
    """Name, time, unit and value of each Record: what RFC 8428, 4.6 makes of a Pack, by who knows nothing else."""
    base: dict[str, Any] = {}
    out = []
    for record in pack:
        base |= {label: value for label, value in record.items() if label in ("bn", "bt", "bu")}
        name = base.get("bn", "") + record.get("n", "")
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9:./_-]*", name), name  # 4.5.1
        values = [record[label] for label in ("v", "vs", "vb", "vd") if label in record]
        assert len(values) == 1, "one value a Record (4.2)"
        out.append((name, base.get("bt", 0) + record.get("t", 0), record.get("u", base.get("bu", "")), values[0]))
    return out


def test_the_vectors() -> None:
    assert senml_json.decode(JSON) == MEANT
    assert senml_cbor.decode(CBOR) == MEANT
    assert senml_json.decode(senml_json.encode(MEANT)) == MEANT
    assert cbor2.loads(senml_cbor.encode(MEANT)) == cbor2.loads(CBOR)
    assert len(senml_cbor.encode(MEANT)) == len(CBOR)  # as short, in the encoder's own order of labels
    assert msgspec.json.decode(senml_json.encode(MEANT)) == msgspec.json.decode(JSON)


def test_any_reader_of_senml_finds_the_values_of_a_summary() -> None:
    points = {
        "environment.temperature_c": PointSummary(n=3, min=20.0, mean=21.0, max=22.0, last=22.0, deviation=0.8),
        "auxiliaries.safeDoor": PointSummary(n=2, last="open", states={"closed": 50.0, "open": 10.0}, changes=1),
    }
    pack = senml_json.encode([envelope("summaries", 1, Summary("ATM-7", AT, AT + 60, 1.0, points, scores={"risk": 0.1}))])
    assert resolved(msgspec.json.decode(pack)) == [
        ("ATM-7:observed", AT + 60, "/", 1.0),
        ("ATM-7:environment.temperature_c:n", AT + 60, "count", 3),
        ("ATM-7:environment.temperature_c:min", AT + 60, "Cel", 20.0),
        ("ATM-7:environment.temperature_c:mean", AT + 60, "Cel", 21.0),
        ("ATM-7:environment.temperature_c:max", AT + 60, "Cel", 22.0),
        ("ATM-7:environment.temperature_c:last", AT + 60, "Cel", 22.0),
        ("ATM-7:environment.temperature_c:deviation", AT + 60, "Cel", 0.8),
        ("ATM-7:auxiliaries.safeDoor:n", AT + 60, "count", 2),
        ("ATM-7:auxiliaries.safeDoor:last", AT + 60, "", "open"),
        ("ATM-7:auxiliaries.safeDoor:changes", AT + 60, "count", 1),
        ("ATM-7:auxiliaries.safeDoor:states:closed", AT + 60, "s", 50.0),
        ("ATM-7:auxiliaries.safeDoor:states:open", AT + 60, "s", 10.0),
        ("ATM-7/scores:risk", AT + 60, "/", 0.1),
    ]


@pytest.mark.parametrize(
    "envelope_",
    [alarm(1), summary(9_000_000_000), envelope("readings", 1, Reading("ATM-7", "p", 1, 12.0)),
     envelope("readings", 1, Reading("my machine", "p", 1, AT))],
)  # fmt: skip
def test_every_name_is_one_that_senml_allows(envelope_: Envelope) -> None:
    assert resolved(msgspec.json.decode(senml_json.encode([envelope_])))


def test_what_senml_cannot_name_travels_as_text() -> None:
    early = envelope("readings", 1, Reading("ATM-7", "p", 1, 12.0))  # 12 s would be a time relative to now
    (record,) = msgspec.json.decode(senml_json.encode([early]))
    assert (record["n"], record["kind"], "bt" in record) == ("record", "record", False)
    assert msgspec.json.decode(record["vs"]) == {"kind": "reading", "machine": "ATM-7", "point": "p", "value": 1, "at": 12.0}


def _changed(index: int, **labels: Any) -> list[dict[str, Any]]:
    pack: list[dict[str, Any]] = msgspec.json.decode(JSON)
    pack[index] |= labels
    return pack


@pytest.mark.parametrize(
    ("pack", "place"),
    [
        ([], "without a Record"),
        ([{"n": "a", "v": 1}], "no `pos`"),
        (_changed(0, cipher_="x"), "must be understood"),
        (_changed(1, bver=11), "bver"),
        (_changed(1, bver="10"), "bver"),
        (_changed(0, bv=1), "bv"),
        (_changed(1, s=1), "bs, s"),
        (_changed(1, bt="now"), "time"),
        (_changed(1, bgw="another"), "more than one"),
        (_changed(0, pos=0), "position"),
        (_changed(0, pos="5"), "position"),
        (_changed(0, kind="order"), "kind"),
        (_changed(1, kind="record", vs="{"), "vs"),
        (_changed(1, kind="record"), "vs"),
        (_changed(1, vd="AA"), "without a value"),
        (_changed(0, n=7), "point"),
        (_changed(0, kind="summary"), "start"),
        ({}, "array"),
        ([[]], "object"),
        ([{"n": None}], "str"),
    ],
)
def test_what_is_no_pack_of_an_agent(pack: Any, place: str) -> None:
    with pytest.raises(Undecodable, match=place):
        senml_json.decode(msgspec.json.encode(pack))


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert senml_json.decode(msgspec.json.encode(_changed(0, colour="blue", ident=7))) == MEANT
    pack = cbor2.loads(CBOR)
    pack[0] |= {-99: 7, 42: 1, "colour": "blue"}
    assert senml_cbor.decode(cbor2.dumps(pack)) == MEANT


@settings(max_examples=150)
@given(st.sampled_from([("senml+json", JSON), ("senml+cbor", CBOR)]), st.data())
def test_a_pack_with_spoilt_bytes_is_a_batch_or_undecodable(vector: tuple[str, bytes], data: st.DataObject) -> None:
    name, payload = vector
    spoilt = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    _decodes_or_says_so(name, bytes(spoilt))


scalars = st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5) | st.binary(max_size=2) | st.none()
labels = st.sampled_from(["bn", "bt", "t", "n", "v", "vs", "vd", "pos", "kind", "start", "at", "currency", "bgw", "quality"])
words = st.sampled_from(["summary", "alarm", "loss", "record", "M1:a:", "M1/cash:", "M1/scores:", "states:open", "units:a", "n"])


@settings(max_examples=150)
@given(st.lists(st.dictionaries(labels, scalars | words, max_size=6), max_size=3))
def test_anything_in_a_pack_is_a_batch_or_undecodable(more: list[dict[str, Any]]) -> None:
    _decodes_or_says_so("senml+cbor", cbor2.dumps([*(senml_cbor._numbered(each) for each in _changed(0)), *more]))
    first = _changed(0)[0]
    _decodes_or_says_so("senml+cbor", cbor2.dumps([first | (more[0] if more else {}), *more]))


def _decodes_or_says_so(name: str, payload: bytes) -> None:
    try:
        batch = ENCODINGS[name].decode(payload)
    except Undecodable:
        return
    assert json.decode(json.encode(batch)) == batch
