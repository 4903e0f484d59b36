"""Contacts on GPIO pins, loops on an analog input, pulse outputs: doors, tamper loops, detectors, meters, through gpiozero.

Debouncing happens here, on the times of the edges, so that every edge can be counted; gpiozero's threads meet the loop in one
place, `Crossing`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from agent.errors import ConfigError, LineLost
from agent.records import Reading
from agent.settings import Duration
from agent.sources import Context, Given, Position
from agent.sources.contacts import Contact, Contacts
from agent.sources.health import COUNTERS_EVERY, Health
from agent.sources.line import backoff
from agent.sources.loops import Loop, Loops, Pulse, Pulses
from agent.sources.opening import off_loop
from agent.sources.pins import Chip, Pins, chip
from agent.sources.simulated_pins import PREFIX

EDGES_LIMIT = 4096  # edges that may wait for the loop; a contact that chatters at 1 kHz fills it in four seconds

MOMENT = 0.02  # s from an edge to the look at it; those that come meanwhile are looked at together

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Contacts on the pins of this computer."""

    contacts: tuple[Contact, ...] = ()
    loops: tuple[Loop, ...] = ()
    """Loops with a resistor at their end, on the channels of `converter`."""
    pulses: tuple[Pulse, ...] = ()
    pin_factory: str = "lgpio"
    """Which library drives the pins. lgpio is right for every Raspberry Pi, 5 too; mock and sim:SOCKET simulate them."""
    converter: Literal["mcp3004", "mcp3008", "mcp3204", "mcp3208"] = "mcp3008"
    """The analog-digital converter on the first SPI bus."""
    sample: Duration = 0.1
    """How often the loops are measured."""
    refresh: Duration = 60.0
    """How often the state of every contact is read and given again."""

    def __post_init__(self) -> None:
        if not (self.contacts or self.loops or self.pulses):
            raise ValueError("contacts: is empty; name at least one pin and its point, here or under loops or pulses")
        if self.pin_factory not in FACTORIES and not self.pin_factory.startswith(f"{PREFIX}/"):
            known = ", ".join(FACTORIES)
            raise ValueError(f"pin_factory: expected one of {known}, or {PREFIX}/PATH of a simulator; got {self.pin_factory!r}")
        if not 0.02 <= self.sample <= 60.0:
            raise ValueError("sample: expected 20ms to 1m")
        if not 1.0 <= self.refresh <= 3600.0:
            raise ValueError("refresh: expected 1s to 1h")
        for loop in self.loops:
            if loop.channel >= CHANNELS[self.converter]:
                last = CHANNELS[self.converter] - 1
                raise ValueError(f"loops: channel {loop.channel}: an {self.converter} has the inputs 0 to {last}")
        pins = [each.pin for each in self.wired]
        points = [each.point for each in (*self.wired, *self.loops)]
        channels = [each.channel for each in self.loops]
        for what, named in (("pin", pins), ("point", points), ("channel", channels)):
            twice = [name for name, times in Counter[int | str](named).items() if times > 1]
            if twice:
                key = "loops" if what == "channel" else "contacts"
                raise ValueError(f"{key}: {what} {twice[0]} stands there twice; each has one contact")

    @property
    def wired(self) -> Sequence[Contact | Pulse]:
        """Everything on a pin."""
        return (*self.contacts, *self.pulses)


CHANNELS = {"mcp3004": 4, "mcp3008": 8, "mcp3204": 4, "mcp3208": 8}
FACTORIES = ("lgpio", "rpigpio", "pigpio", "native", "mock")


class Edge(NamedTuple):
    """A pin's loop was opened or closed at `mono`, seconds of the loop's clock."""

    pin: int
    closed: bool
    mono: float


