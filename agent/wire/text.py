"""Lines of text that a microcontroller prints: JSON, CSV or key=value. Bytes in, what each line says out; no I/O.

A line ends with LF; a CR before it and empty lines are nothing. A check, where the firmware adds one, stands at the end as in
NMEA 0183: `*` and the hexadecimal digits of the XOR of all bytes before it (two), or of their CRC-16/CCITT-FALSE (four).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import xor
from typing import Any, Literal, TypeAlias

import msgspec

from agent.wire import crc

LINE_LIMIT = 4096  # bytes; no firmware prints longer ones
FIELDS_LIMIT = 256  # of one line; what follows is not looked at
TEXT_LIMIT = 64  # characters of one value

Check: TypeAlias = Literal["none", "xor", "crc16"]
Document: TypeAlias = Mapping[str, object]
"""What one line says: name of a field -> number, text, truth value or None."""


class Splitter:
    """Whole lines out of a stream of bytes, whatever the chunks. Holds at most one line."""

    def __init__(self) -> None:
        self._held = b""
        self._skipping = False  # an overlong line, until its end
        self.garbage_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """The whole lines so far, with their ends; empty when there is none."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._hold(chunk)
            return b""
        whole = self._held + chunk[:end] if self._held else chunk[:end]
        self._held = b""
        if self._skipping:
            self._skipping = False
            cut = whole.index(b"\n") + 1
            self.garbage_bytes += cut
            whole = whole[cut:]
        self._hold(chunk[end:])
        return whole

    def _hold(self, rest: bytes) -> None:
        if self._skipping or len(self._held) + len(rest) > LINE_LIMIT:
            self._skipping = True
            self.garbage_bytes += len(self._held) + len(rest)
            self._held = b""
        else:
            self._held += rest


def checked(line: bytes, check: Check) -> bytes | None:
    """The line without its check; None when that is missing or wrong."""
    if check == "none":
        return line
    digits = 2 if check == "xor" else 4
    body, star, given = line.rpartition(b"*")
    if not star or len(given) != digits or not _HEX.fullmatch(given):
        return None
    right = reduce(xor, body, 0) if check == "xor" else crc.ccitt_false(body)
    return body if int(given, 16) == right else None


_HEX = re.compile(rb"[0-9A-Fa-f]+")
_decoder = msgspec.json.Decoder()


def json_lines(block: bytes) -> list[Any] | None:
    """Every value of a block of JSON lines at once; None when one of them is no JSON, so that each must be looked at alone."""
    try:
        return _decoder.decode_lines(block)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def json_line(line: bytes) -> Document | None:
    """A JSON object, or a list whose columns are numbered from 1; None for everything else."""
    try:
        value = _decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return document_of(value)


def document_of(value: object) -> Document | None:
    """A decoded JSON value as a document."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(number): each for number, each in enumerate(value[:FIELDS_LIMIT], start=1)}
    return None


def csv_line(columns: Sequence[str], separator: str) -> Callable[[bytes], Document | None]:
    """A reader of lines with fields in columns; without names they are numbered from 1. A quote at both ends is taken off."""

    def read(line: bytes) -> Document | None:
        text = _text(line)
        if text is None:
            return None
        cells = [each.strip() for each in text.split(separator, FIELDS_LIMIT)[:FIELDS_LIMIT]]
        if cells == list(columns):
            return {}  # a header
        if columns and len(cells) != len(columns):
            return None  # a line that lost or gained a separator has its values under wrong names
        names = columns or [str(number) for number in range(1, len(cells) + 1)]
        return {name: scalar(cell) for name, cell in zip(names, cells, strict=True)}

    return read


def keyvalue_line(line: bytes) -> Document | None:
    """A line such as `t=21.5 h=40, door: open`; None when it holds anything that is not of this form."""
    text = _text(line)
    if text is None or _PAIRS.fullmatch(text) is None:
        return None
    return {key: scalar(value) for key, value in _PAIR.findall(text)[:FIELDS_LIMIT]}


# every character has one place only, so that no line can make the search go back and forth
_PAIR = re.compile(r"([A-Za-z_][\w./-]*)[ \t]*[=:][ \t]*(\"[^\"]*\"|[^\s,;\"=:]*)")
_PAIRS = re.compile(rf"[\s,;]*(?:{_PAIR.pattern.replace('(', '(?:')}(?:[\s,;]+|$))+")


def _text(line: bytes) -> str | None:
    """The line as text, when it is printable ASCII or UTF-8 without control characters but the tab."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    return text if text.replace("\t", "").isprintable() else None


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def scalar(text: str) -> object:
    """A number where the text is one, None where it is empty or says so, else the text itself, cut to a bound."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if text in ("", "null", "nan", "NaN", "None", "-"):
        return None
    if len(text) <= TEXT_LIMIT and _NUMBER.fullmatch(text):
        return int(text) if text.isdigit() else float(text)
    return text[:TEXT_LIMIT]
