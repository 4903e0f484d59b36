"""The budget, the floor of the file system, what goes first, how long history stays."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.records import Receipt, Stamp
from agent.store import ALARMS, DEAD, LANES, READINGS, SUMMARIES
from agent.store.lane_store import LaneStore
from agent.store.opening import SEGMENTS_A_BUDGET
from agent.store.room import DAY, LOOK_AGAIN, SLACK, Bounds
from tests.agent.store.disk import Disk
from tests.agent.store.stores import STAMP, body, drain, drain_all, explained, losses, open_store

BUDGET = 256 * 1024
SEGMENT = BUDGET // SEGMENTS_A_BUDGET
TIGHT = Bounds(budget=BUDGET, free_floor=0, keep_days=1000.0, keep_bytes=BUDGET)


def fill(store: LaneStore, lane: str, bytes_: int, number: int = 0) -> int:
    """Append records until about so many bytes were given; returns the number of the next."""
    while bytes_ > 0:
        store.append(lane, [body(lane, number + index) for index in range(10)], STAMP)
        number += 10
        bytes_ -= 2500
    return number


def on_disk(disk: Disk) -> int:
    return sum(len(content) for content in disk.files().values())


def whys(store: LaneStore) -> set[tuple[str, str]]:
    return {(loss.lane, loss.why) for loss in losses(drain(store, ALARMS))}


def test_the_budget_holds_whatever_comes() -> None:
    disk = Disk()
    store = open_store(disk, bounds=TIGHT)
    for turn in range(6):
        for lane in (READINGS, SUMMARIES, READINGS):
            fill(store, lane, BUDGET // 3, turn * 10_000)
            assert store.size <= BUDGET + SEGMENT + SLACK
            assert on_disk(disk) <= BUDGET + SEGMENT + SLACK
    assert store.size == on_disk(disk), "what is counted is what is there"
    store.close()


def test_delivered_history_goes_first() -> None:
    store = open_store(Disk(), bounds=TIGHT)
    fill(store, SUMMARIES, BUDGET // 3)
    drain(store, SUMMARIES)
    fill(store, READINGS, BUDGET // 3)
    store.tidy(STAMP)
    fill(store, ALARMS, BUDGET // 3)
    assert store.backlog("one")[SUMMARIES] == 0
    assert not store.losses.count, "nothing that waited had to go"
    store.close()


def test_waiting_readings_go_before_waiting_summaries_and_both_before_alarms() -> None:
    store = open_store(Disk(), bounds=TIGHT)
    fill(store, SUMMARIES, BUDGET // 3)
    fill(store, READINGS, BUDGET // 2)
    fill(store, ALARMS, BUDGET // 4)
    assert set(store.losses.count) == {READINGS}
    fill(store, ALARMS, BUDGET // 3)
    assert set(store.losses.count) == {READINGS, SUMMARIES}
    before = store.backlog("one")[ALARMS]
    fill(store, ALARMS, BUDGET)
    assert store.backlog("one")[ALARMS] > before
    first = store.read("one", ALARMS, 1, 2**20)[0]
    assert first.position == 1, "the first alarms are kept, the newest refused"
    assert store.losses.count[ALARMS] > 0
    store.close()


def test_summaries_never_make_room_at_the_cost_of_alarms() -> None:
    store = open_store(Disk(), bounds=TIGHT)
    fill(store, ALARMS, 2 * BUDGET)
    alarms = store.backlog("one")[ALARMS]
    fill(store, SUMMARIES, BUDGET // 4)
    assert store.backlog("one")[ALARMS] >= alarms
    assert store.losses.count[SUMMARIES] > 0
    store.close()


def test_when_alarms_alone_fill_it_the_delivered_ones_go_first() -> None:
    store = open_store(Disk(), bounds=TIGHT)
    fill(store, ALARMS, BUDGET // 2)
    drain(store, ALARMS, batch=10)
    fill(store, ALARMS, BUDGET // 2)
    assert not store.losses.count
    store.close()


def test_losses_reach_the_platform() -> None:
    store = open_store(Disk(), bounds=TIGHT)
    fill(store, READINGS, 2 * BUDGET)
    assert whys(store) == {(READINGS, "evicted")}
    fill(store, ALARMS, 2 * BUDGET)
    drain(store, ALARMS)
    store.tidy(STAMP)
    assert (ALARMS, "full") in whys(store)
    store.close()


def test_the_floor_of_the_file_system() -> None:
    disk = Disk()
    store = open_store(disk, bounds=Bounds(64 * 2**20, free_floor=2**20, keep_days=1000.0, keep_bytes=2**30))
    disk.available = 2**30
    fill(store, READINGS, BUDGET)
    assert not store.losses.count
    disk.available = 2**20 - 1  # somebody else filled the disk
    store.tidy(STAMP)
    store.append(SUMMARIES, [body(SUMMARIES, 1)], STAMP)
    assert store.losses.count[READINGS] > 0
    assert store.losses.count[SUMMARIES] == 1
    store.append(ALARMS, [body(ALARMS, 1)], STAMP)
    assert store.losses.count[ALARMS] == 0, "the floor is there for alarms"
    disk.available = 2**30
    store.append(SUMMARIES, [body(SUMMARIES, 2)], STAMP)
    assert store.losses.count[SUMMARIES] == 1
    store.close()


def test_the_free_space_is_not_asked_for_with_every_record(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, asked = Disk(), 0

    def free(path: Path) -> int:
        nonlocal asked
        asked += 1
        return 2**30

    monkeypatch.setattr(disk, "free", free)
    store = open_store(disk)
    fill(store, READINGS, LOOK_AGAIN // 2)
    assert asked <= 2
    store.append(READINGS, [body(READINGS, number) for number in range(2 * LOOK_AGAIN // 250)], STAMP)  # one big record batch
    assert not store.losses.count
    store.close()


def test_damage_that_was_set_aside_goes_before_everything() -> None:
    disk = Disk()
    store = open_store(disk, bounds=TIGHT)
    fill(store, READINGS, 40_000)
    store.close()
    path = sorted(each for each in disk.files() if each.parent.name == READINGS)[1]
    data = bytearray(disk.files()[path])
    data[100:3000] = b"#" * 2900
    disk = disk.damaged(path, bytes(data))
    store = open_store(disk, bounds=TIGHT)
    drain_all(store)
    assert any(".damaged-" in each.name for each in disk.files())
    assert store.size == on_disk(disk)
    fill(store, SUMMARIES, 2 * BUDGET)
    assert not any(".damaged-" in each.name for each in disk.files())
    store.close()


# Retention ----------------------------------------------------------------------------------------------------------


def later(days: float, *, boot: str = STAMP.boot, synced: bool = True) -> Stamp:
    return Stamp(STAMP.at + days * DAY, STAMP.mono + days * DAY, boot, synced)


KEEP = Bounds(budget=BUDGET, free_floor=0, keep_days=10.0, keep_bytes=BUDGET)


def history(store: LaneStore) -> int:
    return len(store._lanes[SUMMARIES].segments)


@pytest.fixture
def delivered() -> LaneStore:
    store = open_store(Disk(), bounds=KEEP)
    fill(store, SUMMARIES, 60_000)
    drain(store, SUMMARIES)
    store.tidy(STAMP)
    return store


def test_history_stays_so_many_days(delivered: LaneStore) -> None:
    before = history(delivered)
    delivered.tidy(later(9.9))
    assert history(delivered) == before
    delivered.tidy(later(10.1))
    assert history(delivered) == 1, "the newest segment stays"
    assert not delivered.losses.count, "what was delivered is no loss"
    delivered.close()


def test_history_of_another_boot_is_dated_by_synchronised_clocks(delivered: LaneStore) -> None:
    before = history(delivered)
    delivered.tidy(later(20.0, boot="other", synced=False))
    assert history(delivered) == before, "nobody knows how old it is"
    delivered.tidy(later(20.0, boot="other", synced=True))
    assert history(delivered) == 1
    delivered.close()


def test_history_of_the_same_boot_is_dated_by_the_monotonic_clock() -> None:
    store = open_store(Disk(), bounds=KEEP)
    start = Stamp(5.0, 100.0, "boot", synced=False)  # 1970, as a board without a clock begins
    for number in range(30):
        store.append(SUMMARIES, [body(SUMMARIES, number)] * 10, start)
    drain(store, SUMMARIES)
    store.tidy(Stamp(STAMP.at, 100.0 + DAY, "boot", synced=True))
    assert history(store) > 3, "55 years by the wall clock, a day in truth"
    store.tidy(Stamp(STAMP.at, 100.0 + 11 * DAY, "boot", synced=True))
    assert history(store) == 1
    store.close()


def test_unsynchronised_history_goes_with_what_came_after_it() -> None:
    store = open_store(Disk(), bounds=KEEP)
    for stamp in (Stamp(5.0, 1.0, "early", synced=False), later(0.0, boot="later")):
        for number in range(20):
            store.append(SUMMARIES, [body(SUMMARIES, number)] * 10, stamp)
    drain(store, SUMMARIES)
    store.tidy(later(5.0, boot="now"))
    assert history(store) > 3
    store.tidy(later(11.0, boot="now"))
    assert history(store) == 1
    store.close()


def test_history_keeps_to_its_bytes() -> None:
    store = open_store(Disk(), bounds=Bounds(BUDGET, 0, keep_days=1000.0, keep_bytes=3 * SEGMENT))
    for lane in (READINGS, SUMMARIES):
        fill(store, lane, 80_000)
        drain(store, lane)
    store.tidy(STAMP)
    kept = sum(segment.size for lane in (READINGS, SUMMARIES) for segment in store._lanes[lane].segments[:-1])
    assert 0 < kept <= 3 * SEGMENT
    assert len(store._lanes[READINGS].segments) == 1, "readings matter least"
    store.close()


def test_waiting_records_are_no_history() -> None:
    store = open_store(Disk(), bounds=Bounds(BUDGET, 0, keep_days=0.0, keep_bytes=0), uplinks=("one", "two"))
    fill(store, SUMMARIES, 60_000)
    drain(store, SUMMARIES, "one")
    store.tidy(later(100.0))
    assert store.backlog("two")[SUMMARIES] > 200
    assert len(drain(store, SUMMARIES, "two")) > 200
    store.tidy(later(100.0))
    assert history(store) == 1
    store.close()


def test_an_uplink_that_is_new_begins_with_the_history() -> None:
    disk = Disk()
    store = open_store(disk, bounds=KEEP)
    fill(store, SUMMARIES, 30_000)
    drain(store, SUMMARIES)
    store.close()
    store = open_store(disk, bounds=KEEP, uplinks=("one", "two"))
    assert store.backlog("one")[SUMMARIES] == 0
    assert [each.position for each in store.read("two", SUMMARIES, 3, 2**20)] == [1, 2, 3]
    assert not drain_all(store, "two")[ALARMS]
    store.close()


# The ledger ---------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(LANES), st.integers(1, 40), st.integers(0, 60), st.booleans()), min_size=5, max_size=60
    ),
    budget=st.sampled_from([24 * 1024, 48 * 1024]),
)
def test_the_ledger_matches_exactly_what_is_missing(steps: list[tuple[str, int, int, bool]], budget: int) -> None:
    """Whatever is appended, settled and tidied under whatever budget: each position came, or exactly one Loss names it."""
    disk = Disk()
    store = open_store(disk, bounds=Bounds(budget, 0, 1000.0, budget))
    came: dict[str, set[int]] = {lane: set() for lane in LANES}
    named: dict[str, list[int]] = {lane: [] for lane in LANES}

    def take(lane: str, limit: int) -> None:
        envelopes = store.read("one", lane, limit, 2**20)
        store.settle("one", lane, Receipt(tuple(each.position for each in envelopes)))
        came[lane].update(each.position for each in envelopes)
        for loss in losses(envelopes):
            assert loss.count == loss.last - loss.first + 1
            named[loss.lane].extend(range(loss.first, loss.last + 1))

    for lane, count, taken, tidy in steps:
        store.append(lane, [body(lane, 1)] * count, STAMP)
        if taken > 30:
            take(lane, taken)
        if tidy:
            store.tidy(STAMP)
        assert store.size <= budget + SLACK + budget // SEGMENTS_A_BUDGET + 20_000  # the last: one batch of this test
    for _ in range(4):
        for lane in LANES:
            while store.backlog("one")[lane] and store.read("one", lane, 1, 1):
                take(lane, 500)
        store.tidy(STAMP)
    for lane in LANES:
        everything = set(range(1, store._lanes[lane].next))
        assert came[lane] | set(named[lane]) == everything, f"{lane}: lost in silence"
        assert not came[lane] & set(named[lane]), f"{lane}: told as lost, and delivered"
        assert len(named[lane]) == len(set(named[lane])), f"{lane}: told twice"
    store.close()


def test_a_disk_that_is_full_can_still_let_go() -> None:
    disk = Disk()
    store = open_store(disk, bounds=TIGHT)
    fill(store, READINGS, 40_000)

    def full(step: str) -> None:
        if step in ("write", "create", "reserve", "sync"):
            raise OSError(errno.ENOSPC, "no space")

    disk.before = full
    with pytest.raises(OSError, match="no space"):
        store.append(ALARMS, [body(ALARMS, 0)], STAMP)
    disk.before = lambda _: None
    assert store.append(ALARMS, [body(ALARMS, 0)], STAMP) == 1
    found = drain_all(store)
    assert set(range(1, store._lanes[READINGS].next)) <= explained(found, READINGS)
    assert DEAD not in store.losses.count
    store.close()
