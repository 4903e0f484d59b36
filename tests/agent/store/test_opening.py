"""Opening a store: whose it is, which life it is in, where its positions go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.records import Loss, Receipt
from agent.store import ALARMS, LANES, READINGS, SUMMARIES
from agent.store.marks import RESERVE
from agent.store.opening import open_durable
from agent.store.room import Bounds
from tests.agent.store.disk import ROOT, Disk
from tests.agent.store.stores import STAMP, WIDE, body, drain, drain_all, losses, number_of, open_store, opened

STATE = ROOT / "store" / "state.journal"


def test_a_store_keeps_its_epoch(tmp_path: Path) -> None:
    for _ in range(3):
        store, repairs = opened(None, tmp_path / "deep" / "store")
        assert (store.epoch, repairs) == ("first", {})
        store.close()


def test_a_store_belongs_to_one_gateway() -> None:
    disk = Disk()
    store = open_store(disk)
    store.append(ALARMS, [body(ALARMS, 0)], STAMP)
    store.close()
    for harmed in (disk, disk.damaged(STATE, None)):  # its records say it too
        with pytest.raises(ConfigError, match=r"belongs to the gateway 'gw-1', not to 'gw-2'; name that gateway, or another dir"):
            open_durable(ROOT / "store", "gw-2", ["one"], WIDE, lambda: "x", harmed)
    open_store(disk).close()


def test_one_agent_a_store(tmp_path: Path) -> None:
    store = open_store(None, tmp_path / "store")
    with pytest.raises(BlockingIOError, match=r"open for writing.*state\.journal"):
        open_store(None, tmp_path / "store")
    store.append(ALARMS, [body(ALARMS, 0)], STAMP)
    store.close()
    open_store(None, tmp_path / "store").close()


@pytest.mark.parametrize("closed", [True, False])
def test_positions_go_on(closed: bool) -> None:
    disk = Disk()
    for life in range(5):
        store = open_store(disk)
        for lane in LANES:
            assert store.append(lane, [body(lane, 1)] * 3, STAMP) == life * 3 + 1
        if closed:
            store.close()
        disk = disk.copy()
    assert not losses(drain(open_store(disk), ALARMS))


@pytest.mark.parametrize("closed", [True, False])
def test_positions_that_were_given_up_at_the_end_are_not_given_again(closed: bool) -> None:
    disk = Disk()
    store = open_store(disk)
    store.append(READINGS, [body(READINGS, 0)], STAMP)
    store.lose(READINGS, 4, "stalled")
    if closed:
        store.close()
    store = open_store(disk.copy())
    assert store.append(READINGS, [body(READINGS, 1)], STAMP) == 6
    assert losses(drain_all(store)[ALARMS]) == [Loss(READINGS, 2, 5, 4, "stalled")]


def test_cursors_are_kept_over_a_stop_and_lag_a_little_after_a_crash() -> None:
    disk = Disk()
    store = open_store(disk)
    store.append(READINGS, [body(READINGS, number) for number in range(10)], STAMP)
    store.settle("one", READINGS, Receipt((1, 2, 3)))
    store.tidy(STAMP)
    store.settle("one", READINGS, Receipt((4, 5)))
    crashed = open_store(disk.copy())
    assert crashed.read("one", READINGS, 1, 1)[0].position == 4, "duplicates, never a loss"
    store.close()
    store = open_store(disk)
    assert store.read("one", READINGS, 1, 1)[0].position == 6
    store.close()


def test_history_that_was_evicted_before_a_crash_is_no_loss() -> None:
    """Cursors are saved lazily, but not later than what they allow to be removed."""
    disk = Disk()
    bounds = Bounds(256 * 1024, 0, 1000.0, 256 * 1024)
    store = open_store(disk, bounds=bounds)
    for _ in range(60):
        store.append(SUMMARIES, [body(SUMMARIES, 0)] * 10, STAMP)
        drain(store, SUMMARIES)
    while store._lanes[SUMMARIES].first == 1:
        store.append(READINGS, [body(READINGS, 0)] * 10, STAMP)
    found = drain_all(open_store(disk.copy(), bounds=bounds))
    assert not losses(found[ALARMS])


def test_without_its_state_a_store_begins_a_new_epoch_and_keeps_its_records() -> None:
    disk = Disk()
    store = open_store(disk)
    for lane in LANES:
        store.append(lane, [body(lane, number) for number in range(4)], STAMP)
    store.close()
    store = open_store(disk.damaged(STATE, None), epochs=("second",))
    assert store.epoch == "second"
    store.append(READINGS, [body(READINGS, 9)], STAMP)
    assert [each.position for each in store.read("one", READINGS, 10, 2**20)] == [1, 2, 3, 4], "a batch is of one epoch"
    found = drain_all(store)
    assert [(each.epoch, each.position, number_of(each.body)) for each in found[READINGS]] == [
        ("first", 1, 0), ("first", 2, 1), ("first", 3, 2), ("first", 4, 3), ("second", 5, 9),
    ]  # fmt: skip
    told = losses([each for each in found[ALARMS] if each.epoch == "second"])
    assert told == [Loss(lane, 1, 4, 0, "newEpoch") for lane in LANES], "the new epoch accounts for itself from 1"
    store.close()


def test_a_claim_bounds_what_a_damaged_end_may_hide() -> None:
    disk = Disk()
    store = open_store(disk)
    for number in range(20):
        store.append(READINGS, [body(READINGS, number)], STAMP)
    crashed = disk.copy()
    path = next(each for each in crashed.files() if each.parent.name == READINGS)
    data = crashed.files()[path]
    cut = len(data.rstrip(b"\0")) // 2
    store = open_store(crashed.damaged(path, data[:cut]))
    following = store.append(READINGS, [body(READINGS, 99)], STAMP)
    assert 20 < following <= 20 + RESERVE + 1
    found = drain_all(store)
    lost = losses(found[ALARMS])
    assert [(loss.why, loss.last) for loss in lost] == [("damagedEnd", following - 1)]
    assert [each.position for each in found[READINGS]] == [*range(1, lost[0].first), following]


def test_a_lane_that_somebody_removed() -> None:
    disk = Disk()
    store = open_store(disk)
    store.append(READINGS, [body(READINGS, number) for number in range(10)], STAMP)
    store.settle("one", READINGS, Receipt((1, 2, 3)))
    store.close()
    path = next(each for each in disk.files() if each.parent.name == READINGS)
    store = open_store(disk.damaged(path, None))
    assert store.append(READINGS, [body(READINGS, 10)], STAMP) == 11
    found = drain_all(store)
    assert losses(found[ALARMS]) == [Loss(READINGS, 4, 10, 7, "damagedEnd")], "what was delivered is no loss"


def test_a_segment_that_somebody_removed_is_missed_when_its_turn_comes() -> None:
    disk = Disk()
    bounds = Bounds(256 * 1024, 0, 1000.0, 256 * 1024)
    store = open_store(disk, bounds=bounds)
    for number in range(20):
        store.append(READINGS, [body(READINGS, number)] * 10, STAMP)
    store.close()
    paths = sorted(each for each in disk.files() if each.parent.name == READINGS)
    gone = range(int(paths[1].stem), int(paths[2].stem))
    store = open_store(disk.damaged(paths[1], None), bounds=bounds)
    found = drain_all(store)
    assert losses(found[ALARMS]) == [Loss(READINGS, gone.start, gone.stop - 1, len(gone), "missing")]
    assert [each.position for each in found[READINGS]] == [each for each in range(1, 201) if each not in gone]


def test_what_an_operator_removed_is_told() -> None:
    """Lanes are TinyDB files; an agent that is stopped does not mind."""
    from agent.store.storage import JournalStorage

    disk = Disk()
    store = open_store(disk)
    store.append(READINGS, [body(READINGS, number) for number in range(6)], STAMP)
    store.close()
    storage = JournalStorage(next(each for each in disk.files() if each.parent.name == READINGS), files=disk)
    storage.commit({"_default": {"2": None, "3": None}, "notes of an operator": {"1": {"checked": True}}})
    storage.compact()
    storage.close()
    store = open_store(disk)
    found = drain_all(store)
    assert [each.position for each in found[READINGS]] == [1, 4, 5, 6]
    assert [(loss.first, loss.last) for loss in losses(found[ALARMS])] == [(2, 3)]
    store.close()


def test_a_document_that_is_no_envelope_is_told_and_passed() -> None:
    from agent.store.storage import JournalStorage

    disk = Disk()
    store = open_store(disk)
    store.append(READINGS, [body(READINGS, number) for number in range(4)], STAMP)
    store.close()
    storage = JournalStorage(next(each for each in disk.files() if each.parent.name == READINGS), files=disk)
    storage.commit({"_default": {"2": {"no": "envelope"}}})
    storage.close()
    store = open_store(disk)
    found = drain_all(store)
    assert [each.position for each in found[READINGS]] == [1, 3, 4]
    assert losses(found[ALARMS]) == [Loss(READINGS, 2, 2, 1, "unreadable")]
    assert not any(drain_all(store).values())
    store.close()


def test_notes_of_another_form_are_passed_over() -> None:
    from agent.store.storage import JournalStorage

    disk = Disk()
    open_store(disk).close()
    storage = JournalStorage(STATE, files=disk)
    storage.commit({
        "cursors": {"x": 1, "7": {"key": "one/alarms", "floor": "high"}, "8": {"key": 5}},
        "lanes": {"9": {"key": "alarms", "next": -3, "reserved": "x"}},
        "losses": {"4": {"key": "x", "lane": 7}, "5": {"key": "9", "lane": 7}},
        "store": [{"1": {"key": "identity", "gateway": "gw-1", "epoch": "first"}}],
        "words": ["a"],
    })  # fmt: skip
    storage.close()
    store = open_store(disk)
    assert store.epoch == "first"
    store.append(ALARMS, [body(ALARMS, 1)], STAMP)
    assert [number_of(each.body) for each in drain(store, ALARMS)] == [1]
    store.close()


def test_a_state_that_is_no_journal_is_set_aside() -> None:
    disk = Disk()
    store = open_store(disk)
    store.append(ALARMS, [body(ALARMS, 1)], STAMP)
    store.close()
    harmed = disk.damaged(STATE, b'{"_default": {"1": {}}}')
    store, repairs = opened(harmed, epochs=("second",))
    assert (store.epoch, set(repairs)) == ("second", {"state.journal"})
    assert any(path.name.startswith("state.journal.damaged-") for path in harmed.files())
    assert [number_of(each.body) for each in drain_all(store)[ALARMS] if each.kind == "alarm"] == [1]
    store.close()


def test_damage_to_what_was_delivered_is_no_loss() -> None:
    disk = Disk()
    bounds = Bounds(256 * 1024, 0, 1000.0, 256 * 1024)
    store = open_store(disk, bounds=bounds)
    for number in range(20):
        store.append(SUMMARIES, [body(SUMMARIES, number)] * 10, STAMP)
    drain(store, SUMMARIES)
    store.close()
    path = min(each for each in disk.files() if each.parent.name == SUMMARIES)
    data = bytearray(disk.files()[path])
    data[200] ^= 1
    store = open_store(disk.damaged(path, bytes(data)), bounds=bounds)
    store._lanes[SUMMARIES].content(0)
    assert store._lanes[SUMMARIES]._set_aside  # type: ignore[attr-defined]
    assert not store.losses.count
    store.close()
