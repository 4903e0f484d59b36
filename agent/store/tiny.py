"""TinyDB on a journal: `JournalDB(path)` is a TinyDB whose every change is one durable, atomic, appended transaction.

    db = JournalDB("state.journal")                      # or TinyDB(path, storage=JournalStorage)
    db.table("cursors").upsert({"at": 7}, where("uplink") == "platform")

With `JournalDB` a change costs the size of the change. Through any other table class, or behind a middleware, the storage is
given whole databases; it then writes the difference to what it holds. The tables are kept in memory; documents that are
handed out are copies.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from tinydb import TinyDB
from tinydb.queries import QueryLike
from tinydb.storages import Storage
from tinydb.table import Document, Table

from agent.store.files import Files, OsFiles
from agent.store.journal import Journal, Lock, Repair, scanned
from agent.store.transaction import Patch, Tables, difference, fold

COMPACT_FLOOR = 64 * 1024  # bytes; below this the past is not worth a rewrite
COMPACT_FACTOR = 3  # the journal may grow to so many times its size after the last rewrite
DOCUMENTS_A_LINE = 500  # of a rewritten journal, so that one damaged line costs no more


class JournalStorage(Storage):
    """TinyDB's storage seam over a journal file.

    Takes the arguments of TinyDB's JSONStorage; `access_mode="r"` opens read-only, repairs nothing and follows a writer.
    Further keywords go to json.dumps. Raises OSError where JSONStorage does, BlockingIOError when another process writes.
    """

    def __init__(
        self,
        path: str | Path,
        create_dirs: bool = False,
        encoding: str | None = None,
        access_mode: str = "r+",
        files: Files | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self._files = files or OsFiles()
        self._encoding = encoding or "utf-8"
        self._dumps = {"separators": (",", ":"), "ensure_ascii": False, **kwargs}
        self._tables: Tables | None = None
        self._journal: Journal | None = None
        self._lock: Lock | None = None
        self._seen: tuple[int, int] = (-1, -1)
        self.repair = Repair()
        if access_mode not in ("r", "rb", "r+", "rb+"):
            warnings.warn(
                "Using an `access_mode` other than 'r', 'rb', 'r+' or 'rb+' can cause data loss or corruption",
                stacklevel=2,
            )
        if any(letter in access_mode for letter in "+wa"):
            self._open_for_writing(create_dirs, truncate="w" in access_mode)
        else:
            self.refresh()

    def _open_for_writing(self, create_dirs: bool, *, truncate: bool) -> None:
        if create_dirs:
            self._files.make_directory(self.path.parent)
        self._lock = Lock(self.path.with_name(self.path.name + ".lock"))
        journal = Journal(self.path, self._files)
        try:
            payloads, self.repair = journal.open()
            self._load(payloads)
        except BaseException:
            journal.close()
            self._lock.release()
            raise
        self._journal = journal
        self._compacted = max(journal.size, COMPACT_FLOOR)
        if truncate:
            self.write({})

    def _load(self, payloads: Iterator[bytes]) -> None:
        tables: Tables | None = None
        for payload in payloads:
            tables = {} if tables is None else tables
            fold(tables, self._decode(payload))
        self._tables = tables

    def refresh(self) -> None:
        """Read what the writer has appended since. Only for a storage that was opened read-only."""
        status = self.path.stat()
        seen = (status.st_ino, status.st_size)
        if seen != self._seen:
            self._load(iter(scanned(self._files.read(self.path)).payloads))
            self._seen = seen

    @property
    def tables(self) -> Tables:
        """What the storage holds, as it holds it: not to be changed by the caller."""
        if self._journal is None and self._lock is None:
            self.refresh()
        return self._tables if self._tables is not None else {}

    @property
    def size(self) -> int:
        """Bytes of the file; 0 when it is not open for writing."""
        return self._journal.size if self._journal else 0

    def read(self) -> Tables | None:
        """A copy of all tables; None when nothing was ever written."""
        tables = self.tables
        return None if self._tables is None else _copied(tables)

    def write(self, data: Tables) -> None:
        """Make `data` the whole content, by appending what differs."""
        new = self._decode(self._encode(data))
        patch = difference(self.tables, new)
        if patch or self._tables is None:
            self.commit(patch)

    def commit(self, patch: Patch) -> None:
        """Append one transaction (`agent.store.transaction`). It is durable and visible when this returns, or neither."""
        payload = self._encode(patch)
        if self._journal is None:
            raise OSError(f"{self.path}: cannot write, the database was opened read-only or is closed")
        self._journal.append(payload)
        if self._tables is None:
            self._tables = {}
        fold(self._tables, self._decode(payload))
        if self._journal.size > self._compacted * COMPACT_FACTOR:
            self.compact()

    def _encode(self, value: Any) -> bytes:
        return json.dumps(value, **self._dumps).encode(self._encoding)

    def _decode(self, payload: bytes) -> Any:
        try:
            return json.loads(payload.decode(self._encoding))
        except UnicodeDecodeError as error:
            raise json.JSONDecodeError(f"{self.path}: not {self._encoding}", "", error.start) from error

    def compact(self) -> None:
        """Replace the journal by one that holds the present alone. Crash-safe at every step."""
        if self._journal is None:
            raise OSError(f"{self.path}: cannot compact, the database was opened read-only or is closed")
        self._journal.replace(map(self._encode, _whole(self._tables or {})))
        self._compacted = max(self._journal.size, COMPACT_FLOOR)

    def close(self) -> None:
        """Close the file and let the next writer in."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _whole(tables: Tables) -> Iterator[Patch]:
    """The transactions of a journal that says `tables` and nothing else."""
    for name, content in tables.items():
        if not isinstance(content, dict) or len(content) <= DOCUMENTS_A_LINE:
            yield {name: [content]}
            continue
        documents = list(content.items())
        for start in range(0, len(documents), DOCUMENTS_A_LINE):
            part = dict(documents[start : start + DOCUMENTS_A_LINE])
            yield {name: part if start else [part]}


