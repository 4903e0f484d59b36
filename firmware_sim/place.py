"""Where the machine stands, as a satellite receiver in it sees it."""

from __future__ import annotations

from math import cos, radians, sin

from agent.records import Value
from firmware_sim.agenda import Agenda

METRES_PER_DEGREE = 111_320.0  # of latitude; near enough on the whole Earth


class Place:
    """A position that is fixed until somebody drives away with the machine."""

    def __init__(self, agenda: Agenda, lat: float, lon: float) -> None:
        self._agenda = agenda
        self._lat, self._lon = lat, lon
        self._since = agenda.now
        self._speed = 0.0  # m/s
        self._heading = 0.0  # degrees from north
        self.fix = True

    def move(self, speed: float, heading: float) -> None:
        """From now on the machine moves at `speed` m/s towards `heading` degrees; 0 stops it where it is."""
        self._lat, self._lon = self.position(self._agenda.now)
        self._since = self._agenda.now
        self._speed, self._heading = speed, heading

    def position(self, now: float) -> tuple[float, float]:
        """Latitude and longitude in degrees."""
        metres = self._speed * (now - self._since)
        north, east = metres * cos(radians(self._heading)), metres * sin(radians(self._heading))
        lat = self._lat + north / METRES_PER_DEGREE
        return lat, self._lon + east / (METRES_PER_DEGREE * cos(radians(lat)))

    def words(self) -> dict[str, Value]:
        """Whether the receiver has a fix."""
        return {"position.valid": "true" if self.fix else "false"}

    def numbers(self, now: float) -> dict[str, Value]:
        """The position; None without a fix."""
        lat, lon = self.position(now)
        return {"position.lat": lat if self.fix else None, "position.lon": lon if self.fix else None}
