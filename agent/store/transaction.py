"""The journal's format: one line a transaction. Pure functions; the page for operators is docs/store.md.

    file         MAGIC line, then lines, oldest first, then NUL bytes: room that is reserved and not yet written
    line         crc32 (8 hex) SP length (hex) SP payload LF      the CRC covers "length SP payload"
    payload      JSON object: table -> change
    change       null: drop the table | {"id": document or null, …}: set or remove documents | [content]: replace it whole

A line says its own length, so a damaged line end costs nothing; and it ends with a line feed, so a damaged length costs one
line. A payload of this agent holds no line feed. Anything that is no line is damage, up to the next good line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

MAGIC = b"tinydb-journal 1\n"
ROOM = b"\0"  # what reserved room consists of; a line holds none
_HEAD = re.compile(rb"([0-9a-f]{8}) (([0-9a-f]{1,8}) )")
_HEAD_BEGUN = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} [0-9a-f]{0,8}")

Tables: TypeAlias = dict[str, Any]
Patch: TypeAlias = dict[str, Any]


def line(payload: bytes) -> bytes:
    """One transaction as it stands in the file."""
    head = b"%x " % len(payload)
    return b"%08x %b%b\n" % (crc32(payload, crc32(head)), head, payload)


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
    """Everything in `data` from `start` to the reserved room, in order and without a gap.

    `start` is 0, where a journal begins with MAGIC, or where a line begins.
    """
    end = len(data.rstrip(ROOM))
    at, damaged = start, -1
    if at == 0:
        at = len(MAGIC)
        if not data.startswith(MAGIC):
            at, damaged = (at if _line_at(data, at) else 0), 0
        if end == 0:
            if data:
                yield Damage(0, len(data), torn=False)
            return
    while at < end:
        good = _line_at(data, at)
        if good is None:
            damaged = at if damaged < 0 else damaged
            following = data.find(b"\n", at, end)
            at = end if following < 0 else following + 1
            continue
        if damaged >= 0:
            yield Damage(damaged, at, torn=False)
            damaged = -1
        yield good
        at = good.end
    if damaged >= 0:
        yield Damage(damaged, end, torn=damaged > 0 and _is_begun(data, damaged, end))


def _line_at(data: bytes, at: int) -> Line | None:
    head = _HEAD.match(data, at)
    if head is None:
        return None
    payload = head.end()
    end = payload + int(head[3], 16)
    if end >= len(data) or crc32(memoryview(data)[head.start(2) : end]) != int(head[1], 16):
        return None  # a line without its line feed was never finished; one with a wrong byte there is good
    return Line(at, end + 1, data[payload:end])


def _is_begun(data: bytes, at: int, end: int) -> bool:
    """Whether the rest can be a line that a crash left unfinished: its first pages, or some of its pages."""
    if data[end - 1 : end] == b"\n":
        return False
    head = _HEAD.match(data, at, end)
    if head is None:
        return data.startswith(ROOM, at) or _HEAD_BEGUN.fullmatch(data, at, end) is not None
    return end <= head.end() + int(head[3], 16)


def fold(tables: Tables, patch: Patch) -> None:
    """Apply one transaction to the tables, in place. Raises ValueError when it has not the form of one."""
    if not isinstance(patch, dict):
        raise ValueError("a transaction is an object: table -> change")  # noqa: TRY004  a matter of content
    for name, change in patch.items():
        if change is None:
            tables.pop(name, None)
        elif isinstance(change, list) and len(change) == 1:
            tables[name] = change[0]
        elif not isinstance(change, dict):
            raise ValueError(f"table {name!r}: a change is null, an object or [content]")
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
