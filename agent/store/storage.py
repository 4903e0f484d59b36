"""TinyDB's storage seam on a journal: each change is one durable, atomic, appended transaction.

The tables are kept in memory. One object writes a journal at a time; any number may read it meanwhile, in this process or
in others, and see what was committed before each call.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tinydb.storages import Storage

from agent.store.files import Files, OsFiles
from agent.store.journal import ROOM, Journal, Repair, require_journal, scanned
from agent.store.transaction import MAGIC, Patch, Tables, difference, fold

COMPACT_FACTOR = 3  # the journal may grow to so many times its size after the last rewrite …
COMPACT_FLOOR = 2  # … or this many times its room: less is not worth a rewrite
DOCUMENTS_A_LINE = 500  # of a rewritten journal, so that one damaged line costs no more


class JournalStorage(Storage):
    """Takes the arguments of TinyDB's JSONStorage; further keywords go to json.dumps.

    `access_mode="r"` only reads. Otherwise the object becomes the writer when it is opened or, where another one is the writer
    then, with its first change. Raises OSError where JSONStorage does, BlockingIOError from a change while another object is
    the writer, ValueError when the file is no journal.
    """

    def __init__(
        self,
        path: str | Path,
        create_dirs: bool = False,
        encoding: str | None = None,
        access_mode: str = "r+",
        files: Files | None = None,
        room: int = ROOM,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.repair = Repair()
        """What opening the journal for writing cost."""
        self.version = 0
        """Grows with every change that the tables may have gone through."""
        self._files = files or OsFiles()
        self._encoding = encoding or "utf-8"
        self._dumps = {"separators": (",", ":"), "ensure_ascii": False, **kwargs}
        self._tables: Tables | None = None
        self._handle = Journal(self.path, self._files, room)
        self._compacted = 0  # bytes used after the last rewrite
        self._may_write = any(letter in access_mode for letter in "+wa")
        self._closed = False
        self._read_to = (0, 0)  # identity of the file and offset in it; of an object that does not write
        if access_mode not in ("r", "rb", "r+", "rb+"):
            warnings.warn(
                "Using an `access_mode` other than 'r', 'rb', 'r+' or 'rb+' can cause data loss or corruption",
                stacklevel=2,
            )
        self._open(create_dirs, truncate="w" in access_mode)

    def _open(self, create_dirs: bool, *, truncate: bool) -> None:
        if not self._may_write:
            self._follow()
            return
        if create_dirs:
            self._files.make_directory(self.path.parent)
        try:
            self.claim()
        except BlockingIOError:  # somebody else writes: read until the first change of our own
            self._follow()
        if truncate:
            self.write({})

    def claim(self) -> None:
        """Become the writer, and repair the journal; nothing happens when this object is the writer.

        Raises BlockingIOError while another one is, and OSError when this one may only read.
        """
        if self._closed:
            raise ValueError(f"{self.path}: the database is closed")
        if not self._handle.closed:
            return
        if not self._may_write:
            raise OSError(f"{self.path}: cannot write, the database was opened read-only")
        with contextlib.suppress(FileNotFoundError):
            if not self._files.read(self.path, 0, len(MAGIC)).startswith(MAGIC):
                require_journal(self.path, self._files.read(self.path))
        payloads, self.repair = self._handle.open()
        try:
            self._load(payloads)
        except BaseException:
            self._handle.close()
            raise
        self._note_compacted()

    def _load(self, payloads: Iterable[bytes]) -> None:
        tables: Tables | None = None
        for payload in payloads:
            tables = {} if tables is None else tables
            fold(tables, self._decode(payload))
        self._tables = tables
        self.version += 1

    def refresh(self) -> None:
        """Take in what another object has committed; nothing happens when this one is the writer."""
        if self._closed:
            raise ValueError(f"{self.path}: the database is closed")
        if self._handle.closed:
            self._follow()

    def _follow(self) -> None:
        identity, read_to = self._files.identity(self.path), self._read_to
        if identity == read_to[0]:
            if self._files.read(self.path, read_to[1], 1) in (b"", b"\0"):
                return
            fresh = scanned(MAGIC + self._files.read(self.path, read_to[1]))
            if self._files.identity(self.path) == identity:
                for payload in fresh.payloads:
                    self._tables = {} if self._tables is None else self._tables
                    fold(self._tables, self._decode(payload))
                self._read_to = (identity, read_to[1] + fresh.end - len(MAGIC))
                self.version += 1
                return
        self._read_whole()

    def _read_whole(self) -> None:
        while True:
            identity = self._files.identity(self.path)
            data = self._files.read(self.path)
            if self._files.identity(self.path) == identity:  # else it was replaced meanwhile
                break
        require_journal(self.path, data)
        found = scanned(data)
        self._load(found.payloads)
        self._read_to = (identity, found.end)

    @property
    def tables(self) -> Tables:
        """What the storage holds, as it holds it: not to be changed by the caller."""
        self.refresh()
        return self._tables if self._tables is not None else {}

    @property
    def size(self) -> int:
        """Bytes of the file; 0 when this object does not write it."""
        return 0 if self._handle.closed else self._handle.size

    def read(self) -> Tables | None:
        """A copy of all tables; None when nothing was ever written."""
        tables = self.tables
        return None if self._tables is None else copied(tables)

    def write(self, data: Tables) -> None:
        """Make `data` the whole content, by appending what differs."""
        new = self._decode(self._encode(data))
        self.claim()
        patch = difference(self.tables, new)
        if patch or self._tables is None:
            self.commit(patch)

    def commit(self, patch: Patch) -> None:
        """Append one transaction (`agent.store.transaction`). It is durable and visible when this returns, or neither."""
        payload = self._encode(patch)
        self.claim()
        self._handle.append(payload)
        if self._tables is None:
            self._tables = {}
        fold(self._tables, self._decode(payload))  # what was written, not what the caller may go on changing
        self.version += 1
        if self._handle.used > self._compacted * COMPACT_FACTOR:
            try:
                self.compact()
            except OSError:  # the change itself is safe; there will be another occasion
                self._compacted = self._handle.used

    def _encode(self, value: Any) -> bytes:
        return json.dumps(value, **self._dumps).encode(self._encoding)

    def _decode(self, payload: bytes) -> Any:
        try:
            return json.loads(payload.decode(self._encoding))
        except UnicodeDecodeError as error:
            raise json.JSONDecodeError(f"{self.path}: not {self._encoding}", "", error.start) from error

    def compact(self) -> None:
        """Replace the journal by one that holds the present alone. Crash-safe at every step."""
        self.claim()
        self._handle.replace(map(self._encode, _whole(self._tables or {})))
        self._note_compacted()

    def _note_compacted(self) -> None:
        self._compacted = max(self._handle.used, COMPACT_FLOOR * self._handle.room)

    def require_in_place(self) -> None:
        """Raises OSError when the journal that this object writes does not stand at its path any more."""
        self._handle.require_in_place()

    def let_go(self) -> None:
        """As `close`, of a medium that fails: nothing is written any more, and no error is raised."""
        self._closed = True
        self._handle.let_go()

    def close(self) -> None:
        """Close the file and let the next writer in. May be called twice."""
        self._closed = True
        self._handle.close()


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


def copied(value: Any) -> Any:
    """A copy of a JSON value that shares nothing which could be changed."""
    if isinstance(value, dict):
        return {key: copied(item) if type(item) in (dict, list) else item for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) if type(item) in (dict, list) else item for item in value]
    return value
