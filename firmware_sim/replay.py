"""A world as fast as it can be computed: full samples at a period, and words at the very moment they changed."""

from __future__ import annotations

from collections.abc import Iterator

from agent.records import Value
from firmware_sim.board import Board
from firmware_sim.world import World


def replay(world: World, sample: float = 60.0, until: float | None = None) -> Iterator[tuple[float, dict[str, Value]]]:
    """What the board of `world` would tell up to `until` (seconds since the epoch; the scenario's end when not given).

    Gives (at, {point: value}): every fitted point each `sample` seconds, and between them the words that changed, at the edge.
    Debounced words come after the time it takes to believe them, so `at` may lie up to 5 s before that of the item before.
    """
    for item in Board(world, sample).run_to(world.end if until is None else until):
        yield item.at, item.values
