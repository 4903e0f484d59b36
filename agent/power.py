"""Does the power fail? Then nothing waits for company on its way to the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from agent.records import Reading, Value

FAILING: Mapping[str, Value] = {
    "gateway.power": "battery",  # a contact of the gateway's own UPS or supply
    "powerManagement.powerInStatus": "noPower",
    "auxiliaries.UPS.powering": "true",
}
"""What a point says while something lives on its battery."""


class PowerWatch:
    """Hears every Reading. `tell` is called True when a first point says that the power fails, False when none does."""

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        self._failing: set[tuple[str, str]] = set()

    def see(self, readings: Iterable[Reading]) -> None:
        """Called before the readings are on their way to the disk. One that is not usable changes nothing."""
        for reading in readings:
            word = FAILING.get(reading.point)
            if word is None or reading.value is None:
                continue
            before, place = bool(self._failing), (reading.machine, reading.point)
            (self._failing.add if reading.value == word else self._failing.discard)(place)
            if bool(self._failing) != before:
                self._tell(not before)
