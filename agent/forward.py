"""The way of every record to the platform: one task per uplink, for ever.

    alarms, then summaries, then readings ──batch──> uplink ──receipt──> store, and the alarms are asked again

A failed link is left and opened again after a pause: exponential, full jitter, never long enough to sleep through a recovery. A
fresh alarm cuts one pause short, once in an outage; after that an alarm waits like everything else, or a storm of them would
knock without pause. A clock that was set cuts it short too: a certificate may have become valid by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NoReturn, Protocol

import msgspec

from agent.errors import ConfigError, Unreachable
from agent.records import Body, Chunk, Envelope, Reading, Receipt, Stamp
from agent.stages.guard import PAN_DIGITS, looks_like_card_data, scrubbed
from agent.stages.rebase import rebased
from agent.store import ALARMS, LANES
from agent.uplinks import Busy, Recalling, Refused, Uplink

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5  # s; the usual outage is a modem that dials again
LONGEST_PAUSE = 30.0  # s; what a platform that comes back may have to wait, and half of it on average
LONGEST_WAIT = 300.0  # s that a platform may ask for: it may be overloaded, it may not switch a gateway off
LONGEST_BATCH = 900.0  # s that connecting or one batch may take over the slowest line before the loop counts as stuck
LOOK = 10.0  # s between looks at the store for what nobody announces: losses found by upkeep, records held in memory

RECALLED = 2_000  # envelopes of a lane that an uplink is reminded of

CLEAN = 4096  # texts that are remembered as being in order
LONGEST_NAME = 128  # characters of one
_clean: set[str] = set()

CARD_DATA = "it looks like card data"

UP, DOWN, REFUSED = "up", "down", "refused"  # the words of gateway.uplink.{uplink}


class Outbox(Protocol):
    """What forwarding asks of the store's writer."""

    async def first(self, uplink: str, lanes: Sequence[str], limit: int, max_bytes: int) -> list[Envelope]:
        """The oldest envelopes that the uplink has not settled, of the first of these lanes that has any, all of one epoch.

        Raises OSError.
        """

    async def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        """The last envelopes of a lane that the uplink has settled, in order. Raises OSError."""

    async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
        """Take note of a receipt for envelopes of one epoch."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an uplink is served. Times in seconds."""

    lanes: tuple[str, ...] = LANES  # the one that matters most first
    batch: int = 500  # envelopes asked of the store at once; the uplink makes messages of them
    batch_bytes: int = 256 * 1024
    first_pause: float = FIRST_PAUSE
    longest_pause: float = LONGEST_PAUSE
    look: float = LOOK


