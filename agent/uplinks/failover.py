"""Several ways to one platform, used as one uplink with one cursor: MQTT, and CoAP where a firewall blocks it, and back.

The first way is the preferred one. Another is used when it cannot be entered, or goes silent before it has delivered anything.
While another carries, the first is tried again now and then, beside it; when it can be entered, it carries again. If it
soon fails again, the next attempt waits twice as long: a line that flaps must not make us flap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Self

from agent.errors import ConfigError, Unreachable
from agent.records import Envelope, Receipt
from agent.uplinks import Recalling, Uplink

log = logging.getLogger(__name__)

FIRST_HOLD = 60.0  # s that another way is kept before the first is tried again
LONGEST_HOLD = 900.0
UP, DOWN = "up", "down"


class Choice:
    """Which way to use, as a function of what happened when. Pure: times are arguments, in seconds."""

    def __init__(self, count: int, first_hold: float = FIRST_HOLD, longest_hold: float = LONGEST_HOLD) -> None:
        self.current = 0
        self.retry_at = 0.0  # when the preferred way may be tried again
        self._count, self._first, self._longest = count, first_hold, longest_hold
        self._hold = first_hold
        self._since = 0.0  # when the current way was taken

    def order(self, *, suspect: bool) -> list[int]:
        """The ways to try now, best first. `suspect`: the current one failed without having delivered anything."""
        others = [index for index in range(self._count) if index != self.current]
        return [*others, self.current] if suspect else [self.current, *others]

    def took(self, index: int, now: float) -> None:
        """A way was entered and carries now."""
        if index not in (self.current, 0):
            if self.current == 0 and now - self._since >= self._hold:
                self._hold = self._first  # it was good for long enough: this is a new trouble
            self._wait(now)
        if index != self.current:
            self._since = now
        self.current = index

    def failed_again(self, now: float) -> None:
        """The preferred way was tried beside the current one, in vain."""
        self._wait(now)

    def _wait(self, now: float) -> None:
        self.retry_at = now + self._hold
        self._hold = min(self._hold * 2, self._longest)


class FailOver:
    """See `agent.uplinks.Uplink`. `report` is told each way's name and whether it carries, `now` is a monotonic clock."""

    def __init__(
        self, name: str, ways: Sequence[Uplink], report: Callable[[str, str], None], now: Callable[[], float], choice: Choice
    ) -> None:
        self.name = name
        self._ways, self._report, self._now, self._choice = ways, report, now, choice
        self._delivered = True  # over the way that carries
        self._first = True
        self._watching: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._back = asyncio.Event()  # the preferred way has been entered beside the current one

    @property
    def _way(self) -> Uplink:
        return self._ways[self._choice.current]

    def recall(self, settled: Sequence[Envelope]) -> None:
        for way in self._ways:
            if isinstance(way, Recalling):
                way.recall(settled)

    async def __aenter__(self) -> Self:
        errors: list[OSError | ConfigError] = []
        for index in self._choice.order(suspect=not self._delivered):
            way = self._ways[index]
            try:
                await way.__aenter__()
            except ConfigError as error:
                if self._first:
                    raise
                errors.append(error)
            except Unreachable as error:
                errors.append(error)
            else:
                self._took(index)
                return self
            self._report(way.name, DOWN)
        self._first, self._delivered = False, True  # from the front again
        raise errors[0] if len(errors) == 1 else type(errors[0])(_together(errors))

    def _took(self, index: int) -> None:
        before = self._choice.current
        self._choice.took(index, self._now())
        self._first = self._delivered = False
        self._report(self._way.name, UP)
        if index != before:
            log.warning("uplink %s: over %s now, instead of %s", self.name, self._way.name, self._ways[before].name)
        self._back.clear()
        if index:
            self._watching = asyncio.create_task(self._try_the_first(), name=f"uplink {self.name}: the way back")

    async def _try_the_first(self) -> None:
        """Beside the way that carries, until the preferred one can be entered."""
        while True:
            await asyncio.sleep(max(0.0, self._choice.retry_at - self._now()))
            try:
                await self._ways[0].__aenter__()
            except (Unreachable, ConfigError):
                self._choice.failed_again(self._now())
            else:
                self._back.set()
                return

    def _come_back(self) -> None:
        """The preferred way carries from here on; the other is left in peace."""
        left, self._watching = self._way, None
        self._report(left.name, DOWN)
        task = asyncio.create_task(left.__aexit__(None, None, None), name=f"uplink {left.name}: goodbye")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        self._took(0)

    async def __aexit__(self, *exc: object) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            if self._back.is_set():
                self._back.clear()
                await self._ways[0].__aexit__(*exc)
        self._report(self._way.name, DOWN)
        await self._way.__aexit__(*exc)
        if self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool]) -> Receipt:
        if self._back.is_set():
            self._come_back()
        receipt = await self._way.send(batch, urgent)
        self._delivered = True
        return receipt

    async def lost(self) -> str:
        while True:
            losing = asyncio.create_task(self._way.lost())
            coming = asyncio.create_task(self._back.wait())
            try:
                await asyncio.wait((losing, coming), return_when=asyncio.FIRST_COMPLETED)
            finally:
                coming.cancel()
                if not losing.done():
                    losing.cancel()
                await asyncio.gather(losing, coming, return_exceptions=True)
            if losing.done() and not losing.cancelled():
                return losing.result()
            if self._back.is_set():
                self._come_back()


def _together(errors: Sequence[Exception]) -> str:
    return "; ".join(str(error) for error in errors)