class Crossing:
    """Where gpiozero's threads meet the loop: a bounded list of edges behind a lock, and one wake-up for many."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pins: Sequence[int]) -> None:
        self.awake = asyncio.Event()
        self._loop = loop
        self._lock = threading.Lock()
        self._edges: list[Edge] = []
        self._counts = dict.fromkeys(pins, 0)
        self._dropped = 0

    def put(self, pin: int, closed: bool) -> None:
        """Called in any thread, at each edge. An edge that finds the list full is counted; its level is read again later."""
        with self._lock:
            self._counts[pin] += 1
            if len(self._edges) >= EDGES_LIMIT:
                self._dropped += 1
                return
            self._edges.append(Edge(pin, closed, self._loop.time()))
            if len(self._edges) > 1:
                return
        with suppress(RuntimeError):  # the loop has ended; nobody listens any more
            self._loop.call_soon_threadsafe(self._loop.call_later, MOMENT, self.awake.set)

    def take(self) -> list[Edge]:
        """The edges since the last call."""
        with self._lock:
            edges, self._edges = self._edges, []
        return edges

    def counts(self) -> dict[int, int]:
        """Edges of each pin since the start, those that were dropped too."""
        with self._lock:
            return dict(self._counts)

    @property
    def dropped(self) -> int:
        """Edges whose moment is not known, since the start."""
        return self._dropped


class GpioSource:
    """Contacts of one machine. See `Source` for when its methods are called."""

    def __init__(
        self,
        context: Context,
        settings: Settings,
        chip: Chip,
        rng: Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = context.name
        self._context = context
        self._settings = settings
        self._chip = chip
        self._rng = rng if rng is not None else Random()
        self._sleep = sleep
        self._reopened = 0
        self._pulses = {pulse.pin: Pulses() for pulse in settings.pulses}  # counted on when the pins are opened again

    @property
    def identity(self) -> str:
        """The library that drives the pins."""
        return f"pins through {self._settings.pin_factory}"

    async def read(self, position: Position | None) -> AsyncGenerator[Given]:
        """The state of every contact, at the start, at each change and at each refresh."""
        del position  # contacts tell their state anew at each start
        loop = asyncio.get_running_loop()
        settings = self._settings
        crossing = Crossing(loop, [wired.pin for wired in settings.wired])
        health = Health(self._context, lambda: {"lost": crossing.dropped, "reconnects": self._reopened})
        failures, openings = 0, 0
        while True:
            pins = None
            try:
                pins = await off_loop(lambda: self._open(crossing), Pins.close, f"open {self.name}")
                self._reopened, openings, failures = openings, openings + 1, 0
                watch = Watch(self._context, settings, pins, crossing, health, loop, self._pulses)
                while True:
                    readings = watch.look()
                    if readings:
                        yield Given(readings)
                    await watch.rest()
            except LineLost as error:
                lost = error
            finally:
                if pins is not None:
                    pins.close()
            failures += 1
            health.turn(lost.word, str(lost))
            readings = health.due(self._context.now(), loop.time())
            if readings:
                yield Given(readings)
            await self._sleep(backoff(failures, self._rng))

    def _open(self, crossing: Crossing) -> Pins:
        try:
            settings = self._settings
            return Pins(self._chip, settings.wired, crossing.put, settings.loops, settings.converter)
        except ConfigError as error:
            raise _of(self.name, error) from error

    def acknowledge(self, position: Position) -> None:
        """Never called: contacts give no position."""


class Watch:
    """The loop's side of open pins."""

    def __init__(
        self,
        context: Context,
        settings: Settings,
        pins: Pins,
        crossing: Crossing,
        health: Health,
        loop: asyncio.AbstractEventLoop,
        pulses: Mapping[int, Pulses],
    ) -> None:
        self._pulses = pulses
        self._context, self._settings, self._pins = context, settings, pins
        self._crossing, self._health, self._loop = crossing, health, loop
        crossing.take()  # of a life of the pins that is over
        self._contacts = Contacts(context.machine, settings.contacts, pins.levels())
        self._loops = Loops(context.machine, settings.loops)
        self._pulse_of = {pulse.pin: pulse for pulse in settings.pulses}
        self._measured = float("-inf")
        self._refreshed = self._counted = float("-inf")
        self._counts: dict[int, int] = {}
        self._dropped = crossing.dropped
        for contact in settings.contacts:
            if contact.normally == "open":
                log.info(
                    "source %s: pin %d (%s) is normally open: a cut wire cannot be told", context.name, contact.pin, contact.point
                )
        health.turn("ok")

    def look(self) -> list[Reading]:
        """What is new. Raises LineLost when the pins cannot be read any more."""
        at, mono = self._context.now(), self._loop.time()
        readings = []
        for pin, closed, then in self._crossing.take():
            if pin in self._pulse_of:
                self._pulses[pin].edge(closed, then, self._pulse_of[pin].shortest)
            else:
                readings += self._contacts.edge(pin, closed, at - (mono - then), then)
        readings += self._measure(at, mono)
        if mono - self._refreshed >= self._settings.refresh or self._crossing.dropped != self._dropped:
            self._dropped = self._crossing.dropped
            levels = self._pins.levels()
            for pin in self._contacts.differing(levels):
                readings += self._contacts.edge(pin, levels[pin], at, mono)
        readings += self._contacts.settle(at, mono)
        if mono - self._refreshed >= self._settings.refresh:
            self._refreshed = mono
            readings += self._contacts.states(at) + self._loops.states(at)
        return readings + self._edges(at, mono) + self._health.due(at, mono)

    def _measure(self, at: float, mono: float) -> list[Reading]:
        if not self._settings.loops or mono - self._measured < self._settings.sample:
            return []
        self._measured = mono
        return self._loops.measured(self._pins.measured(), at, mono)

    def _edges(self, at: float, mono: float) -> list[Reading]:
        counts = self._crossing.counts()
        if mono == self._refreshed or (mono - self._counted >= COUNTERS_EVERY and counts != self._counts):
            self._counted, self._counts = mono, counts
            return self._contacts.edges(counts, at) + [
                Reading(self._context.machine, pulse.point, self._pulses[pin].counted * pulse.each, at)
                for pin, pulse in self._pulse_of.items()
            ]
        return []

    async def rest(self) -> None:
        """Until an edge comes, or something is due."""
        now = self._loop.time()
        due = min(self._contacts.due, self._refreshed + self._settings.refresh, now + COUNTERS_EVERY)
        if self._settings.loops:
            due = min(due, self._measured + self._settings.sample)
        timer = self._loop.call_at(due, self._crossing.awake.set)
        try:
            await self._crossing.awake.wait()
        finally:
            timer.cancel()
        self._crossing.awake.clear()


def _of(name: str, error: ConfigError) -> ConfigError:
    return ConfigError([f"source {name}: {mistake}" for mistake in error.mistakes])


def open_source(context: Context, settings: Settings) -> GpioSource:
    """Contacts as configured. Touches no pin, but loads the pin factory: call it before there are threads.

    Raises ConfigError when the pin factory is not installed.
    """
    try:
        return GpioSource(context, settings, chip(settings.pin_factory))
    except ConfigError as error:
        raise _of(context.name, error) from error
