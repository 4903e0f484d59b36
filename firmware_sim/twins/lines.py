"""A microcontroller that prints what it measures once a second: JSON, CSV with a header, or key=value."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from agent.records import Value
from firmware_sim.twins import Out
from firmware_sim.twins.sensed import Sensed
from firmware_sim.uart import Shape
from firmware_sim.world import World

EVERY = 1.0  # s
FIELDS = {
    "t": "environment.temperature_c",
    "h": "environment.humidity_pct",
    "shake": "motion.rms_ms2",
    "tilt": "motion.tilt_deg",
    "cabinet": "auxiliaries.cabinetDoor",
    "safe": "auxiliaries.safeDoor",
    "seismic": "auxiliaries.seismicSensor",
}


class Printer:
    """One board that prints. It does not listen."""

    shape = Shape(115_200)

    def __init__(
        self, measure: Callable[[], Mapping[str, Value]], form: Callable[[Mapping[str, Value]], str], header: str
    ) -> None:
        self.next_at = 0.0
        self._measure = measure
        self._form = form
        self._header = header

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Nothing that anybody says changes anything."""
        del data, now
        return []

    def tick(self, now: float) -> Out:
        """The next line, when its second has come; the header before the first."""
        if now < self.next_at:
            return []
        header, self._header = self._header, ""
        self.next_at = now + EVERY
        values = self._measure()
        fields = {field: values[name] for field, name in FIELDS.items() if name in values}
        return [(0.0, (header + self._form(fields)).encode() + b"\r\n")]


def as_json(fields: Mapping[str, Value]) -> str:
    """{"t":21.5,"safe":"closed"}"""
    return json.dumps(fields, separators=(",", ":"))


def as_csv(fields: Mapping[str, Value]) -> str:
    """21.5,closed; an empty cell is not usable, and so is one that is not fitted."""
    return ",".join("" if (value := fields.get(field)) is None else str(value) for field in FIELDS)


def as_keyvalue(fields: Mapping[str, Value]) -> str:
    """t=21.5 safe=closed"""
    return " ".join(f"{field}={'' if value is None else value}" for field, value in fields.items())


def _printer(world: World, form: Callable[[Mapping[str, Value]], str], header: str = "") -> Printer:
    return Printer(Sensed(world, tuple(FIELDS.values()), "lines").values, form, header)


def json_printer(world: World) -> Printer:
    """A board that prints JSON."""
    return _printer(world, as_json)


def csv_printer(world: World) -> Printer:
    """A board that prints CSV."""
    return _printer(world, as_csv, ",".join(FIELDS) + "\r\n")


def keyvalue_printer(world: World) -> Printer:
    """A board that prints key=value."""
    return _printer(world, as_keyvalue)
