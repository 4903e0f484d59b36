"""The shell around the pure parts: it reads the clock, sleeps, and carries bytes between the firmware and a port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TextIO

from agent.wire.board import FrameType
from firmware_sim.agenda import Agenda
from firmware_sim.firmware import Firmware, Out, Pace
from firmware_sim.lines import Line
from firmware_sim.ports import Port
from firmware_sim.world import World

SHORTEST_SLEEP = 0.01  # s; at high speed the world has more to do than anybody could see


class Shell:
    """One firmware on one port, over a line in each direction."""

    def __init__(self, firmware: Firmware, port: Port, lines: tuple[Line, Line], clock: Callable[[], float]) -> None:
        self._firmware = firmware
        self._port = port
        self._to_gateway, self._to_board = lines
        self._clock = clock
        self._agenda = Agenda(clock())  # of line time: bytes that are under way
        self._wake = asyncio.Event()
        self._stopped = False

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler of the loop."""
        self._stopped = True
        self._wake.set()

    async def run(self, until: float, after_each: Callable[[], None]) -> None:
        """Serve until the real time `until`, or until `stop`. `after_each` is called whenever the world has moved."""
        self._port.on_data = self._received
        while not self._stopped:
            now = self._now()
            self._say(self._firmware.tick(min(now, until)), now)
            self._agenda.run_to(now)
            after_each()
            if now >= until:
                return
            pause = min(self._firmware.next_at, self._agenda.next_at, until) - now
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(pause, SHORTEST_SLEEP))

    def _now(self) -> float:
        return max(self._clock(), self._agenda.now)  # a clock that is set back must not stop the line

    def _received(self, data: bytes) -> None:
        now = self._now()
        for delay, part in self._to_board.carry(data, now):
            self._agenda.put(now + delay, partial(self._hear, part))
        self._wake.set()

    def _hear(self, data: bytes) -> None:
        now = self._agenda.now
        self._say(self._firmware.on_bytes(data, now), now)

    def _say(self, out: Iterable[Out], now: float) -> None:
        for one in out:
            self._agenda.put(now + one.delay, partial(self._carry, one))

    def _carry(self, out: Out) -> None:
        now = self._agenda.now
        for delay, part in self._to_gateway.carry(out.data, now):
            self._agenda.put(now + delay, partial(self._port.send, part, out.type is FrameType.READING))


class TruthFile:
    """Writes the labels of a world as JSON lines: when each began, was first seen and ended, in world and real time."""

    def __init__(self, file: TextIO, world: World, pace: Pace) -> None:
        self._file, self._world, self._pace = file, world, pace
        self._written = 0

    def write_new(self) -> None:
        """Write what has changed since the last call."""
        changes = self._world.changes
        for change in changes[self._written :]:
            line = {"what": change.what, "at": change.at, "real": round(self._pace.real(change.at), 3)}
            self._file.write(json.dumps(line | asdict(change.label)) + "\n")
        if len(changes) > self._written:
            self._written = len(changes)
            self._file.flush()
