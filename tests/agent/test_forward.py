"""Forwarding: the order of lanes, what is settled, when it pauses, what it says. No test waits for time to pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_envelope

from agent.errors import ConfigError, Unreachable
from agent.forward import LONGEST_WAIT, Arrivals, Count, Link, Pauses, Plan, forward, guarded
from agent.records import Envelope, PointSummary, Reading, Receipt, Stamp, Summary
from agent.uplinks import Busy, Refused
from tests.agent.envelopes import alarm, summary

HOUR = 3600.0
PLAN = Plan(batch=10, first_pause=HOUR, longest_pause=HOUR, look=HOUR)  # nothing happens by the passing of time


class Never(Random):
    """The shortest pause that there is: none."""

    def random(self) -> float:
        return 0.0


class Always(Random):
    """The longest pause that there is."""

    def random(self) -> float:
        return 1.0


class Outbox:
    """The store's contract over plain lists. `error` is raised by the next read."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Envelope]] = {"alarms": [], "summaries": [], "readings": []}
        self.receipts: list[tuple[str, Receipt]] = []
        self.error: OSError | None = None
        self.reads = 0

    async def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        self.reads += 1
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return self.waiting[lane][:limit]

    async def first(self, uplink: str, lanes: Sequence[str], limit: int, max_bytes: int) -> list[Envelope]:
        for lane in lanes:
            if found := await self.read(uplink, lane, limit, max_bytes):
                return found
        return []

    async def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        return []

    async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
        self.receipts.append((lane, receipt))
        named = {*receipt.accepted, *receipt.rejected}
        self.waiting[lane] = [each for each in self.waiting[lane] if each.position not in named]

    def put(self, *envelopes: Envelope) -> None:
        for each in envelopes:
            self.waiting[each.lane].append(each)


class Platform:
    """An uplink whose every step is decided by the test: by default it takes everything."""

    name = "platform"

    def __init__(self) -> None:
        self.entered = 0
        self.left = 0
        self.sent: list[list[Envelope]] = []
        self.on_enter: Callable[[], None] = lambda: None
        self.on_send: Callable[[Sequence[Envelope]], Receipt] = lambda batch: Receipt(tuple(each.position for each in batch))
        self.link_lost = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.entered += 1
        self.on_enter()
        self.link_lost.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left += 1

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool]) -> Receipt:
        self.sent.append(list(batch))
        await asyncio.sleep(0)
        return self.on_send(batch)

    async def lost(self) -> str:
        await self.link_lost.wait()
        return "it rained"


class Life:
    """Everything that a running forward loop touches."""

    def __init__(self) -> None:
        self.uplink = Platform()
        self.outbox = Outbox()
        self.arrivals = Arrivals()
        self.words: list[str] = []
        self.now = 0.0
        self.link = Link("platform", self.words.append, lambda: self.now)
        self.task: asyncio.Task[Any]

    @asynccontextmanager
    async def running(self, plan: Plan = PLAN, random: Random | None = None) -> AsyncIterator[None]:
        self.task = asyncio.create_task(forward(self.uplink, self.outbox, self.arrivals, self.link, plan, random or Always()))
        try:
            yield
        finally:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(2000):
            if condition():
                return
            assert not self.task.done(), self.task
            await asyncio.sleep(0)
        pytest.fail("it never came to that")

    async def still(self) -> None:
        """Let everything happen that can happen without time passing."""
        for _ in range(200):
            await asyncio.sleep(0)


@pytest.fixture
def life() -> Life:
    return Life()


def positions(batch: Sequence[Envelope]) -> list[int]:
    return [each.position for each in batch]


# Order -----------------------------------------------------------------------------------------------------------------


async def test_a_backlog_is_drained_in_order_lane_by_lane(life: Life) -> None:
    life.outbox.put(*(summary(position) for position in range(1, 26)), alarm(1), alarm(2))
    async with life.running():
        await life.until(lambda: life.link.accepted == 27)
    assert [each[0].lane for each in life.uplink.sent] == ["alarms", "summaries", "summaries", "summaries"]
    assert [position for batch in life.uplink.sent[1:] for position in positions(batch)] == list(range(1, 26))


