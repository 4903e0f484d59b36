"""The store over lanes and notes, whatever they are kept in.

Invariants
- A record that `append` returned for is read again until each uplink has settled it, or a Loss names its position.
- A position that was given is never given again in the same epoch: what a damaged medium may have forgotten is skipped.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import msgspec

from agent.records import Body, Envelope, Receipt, Stamp
from agent.store import ALARMS, DEAD, LANES, Status
from agent.store.cursor import TABLE as CURSORS
from agent.store.cursor import WINDOW, Cursor, Cursors
from agent.store.flash import TABLE as FLASH
from agent.store.flash import FlashLedger
from agent.store.lane import Lane, following, read
from agent.store.losses import TABLE as LOSSES
from agent.store.losses import Losses
from agent.store.marks import TABLE as LANE_MARKS
from agent.store.marks import Marks, marks_of
from agent.store.notes import IDENTITY, Changes, Notes
from agent.store.room import SLACK, Bounds, Room

__all__ = ["Bounds", "LaneStore"]

REFUSED = "full"
UNREADABLE = "unreadable"
MISSING = "missing"
FORGOTTEN = "damagedEnd"  # the disk came back without what it had taken

LOSS = b'"body":{"kind":"loss",'  # in a record: the tag of a body comes first

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Envelope).decode


class LaneStore:
    """See `agent.store.Store`."""

    def __init__(
        self,
        gateway: str,
        epoch: str,
        lanes: Mapping[str, Lane],
        cursors: Cursors,
        notes: Notes,
        losses: Losses,
        bounds: Bounds,
        free: Callable[[], int],
        flash: FlashLedger | None = None,
    ) -> None:
        self.gateway, self.epoch, self.losses, self.flash = gateway, epoch, losses, flash
        self._lanes, self._cursors, self._notes = lanes, cursors, notes
        self._room = Room(lanes, notes, losses, bounds, cursors, partial(self._save, {}, with_flash=False), free)
        self._marks = {lane: marks_of(notes, lane) for lane in LANES}
        self._heads = {lane: encode(_Head(gateway, epoch, lane))[:-1] for lane in LANES}
        for name in LANES:
            cursors.begin(name, lanes[name].first, lanes[name].next)
        self._room.finish_evictions()

    @property
    def size(self) -> int:
        """Bytes of everything that is kept."""
        return self._room.size

    @property
    def status(self) -> Status:
        total, per_day = (self.flash.total, self.flash.per_day) if self.flash else (0, 0.0)
        made = {name: self._lanes[name].next - 1 for name in LANES}
        return Status(self.size, made, dict(self.losses.count), total, per_day)

    # Appending ----------------------------------------------------------------------------------------------------------

    def append(self, lane: str, bodies: Sequence[Body], stamp: Stamp) -> int:
        return self.extend(lane, [(body, stamp) for body in bodies])

    def extend(self, lane: str, entries: Sequence[tuple[Body, Stamp]]) -> int:
        records = self._encoded(lane, entries)
        if not self._room.make(lane, sum(map(len, records))):
            return self.lose(lane, len(entries), REFUSED)
        self._claim(lane, len(entries))
        first = self._lanes[lane].append(records)
        if self.losses.untold:
            with contextlib.suppress(OSError):  # what was asked for is done; `tidy` tells them
                self._tell_losses(entries[-1][1])
        return first

    def lose(self, lane: str, count: int, why: str) -> int:
        first = self._lanes[lane].skip(count)
        self.losses.add(lane, first, first + count - 1, why)
        return first

    def _encoded(self, lane: str, entries: Sequence[tuple[Body, Stamp]]) -> list[bytes]:
        """The envelopes as JSON: what all of them share is encoded once."""
        head, records, last, middle = self._heads[lane], [], None, b""
        for position, (body, stamp) in enumerate(entries, self._lanes[lane].next):
            if stamp is not last:
                middle = encode(_Middle(stamp.boot, stamp.mono, stamp.at, stamp.synced))[1:-1]
                last = stamp
            records.append(b'%b,"position":%d,%b,"body":%b}' % (head, position, middle, encode(body)))
        return records

    def _claim(self, lane: str, count: int) -> None:
        """Claim positions in advance, so that a lane that lost its end knows which were certainly never given."""
        held, marks = self._lanes[lane], self._marks[lane]
        if held.next + count <= marks.reserved:
            return
        self._remember({}, {lane: marks.claimed(held.next, count, held.prepare())})

    def _tell_losses(self, stamp: Stamp) -> None:
        """Put what was lost on its way to the platform, as soon as there is room for it."""
        waiting = self.losses.waiting()
        if not waiting:
            return
        records = self._encoded(ALARMS, [(loss, stamp) for _, loss in waiting])
        if self._room.make(ALARMS, sum(map(len, records)), SLACK):
            self._claim(ALARMS, len(waiting))
            self._lanes[ALARMS].append(records)
            self.losses.told([key for key, _ in waiting])

    # Delivery -----------------------------------------------------------------------------------------------------------

    def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        cursor, held = self._cursors.of(uplink, lane), self._lanes[lane]
        while cursor.floor < held.next:
            start = cursor.floor
            stop = min(start + WINDOW, held.next)
            records = read(held, start, stop, limit, max_bytes, cursor.beyond)
            end = records[-1][0] + 1 if records else following(held, stop)
            self._explain_gaps(lane, cursor, records, end)
            cursor.pass_gap(records[0][0] if records else end)
            envelopes = self._decoded(lane, records, cursor)
            if envelopes or cursor.floor == start:
                return _of_one_epoch(envelopes)
        return []

    def _explain_gaps(self, lane: str, cursor: Cursor, records: Sequence[tuple[int, bytes]], end: int) -> None:
        """What is not there to be read must have a Loss to its name."""
        start = cursor.floor
        if end - start == len(records):
            return
        expected = start
        for position in sorted({position for position, _ in records} | {at for at in cursor.beyond if at < end} | {end}):
            if position > expected:
                self.losses.add(lane, expected, position - 1, MISSING)
            expected = position + 1

    def _decoded(self, lane: str, records: Sequence[tuple[int, bytes]], cursor: Cursor) -> list[Envelope]:
        with contextlib.suppress(msgspec.DecodeError):
            return [decode(record) for _, record in records]
        envelopes = []
        for position, record in records:
            try:
                envelopes.append(decode(record))
            except msgspec.DecodeError:  # whole by its checksum and still no envelope of ours: never to be read again
                self.losses.add(lane, position, position, UNREADABLE)
                cursor.settle((position,))
        return envelopes

    def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        held, floor = self._lanes[lane], self._cursors.of(uplink, lane).floor
        with contextlib.suppress(msgspec.DecodeError):
            return [decode(record) for _, record in read(held, max(held.first, floor - count), floor, count, sys.maxsize)]
        return []

    def settle(self, uplink: str, lane: str, receipt: Receipt) -> None:
        cursor, stop = self._cursors.of(uplink, lane), self._lanes[lane].next
        cursor.settle([position for position in receipt.accepted if position < stop])
        if receipt.rejected:
            rejected = [position for position in receipt.rejected if position < stop]
            self._bury(lane, rejected, receipt.why)
            cursor.settle(rejected)

    def settle_sent(self, uplink: str, lane: str, receipt: Receipt) -> None:
        self.settle(uplink, lane, receipt)
        self.losses.sent_before(lane, (*receipt.accepted, *receipt.rejected))

    def tell_refused(self, lane: str, positions: Sequence[int]) -> None:
        if positions:
            wanted = set(positions)
            found = read(self._lanes[lane], min(wanted), max(wanted) + 1, len(wanted), 2**31, _Others(wanted))
            self.losses.refused(lane, [position for position, record in found if LOSS not in record])

    def _bury(self, lane: str, positions: Sequence[int], why: str) -> None:
        wanted = set(positions)
        reason = b'{"why":' + encode(why) + b","
        first, last = min(wanted, default=0), max(wanted, default=-1)
        found = read(self._lanes[lane], first, last + 1, len(wanted), 2**31, _Others(wanted))
        records = [reason + record[1:] for _, record in found]
        if records and self._room.make(DEAD, sum(map(len, records))):
            self._lanes[DEAD].append(records)

    def backlog(self, uplink: str) -> dict[str, int]:
        cursors = {lane: self._cursors.of(uplink, lane) for lane in LANES}
        return {
            lane: max(0, self._lanes[lane].next - max(cursor.floor, self._lanes[lane].first) - len(cursor.beyond))
            for lane, cursor in cursors.items()
        }

    # Notes and upkeep ---------------------------------------------------------------------------------------------------

    def remember(self, changes: Changes) -> None:
        self._remember(changes, {})

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        return self._notes.recall(table)

    def _remember(self, changes: Changes, claims: Mapping[str, Marks]) -> None:
        """Whatever is saved, how far the lanes have come goes with it: it costs nothing more then."""
        marks = {lane: claims.get(lane) or held.reached(self._lanes[lane].next) for lane, held in self._marks.items()}
        moved = {lane: mark for lane, mark in marks.items() if mark != self._marks[lane]}
        if changes or moved:
            self._notes.remember({**changes, LANE_MARKS: {lane: msgspec.structs.asdict(mark) for lane, mark in moved.items()}})
            self._marks.update(moved)

    def tidy(self, stamp: Stamp) -> None:
        self._room.look_again()
        if self.flash is not None:
            self.flash.note(stamp)
        due = self.flash is not None and self.flash.due(stamp)
        self._save({}, with_flash=due)
        self.losses.save()
        self._tell_losses(stamp)
        self._room.retire(stamp)

    def _save(self, claims: Mapping[str, Marks], *, with_flash: bool) -> None:
        changes: dict[str, Mapping[str, dict[str, Any] | None]] = {}
        if moved := self._cursors.moved():
            changes[CURSORS] = moved
        if with_flash and self.flash is not None:
            changes[FLASH] = self.flash.documents()
        if changes or claims:
            self._remember(changes, claims)
            self._cursors.saved()

    # A disk that failed and came back -------------------------------------------------------------------------------------

    def require_in_place(self) -> None:
        """Raises OSError when the files do not stand at their paths any more: what is written to them nobody would find."""
        self._notes.require_in_place()
        for lane in self._lanes.values():
            lane.require_in_place()

    def let_go(self) -> None:
        """Close every file of a medium that fails, as a crash would. What is waiting can be read on, as far as it is whole."""
        for lane in self._lanes.values():
            lane.let_go()
        self._notes.let_go()

    def go_on_from(self, before: LaneStore) -> bool:
        """Go on where an earlier opening was let go: what it knew and the medium did not take is not lost.

        What waited and is not on the medium any more becomes a Loss. False when this is another store than `before`:
        positions of that one mean nothing here. Raises OSError; nothing has changed then but notes.
        """
        self._note_as(before)
        self.losses.count.update({} if (same := self.epoch == before.epoch) else before.losses.count)
        if same:
            self.losses.go_on_from(before.losses)
            if self.flash is not None and before.flash is not None:
                self.flash.go_on_from(before.flash)
        known = same or any(self._last_epoch(name) == before.epoch for name in LANES)
        for name in LANES:
            self._go_on_in(name, before, same=same, known=known)
        if not same:
            for _, loss in before.losses.waiting():
                self.lose(loss.lane, loss.count, loss.why)
        return known

    def _note_as(self, before: LaneStore) -> None:
        own = {CURSORS, FLASH, LANE_MARKS, LOSSES, IDENTITY}
        tables = {table: before.recall(table) for table in before._notes.tables() if table not in own}
        changes: dict[str, dict[str, dict[str, Any] | None]] = {}
        for table, documents in tables.items():
            found = self.recall(table)
            changes[table] = {key: documents.get(key) for key in {**found, **documents} if found.get(key) != documents.get(key)}
        self.remember({table: documents for table, documents in changes.items() if documents})

    def _go_on_in(self, name: str, before: LaneStore, *, same: bool, known: bool) -> None:
        lane, end, floor = self._lanes[name], before._lanes[name].next, before._cursors.lowest(name)
        first = max(lane.next, floor) if known else max(before._lanes[name].first, floor)
        missing = [(begin, stop) for begin, stop in before.losses.unexplained(name, first, end - 1)]
        if same:
            for begin, stop in missing:
                self.losses.add(name, begin, stop, FORGOTTEN)
            lane.skip(max(0, end - lane.next))
        elif missing:
            self.lose(name, sum(stop - begin + 1 for begin, stop in missing), FORGOTTEN)
        if known:
            self._cursors.go_on_from(before._cursors, name, lane.next)

    def _last_epoch(self, name: str) -> str:
        lane = self._lanes[name]
        records = next((found for index in reversed(range(len(lane.segments))) if (found := lane.content(index).records)), [])
        with contextlib.suppress(msgspec.DecodeError, IndexError):
            return decode(records[-1]).epoch
        return ""

    def close(self) -> None:
        """Raises OSError when the medium refuses the last notes: the next opening then takes this end for a crash."""
        try:
            self._save({lane: held.closed(self._lanes[lane].next) for lane, held in self._marks.items()}, with_flash=True)
        finally:
            for lane in self._lanes.values():
                lane.close()
            self._notes.close()


def _of_one_epoch(envelopes: list[Envelope]) -> list[Envelope]:
    if not envelopes or envelopes[-1].epoch == envelopes[0].epoch:  # epochs follow one another in a lane
        return envelopes
    return list(takewhile(lambda envelope: envelope.epoch == envelopes[0].epoch, envelopes))


class _Head(msgspec.Struct):
    """The fields of an Envelope before its position …"""

    gateway: str
    epoch: str
    lane: str


class _Middle(msgspec.Struct):
    """… and those between its position and its body."""

    boot: str
    mono: float
    at: float
    synced: bool


class _Others:
    """Every position but these."""

    def __init__(self, positions: set[int]) -> None:
        self._positions = positions

    def __contains__(self, position: object) -> bool:
        return position not in self._positions
