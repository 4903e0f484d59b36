"""A satellite receiver in the machine: RMC, GGA and GSA once a second, from the place of the one world."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from typing import NamedTuple

from firmware_sim.chance import Noise
from firmware_sim.twins import Out
from firmware_sim.uart import Shape
from firmware_sim.world import World

SCATTER = 2e-5  # degrees of noise
EVERY = 1.0  # s between two reports


class Where(NamedTuple):
    """What the receiver knows; `lat` and `lon` in degrees."""

    at: float
    fix: bool
    lat: float
    lon: float
    hdop: float = 0.9


def sentence(body: str) -> bytes:
    """A sentence as it travels."""
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


def _degrees(value: float, width: int, signs: str) -> str:
    whole, minutes = divmod(round(abs(value) * 60.0 * 1e5), 60 * 10**5)
    return f"{whole:0{width}d}{minutes / 1e5:08.5f},{signs[value < 0]}"


class Receiver:
    """One receiver. It listens to nobody."""

    shape = Shape(9_600)

    def __init__(self, where: Callable[[], Where]) -> None:
        self.next_at = 0.0
        self._where = where

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Nothing that anybody says changes anything."""
        del data, now
        return []

    def tick(self, now: float) -> Out:
        """The report of the next second."""
        if now < self.next_at:
            return []
        self.next_at = now + EVERY
        return [(0.0, self.report())]

    def report(self) -> bytes:
        """The three sentences of a second."""
        at, fix, lat, lon, hdop = self._where()
        when = datetime.fromtimestamp(at, UTC)
        clock, day = f"{when:%H%M%S}.00", f"{when:%d%m%y}"
        if not fix:
            return sentence(f"GNRMC,{clock},V,,,,,,,{day},,,N") + sentence(f"GNGGA,{clock},,,,,0,00,99.99,,M,,M,,")
        place = f"{_degrees(lat, 2, 'NS')},{_degrees(lon, 3, 'EW')}"
        return (
            sentence(f"GNRMC,{clock},A,{place},0.021,,{day},,,A")
            + sentence(f"GNGGA,{clock},{place},1,08,{hdop:.1f},171.0,M,46.9,M,,")
            + sentence(f"GNGSA,A,3,04,05,,09,12,,,24,,,,,2.5,{hdop:.1f},2.1")
        )


def twin(world: World) -> Receiver:
    """A receiver in the machine."""
    noise = Noise(world.seed, "nmea/lat"), Noise(world.seed, "nmea/lon")

    def where() -> Where:
        place, now = world.site.place, world.now
        lat, lon = place.position(now)
        lat, lon = (each + SCATTER * one.normal(round(now)) for each, one in zip((lat, lon), noise, strict=True))
        return Where(now, place.fix, lat, lon)

    return Receiver(where)
