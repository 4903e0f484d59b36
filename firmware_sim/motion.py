"""What the accelerometer feels: a background, and shakings that begin and end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf, sqrt

from agent.records import Value
from firmware_sim.agenda import Agenda, Script
from firmware_sim.chance import Noise

WINDOW = 1.0  # s over which the accelerometer takes its root mean square
MEMORY = 1_000.0  # s; the longest time between two samples of the board, for the peak since the last one
SEISMIC_WARNING = 0.8  # m/s² in the bands of tools; a lorry stays below
SEISMIC_CRITICAL = 4.0  # m/s²
SHOCK = 40.0  # m/s²; a blow that no tool needs to follow
SUSTAINED = 2.0  # s that a tool must work before the detector believes it
TILTED = 5.0  # degrees from where it was installed


@dataclass(slots=True)
class Shaking:
    """One cause of motion from `start` to `end`. Accelerations in m/s² (root mean square, peak is the greatest)."""

    start: float
    rms: float
    peak: float
    drill: float = 0.0  # 50 to 500 Hz
    grind: float = 0.0  # above 500 Hz
    tilt: float = 0.0  # degrees while it lasts
    end: float = inf
    sustained: bool = False

    def share(self, start: float, end: float) -> float:
        """The part of [start, end] during which it shook, 0 to 1."""
        return max(0.0, min(self.end, end) - max(self.start, start)) / (end - start)


class Motion:
    """All shakings of the last quarter of an hour, and the tilt that stays."""

    def __init__(self, agenda: Agenda, seed: int, background: float) -> None:
        self._agenda = agenda
        self._background = background
        self._wander = Noise(seed, "motion.background")
        self._recent: deque[Shaking] = deque()
        self._active: list[Shaking] = []
        self.tilt = 0.0  # degrees; what remains when nothing shakes

    def shake(
        self, seconds: float, rms: float, peak: float, *, drill: float = 0.0, grind: float = 0.0, tilt: float = 0.0
    ) -> None:
        """Something shakes the machine for `seconds` from now."""
        self._agenda.play(self._shaking(Shaking(self._agenda.now, rms, peak, drill, grind, tilt), seconds))

    def _shaking(self, shaking: Shaking, seconds: float) -> Script:
        while self._recent and self._recent[0].start < self._agenda.now - MEMORY and self._recent[0].end < inf:
            self._recent.popleft()
        self._recent.append(shaking)
        self._active.append(shaking)
        if seconds > SUSTAINED:
            yield SUSTAINED
            shaking.sustained = True
            yield seconds - SUSTAINED
        else:
            yield seconds
        shaking.end = self._agenda.now
        self._active.remove(shaking)

    @property
    def level(self) -> str:
        """The word of a seismic detector, by level and duration."""
        if not self._active:
            return "notDetected"
        if any(one.peak >= SHOCK or (one.sustained and _tool(one) >= SEISMIC_CRITICAL) for one in self._active):
            return "criticalLevel"
        if any(one.sustained and _tool(one) >= SEISMIC_WARNING for one in self._active):
            return "warningLevel"
        return "notDetected"

    def peak_since(self, since: float) -> float:
        """The greatest acceleration after `since`, m/s²."""
        peaks = [one.peak for one in self._recent if one.end > since]
        return max(peaks) if peaks else self._quiet() * 3.0

    def _quiet(self) -> float:
        return self._background * (1.0 + 0.3 * self._wander.drift(self._agenda.now, 600.0))

    def _tilt(self) -> float:
        return self.tilt + sum(one.tilt for one in self._active) if self._active else self.tilt

    def words(self) -> dict[str, Value]:
        """What the detectors make of it."""
        level = self.level
        return {
            "auxiliaries.seismicSensor": "off" if level == "notDetected" else "on",
            "banknoteNeutralization.seismic": level,
            "banknoteNeutralization.tilt": "tilted" if self._tilt() > TILTED else "notTilted",
        }

    def numbers(self, now: float) -> dict[str, Value]:
        """Root mean squares over the last second, the peak of that second, the tilt."""
        squares = [self._quiet() ** 2, 0.0, 0.0]
        for one in self._recent:
            if one.end > now - WINDOW and (share := one.share(now - WINDOW, now)):
                squares[0] += share * one.rms**2
                squares[1] += share * one.drill**2
                squares[2] += share * one.grind**2
        return {
            "motion.tilt_deg": self._tilt(),
            "motion.rms_ms2": sqrt(squares[0]),
            "motion.peak_ms2": self.peak_since(now - WINDOW),
            "motion.drill_band_ms2": sqrt(squares[1] + (0.2 * self._background) ** 2),
            "motion.grind_band_ms2": sqrt(squares[2] + (0.1 * self._background) ** 2),
        }


def _tool(shaking: Shaking) -> float:
    return max(shaking.drill, shaking.grind)
