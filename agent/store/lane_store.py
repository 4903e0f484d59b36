"""The store over lanes and notes, whatever they are kept in.

Invariants
- A record that `append` returned for is read again until each uplink has settled it, or a Loss names its position.
- Room is made in one order: delivered history, waiting readings, waiting summaries. Waiting alarms are never removed: when
  nothing else is left, the first are kept and the newest refused, as a Loss.
- A lane never makes room at the cost of one that matters more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.records import Body, Envelope, Receipt, Stamp
from agent.store import ALARMS, DEAD, LANES, READINGS, SUMMARIES
from agent.store.cursor import Cursor
from agent.store.lane import Lane, read
from agent.store.losses import Losses
from agent.store.notes import Changes, Notes

DAY = 86_400.0
RESERVE = 4096  # positions claimed at once, so that a lane with a damaged end knows what was certainly never given
SLACK = 64 * 1024  # bytes above the budget that only Loss records may use
PRIORITY = {ALARMS: 0, SUMMARIES: 1, READINGS: 2, DEAD: 3}  # a lane makes room only at the cost of those behind it
HISTORY_ORDER = (READINGS, DEAD, SUMMARIES, ALARMS)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Envelope).decode


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the store may use."""

    budget: int  # bytes, of everything
    free_floor: int  # bytes that must stay free on the file system
    keep_days: float  # delivered records stay so long as history
    keep_bytes: int  # and no more than this of them


