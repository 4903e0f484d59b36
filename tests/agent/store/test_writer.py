"""The thread that owns the disk: group commit, and a disk that refuses, hangs, and comes back."""

from __future__ import annotations

import asyncio
import errno
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from agent.errors import StoreUnavailable
from agent.receive.ledger import Ledger
from agent.records import Envelope, Loss, Receipt, Stamp
from agent.store import ALARMS, LANES, READINGS, SUMMARIES, writer
from agent.store.lane_store import LaneStore
from agent.store.late import LateStore
from agent.store.opening import open_memory
from agent.store.room import Bounds
from agent.store.writer import RETRY_LIMIT, Writer
from tests.agent.store.disk import Disk
from tests.agent.store.stores import STAMP, alarm, drain_all, losses, number_of, open_store, reading, summary

MEMORY = Bounds(budget=256 * 1024, free_floor=0, keep_days=0.0, keep_bytes=0)
LONG = 3600.0  # s; a commit interval that no test waits for


def at(seconds: float) -> Stamp:
    return Stamp(STAMP.at + seconds, STAMP.mono + seconds, STAMP.boot, STAMP.synced)


class Setting:
    """A writer over a disk in memory that can be told to refuse."""

    def __init__(self, uplinks: tuple[str, ...] = ("one",), memory: Bounds = MEMORY) -> None:
        self.disk, self.uplinks, self.memory = Disk(), uplinks, memory
        self.outages = 0
        self.sheltered: list[bool] = []
        self.syncs = 0
        self.epochs = ["first", "second", "third"]
        self.store: LateStore
        self.refusal: Callable[[str], None] = lambda _: None

    @asynccontextmanager
    async def writer(self, interval: float = 0.0) -> AsyncIterator[Writer]:
        self.disk.before = self._before
        self.store, told = LateStore(self.opened, self.opened()), self.sheltered.append
        async with Writer(self.store, self.open_memory, self.uplinks, interval, sheltered=told) as opened:
            yield opened

    def opened(self) -> LaneStore:
        return open_store(self.disk, uplinks=self.uplinks, epochs=self.epochs)

    def open_memory(self) -> LaneStore:
        self.outages += 1
        return open_memory("gw-1", self.uplinks or ("disk",), self.memory, f"outage {self.outages}")

    def _before(self, step: str) -> None:
        self.syncs += step == "sync"
        self.refusal(step)

    def refuse(self, code: int, *steps: str) -> None:
        def refusal(step: str) -> None:
            if not steps or step in steps:
                raise OSError(code, "refused")

        self.refusal = refusal

    def allow(self) -> None:
        self.refusal = lambda _: None

    def reopened(self) -> dict[str, list[Envelope]]:
        store = open_store(self.disk.copy(), uplinks=self.uplinks)
        found = drain_all(store, self.uplinks[0])
        store.close()
        return found


async def deliver(opened: Writer, lane: str, uplink: str = "one") -> list[Envelope]:
    """What the uplink reads next, settled; what only explains positions is passed over."""
    found: list[Envelope] = []
    while not found and (envelopes := await read(opened, lane, uplink)):
        found = [each for each in envelopes if not is_explanation(each)]
    return found


async def read(opened: Writer, lane: str, uplink: str = "one") -> list[Envelope]:
    """What the uplink reads next, settled."""
    envelopes = await opened.read(uplink, lane, 1000, 2**30)
    if envelopes:
        await opened.settle(uplink, lane, envelopes[0].epoch, Receipt(tuple(each.position for each in envelopes)))
    return envelopes


def is_explanation(envelope: Envelope) -> bool:
    return isinstance(envelope.body, Loss) and not envelope.body.count


