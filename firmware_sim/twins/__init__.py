"""The simulated twins of devices on serial lines: one a file, each a pure state machine over the one world.

A module has `twin(world) -> Twin`; where the machine's own controller masters the line it also has `controller(world) -> Twin`,
which asks and answers as that one does, for those who only listen.
"""

from __future__ import annotations

from importlib import import_module
from math import inf
from typing import Protocol, TypeAlias

from firmware_sim.uart import Shape
from firmware_sim.world import World

Out: TypeAlias = list[tuple[float, bytes]]
"""What a twin sends: seconds from now, and bytes."""


class Twin(Protocol):
    """One device. `now` is line time, seconds of the real clock; the world has been moved on to what it shows by then."""

    shape: Shape
    """What its line is set to. Another setting on the other side, and both hear garbage."""
    next_at: float
    """When it next wants to say something by itself; infinity for one that only answers."""

    def on_bytes(self, data: bytes, now: float) -> Out:
        """What the other side sent, in any chunks; the answers."""

    def tick(self, now: float) -> Out:
        """Called at `next_at` or later: what it says by itself."""


class Answering:
    """The part of a twin that only answers which is the same for all."""

    next_at = inf

    def tick(self, now: float) -> Out:
        """It says nothing by itself."""
        del now
        return []


TWINS: dict[str, str] = {
    "ccnet": "firmware_sim.twins.ccnet",
    "cctalk": "firmware_sim.twins.cctalk",
    "ebds": "firmware_sim.twins.ebds",
    "id003": "firmware_sim.twins.id003",
    "lcdm": "firmware_sim.twins.lcdm",
    "lcdm_2000": "firmware_sim.twins.lcdm:lcdm_2000",
    "lines": "firmware_sim.twins.lines:json_printer",
    "lines_csv": "firmware_sim.twins.lines:csv_printer",
    "lines_keyvalue": "firmware_sim.twins.lines:keyvalue_printer",
    "mdb": "firmware_sim.twins.mdb",
    "modbus": "firmware_sim.twins.modbus",
    "nmea": "firmware_sim.twins.nmea",
    "sdm120": "firmware_sim.twins.modbus:sdm120",
    "ups": "firmware_sim.twins.ups",
    "ups_per_cell": "firmware_sim.twins.ups:per_cell",
    "ups_voltronic": "firmware_sim.twins.ups:voltronic",
    "xy_md02": "firmware_sim.twins.modbus:xy_md02",
}
"""name -> module, or module:function where that is not `twin`"""


def twin(name: str, world: World) -> Twin:
    """The twin of that name in a world."""
    module, _, function = TWINS[name].partition(":")
    made: Twin = getattr(import_module(module), function or "twin")(world)
    return made


def controller(name: str, world: World) -> Twin | None:
    """The machine's own controller at the other end of that device's line; None for a device that nobody masters."""
    module = import_module(TWINS[name].partition(":")[0])
    made: Twin | None = module.controller(world) if hasattr(module, "controller") else None
    return made