class Count:
    """A number that can be waited for: whoever remembers what it was misses nothing, however late it asks."""

    def __init__(self) -> None:
        self.value = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def add(self) -> None:
        """One more. Called on the event loop's thread."""
        self.value += 1
        waiting, self._waiting = self._waiting, []
        for value, reached in waiting:
            if self.value <= value:
                self._waiting.append((value, reached))
            elif not reached.done():
                reached.set_result(None)

    def beyond(self, value: int) -> asyncio.Future[None]:
        """Done once it is more than `value`; cancel it to wait no more."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.value > value:
            reached.set_result(None)
        else:
            self._waiting = [(value, reached), *(each for each in self._waiting if not each[1].done())]
        return reached


class Arrivals:
    """What has come into the store: told once by ingest, heard by every forward loop."""

    def __init__(self) -> None:
        self.records = Count()
        self.alarms = Count()
        self.steps = Count()  # of the wall clock

    def announce(self, *, alarm: bool) -> None:
        """Records can be read from the store now; `alarm` when there is one among them."""
        self.records.add()
        if alarm:
            self.alarms.add()


class Link:
    """What a forward loop says about itself. `report` is given each new word, `now` is a monotonic clock in seconds."""

    def __init__(self, name: str, report: Callable[[str], None], now: Callable[[], float]) -> None:
        self.name = name
        self.word = ""  # up, down or refused, once it is known
        self.why = ""
        self.turned = now()  # when the loop last went round
        self.due = self.turned + LONGEST_BATCH  # when it must have gone round again, or it hangs
        self.delivered: float | None = None  # when the platform last answered for an envelope
        self.accepted = 0
        self.rejected = 0
        self.guard_hits = 0  # what looked like card data
        self._report = report
        self._now = now
        self._rejection = ""

    def turn(self, within: float) -> None:
        """The loop lives, and goes round again within so many seconds."""
        self.turned = self._now()
        self.due = self.turned + within

    def settled(self, lane: str, receipt: Receipt) -> None:
        """The platform has answered for some envelopes. A reason for rejecting is logged once, not for every envelope."""
        self.delivered = self._now()
        self.accepted += len(receipt.accepted)
        self.rejected += len(receipt.rejected)
        if receipt.rejected and receipt.why != self._rejection:
            self._rejection = receipt.why
            position = receipt.rejected[0]
            log.warning("uplink %s: %s %d was refused for good, and is kept as dead: %s", self.name, lane, position, receipt.why)

    def held_back(self, lane: str, positions: Sequence[int]) -> None:
        """The agent's own guard has kept some envelopes from the platform."""
        self.guard_hits += len(positions)
        log.error("uplink %s: %s %d looks like card data, and is not sent", self.name, lane, positions[0])

    def says(self, word: str, why: str = "") -> None:
        """A new word is reported, a new reason is logged, the same again is neither."""
        if (word, why) == (self.word, self.why):
            return
        log.log(logging.INFO if word == UP else logging.WARNING, "uplink %s: %s%s", self.name, word, why and f": {why}")
        new = word != self.word
        self.word, self.why = word, why
        if new:
            self._report(word)


class Pauses:
    """Exponential back-off with full jitter: gateways that lost the same broker must not come back in step."""

    DOUBLINGS = 20

    def __init__(self, first: float, longest: float, random: Random) -> None:
        self._first, self._longest, self._random = first, longest, random
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        limit = min(self._longest, self._first * 2.0**self._failures)
        self._failures = min(self._failures + 1, self.DOUBLINGS)
        return limit * self._random.random()

    def reset(self) -> None:
        """Something was delivered."""
        self._failures = 0


def unstamped() -> Stamp:
    """A clock that nobody trusts: times stay as they are."""
    return Stamp(0.0, 0.0, "", synced=False)


async def forward(
    uplink: Uplink,
    outbox: Outbox,
    arrivals: Arrivals,
    link: Link,
    plan: Plan,
    random: Random,
    stamp: Callable[[], Stamp] = unstamped,
) -> NoReturn:
    """Deliver what the store holds and will hold, for ever; cancel it to say goodbye and stop. `stamp` tells the time.

    Raises ConfigError when the very first attempt to connect does, before the agent has begun its work: a file is missing or no
    good. Later the same mistake is a link that is `refused`: the agent goes on keeping what it hears, and somebody can put the
    file back.
    """
    pauses = Pauses(plan.first_pause, plan.longest_pause, random)
    first, hurried, reminded = True, False, False
    while True:
        heard, delivered, asked = (arrivals.alarms.value, arrivals.steps.value), link.delivered, 0.0
        try:
            reminded = reminded or await _remind(uplink, outbox, plan)
            async with uplink:
                first = False
                await _deliver(uplink, outbox, arrivals, link, plan, stamp)
        except ConfigError as error:
            if first:
                raise
            link.says(REFUSED, str(error))
        except OSError as error:  # Unreachable is one; so is a disk that cannot be read just now
            link.says(REFUSED if isinstance(error, Refused) else DOWN, str(error))
            asked = min(error.wait, LONGEST_WAIT) if isinstance(error, Busy) else 0.0
        first = False
        if link.delivered != delivered:
            pauses.reset()
            hurried = False
        pause = max(asked, pauses.next())
        link.turn(pause + LONGEST_BATCH)
        hurried |= await _pause(pause, arrivals, heard, may_hurry=not hurried)


