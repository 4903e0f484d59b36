"""A file of transactions: opened whatever its state, appended to, replaced when it holds too much of the past.

Invariants
- New content is written beside the file, synced, renamed, and the directory synced: a named journal is whole.
- `append` returns when the transaction is on the medium, or raises and the transaction is not in the file.
- While a journal is open its length is a multiple of `room`: a line is written into room that the file system has given
  already, so that it costs one page and no metadata, and a file that lost its end is known by its length.
- Opening wipes a torn tail. Damage elsewhere is copied into a file of its own before the journal is rewritten without it.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from agent.store.files import Files, OpenFile
from agent.store.transaction import MAGIC, Damage, Line, line, scan

ROOM = 32 * 1024  # bytes reserved at once: a hundred records or so grow the file, and change its length, only once
NEW_SUFFIX = ".new"  # a replacement that was not finished; removed at the next opening
DAMAGED = ".damaged-"


class Repair(NamedTuple):
    """What opening a journal cost: bytes of a torn tail that were wiped, and damage set aside as a file."""

    torn_bytes: int = 0
    damaged_bytes: int = 0
    damaged_spans: int = 0
    set_aside: Path | None = None
    tail_damaged: bool = False  # the last transaction, or more behind it, is among what is lost


class Scanned(NamedTuple):
    """The good payloads of a journal in order, and what was wrong with it."""

    payloads: list[bytes]
    damages: list[Damage]
    torn: Damage | None
    end: int
    """Where the last good line or damaged span ends: the next line belongs there."""

    @property
    def tail_damaged(self) -> bool:
        """Whether the end of what was written is among the damage."""
        return bool(self.damages) and self.damages[-1].end == self.end


def scanned(data: bytes) -> Scanned:
    """Sort the bytes of a whole journal."""
    payloads: list[bytes] = []
    damages: list[Damage] = []
    torn: Damage | None = None
    end = min(len(MAGIC), len(data))
    for part in scan(data):
        if isinstance(part, Line):
            payloads.append(part.payload)
        elif part.torn:
            torn = part
            break
        else:
            damages.append(part)
        end = part.end
    return Scanned(payloads, damages, torn, end)


def require_journal(path: Path, data: bytes) -> None:
    """Refuse another kind of file, which a repair would destroy. Raises ValueError."""
    if data[:1] in (b"{", b"[") and not scanned(data).payloads:
        raise ValueError(
            f"{path}: this is no journal, it looks like a stock TinyDB file; `atm-agent store import` takes it into one"
        )


def require_any_line(path: Path, data: bytes) -> None:
    """Refuse, for an operator's tool, any file in which nothing says that it is a journal. Raises ValueError."""
    require_journal(path, data)
    if data and not data.startswith(MAGIC) and not scanned(data).payloads:
        raise ValueError(f"{path}: this is no journal")


