"""Lines of text, against examples written from the page, and whatever else may stand on a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.wire import text
from agent.wire.text import LINE_LIMIT, Splitter

GOLDEN: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parents[2] / "golden" / "lines.json").read_text())
READERS = {
    "json": text.json_line,
    "csv": text.csv_line((), ","),
    "csv_with_names": text.csv_line(("t", "h", "door"), ","),
    "keyvalue": text.keyvalue_line,
}


@pytest.mark.parametrize("form", READERS)
def test_golden_lines(form: str) -> None:
    for one in GOLDEN[form]:
        assert READERS[form](one["line"].encode()) == one["says"], one["line"]


@pytest.mark.parametrize("check", ["xor", "crc16"])
def test_golden_checks(check: text.Check) -> None:
    for one in GOLDEN[check]:
        body = text.checked(one["line"].encode(), check)
        assert body == (None if one["body"] is None else one["body"].encode()), one["line"]
    assert text.checked(b"anything*00", "none") == b"anything*00"


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.data())
def test_any_chunking_gives_the_same_lines(lines: list[bytes], draw: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter, got, rest = Splitter(), b"", stream
    while rest:
        size = draw.draw(st.integers(1, len(rest)))
        got += splitter.feed(rest[:size])
        rest = rest[size:]
    assert got == stream
    assert splitter.garbage_bytes == 0


@pytest.mark.parametrize("chunk", [1, 7, 1000, 5000])
def test_an_endless_line_is_skipped_counted_and_holds_no_memory(chunk: int) -> None:
    splitter, sent = Splitter(), 0
    while sent < 20_000:
        assert splitter.feed(b"x" * chunk) == b""
        assert len(splitter._held) <= LINE_LIMIT
        sent += chunk
    assert splitter.feed(b"\ngood\n") == b"good\n"
    assert splitter.garbage_bytes == sent + 1


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
@example(b"[" * 4000)
@example(b'{"a":' * 1000)
@example(b"a=" * 2000)
@example(b"a" * 4000)
@example(b"a \t" * 1300 + b"=")
@example(b'a="' * 1300)
@example(b"1e999")
@example("t=٣".encode())
def test_no_line_raises_or_takes_long(line: bytes) -> None:
    for read in READERS.values():
        document = read(line)
        assert document is None or (isinstance(document, dict) and len(document) <= 4096)
    text.json_lines(line + b"\n")


@given(st.text(max_size=80))
def test_a_text_is_a_number_only_when_it_is_written_as_one(word: str) -> None:
    value = text.scalar(word)
    if isinstance(value, int | float):
        assert value == float(word)
        assert word.isascii()
        assert "_" not in word
    elif isinstance(value, str):
        assert len(value) <= text.TEXT_LIMIT
