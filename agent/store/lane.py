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
import errno
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Protocol

from agent.store.files import Files
from agent.store.journal import DAMAGED, NEW_SUFFIX, Journal, Repair, Scanned, scanned
from agent.store.segment import Content, Segment, When, payload_of

SEGMENT_NAME = re.compile(r"(\d{16})\.journal")


class Lane(Protocol):
    """What the store asks of a lane. Methods raise OSError as a file system does; nothing is half stored then."""

    segments: list[Segment]
    size: int
    next: int

    @property
    def first(self) -> int:
        """The lowest position that the lane may still hold."""

    def prepare(self) -> int:
        """Called before positions are claimed. Returns the room: of this the newest segment's length is now a multiple."""

    def append(self, records: list[bytes]) -> int:
        """Store encoded records as one transaction, on the medium when this returns. Returns the first one's position."""

    def skip(self, count: int) -> int:
        """Use up `count` positions without storing anything. Returns the first of them."""

    def rotate(self) -> None:
        """Close the newest segment and begin one at the next position."""

    def remove_oldest(self) -> None:
        """Remove the oldest segment. It is not read again, also when the medium refuses to let it go."""

    def remove_set_aside(self) -> bool:
        """Remove damage that was set aside; False when there is none."""

    def content(self, index: int) -> Content:
        """The records of a segment (an index into `segments`)."""

    def newest(self, index: int) -> When | None:
        """When the last record of a segment came, if it says so."""

    def require_in_place(self) -> None:
        """Raises OSError when nobody would find what is appended: the newest segment is not at its path any more."""

    def let_go(self) -> None:
        """Give the handle back without a word to the medium. What can be read whole can still be read; nothing is healed."""

    def close(self) -> None:
        """Give the handle back."""


def read(lane: Lane, start: int, stop: int, limit: int, max_bytes: int, beyond: Container[int] = ()) -> list[tuple[int, bytes]]:
    """Up to `limit` records with their positions, from `start` to below `stop`, but none that `beyond` names.

    About `max_bytes` in all, but at least one.
    """
    out: list[tuple[int, bytes]] = []
    index = max(0, bisect_right(lane.segments, start, key=lambda segment: segment.first) - 1)
    while index < len(lane.segments) and len(out) < limit and max_bytes > 0:
        content = lane.content(index)
        begin, end = bisect_left(content.positions, start), bisect_left(content.positions, stop)
        if not beyond:  # as it should be: no receipt has overtaken another
            end = min(end, begin + limit - len(out))
        records = content.records[begin:end]
        size = sum(map(len, records))
        if not beyond and size <= max_bytes:
            out += zip(content.positions[begin:end], records, strict=True)
            max_bytes -= size
        else:
            max_bytes = _pick(zip(content.positions[begin:end], records, strict=True), out, limit, max_bytes, beyond)
        index += 1
    return out


def following(lane: Lane, position: int) -> int:
    """The position of the first record from `position` on; the one that is given next when there is none."""
    index = max(0, bisect_right(lane.segments, position, key=lambda segment: segment.first) - 1)
    while index < len(lane.segments):
        positions = lane.content(index).positions
        if (at := bisect_left(positions, position)) < len(positions):
            return positions[at]
        index += 1
    return lane.next


def _pick(
    records: Iterable[tuple[int, bytes]], out: list[tuple[int, bytes]], limit: int, max_bytes: int, beyond: Container[int]
) -> int:
    """One after another, while there is room for them; returns the bytes that are left, 0 when there are none."""
    for position, record in records:
        if position in beyond:
            continue
        if out and (len(out) == limit or len(record) > max_bytes):
            return 0
        out.append((position, record))
        max_bytes -= len(record)
    return max(0, max_bytes)


