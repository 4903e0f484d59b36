"""The board driver and the simulated firmware, over a real pty and every bad line that the simulator knows."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from agent.sources import Context
from agent.sources.board import BoardSource, Settings
from firmware_sim.board import Board
from firmware_sim.firmware import Firmware, Pace
from firmware_sim.lines import LINES, Cut, Spells, Stalling
from firmware_sim.ports import PtyPort
from firmware_sim.shell import Shell
from firmware_sim.world import World

pytestmark = pytest.mark.usefixtures("nothing_leaks")

SPEED = 4.0  # seconds of the world in one
FLOOD = datetime(2025, 1, 1, 8, 5, tzinfo=UTC)


class Recorded(Firmware):
    """Notes the number of every EVENT from the moment that it is to be said."""

    def __init__(self, board: Board, pace: Pace) -> None:
        super().__init__(board, pace)
        self.noted: set[int] = set()

    def _queue(self, uptime, values):
        self.noted.add(self._event_seq)
        super()._queue(uptime, values)

    @property
    def outstanding(self) -> set[int]:
        """EVENTs that are not acknowledged yet."""
        return {seq for seq, _ in self._waiting} | set(self._sent)


@pytest.mark.parametrize("name", sorted(LINES))
async def test_every_event_of_the_board_is_given_once_and_acknowledged(name, tmp_path):
    loop = asyncio.get_running_loop()
    world = World("flood_of_events", 1)
    begin = world.start + next(seconds for seconds in range(0, 86_400, 60) if _flooding(world.start + seconds))
    world.run_to(begin)
    pace = Pace(begin, loop.time(), SPEED)
    firmware = Recorded(Board(world, pace.period), pace)
    rng = random.Random(4)
    lines = (LINES[name](rng), LINES[name](rng))
    for line in lines:
        if isinstance(line, Stalling | Cut):
            line._spells = Spells(rng, good=(0.05, 0.2), bad=(0.05, 0.2))  # often enough for a test
    given_events: list[int] = []
    points: set[str] = set()
    async with PtyPort(tmp_path / "board") as port:
        shell = Shell(firmware, port, lines, loop.time)
        serving = asyncio.ensure_future(shell.run(float("inf"), lambda: None))
        context = Context("board", "atm-1", "gateway-1", lambda: pace.world(loop.time()))
        source = BoardSource(context, Settings(port=str(tmp_path / "board")))
        calm = loop.time() + 1.0
        async with asyncio.timeout(30), aclosing(source.read(None)) as given_by_source:
            async for given in given_by_source:
                points |= {reading.point for reading in given.readings}
                if given.position is not None:
                    given_events.append(given.position["seq"])
                    source.acknowledge(given.position)
                    assert all(reading.at <= context.now() for reading in given.readings)
                if loop.time() > calm and len(given_events) >= 15 and len(firmware.noted - firmware.outstanding) > 10:
                    break
        shell.stop()
        await serving
    assert len(given_events) == len(set(given_events))
    assert firmware.dropped == 0
    assert set(given_events) <= firmware.noted
    assert firmware.noted - set(given_events) <= firmware.outstanding  # none is missing but those that are still on their way
    assert len(firmware.noted - firmware.outstanding) > 10
    assert "auxiliaries.cabinetDoor" in points
    assert "environment.temperature_c" in points


def _flooding(at: float) -> bool:
    moment = datetime.fromtimestamp(at, UTC)
    return (moment.hour, moment.minute) >= (FLOOD.hour, FLOOD.minute)
