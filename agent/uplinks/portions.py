"""How much of a batch goes into one message, how many messages are on their way, how one bad envelope is found among good ones.

A message that is refused for what it holds is sent again in halves, until the refusal is about one envelope: that one is
rejected, its neighbours never. A message that is too large, or that the link went silent on, makes the following ones smaller,
so that a slow line or a small broker slows delivery down and does not stop it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from agent.encode import MAX_ENVELOPES
from agent.errors import Unreachable
from agent.records import Envelope, Receipt
from agent.uplinks import Busy, Refused

SPELL = 1.0  # s of sending until what was acknowledged is told: a kill then costs no more than that in duplicates
IN_FLIGHT = 128 * 1024  # bytes on their way, about: what an alarm may have to wait for
ANY_NUMBER = 2**20
AIM = 0.9  # of the bytes that a message may have: one that turns out too long is sent behind what is on its way already


class Outcome(Enum):
    """What became of one message."""

    TAKEN = "taken"  # acknowledged by the platform
    REFUSED = "refused"  # never to be taken: some envelope in it
    TOO_LARGE = "too large"  # never to be taken in one piece
    TOO_LONG = "too long"  # more bytes than a message should have, by our own settings; it was not sent


class Verdict(NamedTuple):
    """The platform's word on one message, and why it is not TAKEN."""

    outcome: Outcome
    why: str = ""


Post = Callable[[Sequence[Envelope]], Awaitable[Verdict]]
"""Sends one message and waits for the platform's word on it. Raises Unreachable, when it is awaited.

Called again before the last one was awaited when more than one message may be on its way. It returns a coroutine, or a future
when the message is already sent.
"""


Cut = Callable[[Sequence[Envelope]], Sequence[Envelope]]
"""The first envelopes of some that can travel in one message: those to one topic."""


def at_leisure() -> bool:
    """Nothing is more urgent."""
    return False


def uncut(portion: Sequence[Envelope]) -> Sequence[Envelope]:
    """All of one stream can travel in one message."""
    return portion


def check_batch(ack_timeout: float, batch: int, batch_bytes: int, window: int = 1) -> None:
    """The settings of batches, which every uplink has. Raises ValueError."""
    if not 0 < ack_timeout <= 600:
        raise ValueError("ack_timeout: expected more than 0s, at most 10m")
    if not 1 <= batch <= MAX_ENVELOPES:
        raise ValueError(f"batch: expected 1 to {MAX_ENVELOPES} envelopes")
    if not 1024 <= batch_bytes <= 512 * 1024:
        raise ValueError("batch_bytes: expected 1KiB to 512KiB")
    if not 1 <= window <= 1000:
        raise ValueError("window: expected 1 to 1000 messages")


class Portions:
    """Lives as long as the uplink, over its connections."""

    def __init__(self, batch: int = MAX_ENVELOPES, batch_bytes: int = 512 * 1024, cut: Cut = uncut) -> None:
        """A message has `batch` envelopes at most, and about `batch_bytes` unless one envelope alone has more."""
        self.most = ANY_NUMBER  # envelopes in one message, as the platform or the line takes them
        self._batch, self._batch_bytes = batch, batch_bytes
        self.cut = cut
        self.weight = 1.0  # bytes of an envelope, as in the last message

    def at_most(self, size: int) -> None:
        """The platform has said how many bytes it takes in one message."""
        self._batch_bytes = max(1, min(self._batch_bytes, size))

    def too_long(self, portion: Sequence[Envelope], size: int) -> bool:
        """Whether a message of so many bytes should be made in two. Asked once of every message."""
        self.weight = size / len(portion)
        return size > self._batch_bytes and len(portion) > 1

    def size(self) -> int:
        """How many envelopes the next message should have."""
        return max(1, min(self._batch, self.most, int(self._batch_bytes * AIM / self.weight)))

    async def deliver(
        self, batch: Sequence[Envelope], post: Post, window: int = 1, urgent: Callable[[], bool] = at_leisure
    ) -> Receipt:
        """Send a batch in as many messages as it takes, `window` of them on their way at once.

        Ends early after a rejection, when something is `urgent` and after a second. Raises Unreachable when the link fails
        before anything was settled.
        """
        delivery = _Delivery(self, batch, post, window, urgent)
        most = self.most
        try:
            receipt = await delivery.run()
        finally:
            await delivery.leave()
        if self.most == most and delivery.is_whole:
            self.most = min(most * 2, ANY_NUMBER)
        return receipt


