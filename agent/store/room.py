"""Bounds: how much the store may take, what goes first when it is full, and how long delivered records stay.

Invariants
- Room is made in one order: damage set aside, delivered history, waiting readings, waiting summaries. Waiting alarms are
  never removed: when nothing else is left, the first are kept and the newest refused.
- A lane never makes room at the cost of one that matters more.
- What was not delivered goes with a Loss, whatever the reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.records import Stamp
from agent.store import ALARMS, DEAD, READINGS, SUMMARIES
from agent.store.cursor import Cursors
from agent.store.lane import Lane
from agent.store.losses import Losses
from agent.store.notes import Notes

DAY = 86_400.0
SLACK = 64 * 1024  # bytes above the budget that only Loss records may use
LOOK_AGAIN = 256 * 1024  # bytes that may be written before the bounds are looked at again, where they are far off
MARGIN = 1024 * 1024  # bytes that files may grow beyond what is written to them meanwhile: their room, new segments
PRIORITY = {ALARMS: 0, SUMMARIES: 1, READINGS: 2, DEAD: 3}  # a lane makes room only at the cost of those behind it
EVICTED = "evicted"
LOOK_AHEAD = 8  # segments that are asked for their age when the oldest does not know it
HISTORY_ORDER = (READINGS, DEAD, SUMMARIES, ALARMS)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the store may use."""

    budget: int
    """Bytes, of everything; at least 256 KiB on a disk."""
    free_floor: int
    """Bytes that stay free on the file system. Alarms may use them."""
    keep_days: float
    """Delivered records stay so long as history …"""
    keep_bytes: int
    """… and no more than this of them."""


class Room:
    """Makes room in lanes. `free` tells what the file system has left.

    Delivered is what the saved cursors say: a crash must not ask for what is gone.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        notes: Notes,
        losses: Losses,
        bounds: Bounds,
        cursors: Cursors,
        save_cursors: Callable[[], None],
        free: Callable[[], int],
    ) -> None:
        self._lanes, self._notes, self._losses, self.bounds = lanes, notes, losses, bounds
        self._delivered, self._save_cursors, self._free = cursors.delivered, save_cursors, free
        self._left = 0  # bytes that may be written before the bounds are looked at again

    @property
    def size(self) -> int:
        """Bytes of everything that is kept."""
        return sum(lane.size for lane in self._lanes.values()) + self._notes.size

    def make(self, lane: str, need: int, slack: int = 0) -> bool:
        """Make room for `need` bytes of a lane; False when the lane must do without. Raises OSError."""
        if need <= self._left:
            self._left -= need
            return True
        while self.size + need > self.bounds.budget + slack:
            if not self._evict(lane):
                return False
        while need > (free := self._free() - self.bounds.free_floor):
            if not self._evict(lane):
                return lane == ALARMS  # the floor is there for them; at its end the disk says so itself
        self._left = min(free - need, self.bounds.budget - self.size - need - MARGIN, LOOK_AGAIN)
        return True

    def look_again(self) -> None:
        """Look at the bounds with the next record: others write on this disk too."""
        self._left = 0

    def _evict(self, lane: str) -> bool:
        """Remove one piece of what matters less than what `lane` wants to store; False when there is none."""
        self._left = 0
        with contextlib.suppress(OSError):
            self._save_cursors()
        if any(held.remove_set_aside() for held in self._lanes.values()):
            return True
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

    def _lose_oldest(self, name: str) -> None:
        """The ledger first: what a crash leaves of the segment is removed at the opening by what the ledger says of it."""
        lane = self._lanes[name]
        if len(lane.segments) == 1:
            lane.rotate()
        self._losses.add(name, max(lane.first, self._delivered(name)), lane.segments[1].first - 1, EVICTED)
        lane.remove_oldest()

    def finish_evictions(self) -> None:
        """Remove again what a crash brought back: nobody may read what a Loss names. Called once, at the opening."""
        for name, lane in self._lanes.items():
            evicted = list(self._losses.named(name, EVICTED))
            while len(lane.segments) > 1:
                last = lane.segments[1].first - 1
                if not any(begin <= last <= end for begin, end in evicted):
                    break
                lane.remove_oldest()

    # Retention ----------------------------------------------------------------------------------------------------------

    def retire(self, stamp: Stamp) -> None:
        """Remove the history that has been kept long enough."""
        sizes = {name: self._history_bytes(name) for name in HISTORY_ORDER}
        for name in HISTORY_ORDER:
            lane = self._lanes[name]
            while len(lane.segments) > 1 and self._has_history(name):
                if sum(sizes.values()) <= self.bounds.keep_bytes and not self._is_old(name, stamp):
                    break
                sizes[name] -= lane.segments[0].size
                lane.remove_oldest()

    def _history_bytes(self, name: str) -> int:
        delivered, segments = self._delivered(name), self._lanes[name].segments
        total = 0
        for index in range(len(segments) - 1):
            if segments[index + 1].first > delivered:
                break
            total += segments[index].size
        return total

    def _is_old(self, name: str, stamp: Stamp) -> bool:
        """Whether the oldest segment is known to be older than `keep_days`, by the first one that tells its age."""
        lane, delivered = self._lanes[name], self._delivered(name)
        for index in range(min(len(lane.segments) - 1, LOOK_AHEAD)):
            if lane.segments[index + 1].first > delivered:
                break
            newest = lane.newest(index)
            if newest is not None and newest.boot == stamp.boot:
                return stamp.mono - newest.mono > self.bounds.keep_days * DAY
            if newest is not None and newest.synced and stamp.synced:
                return stamp.at - newest.at > self.bounds.keep_days * DAY
        return False


def _holds_records(lane: Lane) -> bool:
    return len(lane.segments) > 1 or bool(lane.content(0).records)
