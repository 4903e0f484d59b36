"""What the agent must know again after a restart: cursors, losses, open windows. Named documents in named tables."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from zlib import crc32

from agent.store.files import Files
from agent.store.journal import DAMAGED, ROOM, Repair
from agent.store.storage import JournalStorage, copied
from agent.store.transaction import Patch, Tables

IDENTITY = "store"
"""The table that says whose store this is, and its epoch."""

Changes: TypeAlias = Mapping[str, Mapping[str, dict[str, Any] | None]]
"""table -> name -> document, or None to forget it"""


def overlaid(tables: Mapping[str, Mapping[str, dict[str, Any]]], changes: Changes) -> dict[str, dict[str, dict[str, Any]]]:
    """Tables as they are after some changes."""
    after = {table: dict(documents) for table, documents in tables.items()}
    for table, documents in changes.items():
        known = after.setdefault(table, {})
        for key, document in documents.items():
            if document is None:
                known.pop(key, None)
            else:
                known[key] = document
    return after


class Notes(Protocol):
    """Small documents, kept together."""

    @property
    def size(self) -> int:
        """Bytes that they take."""

    def tables(self) -> list[str]:
        """The names of all tables."""

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        """Every document of a table, by name. They are the caller's own."""

    def remember(self, changes: Changes) -> None:
        """Set or forget documents of any tables, all or nothing; durable on return. Raises OSError."""

    def require_in_place(self) -> None:
        """Raises OSError when nobody would find what is remembered: the file is not at its path any more."""

    def let_go(self) -> None:
        """Close without a word to the medium. What was noted can still be recalled."""

    def close(self) -> None: ...


class DurableNotes:
    """Notes in one TinyDB journal. A document carries its name as `key`.

    Raises BlockingIOError when another process has it open for writing. A journal that is whole but holds no notes is set
    aside as a file.
    """

    def __init__(self, path: Path, files: Files, room: int = ROOM) -> None:
        self.found_size = files.size(path) if path.name in files.names(path.parent) else 0
        """Bytes of the file before it was opened."""
        self._left: Tables | None = None  # what was noted when the file was let go
        self._storage = self._opened(path, files, room)
        self.repair = self._storage.repair
        self._ids = {
            table: {document["key"]: int(doc_id) for doc_id, document in documents.items() if _is_note(doc_id, document)}
            for table, documents in self._storage.tables.items()
            if isinstance(documents, dict)
        }

    @staticmethod
    def _opened(path: Path, files: Files, room: int) -> JournalStorage:
        try:
            storage = JournalStorage(path, files=files, room=room)
        except ValueError:
            aside = path.with_name(f"{path.name}{DAMAGED}{crc32(files.read(path)):08x}")
            files.replace(path, aside)
            storage = JournalStorage(path, files=files, room=room)
            storage.repair = Repair(damaged_bytes=files.size(aside), damaged_spans=1, set_aside=aside, tail_damaged=True)
        try:
            storage.claim()
        except BaseException:
            storage.close()
            raise
        return storage

    @property
    def size(self) -> int:
        return self._storage.size

    def tables(self) -> list[str]:
        return list(self._ids)

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        documents = (self._storage.tables if self._left is None else self._left).get(table, {})
        return {
            key: copied({name: value for name, value in documents[str(doc_id)].items() if name != "key"})
            for key, doc_id in self._ids.get(table, {}).items()
        }

    def remember(self, changes: Changes) -> None:
        if self._left is not None:
            raise OSError(errno.EIO, "the disk refused, and was let go", str(self._storage.path))
        patch: Patch = {}
        ids: dict[str, dict[str, int]] = {}
        for table, documents in changes.items():
            known = ids[table] = dict(self._ids.get(table, {}))
            behind = max(known.values(), default=0)
            part: dict[str, dict[str, Any] | None] = {}
            for key, document in documents.items():
                if document is None:
                    if (doc_id := known.pop(key, None)) is not None:
                        part[str(doc_id)] = None
                    continue
                if key not in known:
                    known[key] = behind = behind + 1
                part[str(known[key])] = {"key": key, **document}
            if part:
                patch[table] = part
        if patch:
            self._storage.commit(patch)
            self._ids.update(ids)

    def require_in_place(self) -> None:
        self._storage.require_in_place()

    def let_go(self) -> None:
        self._left = self._storage.tables
        self._storage.let_go()

    def close(self) -> None:
        self._storage.close()


def _is_note(doc_id: str, document: object) -> bool:
    """An operator may have put something of another form beside them."""
    return doc_id.isdecimal() and isinstance(document, dict) and isinstance(document.get("key"), str)


class MemoryNotes:
    """Notes that end with the process."""

    size = 0

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, dict[str, Any]]] = {}

    def tables(self) -> list[str]:
        return list(self._tables)

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        return {key: dict(document) for key, document in self._tables.get(table, {}).items()}

    def remember(self, changes: Changes) -> None:
        for table, documents in changes.items():
            known = self._tables.setdefault(table, {})
            for key, document in documents.items():
                if document is None:
                    known.pop(key, None)
                else:
                    known[key] = dict(document)

    def require_in_place(self) -> None: ...

    def let_go(self) -> None: ...

    def close(self) -> None: ...
