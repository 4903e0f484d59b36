"""What the disk refuses, in memory until the disk takes it again.

The records of one outage are an epoch of their own, because nothing would keep positions that were given while the disk
refuses from being given again after a restart. They can be read and sent from here. When the disk is back they move there
under new positions, as far as some uplink still waits for them; a receipt that comes later settles them there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from agent.records import Body, Envelope, Loss, Receipt, Stamp
from agent.store import LANES, Store
from agent.store.lane_store import LaneStore
from agent.store.losses import TURNED_DOWN

ALL = 2**62
OUTAGES = 100  # epochs that are remembered: a receipt may come late, but not so late


class Shelter:
    """Belongs to the thread that owns the disk. `open_memory` gives an empty memory store that knows the same uplinks."""

    def __init__(self, open_memory: Callable[[], LaneStore], uplinks: Sequence[str]) -> None:
        self._open_memory, self._uplinks = open_memory, tuple(uplinks)
        self._store: LaneStore | None = None
        self._epochs: deque[str] = deque(maxlen=OUTAGES)
        self._sent: set[str] = set()  # lanes of which something may have been sent under this store's epoch
        self._explained = False  # what moved from it can be read here
        self._moved: dict[tuple[str, str, int], int] = {}  # epoch, lane, position -> position on disk; of the last outage

    @property
    def size(self) -> int:
        """Bytes that wait here."""
        return self._store.size if self._store else 0

    def keep(self, lane: str, entries: Sequence[tuple[Body, Stamp]]) -> None:
        """Take what the disk refused."""
        if self._store is None:
            self._store = self._open_memory()
            self._epochs.append(self._store.epoch)
            self._moved, self._sent = {}, set()
        self._explained = False
        self._store.extend(lane, entries)

    def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        """As `Store.read`."""
        found = self._store.read(uplink, lane, limit, max_bytes) if self._store else []
        if found:
            self._sent.add(lane)
        return found

    def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> Receipt | None:
        """Take note of a receipt for what was read here.

        Returns the receipt for what meanwhile moved to the disk, None when the epoch was never ours.
        """
        if epoch not in self._epochs:
            return None
        if self._store is not None and self._store.epoch == epoch:
            self._store.settle(uplink, lane, receipt)
            self._store.tell_refused(lane, receipt.rejected)
        return Receipt(self._on_disk(epoch, lane, receipt.accepted), self._on_disk(epoch, lane, receipt.rejected), receipt.why)

    def _on_disk(self, epoch: str, lane: str, positions: Iterable[int]) -> tuple[int, ...]:
        return tuple(moved for position in positions if (moved := self._moved.get((epoch, lane, position))) is not None)

    def backlog(self, uplink: str) -> dict[str, int]:
        """As `Store.backlog`."""
        return self._store.backlog(uplink) if self._store else dict.fromkeys(LANES, 0)

    def tidy(self, stamp: Stamp) -> None:
        """As `Store.tidy`."""
        if self._store:
            self._store.tidy(stamp)

    def move(self, disk: Store, stamp: Stamp) -> None:
        """Move everything to the disk. Raises OSError when it refuses again; what it took has moved then.

        A platform may have had later records of this epoch than some that moved: until it has read why, that stays here.
        """
        store = self._store
        if store is None:
            return
        asked = False  # a platform may ask where what moved has gone
        for lane in LANES:
            while self._move_some(store, lane, disk):
                asked |= lane in self._sent
        for key, loss in store.losses.waiting():
            if not _explains(loss):
                disk.lose(loss.lane, loss.count, loss.why)
                store.losses.told([key])
        if not self._explained and (asked or self._waits(store)):
            self._explained = True
            store.tidy(stamp)
        if not self._waits(store):
            store.close()
            self._store = None

    def _waits(self, store: Store) -> bool:
        return any(any(store.backlog(uplink).values()) for uplink in self._uplinks)

    def _move_some(self, store: LaneStore, lane: str, disk: Store) -> bool:
        waiting = {
            uplink: {each.position: each for each in store.read(uplink, lane, ALL, ALL) if not _only_explains(each)}
            for uplink in self._uplinks
        }
        ends = [max(envelopes) for envelopes in waiting.values() if envelopes]
        if not ends:
            return False
        end = min(ends)  # up to here every uplink's list is complete: what it lacks, that uplink has settled
        moving = {
            position: envelope for envelopes in waiting.values() for position, envelope in envelopes.items() if position <= end
        }
        records = [moving[position] for position in sorted(moving)]
        self._put(lane, [each for each in records if not isinstance(each.body, Loss)], disk, waiting)
        for each in records:
            if isinstance(each.body, Loss):  # it names positions of this epoch, which the disk's records must not
                disk.lose(each.body.lane, each.body.count, each.body.why)
        for uplink in self._uplinks:
            store.settle(uplink, lane, Receipt(tuple(moving)))
        store.losses.moved(lane, moving)  # told if the disk refuses the rest, and this epoch goes on
        return True

    def _put(self, lane: str, envelopes: list[Envelope], disk: Store, waiting: dict[str, dict[int, Envelope]]) -> None:
        if not envelopes:
            return
        first = disk.extend(lane, [(each.body, Stamp(each.at, each.mono, each.boot, each.synced)) for each in envelopes])
        places = {each.position: first + index for index, each in enumerate(envelopes)}
        self._moved.update(((each.epoch, lane, each.position), places[each.position]) for each in envelopes)
        for uplink, unsettled in waiting.items():
            settled = tuple(place for position, place in places.items() if position not in unsettled)
            if settled:
                disk.settle_sent(uplink, lane, Receipt(settled))


def _only_explains(envelope: Envelope) -> bool:
    return isinstance(envelope.body, Loss) and _explains(envelope.body)


def _explains(loss: Loss) -> bool:
    """Whether it says where positions of its own epoch have gone; of what is lost the disk tells under its own."""
    return not loss.count or loss.why == TURNED_DOWN
