"""A line of devices that are asked: one owner of the port, however many sources name it.

The first source that is read opens the line, the last one that ends closes it. Who asks when is for `exchange.Turns` to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from random import Random

from agent.errors import ConfigError
from agent.sources import Context, Given, Position
from agent.sources.exchange import Member, Polled, Told, Turns
from agent.sources.line import Line, Opened
from agent.sources.ports import LineSettings

WAITING_LIMIT = 64  # Givens that may wait for the one who reads a source; then the line waits too
SOONEST = 0.001  # s

Sleep = Callable[[float], Awaitable[object]]


class Seat:
    """A source's place at a line."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.told: asyncio.Queue[Given | BaseException] = asyncio.Queue(WAITING_LIMIT)


class Bus:
    """One line and those who ask on it."""

    def __init__(self, settings: LineSettings, now: Callable[[], float], rng: Random | None, sleep: Sleep) -> None:
        self.settings = settings
        self.names: list[str] = []  # of the sources that share it
        self._now = now
        self._line = Line(settings, self._may_send, rng, sleep)
        self._turns = Turns(self._line.write)
        self._seats: list[Seat] = []
        self._task: asyncio.Task[None] | None = None

    def _may_send(self, data: bytes) -> bool:
        return any(member.device.may_send(data) for member in self._turns.members)

    def enter(self, context: Context, device: Polled) -> Seat:
        """A source begins to be read."""
        seat = Seat(Member(context, device))
        self._seats.append(seat)
        self._turns.add(seat.member)
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())
            self._task.add_done_callback(self._ended)
        return seat

    async def leave(self, seat: Seat) -> None:
        """It ends. The last one closes the line."""
        self._seats.remove(seat)
        self._turns.remove(seat.member)
        while not seat.told.empty():
            seat.told.get_nowait()  # the line may be waiting for room here
        if not self._seats and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        loop, turns, line = asyncio.get_running_loop(), self._turns, self._line
        async with aclosing(line.arrivals()) as arrivals:
            async for arrival in arrivals:
                at, mono = self._now(), loop.time()
                if isinstance(arrival, bytes):
                    told = turns.received(arrival, at, mono)
                elif isinstance(arrival, Opened):
                    told = turns.opened(arrival.again, at, mono)
                else:
                    told = turns.lost(arrival.word, str(arrival), at, mono)
                await self._tell(told)
                line.patience = min(1.0, max(SOONEST, turns.due - loop.time()))

    async def _tell(self, told: list[Told]) -> None:
        seats = {seat.member: seat for seat in self._seats}
        for member, readings in told:
            if readings and (seat := seats.get(member)) in self._seats and seat is not None:
                await seat.told.put(Given(readings))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A line only ends by a bug: each of its sources is to fail with it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            for seat in self._seats:
                while not seat.told.empty():
                    seat.told.get_nowait()
                seat.told.put_nowait(error)


class PolledSource:
    """One device that is asked. See `Source` for when its methods are called."""

    def __init__(
        self, context: Context, settings: LineSettings, device: Polled, rng: Random | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.name = context.name
        self._context = context
        self._device = device
        self._bus = _shared(context, settings, rng, sleep)

    @property
    def identity(self) -> str:
        """Who the device says it is; empty until it has said so, or when it never does."""
        return self._device.identity

    async def read(self, position: Position | None) -> AsyncGenerator[Given]:
        """Whatever the device answers, and the state of its line."""
        del position  # a device tells its state anew at each round
        seat = self._bus.enter(self._context, self._device)
        try:
            while True:
                told = await seat.told.get()
                if isinstance(told, BaseException):
                    raise told
                yield told
        finally:
            await self._bus.leave(seat)

    def acknowledge(self, position: Position) -> None:
        """Never called: a device that is asked gives no position."""


def _shared(context: Context, settings: LineSettings, rng: Random | None, sleep: Sleep) -> Bus:
    """The line that the port of `settings` is at. Raises ConfigError when another source has other settings for it."""
    lines = context.lines if context.lines is not None else {}
    bus = lines.setdefault(settings.port, Bus(settings, context.now, rng, sleep))
    assert isinstance(bus, Bus)
    for key, theirs in bus.settings.character.items():
        ours = settings.character[key]
        if ours != theirs:
            raise ConfigError([f"source {context.name}: {key}: {ours}, but {theirs} at source {bus.names[0]} of the same line"])
    bus.names.append(context.name)
    return bus
