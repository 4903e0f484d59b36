"""How a batch is divided: against a platform that is a plain function."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unreachable
from agent.records import Envelope
from agent.uplinks import Busy
from agent.uplinks.portions import Outcome, Portions, Verdict, check_batch
from tests.agent.envelopes import alarm


class Platform:
    """Refuses what holds a bad position, or more than `most` envelopes; goes silent at the message of that number."""

    def __init__(self, bad: set[int] = frozenset(), most: int = 1000, silent_at: int | None = None) -> None:  # type: ignore[assignment]
        self.bad = bad
        self.most = most
        self.silent_at = silent_at
        self.messages: list[list[int]] = []
        self.taken: list[int] = []

    async def post(self, portion: Sequence[Envelope]) -> Verdict:
        positions = [envelope.position for envelope in portion]
        self.messages.append(positions)
        if self.silent_at is not None and len(self.messages) > self.silent_at:
            raise Unreachable("silence")
        if len(portion) > self.most:
            return Verdict(Outcome.TOO_LARGE, "too large")
        if self.bad.intersection(positions):
            return Verdict(Outcome.REFUSED, "bad")
        self.taken += positions
        return Verdict(Outcome.TAKEN)


def batch(count: int) -> list[Envelope]:
    return [alarm(position) for position in range(1, count + 1)]


async def test_a_good_batch_is_one_message() -> None:
    platform = Platform()
    receipt = await Portions().deliver(batch(100), platform.post)
    assert len(platform.messages) == 1
    assert receipt.accepted == tuple(range(1, 101))


@given(count=st.integers(1, 60), bad=st.sets(st.integers(1, 60)), most=st.integers(1, 70))
async def test_what_is_good_is_taken_once_and_what_is_bad_is_rejected_alone(count: int, bad: set[int], most: int) -> None:
    platform = Platform(bad, most)
    portions = Portions()
    waiting = batch(count)
    rejected: list[int] = []
    while waiting:
        before = len(platform.messages)
        receipt = await portions.deliver(waiting, platform.post)
        settled = {*receipt.accepted, *receipt.rejected}
        assert settled
        assert len(platform.messages) - before <= 3 * count.bit_length() + 2 * count // most + 1
        rejected += receipt.rejected
        waiting = [each for each in waiting if each.position not in settled]
    assert rejected == sorted(bad & set(range(1, count + 1)))
    assert platform.taken == sorted(set(range(1, count + 1)) - bad)


async def test_a_rejection_ends_the_delivery_for_an_alarm_may_be_waiting() -> None:
    platform = Platform(bad={3})
    receipt = await Portions().deliver(batch(100), platform.post)
    assert receipt.rejected == (3,)
    assert receipt.why == "bad"
    assert receipt.accepted == (1, 2)


async def test_silence_before_anything_was_taken_is_unreachable_and_makes_the_next_message_smaller() -> None:
    portions = Portions()
    with pytest.raises(Unreachable):
        await portions.deliver(batch(100), Platform(silent_at=0).post)
    platform = Platform()
    await portions.deliver(batch(100), platform.post)
    assert [len(message) for message in platform.messages] == [50, 50]
    platform = Platform()
    await portions.deliver(batch(100), platform.post)
    assert [len(message) for message in platform.messages] == [100]  # and larger again once it goes well


async def test_silence_after_something_was_taken_still_gives_the_receipt_for_it() -> None:
    portions = Portions()
    portions.most = 10
    receipt = await portions.deliver(batch(100), Platform(silent_at=2).post)
    assert receipt.accepted == tuple(range(1, 21))


async def test_a_platform_that_is_busy_says_nothing_about_sizes() -> None:
    async def busy(_: Sequence[Envelope]) -> Verdict:
        raise Busy("later", 5.0)

    portions = Portions()
    before = portions.most
    with pytest.raises(Busy):
        await portions.deliver(batch(100), busy)
    assert portions.most == before


async def test_what_was_too_large_once_is_not_tried_again_at_once() -> None:
    portions = Portions()
    platform = Platform(most=30)
    await portions.deliver(batch(100), platform.post)
    assert [len(message) for message in platform.messages] == [100, 50, 25, 25, 25, 25]
    platform = Platform(most=30)
    await portions.deliver(batch(100), platform.post)
    assert [len(message) for message in platform.messages] == [25, 25, 25, 25]
    platform = Platform(most=30)
    await portions.deliver(batch(100), platform.post)
    assert [len(message) for message in platform.messages] == [
        50,
        25,
        25,
        25,
        25,
    ]  # but now and then: the platform may have changed


@pytest.mark.parametrize(
    ("values", "message"),
    [((0, 1, 1024), "ack_timeout"), ((601, 1, 1024), "ack_timeout"), ((1, 0, 1024), "batch:"), ((1, 1, 1023), "batch_bytes")],
)
def test_limits_of_batches_are_checked(values: tuple[float, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_batch(*values)


class Pipe:
    """A platform that answers when it is told to: futures of messages that are already on their way."""

    def __init__(self) -> None:
        self.sent: list[list[int]] = []
        self.answers: list[asyncio.Future[Verdict]] = []

    def post(self, portion: Sequence[Envelope]) -> asyncio.Future[Verdict]:
        self.sent.append([each.position for each in portion])
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    async def answer(self, index: int, error: Unreachable | None = None) -> None:
        """Take a message, or fail."""
        for _ in range(3):
            await asyncio.sleep(0)
        if error is None:
            self.answers[index].set_result(Verdict(Outcome.TAKEN))
        else:
            self.answers[index].set_exception(error)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_a_window_is_kept_full_and_never_fuller() -> None:
    pipe = Pipe()
    delivering = asyncio.create_task(Portions(batch=1).deliver(batch(5), pipe.post, window=2))
    await pipe.answer(1)  # the second one first: the first is waited for
    assert pipe.sent == [[1], [2]]
    await pipe.answer(0)
    assert pipe.sent == [[1], [2], [3], [4]]
    for index in (2, 3, 4):
        await pipe.answer(index)
    assert (await delivering).accepted == (1, 2, 3, 4, 5)


async def test_what_was_acknowledged_behind_the_message_that_failed_is_told() -> None:
    pipe = Pipe()
    delivering = asyncio.create_task(Portions(batch=1).deliver(batch(3), pipe.post, window=3))
    await pipe.answer(1)
    await pipe.answer(0, Unreachable("gone"))
    assert (await delivering).accepted == (2,)
    assert pipe.answers[2].cancelled()


async def test_something_urgent_ends_the_delivery_once_what_is_on_its_way_is_settled() -> None:
    pipe = Pipe()
    urgent = False
    portions = Portions(batch=2)
    delivering = asyncio.create_task(portions.deliver(batch(20), pipe.post, window=2, urgent=lambda: urgent))
    await pipe.answer(0)
    urgent = True
    for index in (1, 2):
        await pipe.answer(index)
    assert (await delivering).accepted == (1, 2, 3, 4, 5, 6)
    assert len(pipe.sent) == 3


async def test_cancelled_it_waits_for_nothing() -> None:
    pipe = Pipe()
    delivering = asyncio.create_task(Portions(batch=1).deliver(batch(9), pipe.post, window=4))
    await pipe.answer(0)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert all(answer.done() for answer in pipe.answers)


async def test_messages_are_bounded_by_bytes() -> None:
    portions = Portions(batch=100, batch_bytes=1000)
    messages: list[int] = []

    async def post(portion: Sequence[Envelope]) -> Verdict:
        size = 90 * len(portion)
        if portions.too_long(portion, size):
            return Verdict(Outcome.TOO_LONG)
        messages.append(size)
        return Verdict(Outcome.TAKEN)

    assert len((await portions.deliver(batch(100), post)).accepted) == 100
    assert max(messages) <= 1000
    messages.clear()
    await portions.deliver(batch(100), post)
    assert messages == [900] * 10  # known from the start now


@given(count=st.integers(1, 40), bad=st.sets(st.integers(1, 40)), most=st.integers(1, 40), window=st.integers(1, 5))
async def test_a_window_changes_nothing_about_what_is_taken_and_what_is_rejected(
    count: int, bad: set[int], most: int, window: int
) -> None:
    platform, portions = Platform(bad, most), Portions(batch=7)
    waiting, rejected = batch(count), set[int]()
    while waiting:
        receipt = await portions.deliver(waiting, platform.post, window)
        assert receipt.accepted or receipt.rejected
        rejected |= {*receipt.rejected}
        waiting = [each for each in waiting if each.position not in {*receipt.accepted, *receipt.rejected}]
    assert rejected == bad & set(range(1, count + 1))
    assert sorted(set(platform.taken)) == sorted(set(range(1, count + 1)) - bad)
