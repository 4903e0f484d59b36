"""A disk that fails and comes back as another mount: nobody holds its files meanwhile, and nothing is lost or given twice."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent import rooms
from agent.errors import ConfigError, StoreUnavailable
from agent.records import Receipt
from agent.store import ALARMS, LANES, READINGS, SUMMARIES
from agent.store.late import LateStore
from tests.agent.store.disk import ROOT, Disk
from tests.agent.store.stores import STAMP, alarm, body, drain_all, explained, losses, number_of, open_store, reading, summary
from tests.agent.store.test_writer import Setting, at, deliver

NOTE = {"windows": {"ATM-7": {"n": 1}}}


def files_held(disk: Disk) -> list[str]:
    return [name for name, inode in disk.now.items() if inode is not None and inode.locked]


@pytest.mark.parametrize(("code", "word"), [(errno.EIO, "failing"), (errno.EROFS, "readOnly")])
async def test_a_file_system_that_comes_back_as_a_fresh_mount(code: int, word: str) -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(0), alarm(1), summary(0)], NOTE, STAMP)
        setting.refuse(code)
        waiting = opened.put([alarm(2), reading(0)], {"windows": {"ATM-7": {"n": 2}}}, STAMP)
        assert [number_of(each.body) for each in await deliver(opened, SUMMARIES)] == [0], "what waits there is sent all the same"
        assert opened.health.word == word
        assert not files_held(setting.disk), "it can be unmounted"
        setting.disk = next(setting.disk.after_crashes())
        setting.disk.before = setting._before
        await opened.tidy(at(60.0))  # and still refuses
        assert not waiting.done()
        assert not files_held(setting.disk)
        setting.allow()
        await opened.tidy(at(120.0))
        await waiting
        assert opened.health.word == "ok"
        assert setting.store.epoch == "first"
        assert setting.store.recall("windows") == {"ATM-7": {"n": 2}}
        assert await opened.backlog("one") == {ALARMS: 3, SUMMARIES: 0, READINGS: 1}
    found = setting.reopened()
    assert [(each.position, number_of(each.body)) for each in found[ALARMS]] == [(1, 0), (2, 1), (3, 2)]
    assert [number_of(each.body) for each in found[READINGS]] == [0]
    assert not found[SUMMARIES], "sent in the outage, and not again"


async def test_a_full_disk_is_not_let_go() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.ENOSPC)
        waiting = opened.put([alarm(0)], {}, STAMP)
        await opened.tidy(STAMP)
        assert files_held(setting.disk)
        setting.allow()
        await opened.tidy(at(60.0))
        await waiting


async def test_what_was_rejected_waits_for_the_disk() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(0)], {}, STAMP)
        setting.refuse(errno.EIO)
        waiting = opened.put([reading(0)], {}, STAMP)
        await opened.tidy(STAMP)
        with pytest.raises(StoreUnavailable, match="rejected"):
            await opened.settle("one", ALARMS, "first", Receipt((), (1,), "no"))
        setting.allow()
        await opened.tidy(at(60.0))
        await waiting
        assert len(await deliver(opened, ALARMS)) == 1


async def test_a_directory_that_somebody_removed() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(0), summary(0), summary(1)], NOTE, STAMP)
        sent = await opened.read("one", ALARMS, 1, 2**20)
        await deliver(opened, SUMMARIES)
        setting.disk.now, setting.epochs = {str(ROOT): None}, ["second"]
        assert await opened.put([reading(0), reading(1)], {}, STAMP) is None, "nobody can know yet"
        await opened.tidy(STAMP)
        assert opened.health.word == "failing"
        waiting = opened.put([alarm(5)], {}, STAMP)
        await opened.tidy(at(60.0))
        await waiting
        assert (opened.health.word, setting.store.epoch) == ("ok", "second")
        assert setting.store.recall("windows") == NOTE["windows"], "the agent remembers what the disk forgot"
        await opened.settle("one", ALARMS, sent[0].epoch, Receipt((1, 2, 3)))
        found = await deliver(opened, ALARMS)
        assert [number_of(each.body) for each in found if each.kind == "alarm"] == [5], "a receipt for the old one is not its own"
        told = [*losses(found), *losses(await deliver(opened, ALARMS))]
        assert sorted((loss.lane, loss.count, loss.why) for loss in told) == [
            (ALARMS, 1, "damagedEnd"), (READINGS, 2, "damagedEnd"),
        ]  # fmt: skip


async def test_a_missing_segment_is_no_loss_while_the_disk_is_away() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([reading(number) for number in range(150)], {}, STAMP)
        setting.store._opened()._lanes[READINGS].rotate()
        there = dict(setting.disk.now)
        setting.refuse(errno.EIO)
        waiting = opened.put([alarm(0)], {}, STAMP)
        await opened.tidy(STAMP)
        setting.disk.now = {str(ROOT): None}  # unmounted
        with pytest.raises(StoreUnavailable):
            await opened.read("one", READINGS, 10, 2**20)
        setting.disk.now = there
        setting.allow()
        await opened.tidy(at(60.0))
        await waiting
        assert len(await deliver(opened, READINGS)) == 150
        assert not losses(await deliver(opened, ALARMS))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_mount_brings_back(seed: int) -> None:
    """The disk fails at any step, keeps what a crash may keep, and comes back: positions go on, nothing is gone in silence."""
    chance = random.Random(seed)
    for fail_at in range(1, 12):
        disk, steps = Disk(), 0

        def fail(_: str, fail_at: int = fail_at) -> None:
            nonlocal steps
            steps += 1
            if steps >= fail_at:
                raise OSError(errno.EIO, "refused")

        late = LateStore(lambda: open_store(disk), open_store(disk))  # noqa: B023  whichever disk is there then
        stored: dict[str, dict[int, int]] = {lane: {} for lane in LANES}
        for lane in LANES:
            first = late.append(lane, [body(lane, number) for number in range(5)], STAMP)
            stored[lane].update((first + number, number) for number in range(5))
        late.settle("one", SUMMARIES, Receipt((1, 2, 4)))
        disk.before = fail
        for number in range(5, 9):
            for lane in LANES:
                try:
                    stored[lane][late.append(lane, [body(lane, number)], STAMP)] = number
                except OSError:
                    continue
        lost = late.lose(READINGS, 2, "stalled")
        late.let_go()
        assert not files_held(disk)
        disk = disk.after_crash(chance)
        late.tidy(STAMP)
        assert late.epoch == "first"
        following = {lane: late.append(lane, [body(lane, 100)], STAMP) for lane in LANES}
        for lane in LANES:
            assert following[lane] > max(stored[lane]), "a position was given twice"
        assert following[READINGS] > lost + 1
        store = late._opened()
        found = drain_all(store)
        for lane in LANES:
            settled = {1, 2, 4} if lane == SUMMARIES else set()
            came = {each.position: each for each in found[lane]}
            assert not settled & came.keys(), "settled before, and read again"
            assert set(range(1, following[lane])) - settled <= explained(found, lane), f"{lane}: lost in silence"
            for position, number in stored[lane].items():
                assert position in settled or number_of(came[position].body) == number
        late.close()


def test_a_disk_that_forgot_what_it_acknowledged_is_found_out() -> None:
    disk = Disk()
    late = LateStore(lambda: open_store(disk), open_store(disk))
    late.append(READINGS, [body(READINGS, 0)], STAMP)
    late.tidy(STAMP)
    before = disk.copy()
    late.append(READINGS, [body(READINGS, number) for number in range(1, 4)], STAMP)
    late.settle("one", READINGS, Receipt((1, 2)))
    late.let_go()
    disk = before
    late.tidy(STAMP)
    assert late.append(READINGS, [body(READINGS, 9)], STAMP) == 5
    found = drain_all(late._opened())
    assert [each.position for each in found[READINGS]] == [5]
    assert [(loss.first, loss.last) for loss in losses(found[ALARMS])] == [(3, 4)], "what was delivered is no loss"


def test_a_store_is_made_anew_on_its_own_file_system_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store"
    refusal: list[Exception] = []

    def opened() -> object:
        if refusal:
            raise refusal[0]
        return open_store(None, path)

    anew = rooms.Reopening(path, opened)  # type: ignore[arg-type]
    anew.first().close()
    anew().close()
    refusal.append(ConfigError(["this store belongs to another gateway"]))
    with pytest.raises(OSError, match="another gateway"):
        anew()
    refusal.clear()
    path.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(anew, "_device", -1)
    with pytest.raises(OSError, match="not mounted"):
        anew()
    assert not path.exists()


async def test_readings_that_were_not_even_queued_are_told_when_the_disk_is_back() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.EIO)
        opened._dropped[READINGS] = 3
        waiting = opened.put([alarm(0)], {}, STAMP)
        await opened.tidy(at(60.0))
        setting.allow()
        await opened.tidy(at(120.0))
        await waiting
    assert [(loss.lane, loss.count, loss.why) for loss in losses(setting.reopened()[ALARMS])] == [(READINGS, 3, "stalled")]


def test_a_real_file_system_that_was_remounted_read_only(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount an ext4 file system of its own")
    command = ["unshare", "--mount", sys.executable, "-m", "tests.agent.store.remount", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and any(word in done.stderr for word in ("'mount', '-o'", "unshare: ", "mkfs", "trigger_fs_error")):
        pytest.skip(f"no loop device here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    assert (out["word"], out["made_in_the_mount_point"], out["word_after"]) == ("readOnly", [], "ok")
    assert len(out["sent"]) == 10
    assert sorted(out["sent"] + out["found"]) == list(range(80)), "each alarm went out once, or waits on the disk"
    assert (out["positions"], out["epoch"]) == (list(range(1, 71)), "first")
