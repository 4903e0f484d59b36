"""Batches as bytes: vectors written from RFC 8259 and RFC 8949 by hand, every kind of record, and hostile bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.encode import BY_CONTENT_FORMAT, ENCODINGS, MAX_BYTES, MAX_ENVELOPES, Undecodable, cbor, json, sniffed, write
from agent.encode.batch import MAX_POSITION
from agent.records import (
    Alarm,
    Answer,
    Body,
    CashPosition,
    Chunk,
    Envelope,
    EventClass,
    Evidence,
    Loss,
    Outcome,
    PointSummary,
    Quality,
    Reading,
    Severity,
    Summary,
)
from tests.agent.envelopes import alarm

SAME_NAMES = ["json", "cbor"]  # one shape in two notations
ALL = [(name, compress) for name in ENCODINGS for compress in (False, True)]

JSON = b"""{"gateway":"g1","epoch":"e7","lane":"alarms","envelopes":[{"position":5,"boot":"b","mono":1.5,"at":2.0,"synced":true,
"body":{"kind":"loss","lane":"readings","first":1,"last":300,"count":300,"why":"evicted"}}]}"""

CBOR = bytes.fromhex(
    "a4"  # map of four
    "67 67617465776179 62 6731"  # "gateway": "g1"
    "65 65706f6368 62 6537"  # "epoch": "e7"
    "64 6c616e65 66 616c61726d73"  # "lane": "alarms"
    "69 656e76656c6f706573 81"  # "envelopes": list of one
    "a6"  # map of six
    "68 706f736974696f6e 05"  # "position": 5
    "64 626f6f74 61 62"  # "boot": "b"
    "64 6d6f6e6f fb 3ff8000000000000"  # "mono": 1.5 as a double
    "62 6174 fb 4000000000000000"  # "at": 2.0
    "66 73796e636564 f5"  # "synced": true
    "64 626f6479 a6"  # "body": map of six
    "64 6b696e64 64 6c6f7373"  # "kind": "loss"
    "64 6c616e65 68 72656164696e6773"  # "lane": "readings"
    "65 6669727374 01"  # "first": 1
    "64 6c617374 19 012c"  # "last": 300
    "65 636f756e74 19 012c"  # "count": 300
    "63 776879 67 65766963746564"  # "why": "evicted"
)

MEANT = [Envelope("g1", "e7", "alarms", 5, "b", 1.5, 2.0, True, Loss("readings", 1, 300, 300, "evicted"))]

POINTS = {
    "a": PointSummary(n=2, min=-1.0, mean=0.5, max=2.0, last=2.0, deviation=1.5),
    "b": PointSummary(last="open", states={"open": 60.0}, changes=1),
}
EVIDENCE = (Evidence("p", "open", 1.0), Evidence("q", None, 2.0))
BODIES: list[Body] = [
    Reading("ATM-1", "environment.temperature", 21.5, 12.0),
    Reading("ATM-1", "auxiliaries.safeDoor", None, 12.0, Quality.BAD, "no answer"),
    Summary("ATM-1", 0.0, 60.0, 0.5, {}),
    Summary("ATM-1", 0.0, 60.0, 1.0, POINTS, CashPosition("EUR", 12_345_600, {"unit1": 1900}), {"attack_risk": 0.03}),
    Alarm("ATM-1", 1.0, "door", EventClass.SECURITY, Severity.FATAL, "p", "open", EVIDENCE, "äöü 💶", "B2", repeats=3),
    Alarm("ATM-1", 1.0, "door", EventClass.SERVICE, Severity.NONE, "p", None, (), cleared=True, planned=True),
    Loss("summaries", 1, 9, 9, "unreadable"),
    Answer("g", 12.0, "r-1", "readNow", Outcome.DONE, "well", {"ATM-1/auxiliaries.safeDoor": None, "ATM-1/x": 1.5}),
    Answer("g", 12.0, "r-2", "flush", Outcome.REFUSED),
    Chunk("g", "g-1.atmbackup", 8192, 9000, "0f" * 32, bytes(range(256))),
]


@pytest.mark.parametrize(("name", "vector"), [("json", JSON.replace(b"\n", b"")), ("cbor", CBOR)])
def test_the_vectors(name: str, vector: bytes) -> None:
    encoding = ENCODINGS[name]
    assert encoding.decode(vector) == MEANT
    assert encoding.encode(MEANT) == vector


def test_the_example_of_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "platform-link.md").read_text()
    (envelope,) = json.decode(page.split("```json\n")[1].split("```")[0].encode())
    assert (envelope.gateway, envelope.lane, envelope.position, envelope.kind) == ("gw-0117", "alarms", 41, "alarm")
    dump = "".join(
        line.split('  "')[0].split("   map")[0].split("   list")[0]
        for line in page.split("in CBOR:\n\n```\n")[1].split("```")[0].splitlines()
    )
    assert CBOR.startswith(bytes.fromhex(dump))


def test_what_the_encodings_are_called() -> None:
    """IANA's media types, and CoAP's numbers for them (RFC 7252, table 9; RFC 8949, 9.4; RFC 8428, 12.3; the registry)."""
    assert [(each.media_type, each.content_format) for each in ENCODINGS.values()] == [
        ("application/json", 50),
        ("application/cbor", 60),
        ("application/senml+json", 110),
        ("application/senml+cbor", 112),
    ]
    assert {number: each.media_type for number, each in BY_CONTENT_FORMAT.items() if number > 1000} == {
        11050: "application/json; coding=deflate",
        11060: "application/cbor; coding=deflate",
    }


@pytest.mark.parametrize(("name", "compress"), ALL)
@pytest.mark.parametrize("body", BODIES)
def test_every_kind_of_record_comes_back_as_it_was(name: Any, compress: bool, body: Body) -> None:
    batch = [Envelope("g", "e", "any", position, "b", 0.25, 1e9, False, body) for position in (1, 2, MAX_POSITION)]
    payload, written = write(name, batch, compress=compress)
    assert written.decode(payload) == batch
    assert sniffed(payload).decode(payload) == batch  # MQTT 3.1.1 has no word for what it is


numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(min_size=1, max_size=20)
values = st.none() | numbers | st.integers(-(2**53), 2**53) | st.text(max_size=20)
names = words | st.sampled_from(["ATM-7", "auxiliaries.safeDoor", "storage.unit1.count"])
moments = numbers | st.floats(1e9, 2e9)
maybe = st.none() | numbers
tables = st.dictionaries(names, numbers, max_size=2)
points = st.builds(
    PointSummary, st.integers(0, 99), st.integers(0, 9), st.integers(0, 9), maybe, maybe, maybe, values, maybe, maybe,
    st.none() | tables, st.integers(0, 9),
)  # fmt: skip
cash = st.builds(CashPosition, words, st.integers(0, 10**9), st.dictionaries(names, st.integers(0, 9), max_size=2))
evidence = st.lists(st.builds(Evidence, names, values, moments), max_size=2).map(tuple)
bodies = st.one_of(
    st.builds(Reading, names, names, values, moments, st.sampled_from(Quality), st.text(max_size=5)),
    st.builds(Loss, names, st.integers(1, 99), st.integers(1, 99), st.integers(0, 99), words),
    st.builds(
        Summary, names, moments, moments, numbers, st.dictionaries(names, points, max_size=2), st.none() | cash,
        st.none() | tables,
    ),
    st.builds(
        Alarm, names, moments, words, st.sampled_from(EventClass), st.sampled_from(Severity), names, values, evidence,
        st.text(max_size=5), st.none() | words, st.booleans(), st.booleans(), st.integers(0, 9),
    ),
)  # fmt: skip


@given(
    st.sampled_from(list(ENCODINGS)),
    words,
    words,
    words,
    st.lists(st.tuples(st.integers(1, MAX_POSITION), numbers, numbers, st.booleans(), bodies), min_size=1, max_size=4),
)
def test_any_batch_comes_back_as_it_was(
    name: str, gateway: str, epoch: str, lane: str, items: list[tuple[int, float, float, bool, Body]]
) -> None:
    batch = [Envelope(gateway, epoch, lane, position, "b", mono, at, synced, body) for position, mono, at, synced, body in items]
    assert ENCODINGS[name].decode(ENCODINGS[name].encode(batch)) == batch


@pytest.mark.parametrize("name", ENCODINGS)
def test_envelopes_of_two_streams_are_no_batch(name: str) -> None:
    with pytest.raises(ValueError, match="of one gateway, epoch and lane"):
        ENCODINGS[name].encode([alarm(1), alarm(2, epoch="other")])
    with pytest.raises(ValueError, match="are of 0"):
        ENCODINGS[name].encode([])


@pytest.mark.parametrize("name", SAME_NAMES)
def test_a_field_of_a_later_version_is_passed_over(name: str) -> None:
    batch = cbor2.loads(CBOR) | {"compressed": False}
    batch["envelopes"][0] |= {"signature": "x"}
    batch["envelopes"][0]["body"] |= {"cost": 7}
    payload = cbor2.dumps(batch) if name == "cbor" else msgspec.json.encode(batch)
    assert ENCODINGS[name].decode(payload) == MEANT


def _changed(*path: str | int, to: Any) -> dict[str, Any]:
    batch: dict[str, Any] = cbor2.loads(CBOR)
    place: Any = batch
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return batch


WRONG = [
    ([], "object"),
    (7, "object"),
    ({}, "gateway"),
    (_changed("gateway", to=""), "gateway"),
    (_changed("gateway", to=7), "gateway"),
    (_changed("lane", to="x" * 129), "lane"),
    (_changed("envelopes", to=[]), "envelopes"),
    (_changed("envelopes", to=[cbor2.loads(CBOR)["envelopes"][0]] * (MAX_ENVELOPES + 1)), "envelopes"),
    (_changed("envelopes", 0, "position", to=0), "position"),
    (_changed("envelopes", 0, "position", to=MAX_POSITION + 1), "position"),
    (_changed("envelopes", 0, "position", to="5"), "position"),
    (_changed("envelopes", 0, "position", to=True), "position"),
    (_changed("envelopes", 0, "at", to=None), "at"),
    (_changed("envelopes", 0, "body", "kind", to="order"), "kind"),
    (_changed("envelopes", 0, "body", to={"kind": "alarm"}), "body"),
]


@pytest.mark.parametrize("name", SAME_NAMES)
@pytest.mark.parametrize(("batch", "place"), WRONG)
def test_what_is_wrong_is_told_by_its_place(name: str, batch: Any, place: str) -> None:
    payload = cbor2.dumps(batch) if name == "cbor" else msgspec.json.encode(batch)
    with pytest.raises(Undecodable, match=place):
        ENCODINGS[name].decode(payload)


@pytest.mark.parametrize("name", SAME_NAMES)
@pytest.mark.parametrize("path", [("envelopes", 0, "body", "kind"), ("envelopes", 0, "position"), ("gateway",)])
def test_a_value_is_never_repeated_in_a_complaint(name: str, path: tuple[str | int, ...]) -> None:
    batch = _changed(*path, to="4111111111111111" * 10)
    payload = cbor2.dumps(batch) if name == "cbor" else msgspec.json.encode(batch)
    with pytest.raises(Undecodable) as caught:
        ENCODINGS[name].decode(payload)
    assert "4111" not in str(caught.value)


@pytest.mark.parametrize("name", ENCODINGS)
def test_what_is_longer_than_any_batch_is_not_even_read(name: str) -> None:
    with pytest.raises(Undecodable, match="bytes, more than"):
        ENCODINGS[name].decode(b"{" * (MAX_BYTES + 1))


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xff", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"1e999", b'"\\ud800"', b'{"gateway":"\xff"}', b"NaN",
        JSON.replace(b"1.5", b"1e999"), JSON.replace(b"\n", b"")[:-1], JSON + b"x",
    ],
)  # fmt: skip
def test_json_that_is_none(payload: bytes) -> None:
    with pytest.raises(Undecodable):
        json.decode(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xff", b"\xf6", b"\x9f", b"\x81" * 1000, b"\xa1\x01\x02",
        bytes.fromhex("9bffffffffffffffff"), bytes.fromhex("5b7fffffffffffffff"),  # promises more than there is
        bytes.fromhex("d81c81d81d00"),  # a list that holds itself (tags 28 and 29)
        bytes.fromhex("c25affffffff"), bytes.fromhex("c4821b7fffffffffffffff01"),  # a bignum, a decimal fraction
        bytes.fromhex("d8236128"),  # a regular expression
        bytes.fromhex("d9d9f7") + CBOR,  # self-described CBOR is a tag too
        bytes.fromhex("da00010000") + CBOR,
        CBOR + b"\x00", CBOR[:-1],
        CBOR.replace(bytes.fromhex("fb3ff8000000000000"), bytes.fromhex("fb7ff8000000000000")),  # NaN
        CBOR.replace(bytes.fromhex("fb3ff8000000000000"), bytes.fromhex("f97c00")),  # infinity
        CBOR.replace(bytes.fromhex("fb3ff8000000000000"), bytes.fromhex("41 00")),  # bytes
        CBOR.replace(bytes.fromhex("65 65706f6368"), bytes.fromhex("67 67617465776179")),  # a key twice
    ],
)  # fmt: skip
def test_cbor_that_is_none(payload: bytes) -> None:
    with pytest.raises(Undecodable):
        cbor.decode(payload)


@settings(max_examples=200)
@given(st.sampled_from(list(ENCODINGS)), st.binary(max_size=300))
def test_any_bytes_are_a_batch_or_undecodable(name: str, payload: bytes) -> None:
    _decodes_or_says_so(name, payload)


@settings(max_examples=300)
@given(st.sampled_from([("json", JSON), ("cbor", CBOR)]), st.data())
def test_a_batch_with_spoilt_bytes_is_a_batch_or_undecodable(vector: tuple[str, bytes], data: st.DataObject) -> None:
    name, payload = vector
    spoilt = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    _decodes_or_says_so(name, bytes(spoilt))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["kind", "body", "position"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(
    plain,
    st.sampled_from(
        [
            ("gateway",),
            ("envelopes",),
            ("envelopes", 0),
            ("envelopes", 0, "body"),
            ("envelopes", 0, "at"),
            ("envelopes", 0, "position"),
        ]
    ),
)
def test_a_batch_with_anything_in_a_place_is_a_batch_or_undecodable(anything: Any, path: tuple[str | int, ...]) -> None:
    _decodes_or_says_so("cbor", cbor2.dumps(_changed(*path, to=anything)))


def _decodes_or_says_so(name: str, payload: bytes) -> None:
    """And what decodes can be written down in JSON and read again: nothing that only looks like a record."""
    try:
        batch = ENCODINGS[name].decode(payload)
    except Undecodable:
        return
    assert all(math.isfinite(each.at) and each.position >= 1 for each in batch)
    assert json.decode(json.encode(batch)) == batch