def _copied(value: Any) -> Any:
    """A copy of a JSON value that shares nothing which could be changed."""
    if isinstance(value, dict):
        return {key: _copied(item) if type(item) in (dict, list) else item for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) if type(item) in (dict, list) else item for item in value]
    return value


class _Changes(MutableMapping[int, Any]):
    """A table as TinyDB's updaters see it: id -> document. Remembers what they touched; the table itself stays as it is."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table
        self._touched: dict[int, Any] = {}
        self._gone: set[int] = set()

    def __getitem__(self, doc_id: int) -> Any:
        if doc_id in self._touched:
            return self._touched[doc_id]
        if doc_id in self._gone:
            raise KeyError(doc_id)
        copy = _copied(self._table[str(doc_id)])
        self._touched[doc_id] = copy
        return copy

    def __setitem__(self, doc_id: int, document: Any) -> None:
        self._touched[doc_id] = document
        self._gone.discard(doc_id)

    def __delitem__(self, doc_id: int) -> None:
        if doc_id not in self:
            raise KeyError(doc_id)
        self._touched.pop(doc_id, None)
        if str(doc_id) in self._table:
            self._gone.add(doc_id)

    def __contains__(self, doc_id: object) -> bool:
        return doc_id in self._touched or (doc_id not in self._gone and str(doc_id) in self._table)

    def __iter__(self) -> Iterator[int]:
        for key in self._table:
            if int(key) not in self._gone:
                yield int(key)
        for doc_id in self._touched:
            if str(doc_id) not in self._table:
                yield doc_id

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        self._touched.clear()
        self._gone = {int(key) for key in self._table}

    def patch(self) -> dict[str, Any] | list[Any]:
        """What changed, as one table's part of a transaction."""
        if self._table and not self._touched and len(self._gone) == len(self._table):
            return [{}]
        table = self._table
        change: dict[str, Any] = {str(doc_id): None for doc_id in self._gone}
        for doc_id, document in self._touched.items():
            key = str(doc_id)
            if key not in table or table[key] != document:
                change[key] = document
        return change


class JournalTable(Table):
    """TinyDB's table, straight over a JournalStorage: it writes only what changed."""

    _storage: JournalStorage

    def _read_table(self) -> dict[str, Mapping[str, Any]]:
        table: dict[str, Mapping[str, Any]] = self._storage.tables.get(self.name, {})
        return table

    def _update_table(self, updater: Callable[[dict[int, Mapping[str, Any]]], None]) -> None:
        tables = self._storage.tables
        changes = _Changes(tables.get(self.name, {}))
        updater(changes)  # type: ignore[arg-type]  # updaters use it as the mapping that it is
        patch = changes.patch()
        if patch or self.name not in tables:
            self._storage.commit({self.name: patch})
        self.clear_cache()

    def search(self, cond: QueryLike) -> list[Document]:
        return [_isolated(document) for document in super().search(cond)]

    def get(self, *args: Any, **kwargs: Any) -> Any:
        found = super().get(*args, **kwargs)
        if isinstance(found, list):
            return [_isolated(document) for document in found]
        return None if found is None else _isolated(found)

    def __iter__(self) -> Iterator[Document]:
        return map(_isolated, super().__iter__())


def _isolated(document: Document) -> Document:
    return Document(_copied(document), document.doc_id)


class JournalDB(TinyDB):
    """A TinyDB whose changes survive a pulled plug. Same arguments, same behaviour; the file is a journal, not one JSON text."""

    default_storage_class = JournalStorage  # type: ignore[assignment]  # TinyDB types it by its first storage

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self._storage, JournalStorage):  # behind a middleware TinyDB's own table is the right one
            self.table_class = JournalTable