class Journal:
    """The open file. One writer; it holds no more than the file's handle."""

    def __init__(self, path: Path, files: Files, room: int = ROOM) -> None:
        self.path, self.room = path, room
        self._files = files
        self._file: OpenFile | None = None
        self._identity = 0  # of the open file
        self._end = 0  # behind the last line
        self._soiled = 0  # up to here may stand what a failed append left
        self._named = True  # the directory says so on the medium, as far as we were told
        self._touched = False  # written to since it was opened
        self._broken_line = False  # damage without a line end stands before `_end`

    @property
    def closed(self) -> bool:
        """Whether the file's handle was given back, or not yet taken."""
        return self._file is None

    @property
    def size(self) -> int:
        """Bytes of the file, reserved room included."""
        return self._handle().length

    @property
    def used(self) -> int:
        """Bytes of the file that hold something."""
        return self._end

    def open(self) -> tuple[list[bytes], Repair]:
        """Open for writing, repaired. Returns the payloads of all good transactions, and what the repair cost.

        Raises BlockingIOError when somebody else writes the journal. Where a full or failing medium refuses the repair, the
        damage stays where it is, for the next opening.
        """
        self._file = self._files.open(self.path)
        try:
            self._identity = self._files.identity(self.path)
            self._files.remove(self._beside(NEW_SUFFIX))
            data = self._files.read(self.path)
            if not data:
                self.replace(())
                return [], Repair()
            return self._repaired(data)
        except BaseException:
            self._file.close()
            self._file = None
            raise

    def create(self) -> None:
        """Make a journal where there is none. It has its name when it is whole, never before."""
        try:
            self.replace(())
        except BaseException:
            self.let_go()
            raise

    def _repaired(self, data: bytes) -> tuple[list[bytes], Repair]:
        found = scanned(data)
        self._end = found.end
        if found.torn is not None:
            self._soiled = found.torn.end
            with contextlib.suppress(OSError):
                self._wipe()
        aside: Path | None = None
        if found.damages:
            self._broken_line = found.tail_damaged and not data[: found.end].endswith(b"\n")
            with contextlib.suppress(OSError):
                aside = self._set_aside(b"\n".join(data[span.start : span.end] for span in found.damages))
                self.replace(found.payloads)
        return found.payloads, Repair(
            torn_bytes=found.torn.end - found.torn.start if found.torn else 0,
            damaged_bytes=sum(span.end - span.start for span in found.damages),
            damaged_spans=len(found.damages),
            set_aside=aside,
            tail_damaged=found.tail_damaged,
        )

    def _set_aside(self, damaged: bytes) -> Path:
        path = self._beside(f"{DAMAGED}{crc32(damaged):08x}")  # the same damage twice is one file
        file = self._files.open(path)
        try:
            file.cut(0)
            file.write(damaged, 0)
            file.sync()
        finally:
            file.close()
        return path

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def append(self, payload: bytes) -> None:
        """Append one transaction; it is on the medium when this returns.

        Raises OSError otherwise; the transaction is then not in the file, as far as the medium can still be told so.
        """
        file = self._handle()
        self._touched = True
        if self._soiled or not self._named:
            self._make_ready()
        data = b"\n" + line(payload) if self._broken_line else line(payload)
        end = self._end + len(data)
        if end > file.length:
            file.reserve(self._roomy(end))
        try:
            file.write(data, self._end)
            file.sync()
        except OSError:
            self._soiled = end
            with contextlib.suppress(OSError):
                self._wipe()
            raise
        self._end = end
        self._broken_line = False

    def prepare(self) -> None:
        """Make sure, on the medium, that the length says whether the file lost its end. Raises OSError."""
        file = self._handle()
        self._touched = True
        self._make_ready()
        if file.length % self.room:
            file.reserve(self._roomy(file.length))
            file.sync()

    def _make_ready(self) -> None:
        if not self._named:
            self._files.sync_directory(self.path.parent)
            self._named = True
        if self._soiled:
            self._wipe()

    def _wipe(self) -> None:
        """Write NUL bytes over what a failed append left; anew, for a failed sync may have dropped it from the cache."""
        file = self._handle()
        if self._soiled > self._end:
            file.write(bytes(self._soiled - self._end), self._end)
        self._soiled = 0

    def _roomy(self, length: int) -> int:
        return -(-length // self.room) * self.room

    def replace(self, payloads: Iterable[bytes]) -> None:
        """Put these transactions in the place of all that the file holds, atomically. Raises OSError; then nothing changed."""
        beside = self._beside(NEW_SUFFIX)
        self._files.remove(beside)
        new = self._files.open(beside)
        try:
            end = len(MAGIC)
            new.write(MAGIC, 0)
            for payload in payloads:
                data = line(payload)
                new.write(data, end)
                end += len(data)
            new.reserve(self._roomy(end))
            new.sync()
            identity = self._files.identity(beside)
            self._files.replace(beside, self.path)
        except BaseException:
            new.close()
            raise
        if self._file is not None:
            self._file.close()
        self._file, self._end, self._soiled, self._broken_line, self._touched = new, end, 0, False, True
        self._identity = identity
        self._named = False  # until the directory is synced a crash brings the old file back: nothing may be appended
        self._make_ready()

    def close(self) -> None:
        """Give back the handle, and the room if something was written. May be called twice."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            if self._touched:
                with contextlib.suppress(OSError):  # the room is NUL bytes, whoever reads it
                    file.cut(self._end)
        finally:
            file.close()

    def let_go(self) -> None:
        """Give back the handle and touch the medium no more: the next opening finds what a crash would have left."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def require_in_place(self) -> None:
        """Raises OSError when the file that is open does not stand at its path any more: nobody would find what it is given."""
        if self._files.identity(self.path) != self._identity:
            raise OSError(errno.ESTALE, "somebody put another file in its place", str(self.path))

    def _handle(self) -> OpenFile:
        if self._file is None:
            raise OSError(f"{self.path}: the journal is closed")
        return self._file