class _Delivery:
    """One call of `Portions.deliver`."""

    def __init__(
        self, portions: Portions, batch: Sequence[Envelope], post: Post, window: int, urgent: Callable[[], bool]
    ) -> None:
        self._portions, self._batch, self._post, self._urgent = portions, batch, post, urgent
        self._window = window
        self._next = 0  # in the batch
        self._again: list[Sequence[Envelope]] = []  # what was refused in one piece, the first one last
        self._sent: deque[tuple[Sequence[Envelope], Any]] = deque()
        self._accepted: list[int] = []
        self._rejected: tuple[int, ...] = ()
        self._why = ""
        self._until = asyncio.get_running_loop().time() + SPELL
        self.is_whole = True  # nothing failed

    async def run(self) -> Receipt:
        while self._send_more() or self._sent:
            portion, answer = self._sent.popleft()
            try:
                verdict = await answer
            except Unreachable as error:
                self._failed(portion, error)
                self._harvest()
                if not self._accepted and not self._rejected:
                    raise
                break
            self._note(portion, verdict)
        return Receipt(tuple(self._accepted), self._rejected, self._why)

    def _send_more(self) -> bool:
        """Fill the window; false when there is nothing left to send, or no reason to go on."""
        weight = self._portions.weight
        while (portion := self._take()) is not None:
            answer = self._post(portion)
            if self._window > 1 and asyncio.iscoroutine(answer):
                answer = asyncio.ensure_future(answer)
            self._sent.append((portion, answer))
            weight = max(weight, self._portions.weight)
            if len(self._sent) >= self._window or sum(len(each) for each, _ in self._sent) * weight >= IN_FLIGHT:
                break
        return bool(self._sent)

    def _take(self) -> Sequence[Envelope] | None:
        if self._rejected or (self._accepted and (self._urgent() or self._until < asyncio.get_running_loop().time())):
            return None
        if self._again:
            piece, most = self._again.pop(), self._portions.size()
            if len(piece) > most:
                self._again.append(piece[most:])
            return piece[:most]
        if self._next == len(self._batch):
            return None
        portion = self._portions.cut(self._batch[self._next : self._next + self._portions.size()])
        self._next += len(portion)
        return portion

    def _note(self, portion: Sequence[Envelope], verdict: Verdict) -> None:
        if verdict.outcome is Outcome.TAKEN:
            self._accepted += (envelope.position for envelope in portion)
        elif len(portion) == 1:
            self._rejected, self._why = (*self._rejected, portion[0].position), verdict.why
        elif verdict.outcome is Outcome.TOO_LONG:
            self._again.append(portion)  # in pieces of the right size, which is known by now
        else:
            half = (len(portion) + 1) // 2
            self._again += [portion[half:], portion[:half]]
            if verdict.outcome is Outcome.TOO_LARGE:
                self._portions.most = half
                self.is_whole = False

    def _failed(self, portion: Sequence[Envelope], error: Unreachable) -> None:
        self.is_whole = False
        if not isinstance(error, Busy | Refused):  # silence: it may have been too much for the line
            self._portions.most = max(1, len(portion) // 2)

    def _harvest(self) -> None:
        """What was acknowledged before the link failed, behind the message that it failed on."""
        for portion, answer in self._sent:
            if isinstance(answer, asyncio.Future) and answer.done() and not answer.cancelled() and answer.exception() is None:
                self._note(portion, answer.result())

    async def leave(self) -> None:
        """Let go of what is still on its way."""
        for _, answer in self._sent:
            if asyncio.iscoroutine(answer):
                answer.close()
            else:
                answer.cancel()
        await asyncio.gather(*(answer for _, answer in self._sent if not asyncio.iscoroutine(answer)), return_exceptions=True)
