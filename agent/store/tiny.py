"""TinyDB on a journal: `JournalDB(path)` is a TinyDB whose changes survive a pulled plug.

    db = JournalDB("state.journal")                      # or TinyDB(path, storage=JournalStorage)
    db.table("cursors").upsert({"at": 7}, where("uplink") == "platform")

With `JournalDB` a change costs the size of the change. Through any other table class, or behind a middleware, the storage is
given whole databases; it then writes the difference to what it holds. Documents that are handed out are copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from tinydb import TinyDB
from tinydb.queries import QueryLike
from tinydb.table import Document, Table

from agent.store.storage import JournalStorage, copied


class _Changes(MutableMapping[int, Any]):
    """A table as TinyDB's updaters see it: id -> document. Remembers what they touched; the table itself stays as it is."""

    def __init__(self, table: Mapping[str, Any], id_class: type[Any]) -> None:
        self._table, self._id_class = table, id_class
        self._touched: dict[int, Any] = {}
        self._gone: set[int] = set()

    def __getitem__(self, doc_id: int) -> Any:
        if doc_id in self._touched:
            return self._touched[doc_id]
        if doc_id in self._gone:
            raise KeyError(doc_id)
        copy = copied(self._table[str(doc_id)])
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
            if (doc_id := self._id_class(key)) not in self._gone:
                yield doc_id
        for doc_id in self._touched:
            if str(doc_id) not in self._table:
                yield doc_id

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        self._touched.clear()
        self._gone = set(map(self._id_class, self._table))

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
    _seen = -1  # version of the storage that the query cache belongs to

    def _read_table(self) -> dict[str, Mapping[str, Any]]:
        table: dict[str, Mapping[str, Any]] = self._storage.tables.get(self.name, {})
        return table

    def _update_table(self, updater: Callable[[dict[int, Mapping[str, Any]]], None]) -> None:
        self._storage.claim()
        tables = self._storage.tables
        changes = _Changes(tables.get(self.name, {}), self.document_id_class)
        updater(changes)  # type: ignore[arg-type]  # updaters use it as the mapping that it is
        patch = changes.patch()
        if patch or self.name not in tables:
            self._storage.commit({self.name: patch})
        self.clear_cache()

    def update(
        self,
        fields: Mapping[str, Any] | Callable[[MutableMapping[str, Any]], None],
        cond: QueryLike | None = None,
        doc_ids: Iterable[int] | None = None,
    ) -> list[int]:
        return super().update(fields, doc_ids=self._matching(cond, doc_ids))

    def remove(self, cond: QueryLike | None = None, doc_ids: Iterable[int] | None = None) -> list[int]:
        return super().remove(doc_ids=self._matching(cond, doc_ids))

    def _matching(self, cond: QueryLike | None, doc_ids: Iterable[int] | None) -> Iterable[int] | None:
        """Documents that fit a query, found without copying those that do not."""
        if doc_ids is not None or cond is None:
            return doc_ids
        self._storage.claim()
        return [self.document_id_class(doc_id) for doc_id, document in self._read_table().items() if cond(document)]

    def search(self, cond: QueryLike) -> list[Document]:
        self._storage.refresh()
        if self._seen != self._storage.version:
            self._seen = self._storage.version
            self.clear_cache()
        return [_isolated(document) for document in super().search(cond)]

    def get(self, *args: Any, **kwargs: Any) -> Any:
        found = super().get(*args, **kwargs)
        if isinstance(found, list):
            return [_isolated(document) for document in found]
        return None if found is None else _isolated(found)

    def __iter__(self) -> Iterator[Document]:
        return map(_isolated, super().__iter__())


def _isolated(document: Document) -> Document:
    return type(document)(copied(document), document.doc_id)


class JournalDB(TinyDB):
    """A TinyDB whose changes survive a pulled plug. Same arguments, same behaviour; the file is a journal, not one JSON text."""

    default_storage_class = JournalStorage  # type: ignore[assignment]  # TinyDB types it by its first storage

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self._storage, JournalStorage):  # behind a middleware TinyDB's own table is the right one
            self.table_class = JournalTable
