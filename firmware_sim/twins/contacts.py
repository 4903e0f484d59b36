"""The machine's contacts, alarm loops and pulse outputs as they are wired to the pins of a gateway, over the one world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.records import Value
from firmware_sim.world import World


class Wiring(NamedTuple):
    """A contact on a pin (BCM): the point that moves it, and the words during which it is open; it is closed at rest."""

    point: str
    opens: tuple[str, ...]


PINS: Mapping[int, Wiring] = {
    17: Wiring("auxiliaries.safeDoor", ("open", "tampered")),
    27: Wiring("auxiliaries.cabinetDoor", ("open", "tampered")),
    22: Wiring("auxiliaries.tamperSensor", ("on",)),
    23: Wiring("auxiliaries.seismicSensor", ("on",)),
    24: Wiring("auxiliaries.heatSensor", ("on",)),
}
CHANNELS: Mapping[int, Wiring] = {0: PINS[17], 1: PINS[27]}
"""The same doors, on loops with a resistor at their end."""
PULSES = 5
"""The pin of the energy meter's S0 output."""
PULSES_PER_KWH = 1000.0
NORMAL, ALARM, CUT = 0.5, 0.667, 1.0  # levels of a loop, as shares of its supply


class Contacts:
    """What the pins and channels show at the world's time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._energy = 0.0  # kWh since the beginning
        self._then = world.now

    def pins(self) -> dict[int, bool]:
        """For each pin whether its contact is closed. What is cut is open."""
        words, cut = self._world.words(), self._world.site.board.cut
        return {pin: not _is_open(wiring, words) and wiring.point not in cut for pin, wiring in PINS.items()}

    def channels(self) -> dict[int, float]:
        """For each channel the level of its loop."""
        words, cut = self._world.words(), self._world.site.board.cut
        return {
            channel: CUT if wiring.point in cut else ALARM if _is_open(wiring, words) else NORMAL
            for channel, wiring in CHANNELS.items()
        }

    def pulses(self) -> int:
        """Pulses of the meter since the last call."""
        now = self._world.now
        power = self._world.numbers().get("energy.active_power_w")
        watts = float(power) if isinstance(power, int | float) else 0.0
        before = int(self._energy * PULSES_PER_KWH)
        self._energy += max(0.0, watts) * (now - self._then) / 3.6e6
        self._then = now
        return int(self._energy * PULSES_PER_KWH) - before


def _is_open(wiring: Wiring, words: Mapping[str, Value]) -> bool:
    return words.get(wiring.point) in wiring.opens