async def test_what_was_put_is_on_disk_when_its_future_is_done() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(1), summary(1), reading(1)], {"windows": {"ATM-7": {"n": 1}}}, STAMP)
        image = open_store(next(setting.disk.after_crashes()))
        assert image.backlog("one") == dict.fromkeys(LANES, 1)
        assert image.recall("windows") == {"ATM-7": {"n": 1}}
        image.close()
        assert opened.made() == dict.fromkeys(LANES, 1)


async def test_what_looks_like_card_data_reaches_no_disk(caplog: pytest.LogCaptureFixture) -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(1, "card 4111 1111 1111 1111 is stuck"), alarm(2, "a card is stuck")], {}, STAMP)
        assert opened.health.guard_hits == 1
    first, second = setting.reopened()[ALARMS]
    assert "4111" not in repr(first) + caplog.text
    assert second.body == alarm(2, "a card is stuck")


async def test_puts_of_one_interval_share_a_commit() -> None:
    setting = Setting()
    async with setting.writer(interval=LONG) as opened:
        await opened.put([alarm(0)], {}, STAMP)  # claims its positions
        before, commits = setting.syncs, opened.health.commits
        waiting = [opened.put([reading(number)], {}, STAMP) for number in range(100)]
        waiting.append(opened.put([alarm(1)], {}, STAMP))  # an alarm waits for nobody, and nobody waits longer than it
        await asyncio.gather(*waiting)
        assert opened.health.commits == commits + 1
        assert setting.syncs - before == 3, "readings, their first claim, and the alarm"


async def test_a_failing_power_commits_what_waits() -> None:
    setting = Setting()
    async with setting.writer(interval=LONG) as opened:
        waiting = opened.put([reading(0)], {}, STAMP)
        await asyncio.sleep(0)
        assert not waiting.done()
        opened.hurry = True
        await waiting
        await opened.put([reading(1)], {}, STAMP)
        opened.hurry = False
        assert not opened.hurry


async def test_leaving_commits_what_waits() -> None:
    setting = Setting()
    async with setting.writer(interval=LONG) as opened:
        waiting = opened.put([reading(7)], {"t": {"a": {"b": 1}}}, STAMP)
    assert waiting.done()
    assert [number_of(each.body) for each in setting.reopened()[READINGS]] == [7]
    assert threading.active_count() >= 1


async def test_a_batch_is_read_and_settled() -> None:
    setting = Setting(uplinks=("one", "two"))
    async with setting.writer() as opened:
        await opened.put([alarm(number) for number in range(5)], {}, STAMP)
        assert len(await deliver(opened, ALARMS)) == 5
        assert await opened.read("one", ALARMS, 10, 2**20) == []
        assert (await opened.backlog("two"))[ALARMS] == 5
        await opened.tidy(STAMP)
        assert opened.health.status.size > 0
        assert opened.health.status.flash_bytes > 0


@pytest.mark.parametrize(
    ("code", "word"), [(errno.ENOSPC, "full"), (errno.EDQUOT, "full"), (errno.EROFS, "readOnly"), (errno.EIO, "failing")]
)
async def test_while_the_disk_refuses_alarms_go_out_from_memory(code: int, word: str) -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(0)], {}, STAMP)
        setting.refuse(code, "write", "create", "reserve", "sync", "rename", "unlink")
        waiting = opened.put([alarm(1), summary(1)], {}, STAMP)
        sent = await deliver(opened, ALARMS)
        assert [number_of(each.body) for each in sent] == [1], "what is only in memory first"
        assert sent[0].epoch == "outage 1"
        assert sent[0].position == 1
        assert [number_of(each.body) for each in await deliver(opened, ALARMS)] == [0], "the disk can still be read"
        assert (opened.health.word, opened.health.error) == (word, f"[Errno {code}] refused")
        assert opened.health.sheltered > 0
        assert not waiting.done()
        await opened.tidy(at(60.0))
        assert opened.health.word == word
        setting.allow()
        await opened.tidy(at(120.0))
        await waiting
        assert opened.health.word == "ok"
        assert opened.health.sheltered == 0
        assert await opened.read("one", ALARMS, 10, 2**20) == [], "what was sent from memory is not sent again"
        later = await opened.read("one", SUMMARIES, 10, 2**20)
        assert [(each.epoch, each.position, each.at) for each in later] == [("first", 1, STAMP.at)], "with its own time"
    found = setting.reopened()
    assert [number_of(each.body) for each in found[SUMMARIES]] == [1]
    assert not losses(found[ALARMS])


