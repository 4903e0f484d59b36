"""A lane: positions in order, in segments of bounded size, each a journal that TinyDB can open.

    alarms/0000000000000001.journal      named by the first position that it may hold
    alarms/0000000000000874.journal      the newest one is appended to, the others only read or removed whole

Invariants
- Positions grow by one and are never given twice. `skip` uses positions up without storing anything: they are losses.
- In memory are the newest segment and the one that was read last, whatever the backlog; of the others, name and size.
- Reading removes nothing. Damage that is met is set aside, told to `lost`, and the segment rewritten without it.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from agent.store.files import Files
from agent.store.journal import NEW_SUFFIX, Journal, Repair, scanned

SEGMENT_NAME = re.compile(r"(\d{16})\.journal")
TABLE = "_default"  # TinyDB's own default, so that an operator's JournalDB(segment).all() shows the records

_tables = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def payload_of(first: int, records: list[bytes]) -> bytes:
    """The transaction that stores encoded records at positions from `first` on."""
    documents = b",".join([b'"%d":%b' % (position, record) for position, record in enumerate(records, first)])
    return b'{"%b":{%b}}' % (TABLE.encode(), documents)


@dataclass(slots=True)
class Segment:
    """One file of a lane: the first position that it may hold, and its bytes."""

    first: int
    size: int


@dataclass(slots=True)
class Content:
    """The records of one segment, in memory, in the order of their positions."""

    first: int
    positions: list[int] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, first: int, payloads: Iterable[bytes]) -> Content:
        """The records that these transactions leave, whoever wrote them: an operator may have removed some."""
        documents: dict[int, bytes] = {}
        for payload in payloads:
            with contextlib.suppress(msgspec.DecodeError, ValueError):  # no records of ours: nothing to read in it
                change = _tables(payload).get(TABLE, msgspec.Raw(b"{}"))
                for key, raw in _tables(change).items():
                    documents[int(key)] = bytes(raw)
        kept = sorted(position for position, record in documents.items() if record != b"null")
        return cls(first, kept, [documents[position] for position in kept])

    def add(self, position: int, record: bytes) -> None:
        self.positions.append(position)
        self.records.append(record)

    def gaps(self, end: int) -> Iterator[tuple[int, int]]:
        """First and last position of each run below `end` that is not there."""
        expected = self.first
        for position in [*self.positions, end]:
            if position > expected:
                yield expected, position - 1
            expected = position + 1


class Lane(Protocol):
    """What the store asks of a lane. Methods raise OSError as a file system does; nothing is half stored then."""

    segments: list[Segment]
    size: int
    next: int

    @property
    def first(self) -> int:
        """The lowest position that the lane may still hold."""

    def append(self, records: list[bytes]) -> int:
        """Store encoded records as one transaction, on the medium when this returns. Returns the first one's position."""

    def skip(self, count: int) -> int:
        """Use up `count` positions without storing anything. Returns the first of them."""

    def rotate(self) -> None:
        """Close the newest segment and begin one at the next position."""

    def remove_oldest(self) -> tuple[int, int]:
        """Remove the oldest segment. Returns the first position that it could hold and the first one behind it."""

    def content(self, index: int) -> Content:
        """The records of a segment (an index into `segments`)."""

    def close(self) -> None:
        """Give the handle back."""


def read(lane: Lane, start: int, limit: int, max_bytes: int) -> list[tuple[int, bytes]]:
    """Up to `limit` records from position `start` on, about `max_bytes` in all but at least one, with their positions."""
    out: list[tuple[int, bytes]] = []
    total = 0
    begin = max(0, bisect_right(lane.segments, start, key=lambda segment: segment.first) - 1)
    for index in range(begin, len(lane.segments)):
        content = lane.content(index)
        for at in range(bisect_left(content.positions, start), len(content.positions)):
            record = content.records[at]
            total += len(record)
            if out and (len(out) >= limit or total > max_bytes):
                return out
            out.append((content.positions[at], record))
    return out


