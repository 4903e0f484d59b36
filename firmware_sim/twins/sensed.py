"""Points of the world as a device's own sensors measure them: their noise, their resolution, their broken wires."""

from __future__ import annotations

from collections.abc import Sequence

from agent.records import Value
from firmware_sim.board import CUT_LOOP, PRECISION
from firmware_sim.chance import Noise
from firmware_sim.world import World


class Sensed:
    """Some points of one machine, measured anew at each call."""

    def __init__(self, world: World, names: Sequence[str], use: str) -> None:
        self._world = world
        self._names = names
        self._noise = {name: Noise(world.seed, f"{use}/{name}") for name in names if name in PRECISION}
        self._last: dict[str, Value] = {}

    def values(self) -> dict[str, Value]:
        """Point -> value, of those that this machine has."""
        truth, wiring = self._world.points(), self._world.site.board
        values = {name: self._measured(name, truth[name]) for name in self._names if name in truth}
        values |= {name: self._last[name] for name in wiring.stuck if name in values and name in self._last}
        values |= {name: CUT_LOOP.get(name) for name in wiring.cut if name in values}
        self._last = values
        return dict(values)

    def _measured(self, name: str, value: Value) -> Value:
        precision = PRECISION.get(name)
        if precision is None or not isinstance(value, int | float):
            return value
        noise = self._noise[name].normal(round(self._world.now * 1000))
        value += noise * (precision.absolute + precision.relative * value)
        return round(value if precision.signed else max(value, 0.0), precision.decimals)