async def _remind(uplink: Uplink, outbox: Outbox, plan: Plan) -> bool:
    """Tell an uplink what it has delivered before the agent began, if it must know. Raises OSError."""
    if isinstance(uplink, Recalling):
        told = [await outbox.settled(uplink.name, lane, RECALLED) for lane in plan.lanes]
        for settled in told:
            uplink.recall(settled)
    return True


async def _deliver(
    uplink: Uplink, outbox: Outbox, arrivals: Arrivals, link: Link, plan: Plan, stamp: Callable[[], Stamp]
) -> NoReturn:
    """Over one connection. Raises Unreachable when it fails."""
    while True:
        link.turn(LONGEST_BATCH)
        heard, alarms = arrivals.records.value, arrivals.alarms.value
        batch = await outbox.first(uplink.name, plan.lanes, plan.batch, plan.batch_bytes)
        if not batch:
            link.says(UP)
            await _idle(uplink, arrivals.records, heard, plan.look)
        elif held_back := guarded(batch):
            await outbox.settle(uplink.name, batch[0].lane, batch[0].epoch, Receipt((), held_back, CARD_DATA))
            link.held_back(batch[0].lane, held_back)
        else:
            receipt = await uplink.send(rebased(batch, stamp()), _overtaken(batch, arrivals.alarms, alarms))
            if not receipt.accepted and not receipt.rejected:
                raise Unreachable("the platform acknowledged nothing of what it was sent")
            await outbox.settle(uplink.name, batch[0].lane, batch[0].epoch, receipt)
            link.settled(batch[0].lane, receipt)
            link.says(UP)


def _overtaken(batch: Sequence[Envelope], alarms: Count, heard: int) -> Callable[[], bool]:
    """Whether an alarm has come that should go before what is left of a batch; none overtakes its own lane."""
    return lambda: alarms.value > heard and batch[0].lane != ALARMS


def guarded(batch: Sequence[Envelope]) -> tuple[int, ...]:
    """The last lock before the line: the positions of what looks like card data."""
    return tuple(envelope.position for envelope in batch if _card_data_in(envelope.body))


def _card_data_in(body: Body) -> bool:
    """In any text, names among them, and in any number that a sensor has given."""
    if isinstance(body, Chunk):
        return False  # encrypted before it came here: its digits are chance
    if scrubbed(body)[1]:
        return True
    if type(body) is Reading:  # most records are; what it says was just looked at
        return _is_bad_name(body.machine) or _is_bad_name(body.point)
    waiting: list[Any] = [msgspec.to_builtins(body)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            if _is_bad_name(each):
                return True
        elif isinstance(each, dict):
            waiting.extend(each)
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
    return False


def _is_bad_name(text: str) -> bool:
    """Remembers what is in order, and only that: names of points and machines come again and again."""
    if len(text) < PAN_DIGITS.start or text in _clean:
        return False
    if looks_like_card_data(text):
        return True
    if len(_clean) < CLEAN and len(text) <= LONGEST_NAME:
        _clean.add(text)
    return False


async def _idle(uplink: Uplink, records: Count, heard: int, look: float) -> None:
    """Until something comes, or it is time to look. Raises Unreachable when the link is lost meanwhile."""
    coming = records.beyond(heard)
    losing = asyncio.create_task(uplink.lost(), name=f"{uplink.name}: link")
    try:
        done, _ = await asyncio.wait((coming, losing), timeout=look, return_when=asyncio.FIRST_COMPLETED)
    finally:
        coming.cancel()
        losing.cancel()
        await asyncio.gather(losing, return_exceptions=True)
    if losing in done:
        raise Unreachable(losing.result())


async def _pause(seconds: float, arrivals: Arrivals, heard: tuple[int, int], *, may_hurry: bool) -> bool:
    """Wait before the next attempt. True when a fresh alarm has cut it short."""
    alarms, steps = heard
    ends = [arrivals.steps.beyond(steps)]
    if may_hurry:
        ends.append(arrivals.alarms.beyond(alarms))
    try:
        done, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    return may_hurry and ends[-1] in done
