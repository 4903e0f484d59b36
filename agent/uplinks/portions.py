"""How much of a batch goes into one message, and how one bad envelope is found among good ones.

A message that is refused for what it holds is sent again in halves, until the refusal is about one envelope: that one is
rejected, its neighbours never. A message that is too large, or that the link went silent on, makes the following ones smaller,
so that a slow line or a small broker slows delivery down and does not stop it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import NamedTuple

from agent.encode import MAX_ENVELOPES
from agent.errors import Unreachable
from agent.records import Envelope, Receipt
from agent.uplinks import Busy, Refused


class Outcome(Enum):
    """What became of one message."""

    TAKEN = "taken"  # acknowledged by the platform
    REFUSED = "refused"  # never to be taken: some envelope in it
    TOO_LARGE = "too large"  # never to be taken in one piece


class Verdict(NamedTuple):
    """The platform's word on one message, and why it is not TAKEN."""

    outcome: Outcome
    why: str = ""


Post = Callable[[Sequence[Envelope]], Awaitable[Verdict]]
"""Sends one message and waits for the platform's word on it. Raises Unreachable."""


def check_batch(ack_timeout: float, batch: int, batch_bytes: int) -> None:
    """The settings of batches, which every uplink has. Raises ValueError."""
    if not 0 < ack_timeout <= 600:
        raise ValueError("ack_timeout: expected more than 0s, at most 10m")
    if not 1 <= batch <= MAX_ENVELOPES:
        raise ValueError(f"batch: expected 1 to {MAX_ENVELOPES} envelopes")
    if not 1024 <= batch_bytes <= 512 * 1024:
        raise ValueError("batch_bytes: expected 1KiB to 512KiB")


class Portions:
    """Lives as long as the uplink, over its connections."""

    def __init__(self) -> None:
        self.most = 2**20  # envelopes in one message

    async def deliver(self, batch: Sequence[Envelope], post: Post) -> Receipt:
        """Send a batch in as many messages as it takes. Ends early after a rejection: an alarm may be waiting.

        Raises Unreachable when the link fails before anything was settled.
        """
        accepted: list[int] = []
        size = most = self.most
        while len(accepted) < len(batch):
            portion = batch[len(accepted) : len(accepted) + size]
            try:
                verdict = await post(portion)
            except Unreachable as error:
                if not isinstance(error, Busy | Refused):  # silence: it may have been too much for the line
                    self.most = max(1, len(portion) // 2)
                if not accepted:
                    raise
                return Receipt(tuple(accepted))
            if verdict.outcome is Outcome.TAKEN:
                accepted += (envelope.position for envelope in portion)
            elif len(portion) == 1:
                return Receipt(tuple(accepted), (portion[0].position,), verdict.why)
            else:
                size = len(portion) // 2
                if verdict.outcome is Outcome.TOO_LARGE:
                    self.most = size
        if self.most == most:
            self.most = min(most * 2, 2**20)
        return Receipt(tuple(accepted))
