"""The journal's format: one line a transaction. Pure functions; the page for operators is docs/store.md.

    file         MAGIC line, then lines, oldest first
    line         crc32 (8 hex) SP length (hex) SP payload LF      the CRC covers "length SP payload"
    payload      JSON object: table -> change
    change       null: drop the table | {"id": document or null, …}: set or remove documents | [content]: replace it whole

A line says its own length, so a damaged line end costs nothing; and it ends with a line feed, so a damaged length costs one
line. A payload of this agent holds no line feed. Anything that is no line is damage, up to the next good line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

MAGIC = b"tinydb-journal 1\n"
HEAD_MAX = 8 + 1 + 8 + 1  # crc, space, length, space

Tables: TypeAlias = dict[str, Any]
Patch: TypeAlias = dict[str, Any]


def line(payload: bytes) -> bytes:
    """One transaction as it stands in the file."""
    body = b"%x %b" % (len(payload), payload)
    return b"%08x %b\n" % (crc32(body), body)


class Line(NamedTuple):
    """A good line: where it starts and ends in the bytes that were scanned, and its payload."""

    start: int
    end: int
    payload: bytes


class Damage(NamedTuple):
    """Bytes that are no line. `torn` when they are a line that was begun at the end and never finished."""

    start: int
    end: int
    torn: bool


def scan(data: bytes, start: int = 0) -> Iterator[Line | Damage]:
    """Everything in `data` from `start`, in order and without a gap."""
    at = start
    if at == 0 and data.startswith(MAGIC):
        at = len(MAGIC)
    damaged = -1
    while at < len(data):
        good = _line_at(data, at)
        if good is None:
            if damaged < 0:
                damaged = at
            following = data.find(b"\n", at)
            at = len(data) if following < 0 else following + 1
            continue
        if damaged >= 0:
            yield Damage(damaged, at, torn=False)
            damaged = -1
        yield good
        at = good.end
    if damaged >= 0:
        yield Damage(damaged, len(data), torn=not data.endswith(b"\n"))


def _line_at(data: bytes, at: int) -> Line | None:
    head = data[at : at + HEAD_MAX].split(b" ", 2)
    if len(head) < 3 or len(head[0]) != 8:
        return None
    try:
        crc, length = int(head[0], 16), int(head[1], 16)
    except ValueError:
        return None
    body = at + 9
    payload = body + len(head[1]) + 1
    end = payload + length
    if end >= len(data) or crc32(memoryview(data)[body:end]) != crc:
        return None  # a line without its line feed was never finished; one with a wrong byte there is good
    return Line(at, end + 1, data[payload:end])


def fold(tables: Tables, patch: Patch) -> None:
    """Apply one transaction to the tables, in place."""
    for name, change in patch.items():
        if change is None:
            tables.pop(name, None)
        elif isinstance(change, list):
            tables[name] = change[0]
        else:
            table = tables.setdefault(name, {})
            for doc_id, document in change.items():
                if document is None:
                    table.pop(doc_id, None)
                else:
                    table[doc_id] = document


def difference(old: Tables, new: Tables) -> Patch:
    """The transaction that turns `old` into `new`; empty when they are the same."""
    patch: Patch = {name: None for name in old if name not in new}
    for name, content in new.items():
        if name not in old:
            patch[name] = [content]
        elif old[name] != content or _order(old[name]) != _order(content):
            patch[name] = _table_difference(old[name], content)
    return patch


def _table_difference(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)) or not new or None in new.values():
        return [new]
    change: dict[str, Any] = {doc_id: None for doc_id in old if doc_id not in new}
    change.update({doc_id: document for doc_id, document in new.items() if old.get(doc_id) != document})
    kept = [doc_id for doc_id in old if doc_id in new]
    added = [doc_id for doc_id in new if doc_id not in old]
    return change if kept + added == list(new) else [new]


def _order(content: Any) -> list[str] | None:
    return list(content) if isinstance(content, dict) else None