async def test_it_comes_back_with_the_next_put_too_but_not_before_its_time() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.EIO, "sync")
        first = opened.put([summary(0)], {}, STAMP)
        await opened.read("one", ALARMS, 1, 1)
        setting.allow()
        second = opened.put([summary(1)], {}, at(0.5))
        await opened.read("one", ALARMS, 1, 1)
        assert not first.done()
        assert not second.done(), "a disk that failed is left alone for a while"
        third = opened.put([summary(2)], {}, at(1.5))
        await asyncio.gather(first, second, third)
    assert [number_of(each.body) for each in setting.reopened()[SUMMARIES]] == [0, 1, 2], "in order"


async def test_the_pause_between_attempts_grows_and_is_bounded() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.EIO, "sync", "write")
        waiting = opened.put([alarm(0)], {}, STAMP)
        attempts, now = [], 0.0
        while now < 300.0:
            now += 1.0
            before = opened._retry_at
            await opened.tidy(at(now))
            if opened._retry_at != before:
                attempts.append(now)
        gaps = [later - earlier for earlier, later in itertools.pairwise(attempts)]
        assert gaps == sorted(gaps)
        assert gaps[-1] == RETRY_LIMIT
        setting.allow()
        await opened.tidy(at(400.0))
        await waiting


async def test_who_forwards_hears_of_what_is_in_memory_alone() -> None:
    """An alarm that the disk refused must not wait until somebody looks."""
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(0)], {}, STAMP)
        assert setting.sheltered == []
        setting.refuse(errno.ENOSPC, "write", "create", "reserve")
        opened.put([reading(1)], {}, STAMP)
        await opened.tidy(STAMP)
        opened.put([summary(2), alarm(2)], {}, STAMP)
        opened.put([], {"t": {"a": {"b": 1}}}, STAMP)
        await opened.tidy(STAMP)
        assert setting.sheltered == [False, True]
        setting.allow()


async def test_notes_that_the_disk_refused_are_saved_later() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(0)], {"t": {"a": {"n": 1}}}, STAMP)
        setting.refuse(errno.ENOSPC, "write")
        second = opened.put([], {"t": {"a": {"n": 2}, "b": {"n": 2}}}, STAMP)
        third = opened.put([], {"t": {"a": {"n": 3}, "b": None}}, STAMP)
        await opened.read("one", ALARMS, 1, 1)
        setting.allow()
        await opened.tidy(at(60.0))
        await asyncio.gather(second, third)
    store = open_store(setting.disk)
    assert store.recall("t") == {"a": {"n": 3}}
    store.close()


async def test_a_refused_upkeep_is_an_outage_that_ends() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        await opened.put([alarm(0)], {}, STAMP)
        await deliver(opened, ALARMS)
        setting.refuse(errno.EROFS)
        await opened.tidy(STAMP)
        assert opened.health.word == "readOnly"
        setting.allow()
        await opened.tidy(at(60.0))
        assert opened.health.word == "ok"


