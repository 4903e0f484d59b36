"""A file of transactions: opened whatever its state, appended to, replaced when it holds too much of the past.

Invariants
- A file is named only when it is whole: new content is written beside it, synced, renamed, and the directory synced.
- `append` returns when the transaction is on the medium, or raises and the transaction is not in the file.
- Opening cuts a torn tail. Damage elsewhere is copied into a file of its own before the journal is rewritten without it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from agent.store.files import AppendFile, Files
from agent.store.transaction import MAGIC, Damage, Line, line, scan

NEW_SUFFIX = ".new"  # a replacement that was not finished; removed at the next opening
DAMAGED = ".damaged-"


class Repair(NamedTuple):
    """What opening a journal cost: bytes of a torn tail that were cut, and spans set aside as files."""

    torn_bytes: int = 0
    damaged_bytes: int = 0
    damaged_spans: int = 0
    set_aside: tuple[Path, ...] = ()
    tail_damaged: bool = False  # the last transaction, or more behind it, is among what is lost


class Scanned(NamedTuple):
    """The good payloads of a journal in order, and what was wrong with it."""

    payloads: list[bytes]
    good: list[tuple[int, int]]
    damages: list[Damage]
    size: int


def scanned(data: bytes) -> Scanned:
    """Sort the bytes of a whole journal."""
    payloads: list[bytes] = []
    good: list[tuple[int, int]] = []
    damages: list[Damage] = []
    for part in scan(data):
        if isinstance(part, Line):
            payloads.append(part.payload)
            good.append((part.start, part.end))
        else:
            damages.append(part)
    return Scanned(payloads, good, damages, len(data))


class Journal:
    """The open file. One writer; it holds no more than the file's handle."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path = path
        self._files = files
        self._file: AppendFile | None = None
        self.written = 0  # bytes given to the medium since the opening, replacements included

    def open(self) -> tuple[Iterator[bytes], Repair]:
        """Open for writing, repaired. Returns the payloads of all good transactions, and what the repair cost."""
        files = self._files
        files.remove(self._beside(NEW_SUFFIX))
        try:
            data = files.read(self.path)
        except FileNotFoundError:
            data = b""
        if not data:
            self.replace(())
            return iter(()), Repair()
        found = scanned(data)
        repair = self._repair(data, found)
        if self._file is None:
            self._file = files.append_to(self.path)
        return iter(found.payloads), repair

    def _repair(self, data: bytes, found: Scanned) -> Repair:
        torn = found.damages[-1] if found.damages and found.damages[-1].torn else None
        spans = [damage for damage in found.damages if not damage.torn]
        if spans:
            aside = tuple(self._set_aside(data[span.start : span.end]) for span in spans)
            self.replace(found.payloads)
        else:
            aside = ()
            if torn is not None:
                self._file = self._files.append_to(self.path)
                self._file.cut(torn.start)
                self._file.sync()
        return Repair(
            torn.end - torn.start if torn else 0,
            sum(span.end - span.start for span in spans),
            len(spans),
            aside,
            bool(spans) and spans[-1].end == found.size,
        )

    def _set_aside(self, damaged: bytes) -> Path:
        path = self._beside(f"{DAMAGED}{crc32(damaged):08x}")  # the same damage twice is one file
        file = self._files.append_to(path)
        try:
            file.cut(0)
            file.write(damaged)
            file.sync()
        finally:
            file.close()
        return path

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._open_file().size

    def write(self, payloads: Iterable[bytes]) -> None:
        """Append transactions without waiting for the medium; `sync` makes them durable.

        Raises OSError when they could not be written; none of them is then in the file.
        """
        file = self._open_file()
        before = file.size
        data = b"".join(map(line, payloads))
        try:
            file.write(data)
        except OSError:
            with contextlib.suppress(OSError):  # a later write starts at `before` again, whatever stands there
                file.cut(before)
            raise
        self.written += len(data)

    def sync(self) -> None:
        """Return when everything written is on the medium."""
        self._open_file().sync()

    def append(self, payload: bytes) -> None:
        """Append one transaction; it is on the medium when this returns.

        Raises OSError otherwise; the transaction is then not in the file, as far as the medium can still be told so.
        """
        file = self._open_file()
        before = file.size
        self.write((payload,))
        try:
            file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                file.cut(before)
            raise

    def replace(self, payloads: Iterable[bytes]) -> None:
        """Put these transactions in the place of all that the file holds, atomically."""
        new = self._beside(NEW_SUFFIX)
        self._files.remove(new)
        file = self._files.append_to(new)
        try:
            file.write(MAGIC)
            for payload in payloads:
                file.write(line(payload))
            file.sync()
            self._files.replace(new, self.path)
            self._files.sync_directory(self.path.parent)
        except OSError:
            file.close()
            raise
        if self._file is not None:
            self._file.close()
        self._file = file
        self.written += file.size

    def close(self) -> None:
        """Give the handle back. May be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open_file(self) -> AppendFile:
        if self._file is None:
            raise ValueError(f"{self.path}: the journal is closed")
        return self._file


class Lock:
    """One writer a path: an advisory lock on a file of its own (a journal's own file is replaced now and then).

    It ends with its process, however that ends. Raises BlockingIOError when somebody else holds it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise BlockingIOError(error.errno, "another process or object has it open for writing", str(path)) from None

    def release(self) -> None:
        """Let the next writer in."""
        os.close(self._descriptor)
