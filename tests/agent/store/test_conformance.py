"""What every store does, in memory and on a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.records import Loss, Receipt
from agent.store import ALARMS, DEAD, LANES, READINGS, SUMMARIES, Store, lane_of
from agent.store.cursor import WINDOW
from agent.store.lane_store import LaneStore
from agent.store.opening import open_memory
from agent.store.room import Bounds
from tests.agent.store.disk import Disk
from tests.agent.store.stores import STAMP, WIDE, alarm, body, drain, losses, number_of, open_store, reading, summary

Open = Callable[..., LaneStore]
ALL = 2**30


@pytest.fixture(params=["memory", "disk in memory", "disk"])
def open_any(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    opened: list[LaneStore] = []

    def open_one(bounds: Bounds = WIDE, uplinks: tuple[str, ...] = ("one",)) -> LaneStore:
        if request.param == "memory":
            store = open_memory("gw-1", uplinks, bounds, "first")
        elif request.param == "disk":
            store = open_store(None, tmp_path / "store", bounds, uplinks)
        else:
            store = open_store(Disk(), bounds=bounds, uplinks=uplinks)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


def numbers(store: Store, lane: str, uplink: str = "one", limit: int = 1000) -> list[int]:
    return [number_of(each.body) for each in store.read(uplink, lane, limit, ALL)]


def positions(store: Store, lane: str, uplink: str = "one", limit: int = 1000) -> list[int]:
    return [each.position for each in store.read(uplink, lane, limit, ALL)]


@pytest.mark.parametrize("lane", LANES)
def test_records_come_back_in_order_with_their_identity(open_any: Open, lane: str) -> None:
    store = open_any()
    assert store.append(lane, [body(lane, 0), body(lane, 1)], STAMP) == 1
    assert store.append(lane, [body(lane, 2)], STAMP) == 3
    envelopes = store.read("one", lane, 10, ALL)
    assert [each.body for each in envelopes] == [body(lane, number) for number in range(3)]
    assert [each.position for each in envelopes] == [1, 2, 3]
    assert {(each.gateway, each.epoch, each.lane) for each in envelopes} == {("gw-1", "first", lane)}
    assert {(each.at, each.mono, each.boot, each.synced) for each in envelopes} == {
        (STAMP.at, STAMP.mono, STAMP.boot, STAMP.synced)
    }


def test_reading_removes_nothing(open_any: Open) -> None:
    store = open_any()
    store.append(READINGS, [reading(number) for number in range(5)], STAMP)
    assert numbers(store, READINGS) == numbers(store, READINGS) == list(range(5))


def test_what_was_settled_last_can_be_asked_for(open_any: Open) -> None:
    store = open_any()
    assert store.settled("one", READINGS, 10) == []
    store.append(READINGS, [reading(number) for number in range(5)], STAMP)
    assert store.settled("one", READINGS, 10) == []
    store.settle("one", READINGS, Receipt((1, 2, 3)))
    assert [each.position for each in store.settled("one", READINGS, 2)] == [2, 3]
    assert [each.position for each in store.settled("one", READINGS, 10)] == [1, 2, 3]
    assert positions(store, READINGS) == [4, 5]


def test_what_is_settled_is_not_read_again(open_any: Open) -> None:
    store = open_any()
    store.append(READINGS, [reading(number) for number in range(5)], STAMP)
    store.settle("one", READINGS, Receipt((1, 2)))
    assert positions(store, READINGS) == [3, 4, 5]
    store.settle("one", READINGS, Receipt((5,)))
    assert positions(store, READINGS) == [3, 4], "receipts may overtake each other"
    store.settle("one", READINGS, Receipt((3, 4)))
    assert positions(store, READINGS) == []
    store.append(READINGS, [reading(9)], STAMP)
    assert positions(store, READINGS) == [6]


def test_what_a_receipt_does_not_name_is_kept(open_any: Open) -> None:
    store = open_any()
    store.append(ALARMS, [alarm(number) for number in range(3)], STAMP)
    store.settle("one", ALARMS, Receipt())
    store.settle("one", ALARMS, Receipt((2,)))
    assert positions(store, ALARMS) == [1, 3]


def test_a_receipt_for_what_was_never_given_is_not_believed(open_any: Open) -> None:
    store = open_any()
    store.append(ALARMS, [alarm(0)], STAMP)
    store.settle("one", ALARMS, Receipt((2, 3, 10**12), (4, -1)))
    store.append(ALARMS, [alarm(1)], STAMP)
    assert positions(store, ALARMS) == [1, 2]


def test_each_uplink_has_a_cursor_of_its_own(open_any: Open) -> None:
    store = open_any(uplinks=("one", "two"))
    store.append(ALARMS, [alarm(0), alarm(1)], STAMP)
    store.settle("one", ALARMS, Receipt((1, 2)))
    assert positions(store, ALARMS, "one") == []
    assert positions(store, ALARMS, "two") == [1, 2]
    assert store.backlog("one")[ALARMS] == 0
    assert store.backlog("two")[ALARMS] == 2


def test_limits_of_a_batch(open_any: Open) -> None:
    store = open_any()
    store.append(READINGS, [reading(number) for number in range(20)], STAMP)
    assert len(store.read("one", READINGS, 7, ALL)) == 7
    assert len(store.read("one", READINGS, 7, 1)) == 1, "at least one, however big"
    size = len(store.read("one", READINGS, 20, 1200))
    assert 1 < size < 7


def test_a_record_that_nobody_answers_for_does_not_stop_the_others(open_any: Open) -> None:
    store = open_any()
    store.append(READINGS, [reading(number) for number in range(WINDOW + 100)], STAMP)
    while len(found := positions(store, READINGS, limit=500)) > 1:
        store.settle("one", READINGS, Receipt(tuple(found[1:])))
    assert found == [1]
    assert store.backlog("one")[READINGS] == 101, "what lies further ahead waits for it"
    store.settle("one", READINGS, Receipt((1,)))
    assert len(positions(store, READINGS)) == 100


def test_what_is_refused_for_good_is_kept_as_dead(open_any: Open) -> None:
    store = open_any()
    store.append(ALARMS, [alarm(number) for number in range(3)], STAMP)
    store.settle("one", ALARMS, Receipt((1,), (2, 3), 'schema: "text" is too long'))
    assert positions(store, ALARMS) == []
    dead = store._lanes[DEAD].content(0).records
    assert len(dead) == 2
    assert all(b'"why":"schema: \\"text\\" is too long"' in record for record in dead)


def test_backlog_counts_what_waits(open_any: Open) -> None:
    store = open_any()
    assert store.backlog("one") == dict.fromkeys(LANES, 0)
    store.append(SUMMARIES, [summary(0), summary(1)], STAMP)
    store.append(ALARMS, [alarm(0)], STAMP)
    store.settle("one", SUMMARIES, Receipt((2,)))
    assert store.backlog("one") == {ALARMS: 1, SUMMARIES: 1, READINGS: 0}


def test_notes(open_any: Open) -> None:
    store = open_any()
    store.remember({"windows": {"ATM-7": {"n": 1}, "ATM-8": {"n": 2}}, "other": {"x": {"y": [1, {"z": None}]}}})
    store.remember({"windows": {"ATM-7": None, "ATM-9": {"n": 3}}})
    assert store.recall("windows") == {"ATM-8": {"n": 2}, "ATM-9": {"n": 3}}
    assert store.recall("other") == {"x": {"y": [1, {"z": None}]}}
    assert store.recall("nothing") == {}
    store.recall("windows")["ATM-8"]["n"] = 99
    assert store.recall("windows")["ATM-8"] == {"n": 2}, "what is recalled is the caller's own"


def test_positions_that_were_lost_are_told(open_any: Open) -> None:
    store = open_any()
    store.append(READINGS, [reading(0)], STAMP)
    assert store.lose(READINGS, 3, "stalled") == 2
    assert store.append(READINGS, [reading(1)], STAMP) == 5
    store.tidy(STAMP)
    assert positions(store, READINGS) == [1, 5]
    assert losses(store.read("one", ALARMS, 10, ALL)) == [Loss(READINGS, 2, 4, 3, "stalled")]
    assert store.status.lost == {READINGS: 3}
    assert store.status.made[READINGS] == 5


def test_losses_that_go_on_are_one(open_any: Open) -> None:
    store = open_any()
    for _ in range(5):
        store.lose(READINGS, 2, "stalled")
    store.tidy(STAMP)
    assert losses(drain(store, ALARMS)) == [Loss(READINGS, 1, 10, 10, "stalled")]


def test_every_stamp_stays_with_its_record(open_any: Open) -> None:
    store = open_any()
    early = type(STAMP)(1.5, 2.5, "boot", synced=False)
    store.extend(ALARMS, [(alarm(0), early), (alarm(1), STAMP), (alarm(2), early)])
    assert [each.at for each in store.read("one", ALARMS, 9, ALL)] == [1.5, STAMP.at, 1.5]
    assert [each.synced for each in store.read("one", ALARMS, 9, ALL)] == [False, True, False]


def test_lanes() -> None:
    assert [lane_of(body(lane, 0)) for lane in LANES] == list(LANES)
    assert lane_of(Loss(READINGS, 1, 1, 1, "")) == ALARMS


def test_without_an_uplink_records_are_history(open_any: Open) -> None:
    store = open_any(bounds=Bounds(256 * 1024, 0, 1.0, 64 * 1024), uplinks=())
    for number in range(60):
        store.append(SUMMARIES, [summary(number)] * 40, STAMP)
    store.tidy(STAMP)
    assert store.size < 200 * 1024
    assert not store.losses.count