async def test_a_receipt_that_comes_after_the_records_moved_settles_them_on_disk() -> None:
    setting = Setting(uplinks=("one", "two"))
    async with setting.writer() as opened:
        setting.refuse(errno.EIO, "sync")
        waiting = opened.put([alarm(number) for number in range(4)], {}, STAMP)
        in_flight = await opened.read("one", ALARMS, 10, 2**20)
        await opened.settle("two", ALARMS, "outage 1", Receipt((1, 2)))
        setting.allow()
        await opened.tidy(at(60.0))
        await waiting
        await opened.settle("one", ALARMS, in_flight[0].epoch, Receipt((1, 2, 3), (4,), "no"))
        moved, sent = Loss(ALARMS, 1, 4, 0, "moved"), Loss(ALARMS, 1, 2, 0, "sentFromMemory")
        assert [(each.epoch, each.body) for each in await read(opened, ALARMS)] == [("outage 1", moved)]
        assert [(each.epoch, each.body) for each in await read(opened, ALARMS)] == [("first", sent)]
        assert [each.body for each in await read(opened, ALARMS, "two")] == [moved]
        *records, last = await read(opened, ALARMS, "two")
        assert ([number_of(each.body) for each in records], last.body) == ([2, 3], sent)


async def test_each_platform_can_account_for_an_outage_that_another_one_was_away_for() -> None:
    """What one was sent from memory keeps a place on the disk for the other: a hole that the first must hear the reason of."""
    setting = Setting(uplinks=("one", "two"))
    platforms = {name: Ledger() for name in setting.uplinks}

    async def send(opened: Writer, uplink: str) -> None:
        for lane in LANES:
            while sent := await read(opened, lane, uplink):
                for each in sent:
                    platforms[uplink].enter(each, 0.0)

    async with setting.writer() as opened:
        await opened.put([alarm(0), reading(0)], {}, STAMP)
        setting.refuse(errno.ENOSPC, "write", "reserve", "create")
        waiting = [opened.put([alarm(number), reading(number), reading(number)], {}, STAMP) for number in range(1, 4)]
        await send(opened, "one")
        waiting.append(opened.put([alarm(4)], {}, STAMP))
        in_flight = await opened.read("one", ALARMS, 10, 2**20)
        setting.allow()
        await opened.tidy(at(60.0))
        await asyncio.gather(*waiting)
        await opened.settle("one", ALARMS, in_flight[0].epoch, Receipt(tuple(each.position for each in in_flight)))
        for each in in_flight:
            platforms["one"].enter(each, 0.0)
        await opened.put([alarm(5), reading(5)], {}, at(61.0))
        await opened.tidy(at(62.0))
        await send(opened, "one")
        await send(opened, "two")
    accounts = {name: ledger.account() for name, ledger in platforms.items()}
    assert {name: account.missing for name, account in accounts.items()} == {"one": 0, "two": 0}
    assert accounts["two"].lost == 0
    assert {"first", "outage 1"} == {each.epoch for each in accounts["one"].streams}


