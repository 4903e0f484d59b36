"""Between a store and other forms: JSON lines, stock TinyDB files, and a store's own files without their past."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from agent.errors import AgentError
from agent.store import DEAD, LANES
from agent.store.files import OsFiles
from agent.store.history import STATE, is_store, segment_files
from agent.store.inspection import Progress
from agent.store.journal import Journal, require_any_line
from agent.store.segment import TABLE
from agent.store.storage import DOCUMENTS_A_LINE, JournalStorage

_encode = msgspec.json.Encoder().encode


class _Document(msgspec.Struct):
    """A document of a journal as one line."""

    table: str
    id: str
    document: object


def export_lines(path: Path, out: IO[bytes], lanes: Sequence[str] = (*LANES, DEAD), progress: Progress | None = None) -> int:
    """Write what a store (its envelopes) or a journal (its documents) holds, one JSON object a line.

    What the platform refused carries its reason as `why`. Reads only; returns how many lines there were. Raises OSError.
    """
    count = 0
    if not is_store(path):
        for table, doc_id, document in _documents(path):
            out.write(_encode(_Document(table, doc_id, document)) + b"\n")
            count += 1
        return count
    for lane in lanes:
        for _, records in _records(path, lane, progress):
            out.writelines(record + b"\n" for _, record in records)
            count += len(records)
    return count


def export_tinydb(path: Path, out: IO[bytes], lanes: Sequence[str] = (*LANES, DEAD), progress: Progress | None = None) -> int:
    """Write a file that stock TinyDB reads: a table a lane, positions as document ids; a journal as it is.

    Reads only; returns how many documents there were. Raises OSError.
    """
    if not is_store(path):
        tables = _storage(path).read() or {}
        out.write(json.dumps(tables).encode())
        return sum(len(table) for table in tables.values() if isinstance(table, dict))
    count = 0
    for index, lane in enumerate(lanes):
        out.write(b'%b"%b": {' % (b", " if index else b"{", lane.encode()))
        first = True
        for _, records in _records(path, lane, progress):
            for position, record in records:
                out.write(b'%b"%d": %b' % (b"" if first else b", ", position, record))
                first = False
            count += len(records)
        out.write(b"}")
    out.write(b"}")
    return count


def _records(path: Path, lane: str, progress: Progress | None) -> Iterator[tuple[Path, list[tuple[int, bytes]]]]:
    for segment in segment_files(path, lane):
        yield segment.path, list(zip(segment.content.positions, segment.content.records, strict=True))
        if progress:
            progress(segment.path, segment.size)


def _documents(path: Path) -> Iterator[tuple[str, str, object]]:
    for table, content in (_storage(path).read() or {}).items():
        for doc_id, document in content.items() if isinstance(content, dict) else ():
            yield table, doc_id, document


def _storage(path: Path) -> JournalStorage:
    return JournalStorage(path, access_mode="r")


def import_tinydb(source: Path, target: Path) -> int:
    """Take a stock TinyDB file into a new journal. Returns how many documents there were.

    Raises AgentError when the source is no such file, or the target exists or would be among a store's own files, OSError.
    """
    try:
        tables = json.loads(source.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AgentError(f"{source}: no TinyDB file: {error}") from error
    if wrong := _wrong_layout(tables):
        raise AgentError(f"{source}: no TinyDB file: {wrong}")
    if target.exists() and target.stat().st_size:
        raise AgentError(f"{target}: exists already; name a new file")
    if _store_around(target):
        raise AgentError(f"{target}: this is inside an agent's store; name a file elsewhere")
    storage = JournalStorage(target)
    try:
        storage.write(tables)
        storage.compact()  # many documents on few lines would make one damaged byte dear
    finally:
        storage.close()
    return sum(map(len, tables.values()))


def _wrong_layout(tables: object) -> str:
    """What keeps a JSON value from being what TinyDB writes; empty when nothing does."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        return "expected an object of tables, each an object of documents"
    for name, table in tables.items():
        for doc_id, document in table.items():
            if not doc_id.isdecimal():
                return f"table {name!r}: the id {doc_id!r} is no number"
            if not isinstance(document, dict):
                return f"table {name!r}: document {doc_id} is no object"
    return ""


def compact(path: Path, progress: Progress | None = None) -> tuple[int, int]:
    """Rewrite a journal, or the files of a store, without their past. Returns their bytes before and after.

    The newest segment of a lane stays as it is: how it ends tells the agent how its last life ended. Raises BlockingIOError
    when an agent has it open, AgentError for a single file of a store, OSError.
    """
    if not is_store(path):
        return _compact_journal(path)
    state = JournalStorage(path / STATE)  # its lock is the store's
    try:
        state.claim()
        before, after = state.path.stat().st_size, 0
        state.compact()
        for lane in (*LANES, DEAD):
            for segment in segment_files(path, lane):
                if segment.following is None:
                    continue
                before += segment.size
                _compact_segment(segment.path, segment.content.positions, segment.content.records)
                after += segment.path.stat().st_size
                if progress:
                    progress(segment.path, segment.size)
    finally:
        state.close()
    return before, after + state.path.stat().st_size


def _store_around(path: Path) -> Path | None:
    """The store to whose files a path belongs."""
    return next((place for place in path.absolute().parents[:2] if is_store(place) and (place / STATE).exists()), None)


def _compact_journal(path: Path) -> tuple[int, int]:
    if store := _store_around(path):  # an agent that runs holds no lock on most of its files, and knows their sizes
        raise AgentError(f"{path}: this is a file of a store; name the store, {store}")
    require_any_line(path, path.read_bytes())
    before = path.stat().st_size
    storage = JournalStorage(path)
    try:
        storage.compact()
    finally:
        storage.close()
    return before, path.stat().st_size


def _compact_segment(path: Path, positions: list[int], records: list[bytes]) -> None:
    journal = Journal(path, OsFiles())
    journal.open()
    try:
        journal.replace(_payloads(positions, records))
    finally:
        journal.close()


def _payloads(positions: list[int], records: list[bytes]) -> Iterator[bytes]:
    for start in range(0, len(positions), DOCUMENTS_A_LINE):
        part = slice(start, start + DOCUMENTS_A_LINE)
        documents = [b'"%d":%b' % pair for pair in zip(positions[part], records[part], strict=True)]
        yield b'{"%b":{%b}}' % (TABLE.encode(), b",".join(documents))