class DiskLane:
    """One lane's segments in a directory of their own.

    `lost` is told first and last position of each run that damage cost.
    """

    def __init__(self, directory: Path, files: Files, segment_bytes: int, room: int, lost: Callable[[int, int], None]) -> None:
        self.directory = directory
        self._files = files
        self._segment_bytes, self._room = segment_bytes, room
        self._lost = lost
        self.segments: list[Segment] = []
        self.size = 0  # bytes of all segments, and of damage set aside
        self.next = 1  # the position that is given next
        self.is_new = False  # there was no segment
        self.lost_end = False  # the newest segment's end is damaged
        self.found_size = 0  # the newest segment's, before it was opened
        self._set_aside: list[tuple[Path, int]] = []
        self._let_go = False
        self._journal: Journal
        self._newest: Content
        self._read: Content | None = None

    def open(self, at_least: int) -> Repair:
        """Open for appending. Returns what that cost in the newest segment; the others are looked at when they are read.

        `next` is then the first position behind what is there, and `at_least` for an empty lane.
        """
        self._files.make_directory(self.directory)
        for name in self._files.names(self.directory):
            path = self.directory / name
            if name.endswith(NEW_SUFFIX):
                self._files.remove(path)
            elif found := SEGMENT_NAME.fullmatch(name):
                self.segments.append(Segment(int(found[1]), self._files.size(path)))
            elif DAMAGED in name and self._files.kind(path) == "file":
                self._set_aside.append((path, self._files.size(path)))
        self.size = sum(segment.size for segment in self.segments) + sum(size for _, size in self._set_aside)
        if not self.segments:
            self.is_new = True
            self._begin_segment(at_least)
            return Repair()
        return self._open_newest(self.segments[-1])

    def _open_newest(self, newest: Segment) -> Repair:
        self._journal = Journal(self._path(newest.first), self._files, self._room)
        self.found_size = newest.size
        payloads, repair = self._journal.open()
        self.lost_end = repair.tail_damaged or newest.size == 0  # no segment is named before it is whole
        self._newest = Content.of(newest.first, payloads)
        self.next = self._newest.end
        self._note_size(newest)
        self._note_set_aside(repair)
        if repair.damaged_spans:
            self._tell(self._newest, self.next)
        return repair

    def skip_to(self, position: int) -> None:
        """Begin not below `position`."""
        self.next = max(self.next, position)

    def _path(self, first: int) -> Path:
        return self.directory / f"{first:016d}.journal"

    def _begin_segment(self, first: int) -> None:
        journal = Journal(self._path(first), self._files, self._room)
        journal.create()
        self._journal = journal
        self._newest = Content(first)
        self.segments.append(Segment(first, journal.size))
        self.size += journal.size
        self.next = first

    def _note_size(self, segment: Segment) -> None:
        if (size := self._journal.size) != segment.size:
            self.size += size - segment.size
            segment.size = size

    def _note_set_aside(self, repair: Repair) -> None:
        if repair.set_aside and all(path != repair.set_aside for path, _ in self._set_aside):
            self._set_aside.append((repair.set_aside, repair.damaged_bytes))
            self.size += repair.damaged_bytes

    def _tell(self, content: Content, end: int) -> None:
        for first, last in content.gaps(end):
            self._lost(first, last)

    @property
    def first(self) -> int:
        return self.segments[0].first

    def prepare(self) -> int:
        self._journal.prepare()
        self._note_size(self.segments[-1])
        return self._room

    def append(self, records: list[bytes]) -> int:
        payload = payload_of(self.next, records)
        if self._journal.used + len(payload) > self._segment_bytes and self._newest.positions:
            self.rotate()
        first = self.next
        self._journal.append(payload)
        self.next = first + len(records)
        self._note_size(self.segments[-1])
        for position, record in enumerate(records, first):
            self._newest.add(position, record)
        return first

    def skip(self, count: int) -> int:
        first = self.next
        self.next += count
        return first

    def rotate(self) -> None:
        old, segment = self._journal, self.segments[-1]
        used, segment.newest = old.used, self._newest.newest()
        self._begin_segment(self.next)
        old.close()
        self.size += used - segment.size
        segment.size = used

    def remove_oldest(self) -> None:
        if len(self.segments) == 1:
            self.rotate()
        oldest = self.segments.pop(0)
        self.size -= oldest.size
        self._files.remove(self._path(oldest.first))

    def remove_set_aside(self) -> bool:
        if not self._set_aside:
            return False
        path, size = self._set_aside[0]
        self._files.remove(path)
        self.size -= size
        del self._set_aside[0]
        return True

    def content(self, index: int) -> Content:
        segment = self.segments[index]
        if index == len(self.segments) - 1:
            return self._newest
        if self._read is None or self._read.first != segment.first:
            self._read = self._load(index)  # in the place of the one that was read before
        return self._read

    def _load(self, index: int) -> Content:
        segment, stop = self.segments[index], self.segments[index + 1].first
        found = self._scanned(segment)
        content = Content.of(segment.first, found.payloads, stop)
        unsound = bool(found.damages or found.torn) or not segment.size
        if unsound and self._let_go:
            raise OSError(errno.EIO, "cannot be read whole while the disk refuses", str(self._path(segment.first)))
        if unsound:
            self._heal(segment, content, stop)
        return content

    def _scanned(self, segment: Segment) -> Scanned:
        try:
            return scanned(self._files.read(self._path(segment.first)))
        except FileNotFoundError:  # somebody removed it: its positions are a gap for whoever reads
            if self._let_go:
                raise
            return scanned(b"")

    def _heal(self, segment: Segment, content: Content, stop: int) -> None:
        journal = Journal(self._path(segment.first), self._files, self._room)
        repair = Repair(damaged_spans=1)
        with contextlib.suppress(OSError):  # a medium that cannot be written can still be read; it is healed another time
            _, repair = journal.open()
            journal.close()
            self.size += journal.used - segment.size
            segment.size = journal.used
        self._note_set_aside(repair)
        self._tell(content, stop)

    def newest(self, index: int) -> When | None:
        if index == len(self.segments) - 1:
            return self._newest.newest()
        segment = self.segments[index]
        if segment.newest is None:
            content = self._read if self._read is not None and self._read.first == segment.first else self._load(index)
            segment.newest = content.newest()
        return segment.newest

    def require_in_place(self) -> None:
        self._journal.require_in_place()

    def let_go(self) -> None:
        self._let_go = True
        self._journal.let_go()

    def close(self) -> None:
        self._journal.close()
