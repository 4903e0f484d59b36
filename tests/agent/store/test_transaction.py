"""The journal's format, against lines that were made without our encoder (CRC-32 by gzip(1))."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.store.journal import scanned
from agent.store.transaction import MAGIC, Damage, Line, difference, fold, line, scan

GOLDEN = [
    ('{"_default":{"1":{"a":"ü"}}}'.encode(), 'bf4edc55 1d {"_default":{"1":{"a":"ü"}}}\n'.encode()),
    (b'{"_default":null}', b'c7fe49b0 11 {"_default":null}\n'),
]
FILE = b"tinydb-journal 1\n" + b"".join(stored for _, stored in GOLDEN)
payloads = st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b" ")), max_size=8)


@pytest.mark.parametrize(("payload", "stored"), GOLDEN)
def test_a_line(payload: bytes, stored: bytes) -> None:
    assert line(payload) == stored


def test_a_file() -> None:
    assert list(scan(FILE)) == [
        Line(17, 59, GOLDEN[0][0]),
        Line(59, 89, GOLDEN[1][0]),
    ]
    assert scanned(FILE).payloads == [payload for payload, _ in GOLDEN]


def journal(contents: list[bytes]) -> bytes:
    return MAGIC + b"".join(map(line, contents))


@given(payloads, st.integers(0, 200))
def test_what_was_written_is_read_whatever_room_follows(contents: list[bytes], room: int) -> None:
    found = scanned(journal(contents) + bytes(room))
    assert found.payloads == contents
    assert (found.damages, found.torn, found.end) == ([], None, len(journal(contents)))


@given(payloads.filter(bool), st.randoms(use_true_random=False))
def test_an_unfinished_line_is_torn_and_costs_nothing_else(contents: list[bytes], chance: random.Random) -> None:
    whole = journal(contents)
    begins = len(journal(contents[:-1]))
    cut = chance.randrange(begins, len(whole) - 1)
    for room in (b"", bytes(chance.randrange(1, 50))):
        found = scanned(whole[:cut] + room)
        assert found.payloads == contents[:-1]
        assert found.damages == []
        assert found.end == begins


@given(payloads.filter(bool), st.randoms(use_true_random=False))
def test_a_flipped_byte_costs_one_line_at_most(contents: list[bytes], chance: random.Random) -> None:
    data = bytearray(journal(contents))
    at = chance.randrange(len(data))
    data[at] ^= chance.randrange(1, 256)
    found = scanned(bytes(data))
    lost = [payload for payload in contents if payload not in found.payloads]
    assert len(lost) <= 1
    rest = iter(contents)
    assert all(payload in rest for payload in found.payloads), "in order, and nothing made up"


@given(st.binary(max_size=300))
@example(b"00000000 0 \n")
@example(b"tinydb-journal 1\n00000000 -9 \n00000000 -13 \n")
@example(b"tinydb-journal 1\n00000000 ffffffff x\n")
def test_noise_is_accounted_for_byte_by_byte(data: bytes) -> None:
    at = len(MAGIC) if data.startswith(MAGIC) else 0
    for part in scan(data):
        assert part.start == at
        assert part.end > part.start
        at = part.end
    assert not data[at:].strip(b"\0"), "what is left is room"


def test_noise_at_the_end_is_no_torn_line() -> None:
    """A torn line begins as a line and is no longer than it says; anything else was not left by a crash."""
    for noise in (b"#" * 40, b"zz", line(b"x" * 10)[:-1] + b"#" * 10, b"\n"):
        assert [part.torn for part in scan(FILE + noise) if isinstance(part, Damage)] == [False]
    for torn in (b"c7", b"c7fe49b0 1", b'c7fe49b0 11 {"_de', b'\0\0\0t":null}'):
        assert [part.torn for part in scan(FILE + torn) if isinstance(part, Damage)] == [True]


def test_a_file_without_its_first_line_keeps_the_others() -> None:
    for harmed in (b"X" + FILE[1:], FILE[:16] + b"X" + FILE[17:]):
        assert scanned(harmed).payloads == [payload for payload, _ in GOLDEN]
        assert [span[:2] for span in scanned(harmed).damages] == [(0, 17)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("xy", max_size=1), inner, max_size=2),
    max_leaves=4,
)
tables = st.dictionaries(
    st.sampled_from(["_default", "t", "u"]),
    st.dictionaries(st.integers(1, 5).map(str), json_values, max_size=4) | json_values,
    max_size=3,
)


@given(tables, tables)
def test_a_difference_turns_one_into_the_other_order_included(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy(old)
    patch = difference(old, new)
    assert old == before
    fold(old, patch)
    assert old == new
    for name, content in new.items():
        if isinstance(content, dict):
            assert list(old[name]) == list(content)
    assert difference(old, new) == {}


@pytest.mark.parametrize("patch", [[], 7, {"t": 7}, {"t": []}, {"t": [1, 2]}])
def test_what_is_no_transaction_is_refused(patch: Any) -> None:
    with pytest.raises(ValueError, match="object"):
        fold({}, patch)
