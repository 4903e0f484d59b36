"""A crash at every step that changes the disk, and every disk that it may leave."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from agent.records import Receipt
from agent.store import LANES
from agent.store.lane_store import LaneStore
from agent.store.room import Bounds
from tests.agent.store.disk import Disk
from tests.agent.store.stores import STAMP, body, drain_all, explained, losses, number_of, open_store

TIGHT = Bounds(budget=16 * 1024, free_floor=0, keep_days=1000.0, keep_bytes=4 * 1024)  # segments of 512 bytes
DEPTH = int(os.environ.get("STORE_CRASHES", "1"))  # how much work, and how many random disks a step beside the extremes


class Ledger:
    """What the store has promised so far."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[int, int]] = {lane: {} for lane in LANES}  # lane -> position -> number
        self.settled: dict[str, set[int]] = {lane: set() for lane in LANES}
        self.notes: dict[str, dict[str, int]] = {}
        self.appending: tuple[str, int, list[int]] | None = None
        self.noting: dict[str, dict[str, int]] | None = None
        self.version = 0

    def append(self, store: LaneStore, lane: str, count: int) -> None:
        first = store._lanes[lane].next
        numbers = [first * 10 + index for index in range(count)]
        self.appending = (lane, first, numbers)
        self.version += 1
        given = store.append(lane, [body(lane, number) for number in numbers], STAMP)
        assert given == first
        self.stored[lane].update(zip(range(first, first + count), numbers, strict=True))
        self.appending = None

    def settle(self, store: LaneStore, lane: str, limit: int, rejected: int = 0) -> None:
        positions = [each.position for each in store.read("one", lane, limit, 2**20)]
        store.settle("one", lane, Receipt(tuple(positions[rejected:]), tuple(positions[:rejected]), "no"))
        self.settled[lane].update(positions)
        self.version += 1

    def note(self, store: LaneStore, value: int) -> None:
        self.noting = {"last": {"value": value}}
        self.version += 1
        store.remember({"test": self.noting})
        self.notes, self.noting = self.noting, None


def work(store: LaneStore, ledger: Ledger, reopen: Callable[[], LaneStore]) -> LaneStore:
    """Every kind of step: segments are begun, removed, given up; notes are compacted; the store is closed and opened."""
    for turn in range(DEPTH):
        for lane in LANES:
            ledger.append(store, lane, 1)
            ledger.append(store, lane, 3)
        ledger.note(store, turn)
    ledger.settle(store, "alarms", 3, rejected=1)
    ledger.settle(store, "readings", 5)
    store.tidy(STAMP)
    store.close()
    store = reopen()
    for turn in range(2 * DEPTH):
        ledger.append(store, "readings", 2)
        ledger.append(store, "summaries", 1)
        ledger.note(store, 100 + turn)
    ledger.settle(store, "summaries", 9)
    store.tidy(STAMP)
    while not store.losses.count["readings"]:  # until waiting readings are given up
        ledger.append(store, "readings", 12)
    ledger.append(store, "readings", 5)
    ledger.append(store, "alarms", 2)
    store.tidy(STAMP)
    store._notes._storage.compact()
    store.close()
    return store


def check(disk: Disk, ledger: Ledger) -> None:
    """Whatever the crash left: it opens, nothing that was promised is gone without a Loss, no position comes twice."""
    store = open_store(disk, bounds=TIGHT)
    notes = store.recall("test")
    assert notes in (ledger.notes, ledger.noting)
    following = {lane: store._lanes[lane].next for lane in LANES}
    for lane in LANES:
        stored = ledger.stored[lane]
        assert following[lane] > max(stored, default=0)
        first = store.append(lane, [body(lane, 7)], STAMP)
        assert first == following[lane]
    found = drain_all(store)
    old = [loss for loss in losses(found["alarms"]) if loss.first < following[loss.lane]]
    assert {loss.why for loss in old} <= {"evicted", "full"}, "a crash alone damages nothing"
    for lane in LANES:
        came = {each.position: each for each in found[lane] if each.position < following[lane]}
        named = {position for loss in old if loss.lane == lane for position in range(loss.first, loss.last + 1)}
        assert not named & came.keys(), f"{lane}: told as lost, and delivered"
        missing = ledger.stored[lane].keys() - ledger.settled[lane] - came.keys()
        assert missing <= explained(found, lane), f"{lane}: lost in silence"
        for position, envelope in came.items():
            if position in ledger.stored[lane]:
                assert number_of(envelope.body) == ledger.stored[lane][position]
            elif not losses([envelope]):  # not acknowledged, and kept all the same
                assert ledger.appending is not None
                assert ledger.appending[0] == lane
                assert number_of(envelope.body) == ledger.appending[2][position - ledger.appending[1]]
    store.close()


class _Stop(BaseException):
    pass


def test_nothing_is_lost_wherever_the_power_fails() -> None:
    disk, ledger, chance = Disk(), Ledger(), random.Random(5)
    steps, checked = 0, set()

    def crash(_: str) -> None:
        nonlocal steps
        steps += 1
        images = [*disk.after_crashes(), *(disk.after_crash(chance) for _ in range(DEPTH))]
        for image in images:
            seen = (ledger.version, *image.files().items())
            if seen not in checked:
                checked.add(seen)
                check(image, ledger)

    store = open_store(disk, bounds=TIGHT)
    disk.before = crash

    def reopen() -> LaneStore:
        return open_store(disk, bounds=TIGHT)

    work(store, ledger, reopen)
    crash("end")
    assert steps > 200


def test_a_first_opening_may_fail_anywhere() -> None:
    disk = Disk()

    def crash(_: str) -> None:
        for image in disk.after_crashes():
            check(image, Ledger())

    disk.before = crash
    open_store(disk, bounds=TIGHT).close()


@pytest.mark.parametrize("seed", range(3))
def test_a_repair_may_fail_anywhere(seed: int) -> None:
    """The power fails, the store opens, the power fails while it does."""
    disk, ledger, chance = Disk(), Ledger(), random.Random(seed)
    store = open_store(disk, bounds=TIGHT)
    for turn in range(4):
        for lane in LANES:
            ledger.append(store, lane, 2)
        ledger.note(store, turn)
    stop_at, steps = chance.randrange(3), 0

    def stop(_: str) -> None:
        nonlocal steps
        steps += 1
        if steps > stop_at:
            raise _Stop

    disk.before = stop
    with pytest.raises(_Stop):
        ledger.append(store, "summaries", 2)
    first = disk.after_crash(chance)

    def again(_: str) -> None:
        for image in first.after_crashes():
            check(image, ledger)

    first.before = again
    open_store(first, bounds=TIGHT).close()