@pytest.mark.parametrize("again", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("syncs", range(6))
async def test_an_epoch_of_an_outage_that_goes_on_explains_what_the_disk_took_meanwhile(syncs: int, again: int | None) -> None:
    """The disk takes some lanes and refuses again, twice perhaps: what comes next has the next position in memory, and one
    platform, which was away for most of it, asks why as the other does."""
    setting = Setting(uplinks=("one", "two"))
    platforms = {name: Ledger() for name in setting.uplinks}

    async def send(opened: Writer, uplink: str, *lanes: str) -> None:
        for lane in lanes:
            while sent := await read(opened, lane, uplink):
                for each in sent:
                    platforms[uplink].enter(each, 0.0)

    def takes(syncs: int) -> Callable[[str], None]:
        synced = itertools.count()

        def refusal(step: str) -> None:
            if step == "sync" and next(synced) == syncs:
                setting.refuse(errno.ENOSPC, "write", "reserve", "create")

        return refusal

    async with setting.writer() as opened:
        setting.refuse(errno.ENOSPC, "write", "reserve", "create")
        waiting = [opened.put([alarm(1), summary(1)], {}, STAMP), opened.put([alarm(2), summary(2)], {}, at(1.0))]
        await send(opened, "one", ALARMS)
        waiting.append(opened.put([alarm(3), summary(3)], {}, at(2.0)))
        await opened.backlog("one")
        setting.refusal = takes(syncs)
        await opened.tidy(at(60.0))
        waiting.append(opened.put([alarm(4), summary(4)], {}, at(61.0)))
        await send(opened, "one", *LANES)
        if again is not None:
            setting.refusal = takes(again)
            await opened.tidy(at(120.0))
            waiting.append(opened.put([alarm(5), summary(5)], {}, at(121.0)))
            await opened.backlog("one")
        await send(opened, "two", *LANES)
        setting.allow()
        await opened.tidy(at(300.0))
        await asyncio.gather(*waiting)
        await opened.tidy(at(305.0))
        for uplink in setting.uplinks:
            await send(opened, uplink, *LANES)
        await opened.tidy(at(310.0))
        assert opened.health.sheltered == 0
    for name, ledger in platforms.items():
        account = ledger.account()
        assert (account.missing, account.lost) == (0, 0), (name, [stream for stream in account.streams if stream.missing])
        assert {each.at for each in account.alarms} >= {alarm(number).at for number in (1, 2, 3, 4)}


async def test_a_platform_that_had_a_later_record_of_an_outage_hears_where_the_earlier_one_went() -> None:
    """Of four alarms in memory the second and third were acknowledged; the first goes out from the disk, as another position."""
    setting, platform = Setting(), Ledger()
    async with setting.writer() as opened:
        setting.refuse(errno.ENOSPC, "write", "reserve", "create")
        waiting = opened.put([alarm(number) for number in range(1, 5)], {}, STAMP)
        sent = await opened.read("one", ALARMS, 10, 2**20)
        await opened.settle("one", ALARMS, sent[0].epoch, Receipt((2, 3)))
        for each in sent[1:3]:
            platform.enter(each, 0.0)
        setting.allow()
        for seconds in range(60, 300, 5):  # the link is away
            await opened.tidy(at(seconds))
        await waiting
        while envelopes := await read(opened, ALARMS):
            for each in envelopes:
                platform.enter(each, 0.0)
        await opened.tidy(at(300.0))
        assert opened.health.sheltered == 0
    account = platform.account()
    assert (account.missing, account.lost, account.duplicates) == (0, 0, 0)
    assert sorted(each.at for each in account.alarms) == [alarm(number).at for number in range(1, 5)]


@pytest.mark.parametrize("refusing", [True, False], ids=["in memory", "on disk"])
async def test_what_a_platform_refuses_is_told_to_it_once_and_a_refused_loss_never(refusing: bool) -> None:
    """A broker that takes no packet so large never sees the record: its platform would look for it for ever."""
    setting, platform = Setting(), Ledger()
    async with setting.writer() as opened:
        if refusing:
            setting.refuse(errno.ENOSPC, "write", "reserve", "create")
        waiting = opened.put([alarm(1), *(summary(number) for number in range(1, 6))], {}, STAMP)
        for lane in (ALARMS, SUMMARIES):
            sent = await opened.read("one", lane, 10, 2**20)
            refused = tuple(each.position for each in sent if each.position in (2, 3))
            taken = [each for each in sent if each.position not in refused]
            for each in taken:
                platform.enter(each, 0.0)
            receipt = Receipt(tuple(each.position for each in taken), refused, "3000 bytes; the broker takes 2000 at most")
            await opened.settle("one", lane, sent[0].epoch, receipt)
        await opened.tidy(at(5.0))
        (told,) = await opened.read("one", ALARMS, 10, 2**20)
        assert told.body == Loss(SUMMARIES, 2, 3, 2, "refused")
        platform.enter(told, 0.0)
        account = platform.account()
        assert (account.missing, account.lost) == (0, 2)
        await opened.settle("one", ALARMS, told.epoch, Receipt((), (told.position,), "no"))
        await opened.tidy(at(10.0))
        assert await opened.read("one", ALARMS, 10, 2**20) == []
        setting.allow()
        await opened.tidy(at(60.0))
        await waiting


async def test_the_memory_is_bounded_and_says_what_it_lost() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.ENOSPC, "write", "reserve", "create")
        waiting = [opened.put([reading(number) for number in range(100)], {}, STAMP) for _ in range(20)]
        waiting.append(opened.put([alarm(1)], {}, STAMP))
        await opened.tidy(STAMP)
        assert opened.health.sheltered < MEMORY.budget * 2
        setting.allow()
        await opened.tidy(at(60.0))
        await asyncio.gather(*waiting)
    found = setting.reopened()
    lost = losses(found[ALARMS])
    assert {(loss.lane, loss.why) for loss in lost} == {(READINGS, "evicted")}
    assert sum(loss.count for loss in lost) + len(found[READINGS]) == 2000
    assert [number_of(each.body) for each in found[ALARMS] if each.kind == "alarm"] == [1]


