"""Devices that are listened to: a line that the machine's own controller masters, or one that talks by itself. Never written to.

A driver is a `Heard`: a state machine without I/O that is handed what came, from which side, and the time twice: `at`, seconds
since the epoch, which Readings are stamped with, and `mono`, seconds of the loop's clock, which never steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, Protocol, TypeAlias

from agent.records import Reading
from agent.settings import Duration
from agent.sources import Context, Given, Position
from agent.sources.health import Health
from agent.sources.line import Arrival, Opened, Tap
from agent.sources.ports import LineSettings, parse

Side: TypeAlias = Literal["device", "host"]
"""Who said it: the device, or the machine's controller that masters it. A wire that carries both is all `device`."""


@dataclass(frozen=True, kw_only=True)
class TapSettings(LineSettings):
    """A line that is listened to."""

    host_port: str = ""
    """A second port, whose input hears the machine's controller; without one only the device is heard."""
    silent_after: Duration = 15.0
    """Without an intact frame for so long the source is `silent`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.host_port:
            try:
                parse(self.host_port)
            except ValueError as error:
                raise ValueError(str(error).replace("port", "host_port", 1)) from None
            if self.host_port == self.port:
                raise ValueError("host_port: is the same as port; leave it out where one wire carries both directions")
        if not 1.0 <= self.silent_after <= 86_400.0:
            raise ValueError("silent_after: expected 1s to 1d")


class Heard(Protocol):
    """A device that is listened to. Without I/O; called by `TapSource`."""

    frames: int
    """Intact frames so far: while it grows, the source is `ok`."""

    def begin(self) -> None:
        """The line was opened, or opened again: what was half heard is over."""

    def hear(self, side: Side, chunk: bytes, at: float, mono: float) -> Sequence[Reading]:
        """What came from one side; any chunking gives the same."""

    def tick(self, at: float, mono: float) -> Sequence[Reading]:
        """Called at least once a second."""

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """What is to be said of the device while its source is `word`: silent, or the state of a line that is not there."""

    def counters(self) -> Mapping[str, float]:
        """Counters of the line beside `frames` and `reconnects`: crcErrors, garbageBytes, unknown, lost."""


class TapSource:
    """One device that is listened to. See `Source` for when its methods are called."""

    def __init__(
        self,
        context: Context,
        settings: TapSettings,
        device: Heard,
        rng: Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = context.name
        self._context = context
        self._settings = settings
        self._device = device
        self._taps: dict[Side, Tap] = {"device": Tap(settings, rng, sleep)}
        if settings.host_port:
            self._taps["host"] = Tap(replace(settings, port=settings.host_port, host_port=""), rng, sleep)

    @property
    def identity(self) -> str:
        """Nobody may ask; what was overheard."""
        return str(getattr(self._device, "identity", ""))

    async def read(self, position: Position | None) -> AsyncGenerator[Given]:
        """Whatever the device and its controller say, and the state of the line."""
        del position  # what a line said while nobody listened is gone
        watch = Watch(self._context, self._settings, self._device)
        loop, now = asyncio.get_running_loop(), self._context.now
        async with _arrivals(self._taps) as arrivals:
            async for side, arrival in arrivals:
                readings = watch.arrived(side, arrival, now(), loop.time())
                if readings:
                    yield Given(readings)

    def acknowledge(self, position: Position) -> None:
        """Never called: a line that is listened to gives no position."""


class Watch:
    """A device and the health of its line, as a state machine."""

    def __init__(self, context: Context, settings: TapSettings, device: Heard) -> None:
        self._device = device
        self._settings = settings
        self._health = Health(context, self._counters)
        self._reconnects = 0
        self._intact = device.frames
        self._heard = 0.0
        self._bytes = 0  # since the last intact frame
        self._lost: set[Side] = set()  # wires that are not there

    def arrived(self, side: Side, arrival: Arrival, at: float, mono: float) -> list[Reading]:
        """What is to be said after something has happened on one of the wires."""
        device = self._device
        if isinstance(arrival, bytes):
            readings = list(device.hear(side, arrival, at, mono)) if arrival else []
            self._bytes += len(arrival)
            return [*readings, *device.tick(at, mono), *self._judge(at, mono), *self._health.due(at, mono)]
        if isinstance(arrival, Opened):
            device.begin()
            self._lost.discard(side)
            self._reconnects += arrival.again > 0
            self._heard, self._bytes = mono, 0
            return self._health.due(at, mono)
        self._lost.add(side)
        self._health.turn(arrival.word, str(arrival))
        away = device.away(arrival.word, at) if side == "device" else ()
        return [*away, *self._health.due(at, mono)]

    def _judge(self, at: float, mono: float) -> Sequence[Reading]:
        if self._device.frames != self._intact:
            self._intact = self._device.frames
            self._heard, self._bytes = mono, 0
            if not self._lost:
                self._health.turn("ok")
        elif not self._lost and mono - self._heard >= self._settings.silent_after:
            news = self._health.word != "silent"
            self._health.turn("silent", (NOTHING_UNDERSTOOD if self._bytes else NOTHING_HEARD).format(line=self._settings.line))
            return self._device.away("silent", at) if news else ()
        return ()

    def _counters(self) -> Mapping[str, float]:
        return {"frames": self._device.frames, **self._device.counters(), "reconnects": self._reconnects}


NOTHING_HEARD = "nothing comes: check the device's power, the cable, and that its output is on our input"
NOTHING_UNDERSTOOD = "bytes come, but nothing intact: check speed and character of the line (here {line}), and its ground"


@asynccontextmanager
async def _arrivals(taps: Mapping[Side, Tap]) -> AsyncIterator[AsyncIterator[tuple[Side, Arrival]]]:
    """What happens on one or two wires, in order."""
    if len(taps) == 1:
        ((side, tap),) = taps.items()
        async with aclosing(tap.arrivals()) as arrivals:
            yield ((side, arrival) async for arrival in arrivals)
        return
    queue: asyncio.Queue[tuple[Side, Arrival] | BaseException] = asyncio.Queue(64)

    async def follow(side: Side, tap: Tap) -> None:
        try:
            async with aclosing(tap.arrivals()) as arrivals:
                async for arrival in arrivals:
                    await queue.put((side, arrival))
        except Exception as error:  # noqa: BLE001 - carried over to the one who reads, whatever it is
            await queue.put(error)

    async def both() -> AsyncGenerator[tuple[Side, Arrival]]:
        while True:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    tasks = [asyncio.ensure_future(follow(side, tap)) for side, tap in taps.items()]
    merged = both()
    try:
        yield merged
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await merged.aclose()
