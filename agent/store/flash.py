"""What the store costs the card: bytes that reach the medium, by day, and how long a card lives at that rate.

A card is written in whole pages, and a journalling file system writes its own journal too, so the bytes that the store hands
over say little: one alarm of 400 bytes costs a page. The meter counts what ext4 with its defaults does (4 KiB pages, ordered
journal), as measured on a block device (tests/agent/store/test_flash.py): each sync writes every page that it touches once,
and a journal commit when a file changed its length, used pages of its room for the first time, or got a name. It is within a
fifth of what the device counts; other file systems differ.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from agent.records import Stamp
from agent.store.files import PAGE, Files, Kind, OpenFile
from agent.store.notes import Notes

COMMIT = 13_000  # bytes of an ext4 journal commit for one inode: descriptor, inode table, commit block, and its checkpoint
FIRST_USE = 16_500  # the same when reserved pages are used for the first time: 11 to 22 kB, as the file has few extents or many
TABLE = "flash"
TOTAL = "total"
DAYS = 14  # days that are kept; the rate is that of all of them
SAVE = 3600.0  # s between two savings; what a crash makes the meter forget at most
DAY = 86_400.0
YEAR = 365.25


class MeteredFiles:
    """A file system that counts what reaches the medium."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.written = 0
        """Bytes since this object was made."""

    def open(self, path: Path) -> OpenFile:
        return _MeteredFile(self._files.open(path), self)

    def read(self, path: Path, start: int = 0, count: int = -1) -> bytes:
        return self._files.read(path, start, count)

    def size(self, path: Path) -> int:
        return self._files.size(path)

    def identity(self, path: Path) -> int:
        return self._files.identity(path)

    def kind(self, path: Path) -> Kind:
        return self._files.kind(path)

    def require(self, path: Path) -> None:
        self._files.require(path)

    def names(self, directory: Path) -> list[str]:
        return self._files.names(directory)

    def make_directory(self, path: Path) -> None:
        self._files.make_directory(path)

    def replace(self, source: Path, target: Path) -> None:
        self._files.replace(source, target)

    def remove(self, path: Path) -> None:
        self._files.remove(path)

    def sync_directory(self, path: Path) -> None:
        self._files.sync_directory(path)
        self.written += PAGE + COMMIT

    def free(self, path: Path) -> int:
        return self._files.free(path)


class _MeteredFile:
    def __init__(self, file: OpenFile, meter: MeteredFiles) -> None:
        self._file, self._meter = file, meter
        self._used = -(-file.length // PAGE)  # pages from here on were never written
        self._first, self._behind = 0, 0  # pages written since the last sync
        self._resized, self._first_use = False, False

    @property
    def length(self) -> int:
        return self._file.length

    def write(self, data: bytes, at: int) -> None:
        end = at + len(data)
        grown = end > self._file.length
        self._file.write(data, at)
        first, behind = at // PAGE, -(-end // PAGE)
        if self._behind:
            first, behind = min(first, self._first), max(behind, self._behind)
        self._first, self._behind = first, behind
        if grown:
            self._resized = True
        if behind > self._used:
            self._used = behind
            self._first_use |= not grown

    def sync(self) -> None:
        self._file.sync()
        self._meter.written += (self._behind - self._first) * PAGE
        self._first = self._behind = 0
        if self._resized or self._first_use:
            self._meter.written += COMMIT * self._resized + FIRST_USE * self._first_use
            self._resized = self._first_use = False

    def reserve(self, length: int) -> None:
        self._file.reserve(length)
        self._resized = True

    def cut(self, length: int) -> None:
        self._file.cut(length)
        self._resized = True

    def close(self) -> None:
        self._file.close()


class _Tally(msgspec.Struct):
    """Bytes written, and the seconds in which they were."""

    bytes: int = 0
    seconds: float = 0.0


class FlashLedger:
    """The meter's count by day, kept in the notes."""

    def __init__(self, meter: MeteredFiles, notes: Notes) -> None:
        self._meter = meter
        self._seen = 0
        self._last: Stamp | None = None
        self._saved: float | None = None
        self._days: dict[str, _Tally] = {}
        for name, document in notes.recall(TABLE).items():
            try:
                self._days[name] = msgspec.convert(document, _Tally)
            except msgspec.ValidationError:
                continue
        self._total = self._days.pop(TOTAL, _Tally())

    @property
    def total(self) -> int:
        """Bytes written in all lives of this store."""
        return self._total.bytes + self._meter.written - self._seen

    @property
    def per_day(self) -> float:
        """Bytes a day, by the days that are kept; 0 when nothing is known yet."""
        seconds = sum(day.seconds for day in self._days.values())
        return sum(day.bytes for day in self._days.values()) / seconds * DAY if seconds > 0 else 0.0

    def go_on_from(self, before: FlashLedger) -> None:
        """Count on where another ledger of the same card stopped."""
        self._days, self._last, self._saved = before._days, before._last, before._saved
        self._total = _Tally(before.total, before._total.seconds)

    def note(self, stamp: Stamp) -> None:
        """Count what was written since the last call to the day of the stamp."""
        written, elapsed = self._meter.written - self._seen, stamp.mono - (self._last or stamp).mono
        self._seen, self._last = self._meter.written, stamp
        day = datetime.fromtimestamp(stamp.at, UTC).date().isoformat()
        for tally in (self._days.setdefault(day, _Tally()), self._total):
            tally.bytes += written
            tally.seconds += elapsed

    def due(self, stamp: Stamp) -> bool:
        """Whether it is time to save."""
        self._saved = stamp.mono if self._saved is None else self._saved
        return stamp.mono - self._saved >= SAVE

    def documents(self) -> dict[str, dict[str, Any] | None]:
        """What is to be saved in the table `flash`; the oldest days are forgotten with it."""
        if self._last is not None:
            self.note(self._last)
            self._saved = self._last.mono
        kept: dict[str, dict[str, Any] | None] = dict.fromkeys(sorted(self._days)[:-DAYS])
        for name in kept:
            del self._days[name]
        kept.update((name, msgspec.to_builtins(day)) for name, day in self._days.items())
        kept[TOTAL] = msgspec.to_builtins(self._total)
        return kept


def card_life(endurance: float, total: float, per_day: float) -> float | None:
    """Years until a card that bears `endurance` bytes in all is worn out; None when the rate is not known yet."""
    if per_day <= 0:
        return None
    return max(0.0, endurance - total) / per_day / YEAR
