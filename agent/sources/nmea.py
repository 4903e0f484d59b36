"""A satellite receiver that talks NMEA 0183: where the machine is, and whether it is where it belongs. Never written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import asin, cos, inf, radians, sin, sqrt

from agent.records import Reading, Value
from agent.settings import Duration
from agent.sources import Context
from agent.sources.tap import Side, TapSettings, TapSource
from agent.sources.values import Values
from agent.wire.frames import BadFrame
from agent.wire.nmea import Sentence, sentence
from agent.wire.text import Splitter

EARTH = 6_371_009.0  # m, mean radius
FASTEST = 100.0  # m/s; no lorry drives so fast, but a spoilt digit does
SLACK = 100.0  # m that two good fixes may lie apart at any time
RMC_KEEPS = 5.0  # s after an RMC during which the place in a GGA is not needed
HDOP_KEEPS = 10.0  # s for which a GGA's precision is believed


@dataclass(frozen=True, kw_only=True)
class Settings(TapSettings):
    """A receiver, and where it ought to be."""

    baud: int = 9_600
    latitude: float | None = None
    """Where the machine belongs, degrees; without it there is no geofence."""
    longitude: float | None = None
    radius: float = 200.0
    """m around it that are still inside."""
    consecutive: int = 5
    """Fixes in a row on the other side of the fence before it counts."""
    max_hdop: float = 5.0
    """A fix that is less precise is none."""
    every: Duration = 10.0
    """How often the place is given while nothing changes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("longitude: goes with latitude; give both or neither")
        if self.latitude is not None and not -90.0 <= self.latitude <= 90.0:
            raise ValueError("latitude: expected -90 to 90 degrees")
        if self.longitude is not None and not -180.0 <= self.longitude <= 180.0:
            raise ValueError("longitude: expected -180 to 180 degrees")
        if not 10.0 <= self.radius <= 1e6:
            raise ValueError("radius: expected 10 to 1000000 m; a receiver in a housing strays by tens of metres")
        if not 1 <= self.consecutive <= 1000:
            raise ValueError("consecutive: expected 1 to 1000 fixes")
        if not 0.5 <= self.max_hdop <= 50.0:
            raise ValueError("max_hdop: expected 0.5 to 50")
        if not 1.0 <= self.every <= 3600.0:
            raise ValueError("every: expected 1s to 1h")


class Fix:
    """Fixes that can be believed: precise enough, and none that jumps away alone."""

    def __init__(self, max_hdop: float) -> None:
        self.hdop: float | None = None
        self._max_hdop = max_hdop
        self._hdop_at = self._rmc_at = -inf
        self._last: tuple[float, float, float] | None = None  # lat, lon, mono
        self._held: tuple[float, float, float] | None = None

    def believed(self, said: Sentence, mono: float) -> tuple[float, float] | bool:
        """The place; False: there is none; True: nothing new."""
        if said.kind == "GGA":
            self.hdop, self._hdop_at = said.hdop, mono
            if mono - self._rmc_at < RMC_KEEPS:
                return True
        else:
            self._rmc_at = mono
        if said.lat is None or said.lon is None:
            return False
        if mono - self._hdop_at < HDOP_KEEPS and self.hdop is not None and self.hdop > self._max_hdop:
            return False
        here = (said.lat, said.lon, mono)
        if self._last is None and self._held is None:
            self._held = here  # the first is believed when the second agrees
            return True
        near = self._last if self._last is not None and _reachable(self._last, here) else self._held
        if near is None or not _reachable(near, here):
            self._held = here
            return True
        self._last, self._held = here, None
        return here[:2]


def _reachable(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    return distance(one[:2], other[:2]) <= SLACK + FASTEST * (other[2] - one[2])


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Metres between two places given in degrees, along the surface (haversine)."""
    (lat1, lon1), (lat2, lon2) = (tuple(map(radians, each)) for each in (one, other))
    half = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH * asin(min(1.0, sqrt(half)))


class Receiver:
    """What the receiver's sentences tell. See `Heard`."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.frames = 0
        self._settings = settings
        self._home = None if settings.latitude is None or settings.longitude is None else (settings.latitude, settings.longitude)
        self._values = Values(context)
        self._fix = Fix(settings.max_hdop)
        self._splitter = Splitter()
        self._counts = {"crcErrors": 0, "garbageBytes": 0, "unknown": 0}
        self._fence: str | None = None
        self._beyond = 0  # fixes in a row on the other side
        self._valid = ""
        self._given = -inf

    def begin(self) -> None:
        """Half a sentence is over."""
        self._counts["garbageBytes"] += self._splitter.garbage_bytes
        self._splitter = Splitter()

    def hear(self, side: Side, chunk: bytes, at: float, mono: float) -> Sequence[Reading]:
        """The place now and then, and at once when its validity or its side of the fence changes."""
        readings: list[Reading] = []
        for line in self._splitter.feed(chunk).splitlines() if side == "device" else ():
            if not line:
                continue
            try:
                said = sentence(line)
            except BadFrame as bad:
                self._counts[bad.counter] += bad.size
                continue
            self.frames += 1
            if said is not None:
                readings += self._told(self._fix.believed(said, mono), at, mono)
        return readings

    def _told(self, place: tuple[float, float] | bool, at: float, mono: float) -> list[Reading]:
        if place is True:
            return []
        if place is False:
            return self._lost(at, mono)
        values: dict[str, Value] = {
            "position.valid": "true",
            "position.lat": round(place[0], 6),
            "position.lon": round(place[1], 6),
        }
        news = self._valid != "true"
        self._valid = "true"
        if self._fix.hdop is not None:
            values["position.hdop"] = self._fix.hdop
        if self._home is not None:
            metres = distance(self._home, place)
            news |= self._side("inside" if metres <= self._settings.radius else "outside")
            values["position.distance_m"] = round(metres, 1)
            if self._fence is not None:
                values["position.geofence"] = self._fence
        if not news and mono - self._given < self._settings.every:
            return []
        self._given = mono
        return self._values.readings(values, at)

    def _lost(self, at: float, mono: float) -> list[Reading]:
        """There is no fix, or none that can be believed."""
        self._beyond = 0
        if self._valid == "false" and mono - self._given < self._settings.every:
            return []
        self._given = mono
        values: dict[str, Value] = {"position.valid": "false"}
        if self._valid != "false":
            values |= dict.fromkeys(
                ("position.lat", "position.lon", *(("position.distance_m",) if self._home is not None else ()))
            )
        self._valid = "false"
        return self._values.readings(values, at)

    def _side(self, word: str) -> bool:
        """Whether the side of the fence changes with this fix."""
        self._beyond = self._beyond + 1 if word != self._fence else 0
        if self._beyond < self._settings.consecutive:
            return False
        self._fence, self._beyond = word, 0
        return True

    def tick(self, at: float, mono: float) -> Sequence[Reading]:
        """Nothing is due by itself."""
        del at, mono
        return ()

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """Without a receiver nobody knows where the machine is."""
        del word
        self._valid = ""
        return self._values.readings({"position.valid": None, "position.lat": None, "position.lon": None}, at)

    def counters(self) -> Mapping[str, float]:
        """Sentences with a wrong check sum, bytes of none, and sentences that cannot be read."""
        return {**self._counts, "garbageBytes": self._counts["garbageBytes"] + self._splitter.garbage_bytes}


def open_source(context: Context, settings: Settings) -> TapSource:
    """A receiver as configured. Touches no hardware."""
    return TapSource(context, settings, Receiver(context, settings))