async def test_losses_told_from_memory_are_not_told_again() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.ENOSPC, "write", "reserve", "create")
        waiting = [opened.put([reading(number) for number in range(100)], {}, STAMP) for _ in range(20)]
        await opened.tidy(STAMP)
        told = await deliver(opened, ALARMS)
        assert {each.epoch for each in told} == {"outage 1"}
        assert {loss.lane for loss in losses(told)} == {READINGS}
        setting.allow()
        await opened.tidy(at(60.0))
        await asyncio.gather(*waiting)
    assert not losses(setting.reopened()[ALARMS])


async def test_each_outage_is_an_epoch_of_its_own() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        for outage in (1, 2):
            setting.refuse(errno.EIO, "sync")
            waiting = opened.put([alarm(outage)], {}, at(outage * 1000.0))
            assert [(each.epoch, each.position) for each in await deliver(opened, ALARMS)] == [(f"outage {outage}", 1)]
            setting.allow()
            await opened.tidy(at(outage * 1000.0 + 500.0))
            await waiting
        await opened.put([alarm(3)], {}, STAMP)
        await opened.settle("one", ALARMS, "outage 1", Receipt((1, 2, 3)))
        assert [number_of(each.body) for each in await deliver(opened, ALARMS)] == [3], "a late receipt is not another's"


async def test_an_end_without_the_disk_tells_those_who_wait() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.EIO, "sync")
        waiting = opened.put([alarm(1)], {}, STAMP)
        await opened.read("one", ALARMS, 1, 1)
    with pytest.raises(StoreUnavailable, match="refused"):
        await waiting


async def test_an_end_gives_the_disk_one_more_chance() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.EIO, "sync")
        waiting = opened.put([alarm(1)], {}, STAMP)
        await opened.read("one", ALARMS, 1, 1)
        setting.allow()
    await waiting
    assert [number_of(each.body) for each in setting.reopened()[ALARMS]] == [1]


async def test_a_disk_that_hangs_is_waited_for_by_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PENDING", 50)
    setting, hanging, go_on = Setting(), threading.Event(), threading.Event()
    async with setting.writer() as opened:

        def hang(step: str) -> None:
            if step == "sync":
                hanging.set()
                go_on.wait()

        setting.refusal = hang
        waiting = [opened.put([reading(0)], {}, STAMP)]
        await asyncio.to_thread(hanging.wait)
        waiting += [opened.put([reading(number)], {}, STAMP) for number in range(1, 61)]
        urgent = opened.put([alarm(1)], {}, STAMP)
        setting.allow()
        go_on.set()
        refused = [future for future in waiting if future.done()]
        assert len(refused) == 10
        for future in refused:
            with pytest.raises(StoreUnavailable, match="hangs"):
                await future
        await urgent
        await asyncio.gather(*(future for future in waiting if future not in refused))
        await opened.tidy(STAMP)
    found = setting.reopened()
    assert len(found[READINGS]) == 51
    assert [(loss.lane, loss.count, loss.why) for loss in losses(found[ALARMS])] == [(READINGS, 10, "stalled")]


