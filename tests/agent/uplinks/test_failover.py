"""Several ways to one platform: which one carries, and when it goes back. No test waits for time to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError, Unreachable
from agent.records import Envelope, Receipt
from agent.uplinks.failover import FIRST_HOLD, LONGEST_HOLD, Choice, FailOver
from tests.agent.envelopes import alarm


class Way:
    """An uplink that works or does not, as the test says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = self.carries = True
        self.error: type[Exception] = Unreachable
        self.entered = self.left = 0
        self.sent: list[int] = []
        self.gone, self.closed = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0)
        if not self.open:
            raise self.error([f"{self.name} is blocked"] if self.error is ConfigError else f"{self.name} is blocked")
        self.entered += 1
        self.gone.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left += 1
        self.closed.set()

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool]) -> Receipt:
        if not self.carries:
            raise Unreachable(f"{self.name} is silent")
        self.sent += [each.position for each in batch]
        return Receipt(tuple(each.position for each in batch))

    async def lost(self) -> str:
        await self.gone.wait()
        return "it rained"


async def test_each_way_is_reminded_of_what_was_delivered_if_it_must_know() -> None:
    class Reminded(Way):
        recalled: Sequence[Envelope] = ()

        def recall(self, settled: Sequence[Envelope]) -> None:
            self.recalled = settled

    first, second = Way("mqtt"), Reminded("thingsboard")
    FailOver("platform", [first, second], lambda *_: None, lambda: 0.0, Choice(2)).recall([alarm(1)])
    assert second.recalled == [alarm(1)]


class Life:
    def __init__(self, hold: float = 0.0) -> None:
        self.mqtt, self.coap = Way("mqtt"), Way("coap")
        self.words: list[tuple[str, str]] = []
        self.now = 0.0
        self.choice = Choice(2, hold, hold * 8)
        self.link = FailOver(
            "platform", [self.mqtt, self.coap], lambda *said: self.words.append(said), lambda: self.now, self.choice
        )

    async def send(self, position: int) -> None:
        await self.link.send([alarm(position)], lambda: False)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_preferred_way_carries_as_long_as_it_can() -> None:
    life = Life()
    async with life.link:
        await life.send(1)
    assert (life.mqtt.sent, life.coap.entered, life.mqtt.left) == ([1], 0, 1)


async def test_a_way_that_is_blocked_is_replaced_at_once_and_taken_again_when_it_opens() -> None:
    life = Life(hold=0.001)
    life.mqtt.open = False
    async with life.link:
        await life.send(1)
        assert life.coap.sent == [1]
        life.mqtt.open = True
        life.now += 1000
        async with asyncio.timeout(5):
            await life.link._back.wait()
        await life.send(2)
        await settle()
        assert (life.mqtt.sent, life.coap.sent, life.coap.left) == ([2], [1], 1)
    assert life.words == [("mqtt", "down"), ("coap", "up"), ("coap", "down"), ("mqtt", "up"), ("mqtt", "down")]


async def test_a_way_that_connects_and_delivers_nothing_is_left_for_another() -> None:
    life = Life(hold=1000)
    life.mqtt.carries = False
    for position in (1, 1):
        try:
            async with life.link:
                await life.send(position)
        except Unreachable:
            continue
    assert life.coap.sent == [1]


async def test_a_way_that_has_delivered_is_tried_first_again() -> None:
    life = Life(hold=1000)
    async with life.link:
        await life.send(1)
        life.mqtt.carries = False
        with pytest.raises(Unreachable):
            await life.send(2)
    life.mqtt.carries = True
    async with life.link:
        await life.send(2)
    assert (life.mqtt.sent, life.coap.entered) == ([1, 2], 0)


async def test_when_no_way_is_open_every_reason_is_told() -> None:
    life = Life()
    life.mqtt.open = life.coap.open = False
    with pytest.raises(Unreachable, match="mqtt is blocked; coap is blocked"):
        async with life.link:
            pytest.fail("entered")


async def test_a_mistake_of_the_configuration_is_told_at_the_beginning_and_only_then() -> None:
    life = Life(hold=1000)
    life.mqtt.open, life.mqtt.error = False, ConfigError
    with pytest.raises(ConfigError):
        async with life.link:
            pytest.fail("entered")
    life = Life(hold=1000)
    async with life.link:
        pass
    life.mqtt.open, life.mqtt.error = False, ConfigError
    async with life.link:
        await life.send(1)
    assert life.coap.sent == [1]


async def test_the_way_back_is_taken_while_there_is_nothing_to_send() -> None:
    life = Life(hold=0.001)
    life.mqtt.open = False
    async with life.link:
        losing = asyncio.create_task(life.link.lost())
        await settle()
        life.mqtt.open = True
        life.now += 1000
        async with asyncio.timeout(5):
            await life.coap.closed.wait()
        assert life.choice.current == 0
        life.mqtt.gone.set()
        assert await losing == "it rained"


async def test_leaving_while_the_first_way_is_open_beside_leaves_both() -> None:
    life = Life(hold=0.001)
    life.mqtt.open = False
    async with life.link:
        life.mqtt.open = True
        life.now += 1000
        async with asyncio.timeout(5):
            await life.link._back.wait()
    assert (life.mqtt.left, life.coap.left) == (1, 1)


def test_a_line_that_flaps_is_tried_less_and_less_often() -> None:
    choice, now, waits = Choice(2), 0.0, []
    choice.took(0, now)
    for _ in range(6):
        choice.took(1, now)
        waits.append(choice.retry_at - now)
        now = choice.retry_at
        choice.took(0, now)
        now += 1.0  # and fails again
    assert waits == [60, 120, 240, 480, 900, 900]
    choice.took(0, now)
    now += LONGEST_HOLD + 1  # it was good for long
    choice.took(1, now)
    assert choice.retry_at - now == FIRST_HOLD


@given(st.lists(st.tuples(st.sampled_from(["took0", "took1", "took2", "failed"]), st.floats(0, 10_000)), max_size=40))
def test_the_preferred_way_is_tried_again_within_the_longest_hold(events: list[tuple[str, float]]) -> None:
    choice, now = Choice(3), 0.0
    for event, passes in events:
        now += passes
        if event == "failed":
            choice.failed_again(now)
        else:
            choice.took(int(event[-1]), now)
        assert choice.retry_at <= now + LONGEST_HOLD
        assert sorted(choice.order(suspect=False)) == [0, 1, 2]
        assert choice.order(suspect=False)[0] == choice.current == choice.order(suspect=True)[-1]
