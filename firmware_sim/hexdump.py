"""The first minute of a board, frame by frame, for people and for tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from firmware_sim.board import Board
from firmware_sim.firmware import Firmware, Pace
from firmware_sim.world import World

SECONDS = 60.0


def hexdump(world: World, seconds: float = SECONDS) -> Iterator[str]:
    """A line for each frame: world time, type, bytes. Nobody answers, so EVENTs come again and again."""
    firmware = Firmware(Board(world), Pace(world.now, anchor=0.0))
    while (now := firmware.next_at) <= seconds:
        for out in firmware.tick(now):
            moment = datetime.fromtimestamp(world.now, UTC).isoformat(timespec="milliseconds")
            yield f"{moment} {out.type.name:<9} {out.data.hex()}"