class DiskLane:
    """One lane's segments in a directory of their own. Raises OSError as the file system does; nothing is half stored then."""

    def __init__(
        self,
        directory: Path,
        files: Files,
        segment_bytes: int,
        lost: Callable[[int, int, Repair], None],
    ) -> None:
        self.directory = directory
        self._files = files
        self._segment_bytes = segment_bytes
        self._lost = lost
        self.segments: list[Segment] = []
        self.size = 0  # bytes of all segments
        self.next = 1  # the position that is given next
        self._journal: Journal
        self._newest: Content
        self._read: Content | None = None

    def open(self, at_least: int, after_damage: int) -> Repair:
        """Open for appending. Returns what that cost in the newest segment; the others are looked at when they are read.

        `at_least` is the lowest position that may be given next, as far as others know; `after_damage` one that was
        certainly never given, for a lane whose own end cannot be read.
        """
        self._files.make_directory(self.directory)
        for name in self._files.names(self.directory):
            if name.endswith(NEW_SUFFIX):
                self._files.remove(self.directory / name)
            elif found := SEGMENT_NAME.fullmatch(name):
                self.segments.append(Segment(int(found[1]), self._files.size(self.directory / name)))
        if not self.segments:
            self._begin_segment(at_least)
            return Repair()
        newest = self.segments[-1]
        self._journal = Journal(self._path(newest.first), self._files)
        payloads, repair = self._journal.open()
        self._newest = Content.of(newest.first, payloads)
        newest.size = self._journal.size
        behind = self._newest.positions[-1] + 1 if self._newest.positions else newest.first
        self.next = max(behind, at_least, after_damage if repair.tail_damaged else 0)
        if repair.damaged_spans:
            self._tell(self._newest, self.next if repair.tail_damaged else behind, repair)
        self.size = sum(segment.size for segment in self.segments)
        return repair

    def _path(self, first: int) -> Path:
        return self.directory / f"{first:016d}.journal"

    def _begin_segment(self, first: int) -> None:
        journal = Journal(self._path(first), self._files)
        journal.open()
        self._journal = journal
        self._newest = Content(first)
        self.segments.append(Segment(first, journal.size))
        self.size += journal.size
        self.next = first

    def _tell(self, content: Content, end: int, repair: Repair) -> None:
        for first, last in content.gaps(end):
            self._lost(first, last, repair)

    @property
    def first(self) -> int:
        return self.segments[0].first

    def append(self, records: list[bytes]) -> int:
        payload = payload_of(self.next, records)
        newest = self.segments[-1]
        if newest.size + len(payload) > self._segment_bytes and self._newest.positions:
            self.rotate()
            newest = self.segments[-1]
        first = self.next
        self._journal.append(payload)
        self.next = first + len(records)
        self.size += self._journal.size - newest.size
        newest.size = self._journal.size
        for position, record in enumerate(records, first):
            self._newest.add(position, record)
        return first

    def skip(self, count: int) -> int:
        first = self.next
        self.next += count
        return first

    def rotate(self) -> None:
        old = self._journal
        self._begin_segment(self.next)
        old.close()

    def remove_oldest(self) -> tuple[int, int]:
        if len(self.segments) == 1:
            self.rotate()
        oldest = self.segments[0]
        self._files.remove(self._path(oldest.first))
        self.size -= oldest.size
        del self.segments[0]
        return oldest.first, self.segments[0].first

    def content(self, index: int) -> Content:
        segment = self.segments[index]
        if index == len(self.segments) - 1:
            return self._newest
        if self._read is not None and self._read.first == segment.first:
            return self._read
        found = scanned(self._files.read(self._path(segment.first)))
        content = Content.of(segment.first, found.payloads)
        if found.damages:
            self._tell(content, self.segments[index + 1].first, self._heal(segment))
        self._read = content  # in the place of the one that was read before
        return content

    def _heal(self, segment: Segment) -> Repair:
        journal = Journal(self._path(segment.first), self._files)
        try:
            _, repair = journal.open()
            self.size += journal.size - segment.size
            segment.size = journal.size
        except OSError:  # a medium that cannot be written can still be read; it is healed another time
            repair = Repair()
        finally:
            journal.close()
        return repair

    def close(self) -> None:
        self._journal.close()
