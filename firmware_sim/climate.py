"""Weather, the air inside, and light: closed forms of the time, plus sources of heat that begin and end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import cos, exp, inf, pi, sin

from agent.records import Value
from firmware_sim.agenda import Agenda, Script
from firmware_sim.chance import Noise
from firmware_sim.params import Parameters

HOUR, DAY, YEAR = 3_600.0, 86_400.0, 365.2425 * 86_400.0
THERMOSTAT = 60.0  # s between two looks of the thermostat and of the light sensor
COLDEST, HOTTEST = -10.0, 60.0  # °C that the safe's electronics call tooCold and tooHot
FIRE = 75.0  # °C at which a heat detector trips
LIGHT = ("veryDark", "dark", "mediumLight", "light", "veryLight")
HEATER_TAU = 1_800.0  # s; how slowly the housing follows the heater


@dataclass(slots=True)
class Heat:
    """A source that would warm the inside by `rise` K in the long run, approached with time constant `tau`."""

    rise: float
    tau: float  # s
    start: float
    end: float = inf

    def kelvin(self, now: float) -> float:
        """What it adds at `now`; after its end that decays with the same constant."""
        warmed = self.rise * (1.0 - exp(-(min(now, self.end) - self.start) / self.tau))
        return warmed * exp(-max(0.0, now - self.end) / self.tau)


class Climate:
    """Temperature and humidity inside, and the light in front."""

    def __init__(self, agenda: Agenda, params: Parameters, seed: int) -> None:
        self._agenda = agenda
        self._params = params
        self._weather = Noise(seed, "climate.weather")
        self._damp = Noise(seed, "climate.damp")
        self._clouds = Noise(seed, "climate.clouds")
        self._heats: list[Heat] = []
        self._heater: Heat | None = None
        self._light = 1
        self._inside = self.inside(agenda.now)
        agenda.play(self._minutes())

    def heat(self, rise: float, tau: float) -> Heat:
        """A new source of heat from now on; `cool` ends it."""
        source = Heat(rise, tau, self._agenda.now)
        self._heats.append(source)
        return source

    def cool(self, source: Heat) -> None:
        """The source is gone; its warmth decays."""
        source.end = self._agenda.now

    @property
    def heating(self) -> bool:
        """The heater of the housing is on."""
        return self._heater is not None

    def outside(self, now: float) -> float:
        """°C: year, day and weather."""
        params = self._params
        year = -params.annual_swing_c * cos(2 * pi * (now / YEAR - 15 / 365))  # coldest in the middle of January
        day = -params.day_swing_c * cos(2 * pi * (now % DAY - 4 * HOUR) / DAY)  # coldest at four
        return params.mean_c + year + day + params.weather_c * self._weather.drift(now, 1.5 * DAY)

    def clear(self, now: float) -> float:
        """How clear the sky is, 0 to 1."""
        return min(1.0, max(0.0, 0.5 + 0.5 * self._clouds.drift(now, 5 * HOUR)))

    def sun(self, now: float) -> float:
        """How high the sun stands, -1 to 1, for the middle latitudes."""
        declination = -0.41 * cos(2 * pi * (now / YEAR + 10 / 365))
        return sin(declination) * 0.75 + cos(declination) * 0.66 * -cos(2 * pi * (now % DAY) / DAY)

    def inside(self, now: float) -> float:
        """°C in the housing."""
        params = self._params
        sun = params.sun_rise_c * max(0.0, self.sun(now - HOUR)) * self.clear(now - HOUR)
        return self.outside(now) + params.inside_rise_c + sun + sum(source.kelvin(now) for source in self._heats)

    def _minutes(self) -> Script:
        while True:
            self._look(self._agenda.now)
            yield THERMOSTAT - self._agenda.now % THERMOSTAT

    def _look(self, now: float) -> None:
        self._inside = self.inside(now)
        self._heats = [one for one in self._heats if now - one.end < 12 * one.tau]
        if self._heater is None and self._inside < self._params.heater_on_c:
            self._heater = self.heat(self._params.heater_rise_c, HEATER_TAU)
        elif self._heater is not None and self._inside > self._params.heater_off_c:
            self.cool(self._heater)
            self._heater = None
        brightness = 1.0 + 3.2 * max(0.0, self.sun(now)) ** 0.5 * (0.6 + 0.4 * self.clear(now))
        if abs(brightness - self._light) > 0.6:  # more than half a step: no flutter between two words
            self._light = max(0, min(len(LIGHT) - 1, round(brightness)))

    def words(self) -> dict[str, Value]:
        """What thermostat and light sensor say; as of the last full minute."""
        inside = self._inside
        safe = "tooCold" if inside < COLDEST else "tooHot" if inside > HOTTEST else "ok"
        return {
            "auxiliaries.ambientLightSensor": LIGHT[self._light],
            "auxiliaries.heating": "on" if self.heating else "off",
            "auxiliaries.heatSensor": "on" if inside > FIRE else "off",
            "banknoteNeutralization.temperature": safe,
        }

    def numbers(self, now: float) -> dict[str, Value]:
        """Temperature and relative humidity inside."""
        inside = self.inside(now)
        damp = self._params.humidity_pct + 8.0 * self._damp.drift(now, 8 * HOUR)
        relative = damp * exp(-0.02 * (inside - self._params.mean_c - self._params.inside_rise_c))
        return {
            "environment.temperature_c": inside,
            "environment.humidity_pct": min(98.0, max(5.0, relative)),
        }


def hour_of(at: float) -> float:
    """Hours since midnight UTC."""
    return at % DAY / HOUR


def weekday_of(at: float) -> int:
    """Monday is 0."""
    return datetime.fromtimestamp(at, UTC).weekday()