class LaneStore:
    """See `agent.store.Store`."""

    def __init__(
        self,
        gateway: str,
        epoch: str,
        uplinks: Sequence[str],
        lanes: Mapping[str, Lane],
        notes: Notes,
        losses: Losses,
        bounds: Bounds,
        free: Callable[[], int],
    ) -> None:
        self.gateway, self.epoch = gateway, epoch
        self._lanes, self._notes, self._losses, self._bounds, self._free = lanes, notes, losses, bounds, free
        saved = notes.recall("cursors")
        self._cursors = {
            (uplink, lane): Cursor(saved.get(f"{uplink}/{lane}", {}).get("floor", lanes[lane].first))
            for uplink in uplinks
            for lane in LANES
        }
        self._saved = {key: cursor.floor for key, cursor in self._cursors.items()}
        self._reserved = {key: document["reserved"] for key, document in notes.recall("lanes").items()}

    def append(self, lane: str, bodies: Sequence[Body], stamp: Stamp) -> int:
        records = self._encoded(lane, bodies, stamp)
        if not self._make_room(lane, sum(map(len, records))):
            first = self._lanes[lane].skip(len(bodies))
            self._losses.add(lane, first, first + len(bodies) - 1, len(bodies), "full")
            return first
        self._reserve(lane, len(bodies))
        first = self._lanes[lane].append(records)
        self._report_losses(stamp)
        return first

    def _encoded(self, lane: str, bodies: Sequence[Body], stamp: Stamp) -> list[bytes]:
        first = self._lanes[lane].next
        return [
            encode(Envelope(self.gateway, self.epoch, lane, position, stamp.boot, stamp.mono, stamp.at, stamp.synced, body))
            for position, body in enumerate(bodies, first)
        ]

    def _reserve(self, lane: str, count: int) -> None:
        behind = self._lanes[lane].next + count
        if behind > self._reserved.get(lane, 0):
            reserved = behind + RESERVE
            self._notes.remember({"lanes": {lane: {"reserved": reserved}}})
            self._reserved[lane] = reserved

    # Room ---------------------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes of everything that is kept."""
        return sum(lane.size for lane in self._lanes.values()) + self._notes.size

    def _make_room(self, lane: str, need: int, slack: int = 0) -> bool:
        while self.size + need > self._bounds.budget + slack or self._free() - need < self._bounds.free_floor:
            if not self._evict(lane):
                return False
        return True

    def _evict(self, lane: str) -> bool:
        """Remove one segment that matters less than what `lane` wants to store; False when there is none."""
        for name in HISTORY_ORDER:
            if self._has_history(name):
                self._lanes[name].remove_oldest()
                return True
        for name in (READINGS, SUMMARIES):
            held = self._lanes[name]
            if PRIORITY[lane] <= PRIORITY[name] and held.next > self._delivered(name) and _holds_records(held):
                self._lose_oldest(name)
                return True
        return False

    def _has_history(self, name: str) -> bool:
        lane = self._lanes[name]
        behind = lane.segments[1].first if len(lane.segments) > 1 else lane.next
        return behind <= self._delivered(name) and _holds_records(lane)

    def _delivered(self, name: str) -> int:
        """Everything below this position was settled by every uplink."""
        return min(
            (cursor.floor for (_, lane), cursor in self._cursors.items() if lane == name),
            default=self._lanes[name].next,
        )

    def _lose_oldest(self, name: str) -> None:
        lane = self._lanes[name]
        if len(lane.segments) == 1:
            lane.rotate()
        first = max(lane.first, self._delivered(name))
        last = lane.segments[1].first - 1
        self._losses.add(name, first, last, last - first + 1, "evicted")
        lane.remove_oldest()

    def _report_losses(self, stamp: Stamp) -> None:
        """Put what was lost on its way to the platform, as soon as there is room for it."""
        waiting = self._losses.waiting()
        if not waiting:
            return
        records = self._encoded(ALARMS, [loss for _, loss in waiting], stamp)
        if self._make_room(ALARMS, sum(map(len, records)), SLACK):
            self._reserve(ALARMS, len(waiting))
            self._lanes[ALARMS].append(records)
            self._losses.reported([key for key, _ in waiting])

    # Delivery -----------------------------------------------------------------------------------------------------------

    def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        cursor = self._cursors[uplink, lane]
        while True:
            start = cursor.floor
            records = read(self._lanes[lane], start, limit + len(cursor.beyond), max_bytes)
            cursor.pass_gap(records[0][0] if records else self._lanes[lane].next)
            fresh = [record for record in records if record[0] >= cursor.floor and record[0] not in cursor.beyond]
            envelopes = [envelope for record in fresh[:limit] if (envelope := self._envelope(lane, *record, cursor))]
            if envelopes or cursor.floor == start or not records:
                return envelopes

    def _envelope(self, lane: str, position: int, record: bytes, cursor: Cursor) -> Envelope | None:
        try:
            return decode(record)
        except msgspec.DecodeError:  # whole by its checksum and still no envelope of ours: never to be read again
            self._losses.add(lane, position, position, 1, "unreadable")
            cursor.settle((position,))
            return None

    def settle(self, uplink: str, lane: str, receipt: Receipt) -> None:
        if receipt.rejected:
            self._bury(lane, receipt)
        self._cursors[uplink, lane].settle((*receipt.accepted, *receipt.rejected))

    def _bury(self, lane: str, receipt: Receipt) -> None:
        why = b'{"why":' + encode(receipt.why) + b","
        wanted = set(receipt.rejected)
        found = read(self._lanes[lane], min(wanted), max(wanted) - min(wanted) + 1, self._bounds.budget)
        records = [why + record[1:] for position, record in found if position in wanted]
        if records and self._make_room(DEAD, sum(map(len, records))):
            self._lanes[DEAD].append(records)

    def backlog(self, uplink: str) -> dict[str, int]:
        cursors = {lane: self._cursors[uplink, lane] for lane in LANES}
        return {
            name: self._lanes[name].next - max(cursor.floor, self._lanes[name].first) - len(cursor.beyond)
            for name, cursor in cursors.items()
        }

    # Notes and upkeep ---------------------------------------------------------------------------------------------------

    def remember(self, changes: Changes) -> None:
        self._notes.remember(changes)

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        return self._notes.recall(table)

    def tidy(self, stamp: Stamp) -> None:
        self._save_cursors()
        self._losses.save()
        self._report_losses(stamp)
        for name in HISTORY_ORDER:
            while self._has_history(name) and self._outlived(name, stamp):
                self._lanes[name].remove_oldest()

    def _save_cursors(self) -> None:
        moved = {key: cursor.floor for key, cursor in self._cursors.items() if cursor.floor != self._saved[key]}
        if moved:
            self._notes.remember({"cursors": {"/".join(key): {"floor": floor} for key, floor in moved.items()}})
            self._saved.update(moved)

    def _outlived(self, name: str, stamp: Stamp) -> bool:
        lane = self._lanes[name]
        if len(lane.segments) == 1:
            return False
        if sum(self._history_bytes(each) for each in self._lanes) > self._bounds.keep_bytes:
            return True
        content = lane.content(0)
        if not content.records:
            return True
        newest = msgspec.json.decode(content.records[-1], type=_When)
        return stamp.synced and newest.synced and stamp.at - newest.at > self._bounds.keep_days * DAY

    def _history_bytes(self, name: str) -> int:
        delivered, lane = self._delivered(name), self._lanes[name]
        following = lane.segments[1:]
        return sum(segment.size for segment, behind in zip(lane.segments, following, strict=False) if behind.first <= delivered)

    def close(self) -> None:
        try:
            self._save_cursors()
        finally:
            for lane in self._lanes.values():
                lane.close()
            self._notes.close()


class _When(msgspec.Struct):
    at: float
    synced: bool


def _holds_records(lane: Lane) -> bool:
    return len(lane.segments) > 1 or bool(lane.content(0).records)
