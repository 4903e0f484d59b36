"""The shell around a device's twin: it reads the clock, sleeps, moves the world on, and carries bytes to and from ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial

from firmware_sim.agenda import Agenda
from firmware_sim.conversation import Alone, Conversation, Said, Side
from firmware_sim.firmware import Pace
from firmware_sim.lines import Line
from firmware_sim.ports import Port
from firmware_sim.uart import Shape, heard
from firmware_sim.world import World

SHORTEST_SLEEP = 0.002  # s
LOOK_EVERY = 1.0  # s; the world goes on while nobody asks


class DeviceShell:
    """One device on one port; where a controller talks to it, that one may be heard on a port of its own."""

    def __init__(
        self,
        speaker: Alone | Conversation,
        ports: Mapping[Side, Port],
        lines: Mapping[str, Line],
        world: tuple[World, Pace],
        clock: Callable[[], float],
        *,
        any_settings: bool = False,
    ) -> None:
        self._speaker = speaker
        self._ports = ports
        self._lines = lines
        self._world, self._pace = world
        self._clock = clock
        self._any_settings = any_settings
        self._agenda = Agenda(clock())  # of line time: bytes that are under way
        self._wake = asyncio.Event()
        self._stopped = False

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler of the loop."""
        self._stopped = True
        self._wake.set()

    async def run(self, until: float, after_each: Callable[[], None]) -> None:
        """Serve until the real time `until`, or until `stop`. `after_each` is called whenever the world has moved."""
        for side, port in self._ports.items():
            port.on_data = partial(self._received, side)
        while not self._stopped:
            now = self._turn()
            after_each()
            if now >= until:
                return
            pause = min(self._speaker.next_at, self._agenda.next_at, until, now + LOOK_EVERY) - now
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(pause, SHORTEST_SLEEP))

    def _turn(self) -> float:
        now = self._now()
        if now >= self._speaker.next_at:
            self._say(self._speaker.tick(now), now)
        self._agenda.run_to(now)
        return now

    def _now(self) -> float:
        now = max(self._clock(), self._agenda.now)  # a clock that is set back must not stop the line
        self._world.run_to(max(self._pace.world(now), self._world.now))
        return now

    def _received(self, side: Side, data: bytes) -> None:
        now = self._now()
        theirs = self._theirs(side)
        for delay, part in self._lines["gateway"].carry(heard(data, theirs, self._speaker.shape), now):
            self._agenda.put(now + delay, partial(self._hear, part))
        self._wake.set()

    def _hear(self, data: bytes) -> None:
        now = self._agenda.now
        self._say(self._speaker.on_bytes(data, now), now)

    def _say(self, said: Iterable[Said], now: float) -> None:
        for one in said:
            self._agenda.put(now + one.delay, partial(self._carry, one))

    def _carry(self, said: Said) -> None:
        port = self._ports.get(said.side)
        if port is None:
            return
        now = self._agenda.now
        data = heard(said.data, self._speaker.shape, self._theirs(said.side))
        for delay, part in self._lines[said.side].carry(data, now):
            self._agenda.put(now + delay, partial(port.send, part, True))

    def _theirs(self, side: Side) -> Shape:
        """How the gateway has set its end; a socket has no settings that could be wrong."""
        shape = None if self._any_settings else self._ports[side].shape
        return self._speaker.shape if shape is None else shape
