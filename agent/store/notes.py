"""What the agent must know again after a restart: cursors, losses, open windows. Named documents in named tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from agent.store.files import Files
from agent.store.tiny import JournalStorage
from agent.store.transaction import Patch

Changes: TypeAlias = Mapping[str, Mapping[str, dict[str, Any] | None]]
"""table -> name -> document, or None to forget it"""


class Notes(Protocol):
    """Small documents, kept together."""

    @property
    def size(self) -> int:
        """Bytes that they take."""

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        """Every document of a table, by name. They are the caller's own."""

    def remember(self, changes: Changes) -> None:
        """Set or forget documents of any tables, all or nothing; durable on return. Raises OSError."""

    def close(self) -> None: ...


class DurableNotes:
    """Notes in one TinyDB journal. A document carries its name as `key`."""

    def __init__(self, path: Path, files: Files) -> None:
        self._storage = JournalStorage(path, files=files)
        self._ids = {
            table: {document["key"]: int(doc_id) for doc_id, document in documents.items()}
            for table, documents in self._storage.tables.items()
        }
        self.repair = self._storage.repair

    @property
    def size(self) -> int:
        return self._storage.size

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        documents = (self._storage.read() or {}).get(table, {})
        return {
            document["key"]: {name: value for name, value in document.items() if name != "key"} for document in documents.values()
        }

    def remember(self, changes: Changes) -> None:
        patch: Patch = {}
        ids: dict[str, dict[str, int]] = {}
        for table, documents in changes.items():
            known = ids[table] = dict(self._ids.get(table, {}))
            behind = max(known.values(), default=0)
            part: dict[str, dict[str, Any] | None] = {}
            patch[table] = part
            for key, document in documents.items():
                if document is None:
                    if (doc_id := known.pop(key, None)) is not None:
                        part[str(doc_id)] = None
                    continue
                if key not in known:
                    known[key] = behind = behind + 1
                part[str(known[key])] = {"key": key, **document}
        if any(patch.values()):
            self._storage.commit(patch)
            self._ids.update(ids)

    def close(self) -> None:
        self._storage.close()


class MemoryNotes:
    """Notes that end with the process."""

    size = 0

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, dict[str, Any]]] = {}

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

    def close(self) -> None: ...
