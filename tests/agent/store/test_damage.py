"""Damage to any file of a store: it opens, tells what is lost, gives no position twice, and goes on."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.records import Loss, Receipt
from agent.store import ALARMS, DEAD, LANES, READINGS
from agent.store.room import Bounds
from tests.agent.store.disk import ROOT, Disk
from tests.agent.store.stores import STAMP, body, drain_all, explained, losses, number_of, open_store

BOUNDS = Bounds(budget=64 * 1024, free_floor=0, keep_days=1000.0, keep_bytes=64 * 1024)  # segments of 2 KiB
STRIDE = int(os.environ.get("STORE_DAMAGE_STRIDE", "193"))  # of the bytes that are changed one at a time; 1 is all of them
TURNS = 2  # of the filling; each adds two segments to a lane
LOST = 14  # a damaged byte costs at most one transaction, here of so many records


def filled(*, closed: bool) -> tuple[Disk, dict[str, int]]:
    """A store with several segments a lane, partly delivered; and how far the positions went."""
    disk = Disk()
    store = open_store(disk, bounds=BOUNDS)
    for turn in range(TURNS):
        for lane in LANES:
            store.append(lane, [body(lane, turn * 10)], STAMP)
            store.append(lane, [body(lane, turn * 10 + index) for index in range(1, 10)], STAMP)
    for lane in LANES:
        positions = [each.position for each in store.read("one", lane, 13, 2**20)]
        store.settle("one", lane, Receipt(tuple(positions[2:]), tuple(positions[:2]), "no"))
    store.remember({"windows": {"ATM-7": {"n": 1}}})
    store.tidy(STAMP)
    for lane in LANES:
        store.append(lane, [body(lane, TURNS * 10 + index) for index in range(10)], STAMP)
    given = {lane: store._lanes[lane].next for lane in LANES}
    if closed:
        store.close()
    else:
        disk = disk.copy()
    return disk, given


def check(disk: Disk, given: dict[str, int], most: int | None = None) -> None:
    """The store opens and serves; whatever does not come is named by a Loss; new positions are new."""
    store = open_store(disk, bounds=BOUNDS, epochs=("second", "third"))
    old_epoch = store.epoch == "first"
    fresh = {lane: store.append(lane, [body(lane, 999)], STAMP) for lane in LANES}
    for lane in LANES:
        if old_epoch:
            assert fresh[lane] >= given[lane], f"{lane}: a position was given twice"
    found = drain_all(store)
    for lane in LANES:
        if old_epoch:
            assert set(range(14, fresh[lane] + 1)) <= explained(found, lane), f"{lane}: lost in silence"
        for each in found[lane]:
            if each.position < given[lane] and each.epoch == "first" and each.kind != "loss":
                assert number_of(each.body) == each.position - 1, "another record in its place"
        if most is not None:
            came = {each.position for each in found[lane]}
            assert len(set(range(14, given[lane])) - came) <= most, f"{lane}: it cost more than what it covers"
    store.tidy(STAMP)
    store.close()
    again = open_store(disk, bounds=BOUNDS)
    assert again.epoch == store.epoch
    again.close()


def files(disk: Disk) -> list[Path]:
    return sorted(disk.files())


@pytest.mark.parametrize("harm", ["damaged", "removed"])
def test_a_loss_whose_own_record_is_gone_is_told_again(harm: str) -> None:
    """Two platforms; one has heard of it before the card forgot it, the other has not."""
    disk = Disk()
    store = open_store(disk, bounds=BOUNDS, uplinks=("one", "two"))
    store.append(READINGS, [body(READINGS, 0)], STAMP)
    store.lose(READINGS, 3, "stalled")
    store.tidy(STAMP)
    store.append(ALARMS, [body(ALARMS, 1)], STAMP)
    (told, _) = store.read("one", ALARMS, 10, 2**20)
    assert told.body == Loss(READINGS, 2, 4, 3, "stalled")
    store.settle("one", ALARMS, Receipt((1, 2)))
    store.tidy(STAMP)
    store.close()
    (alarms,) = (path for path in files(disk) if path.parent.name == ALARMS)
    data = bytearray(disk.files()[alarms])
    where = data.index(b"stalled")
    data[where] ^= 1
    disk = disk.damaged(alarms, None if harm == "removed" else bytes(data))
    store = open_store(disk, bounds=BOUNDS, uplinks=("one", "two"))
    store.append(READINGS, [body(READINGS, 1)], STAMP)
    found = drain_all(store, "two")
    assert Loss(READINGS, 2, 4, 3, "stalled") in losses(found[ALARMS])
    assert {2, 3, 4} <= explained(found, READINGS)


def test_the_store_has_every_kind_of_file() -> None:
    disk, _ = filled(closed=True)
    folders = {path.parent.name for path in files(disk)}
    assert folders == {*LANES, DEAD, "store"}
    assert all(sum(path.parent.name == lane for path in files(disk)) >= 3 for lane in LANES)


@pytest.mark.parametrize("closed", [True, False])
def test_any_byte_may_flip(closed: bool) -> None:
    disk, given = filled(closed=closed)
    chance = random.Random(STRIDE)
    offsets = ((path, at) for path, data in sorted(disk.files().items()) for at in range(len(data.rstrip(b"\0"))))
    for path, at in list(offsets)[::STRIDE]:
        data = bytearray(disk.files()[path])
        data[at] ^= chance.randint(1, 255)
        check(disk.damaged(path, bytes(data)), given, most=LOST)


def harms(data: bytes, chance: random.Random) -> Iterator[bytes | None]:
    """A file cut, wiped from somewhere or wholly, filled with noise, empty, gone."""
    used = len(data.rstrip(b"\0"))
    line_ends = [at + 1 for at, byte in enumerate(data[:used]) if byte == 0x0A]
    for at in {0, 1, used // 2, max(0, used - 1), chance.randrange(used + 1), chance.choice(line_ends)}:
        yield data[:at]
        yield data[:at] + chance.randbytes(len(data) - at)
    for at in {0, chance.randrange(used)}:
        yield data[:at] + bytes(20) + data[at + 20 :]
    yield bytes(len(data))
    yield b"\n" * len(data)
    yield b"{}"
    yield None


@pytest.mark.parametrize("closed", [True, False])
def test_any_file_may_be_harmed(closed: bool) -> None:
    disk, given = filled(closed=closed)
    chance = random.Random(3)
    for path, data in sorted(disk.files().items()):
        for harmed in harms(data, chance):
            check(disk.damaged(path, harmed), given)


def test_a_wiped_end_is_known_after_a_clean_stop() -> None:
    disk, given = filled(closed=True)
    for path, data in disk.files().items():
        for at in (end + 1 for end, byte in enumerate(data) if byte == 0x0A):
            check(disk.damaged(path, data[:at] + bytes(len(data) - at)), given)


def harmed_states(data: bytes) -> Iterator[bytes | None]:
    """Gone; without its identity; without one of its later lines; without its end."""
    lines = data.rstrip(b"\0").splitlines(keepends=True)
    yield None
    yield data[:30]
    for line in (2, len(lines) - 1):
        yield b"".join([*lines[:line], b"#" + lines[line][1:], *lines[line + 1 :]])
    yield b"".join(lines[: len(lines) // 2])


@pytest.mark.parametrize("closed", [True, False])
def test_two_files_may_be_harmed_at_once(closed: bool) -> None:
    disk, given = filled(closed=closed)
    chance = random.Random(4)
    state = ROOT / "store" / "state.journal"
    states = itertools.cycle(harmed_states(disk.files()[state]))
    newest = {max(path for path in files(disk) if path.parent.name == lane) for lane in LANES}
    for path, data in sorted(disk.files().items()):
        if path != state:
            for harmed in list(harms(data, chance))[:: 1 if path in newest else 7]:
                check(disk.damaged(path, harmed).damaged(state, next(states)), given)


def test_everything_gone_but_one_file() -> None:
    disk, given = filled(closed=True)
    for kept in files(disk):
        alone = disk
        for path in files(disk):
            if path != kept:
                alone = alone.damaged(path, None)
        check(alone, given)


def test_damage_is_set_aside_and_told_once() -> None:
    disk, _ = filled(closed=True)
    path = sorted(each for each in files(disk) if each.parent.name == "summaries")[-2]
    data = bytearray(disk.files()[path])
    data[200:204] = b"!!!!"
    harmed = disk.damaged(path, bytes(data))
    store = open_store(harmed, bounds=BOUNDS)
    assert store.losses.count["summaries"] == 0, "older segments are looked at when they are read"
    first = drain_all(store)
    told = [each for each in first["alarms"] if each.kind == "loss"]
    assert len(told) == 1
    aside = [content for name, content in harmed.files().items() if ".damaged-" in name.name]
    assert len(aside) == 1
    assert b"!!!!" in aside[0]
    store.close()
    again = open_store(harmed, bounds=BOUNDS)
    assert not any(drain_all(again).values()), "all delivered, nothing told twice"
    again.close()


Harm = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:-20], id="cut"),
        pytest.param(lambda data: data[:60] + b"#" + data[61:], id="flipped"),
    ],
)
def test_the_loss_ledger_matches_exactly_what_is_missing(harm: Harm) -> None:
    disk, given = filled(closed=True)
    path = max(each for each in files(disk) if each.parent.name == "readings")
    store = open_store(disk.damaged(path, harm(disk.files()[path])), bounds=BOUNDS)
    found = drain_all(store)
    came = {each.position for each in found["readings"]}
    named = [loss for each in found["alarms"] if (loss := each.body) and each.kind == "loss"]
    lost = {position for loss in named for position in range(loss.first, loss.last + 1)}
    assert came | lost == set(range(14, given["readings"]))
    assert not came & lost
    assert sum(loss.count for loss in named) == len(lost)
    store.close()