async def test_an_alarm_waits_for_the_one_batch_that_is_under_way_and_no_longer(life: Life) -> None:
    life.outbox.put(*(summary(position) for position in range(1, 101)))

    def take(batch: Sequence[Envelope]) -> Receipt:
        if len(life.uplink.sent) == 2:
            life.outbox.put(alarm(1))
            life.arrivals.announce(alarm=True)
        return Receipt(tuple(positions(batch)))

    life.uplink.on_send = take
    async with life.running():
        await life.until(lambda: life.link.accepted == 101)
    assert [each[0].lane for each in life.uplink.sent].index("alarms") == 2


async def test_it_sleeps_until_something_comes(life: Life) -> None:
    async with life.running():
        await life.until(lambda: life.words == ["up"])
        await life.still()
        reads = life.outbox.reads
        await life.still()
        assert life.outbox.reads == reads
        life.outbox.put(alarm(1))
        life.arrivals.announce(alarm=True)
        await life.until(lambda: life.link.accepted == 1)


async def test_what_comes_while_it_looks_is_not_missed(life: Life) -> None:
    async def read(uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        found = life.outbox.waiting[lane][:limit]
        if lane == "readings" and life.link.accepted == 0 and not life.outbox.waiting["alarms"]:
            life.outbox.put(alarm(1))  # behind its back, after it has looked at the alarms
            life.arrivals.announce(alarm=True)
        return found

    life.outbox.read = read  # type: ignore[method-assign]
    async with life.running():
        await life.until(lambda: life.link.accepted == 1)


async def test_what_nobody_announces_is_found_by_looking_now_and_then(life: Life) -> None:
    async with life.running(replace(PLAN, look=0.0)):
        await life.until(lambda: life.words == ["up"])
        life.outbox.put(alarm(1))
        await life.until(lambda: life.link.accepted == 1)


# Receipts --------------------------------------------------------------------------------------------------------------


async def test_only_what_the_receipt_names_is_settled(life: Life) -> None:
    life.outbox.put(*(alarm(position) for position in range(1, 6)))
    receipts = iter([Receipt((1, 3)), Receipt((2,), (4,), "bad"), Receipt((5,))])
    life.uplink.on_send = lambda _: next(receipts)
    async with life.running():
        await life.until(lambda: life.link.accepted == 4)
    assert [positions(batch) for batch in life.uplink.sent] == [[1, 2, 3, 4, 5], [2, 4, 5], [5]]
    assert life.outbox.receipts[1] == ("alarms", Receipt((2,), (4,), "bad"))
    assert life.link.rejected == 1


async def test_a_receipt_that_names_nothing_is_a_failed_link_and_no_tight_loop(life: Life) -> None:
    life.outbox.put(alarm(1))
    life.uplink.on_send = lambda _: Receipt()
    async with life.running():
        await life.until(lambda: life.words == ["down"])
        await life.still()
    assert len(life.uplink.sent) == 1
    assert life.outbox.receipts == []


async def test_one_reason_for_rejecting_is_logged_once(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    life.outbox.put(*(alarm(position) for position in range(1, 6)))
    life.uplink.on_send = lambda batch: Receipt((), (batch[0].position,), "bad")
    async with life.running():
        await life.until(lambda: life.link.rejected == 5)
    assert caplog.text.count("refused for good") == 1


async def test_what_looks_like_card_data_never_leaves_and_is_never_repeated(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    life.outbox.put(alarm(1), alarm(2, text="card 4111 1111 1111 1111 swallowed"), alarm(3))
    async with life.running():
        await life.until(lambda: life.link.accepted == 2)
    assert [positions(batch) for batch in life.uplink.sent] == [[1, 3]]
    assert life.outbox.receipts[0] == ("alarms", Receipt((), (2,), "it looks like card data"))
    assert (life.link.rejected, life.link.guard_hits) == (0, 1)
    assert "4111" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        Reading("m", "transaction.count", 4_111_111_111_111_111, 1.0),
        Summary("m", 0.0, 60.0, 1.0, {"cardReader.4111111111111111": PointSummary(n=1)}),
        Summary("m", 0.0, 60.0, 1.0, {"transaction.count": PointSummary(n=1, last=4_111_111_111_111_111)}),
    ],
)
def test_numbers_and_names_are_looked_at_too(body: Reading | Summary) -> None:
    assert guarded([Envelope("gw", "e", "readings", 7, "boot", 0.0, 0.0, synced=True, body=body)]) == (7,)


# Failures --------------------------------------------------------------------------------------------------------------


async def test_an_unreachable_platform_costs_nothing_and_is_tried_again(life: Life) -> None:
    life.outbox.put(alarm(1))
    failures = iter([Unreachable("a"), Unreachable("b"), Unreachable("c")])

    def enter() -> None:
        if error := next(failures, None):
            raise error

    life.uplink.on_enter = enter
    async with life.running(random=Never()):
        await life.until(lambda: life.link.accepted == 1)
    assert life.uplink.entered == 4
    assert life.words == ["down", "up"]


async def test_a_link_that_breaks_in_the_middle_is_left_and_entered_again(life: Life) -> None:
    life.outbox.put(*(alarm(position) for position in range(1, 26)))

    def send(batch: Sequence[Envelope]) -> Receipt:
        if len(life.uplink.sent) == 2:
            raise Unreachable("broken")
        return Receipt(tuple(positions(batch)))

    life.uplink.on_send = send
    async with life.running(random=Never()):
        await life.until(lambda: life.link.accepted == 25)
    assert life.words == ["up", "down", "up"]
    assert life.uplink.entered == 2
    assert positions(life.uplink.sent[1]) == positions(life.uplink.sent[2])


async def test_a_link_that_is_lost_while_idle_is_opened_again_before_anything_comes(life: Life) -> None:
    async with life.running(random=Never()):
        await life.until(lambda: life.words == ["up"])
        life.uplink.link_lost.set()
        await life.until(lambda: life.words == ["up", "down", "up"])
    assert life.uplink.entered == 2


async def test_a_link_that_connects_and_then_fails_is_not_up(life: Life) -> None:
    life.outbox.put(alarm(1))

    def fail(_: Sequence[Envelope]) -> Receipt:
        raise Refused("no such topic; correct `topic`")

    life.uplink.on_send = fail
    async with life.running(random=Never()):
        await life.until(lambda: life.uplink.entered == 10)
    assert life.words == ["refused"]
    assert life.link.why == "no such topic; correct `topic`"


async def test_the_same_failure_again_is_said_once(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    def enter() -> None:
        raise Unreachable("nobody answers")

    life.uplink.on_enter = enter
    with caplog.at_level(logging.INFO):
        async with life.running(random=Never()):
            await life.until(lambda: life.uplink.entered == 50)
    assert caplog.text.count("nobody answers") == 1
    assert life.words == ["down"]


async def test_a_mistake_in_the_configuration_ends_it_at_the_start(life: Life) -> None:
    def enter() -> None:
        raise ConfigError(["uplink platform: ca: no such file"])

    life.uplink.on_enter = enter
    async with life.running():
        with pytest.raises(ConfigError, match="no such file"):
            await life.task


@pytest.mark.parametrize("before", [[], [Unreachable("away")]])
async def test_the_same_mistake_later_is_a_link_that_is_refused(life: Life, before: list[Exception]) -> None:
    errors: list[Exception | None] = [*before] or [None]
    errors += [ConfigError(["ca: no such file"]), None]

    def enter() -> None:
        if error := errors.pop(0) if errors else None:
            raise error
        if len(errors) == 2:
            life.uplink.link_lost.set()

    life.uplink.on_enter = enter
    async with life.running(random=Never()):
        await life.until(lambda: life.words[:1] == ["up"] or life.words[:1] == ["down"])
        life.uplink.link_lost.set()
        await life.until(lambda: life.words[-2:] == ["refused", "up"])


async def test_a_disk_that_cannot_be_read_is_tried_again(life: Life) -> None:
    life.outbox.put(alarm(1))
    life.outbox.error = OSError(5, "Input/output error")
    async with life.running(random=Never()):
        await life.until(lambda: life.link.accepted == 1)
    assert life.words == ["down", "up"]


async def test_a_bug_ends_it(life: Life) -> None:
    def send(_: Sequence[Envelope]) -> Receipt:
        raise ZeroDivisionError

    life.outbox.put(alarm(1))
    life.uplink.on_send = send
    async with life.running():
        with pytest.raises(ZeroDivisionError):
            await life.task
    assert life.uplink.left == 1


async def test_cancelled_it_says_goodbye(life: Life) -> None:
    async with life.running():
        await life.until(lambda: life.words == ["up"])
    assert life.uplink.left == 1


# Pauses ----------------------------------------------------------------------------------------------------------------


async def test_a_fresh_alarm_cuts_a_pause_short_once_in_an_outage(life: Life) -> None:
    def enter() -> None:
        raise Unreachable("away")

    life.uplink.on_enter = enter
    async with life.running():
        await life.until(lambda: life.uplink.entered == 1)
        await life.still()
        assert life.uplink.entered == 1
        life.arrivals.announce(alarm=False)
        await life.still()
        assert life.uplink.entered == 1
        life.arrivals.announce(alarm=True)
        await life.until(lambda: life.uplink.entered == 2)
        for _ in range(5):
            life.arrivals.announce(alarm=True)
            await life.still()
        assert life.uplink.entered == 2


async def test_the_next_outage_may_be_cut_short_again(life: Life) -> None:
    def enter() -> None:
        if life.uplink.entered == 1:
            raise Unreachable("away")

    life.uplink.on_enter = enter
    async with life.running():
        for attempt in (2, 3):
            await life.until(lambda: life.link.word == "down")
            await life.still()
            assert life.uplink.entered == attempt - 1
            life.outbox.put(alarm(attempt))
            life.arrivals.announce(alarm=True)
            await life.until(lambda: life.link.word == "up")
            assert life.uplink.entered == attempt
            await life.still()
            life.uplink.link_lost.set()
    assert life.link.accepted == 2


async def test_an_alarm_that_came_while_connecting_failed_counts_as_fresh(life: Life) -> None:
    def enter() -> None:
        if life.uplink.entered == 1:
            life.arrivals.announce(alarm=True)
        raise Unreachable("away")

    life.uplink.on_enter = enter
    async with life.running():
        await life.until(lambda: life.uplink.entered == 2)


async def test_a_platform_that_asks_for_time_is_given_it_within_reason(life: Life) -> None:
    waits = iter([7.0, 1e6])

    def enter() -> None:
        raise Busy("later", next(waits))

    life.uplink.on_enter = enter
    async with life.running(random=Never()):
        await life.until(lambda: life.uplink.entered == 1)
        await life.still()
        quiet = life.link.due - life.link.turned
        life.arrivals.announce(alarm=True)  # the second answer, without waiting for it
        await life.until(lambda: life.uplink.entered == 2)
        await life.still()
        longest = life.link.due - life.link.turned
    assert longest - quiet == LONGEST_WAIT - 7.0


@given(st.floats(0.01, 10), st.floats(10, 600), st.integers(1, 60), st.randoms(use_true_random=False))
def test_pauses_double_have_full_jitter_and_an_end(first: float, longest: float, failures: int, random: Random) -> None:
    highest = Pauses(first, longest, Always())
    jittered = Pauses(first, longest, random)
    for failure in range(failures):
        limit = highest.next()
        assert limit == pytest.approx(min(longest, first * 2**failure))
        assert 0 <= jittered.next() <= limit
    highest.reset()
    assert highest.next() == min(first, longest)


# What it says about itself ---------------------------------------------------------------------------------------------


async def test_progress_can_be_watched(life: Life) -> None:
    assert life.link.delivered is None
    life.now = 5.0
    life.outbox.put(alarm(1))
    async with life.running():
        await life.until(lambda: life.link.accepted == 1)
    assert life.link.delivered == 5.0
    assert life.link.turned == 5.0
    assert life.link.due > 5.0


async def test_a_count_tells_even_those_who_ask_late() -> None:
    count = Count()
    waiting = count.beyond(1)
    count.add()
    await asyncio.sleep(0)
    assert not waiting.done()
    count.add()
    await waiting
    await count.beyond(0)


# Time ------------------------------------------------------------------------------------------------------------------


async def test_a_clock_that_was_set_cuts_a_pause_short_for_a_certificate_may_be_valid_now(life: Life) -> None:
    def not_yet_valid() -> None:
        if life.uplink.entered == 1:
            raise Refused("its certificate: not yet valid; check `ca`, the name, this clock")

    life.uplink.on_enter = not_yet_valid
    async with life.running():
        await life.until(lambda: life.link.word == "refused")
        await life.still()
        assert life.uplink.entered == 1
        life.arrivals.steps.add()
        await life.until(lambda: life.link.word == "up")


async def test_what_was_kept_in_1970_is_sent_with_the_time_that_it_was() -> None:
    life = Life()
    kept = replace_envelope(alarm(1), at=42.0, mono=42.0, boot="b", synced=False)
    life.outbox.put(kept)
    now = Stamp(1_760_000_600.0, 700.0, "b", synced=True)
    task = asyncio.create_task(forward(life.uplink, life.outbox, life.arrivals, life.link, PLAN, Always(), lambda: now))
    life.task = task
    await life.until(lambda: bool(life.outbox.receipts))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (sent,) = life.uplink.sent[0]
    assert (sent.position, sent.at, sent.synced) == (1, 1_759_999_942.0, True)


class Forgetful:
    """An outbox that cannot be read at first; then it tells what was settled before the agent began."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox, self.first, self.settle = outbox, outbox.first, outbox.settle
        self.refuses = True

    async def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        if self.refuses:
            self.refuses = False
            raise OSError(5, "Input/output error")
        return [alarm(1), alarm(2)] if lane == "alarms" else []


class Reminded(Platform):
    """An uplink that must know what it has delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.recalled: list[Envelope] = []

    def recall(self, settled: Sequence[Envelope]) -> None:
        assert self.entered == 0
        self.recalled += settled


async def test_an_uplink_is_reminded_of_what_it_has_delivered_once_and_before_it_is_entered() -> None:
    life = Life()
    uplink = Reminded()
    life.outbox.put(alarm(3))
    outbox = Forgetful(life.outbox)
    task = asyncio.create_task(forward(uplink, outbox, life.arrivals, life.link, PLAN, Never()))
    life.task = task
    await life.until(lambda: bool(life.outbox.receipts))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [each.position for each in uplink.recalled] == [1, 2]
    assert life.words[:2] == ["down", "up"]


# A fleet ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outage", [5.0, 60.0, 3600.0])
def test_a_fleet_that_lost_its_broker_at_one_instant_comes_back_spread_out(outage: float) -> None:
    """A thousand gateways in virtual time: each tries again after its own pauses; a connection attempt fails at once."""
    returns: list[float] = []
    attempts: list[float] = []
    for seed in range(1000):
        pauses, now = Pauses(0.5, 30.0, Random(seed)), 0.0
        while now < outage:
            now += pauses.next()
            attempts.append(now)
        returns.append(now)
    busiest = max(sum(1 for at in returns if second <= at < second + 1) for second in range(int(outage), int(outage) + 31))
    assert max(returns) <= outage + 30.0
    assert busiest <= {5.0: 350, 60.0: 130, 3600.0: 130}[outage]  # in one second; a fleet in step would be 1000
    if outage == 3600.0:  # while it is away it is not knocked to pieces: each tries some four times a minute
        assert sum(1 for at in attempts if at < outage) / 1000 / 60 < 6