async def test_puts_that_wait_for_a_disk_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "HELD", 5)
    setting = Setting()
    async with setting.writer() as opened:
        setting.refuse(errno.EIO, "sync")
        waiting = [opened.put([summary(number)], {}, STAMP) for number in range(8)]
        await opened.tidy(STAMP)
        told = [future for future in waiting if future.done()]
        assert told == waiting[:3]
        for future in told:
            with pytest.raises(StoreUnavailable):
                await future
        setting.allow()
        await opened.tidy(at(60.0))
        await asyncio.gather(*waiting[3:])
    assert len(setting.reopened()[SUMMARIES]) == 8, "their records were kept all the same"


async def test_a_bug_in_the_thread_is_heard() -> None:
    setting = Setting()
    async with setting.writer() as opened:

        def bug(step: str) -> None:
            raise RuntimeError(f"a bug in {step}")

        setting.refusal = bug
        waiting = opened.put([alarm(0)], {}, STAMP)
        with pytest.raises(RuntimeError, match="a bug"):
            await opened.crashed
        assert not waiting.done()
        setting.allow()


async def test_an_error_of_a_question_is_raised_to_who_asked() -> None:
    setting = Setting()
    async with setting.writer() as opened:
        with pytest.raises(KeyError):
            await opened.read("no such uplink", ALARMS, 1, 1)
        await opened.put([alarm(0)], {}, STAMP)
        setting.refuse(errno.EIO)
        with pytest.raises(StoreUnavailable, match="refused"):
            await opened.settle("one", ALARMS, "first", Receipt((), (1,), "no"))
        setting.allow()
        assert len(await deliver(opened, ALARMS)) == 1


async def test_without_an_uplink() -> None:
    setting = Setting(uplinks=())
    async with setting.writer() as opened:
        setting.refuse(errno.EIO, "sync")
        waiting = opened.put([alarm(0)], {}, STAMP)
        await opened.tidy(STAMP)
        setting.allow()
        await opened.tidy(at(60.0))
        await waiting
        assert opened.made()[ALARMS] == 1


@pytest.fixture
def late() -> Iterator[tuple[LateStore, list[bool]]]:
    disk, there = Disk(), [False]

    def opener() -> LaneStore:
        if not there[0]:
            raise OSError(errno.EROFS, "read-only file system")
        return open_store(disk)

    return LateStore(opener), there


async def test_an_agent_whose_disk_is_not_there_at_its_start(late: tuple[LateStore, list[bool]]) -> None:
    store, there = late
    async with Writer(store, Setting().open_memory, ["one"], 0.0) as opened:
        assert await opened.backlog("one") == dict.fromkeys(LANES, 0)
        first = opened.put([alarm(0)], {"t": {"a": {"n": 1}}}, STAMP)
        assert [number_of(each.body) for each in await deliver(opened, ALARMS)] == [0]
        assert opened.health.word == "readOnly"
        second = opened.put([alarm(1)], {}, STAMP)
        there[0] = True
        await opened.tidy(at(60.0))
        await asyncio.gather(first, second)
        assert opened.health.word == "ok"
        assert [number_of(each.body) for each in await deliver(opened, ALARMS)] == [1]
        assert store.recall("t") == {"a": {"n": 1}}


def test_a_late_store_that_never_opens(late: tuple[LateStore, list[bool]]) -> None:
    store, _ = late
    assert (store.epoch, store.recall("t"), store.read("one", ALARMS, 1, 1)) == ("", {}, [])
    store.settle("one", ALARMS, Receipt((1,)))
    for ask in (lambda: store.append(ALARMS, [], STAMP), lambda: store.tidy(STAMP), lambda: store.lose(ALARMS, 1, "")):
        with pytest.raises(OSError, match="read-only"):
            ask()
    store.close()
