"""The sensor board: it samples the world once a period, debounces contacts, and measures no better than its sensors can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agent.records import Value
from firmware_sim.agenda import tick_of
from firmware_sim.chance import Noise
from firmware_sim.world import World

PERIOD = 1.0  # s between two samples
UPTIME_SPAN = 2**32  # ms; the counter of the board begins again at zero after 49.7 days

# s that a word must last before the board believes it; a word not named here is taken at once
DEBOUNCE = {
    "auxiliaries.cabinetDoor": 0.05,
    "auxiliaries.safeDoor": 0.05,
    "auxiliaries.tamperSensor": 0.05,
    "auxiliaries.internalTamperSensor": 0.05,
    "auxiliaries.operatorSwitch": 0.05,
    "auxiliaries.vandalShield": 0.05,
    "auxiliaries.holdUpDevice": 0.05,
    "auxiliaries.bootSwitchSensor": 0.05,
    "auxiliaries.proximitySensor": 1.0,
    "auxiliaries.heatSensor": 5.0,
    "banknoteNeutralization.gas": 1.0,
    "banknoteNeutralization.safeBolt": 0.05,
}
# s that an alarm of a shock is held, so that none is too short to be heard
LATCH = 2.0
LATCHED = {
    "auxiliaries.seismicSensor": "off",
    "banknoteNeutralization.seismic": "notDetected",
    "banknoteNeutralization.tilt": "notTilted",
}
# closed loops: what a cut wire looks like
CUT_LOOP = {
    "auxiliaries.cabinetDoor": "open",
    "auxiliaries.safeDoor": "open",
    "auxiliaries.tamperSensor": "on",
    "auxiliaries.internalTamperSensor": "on",
    "auxiliaries.seismicSensor": "on",
    "auxiliaries.heatSensor": "on",
    "auxiliaries.holdUpDevice": "on",
}


class Precision(NamedTuple):
    """A sensor's noise (deviation: absolute in the point's unit, and relative) and the decimals that it gives."""

    absolute: float
    relative: float
    decimals: int
    signed: bool = False  # it can be below zero


PRECISION = {
    "motion.tilt_deg": Precision(0.05, 0.0, 1),
    "motion.rms_ms2": Precision(0.001, 0.08, 3),
    "motion.peak_ms2": Precision(0.005, 0.05, 2),
    "motion.drill_band_ms2": Precision(0.001, 0.08, 3),
    "motion.grind_band_ms2": Precision(0.001, 0.08, 3),
    "environment.temperature_c": Precision(0.08, 0.0, 1, signed=True),
    "environment.humidity_pct": Precision(0.4, 0.0, 1),
    "powerManagement.inputVoltage_v": Precision(0.4, 0.0, 1),
    "powerManagement.batteryVoltage_v": Precision(0.02, 0.0, 2),
    "energy.active_power_w": Precision(0.5, 0.01, 0),
    "position.lat": Precision(2e-5, 0.0, 5, signed=True),
    "position.lon": Precision(2e-5, 0.0, 5, signed=True),
    "cardReader.insertionTime_s": Precision(0.0, 0.0, 2),
}


class Sample(NamedTuple):
    """All fitted points at a moment: seconds since the epoch, and the board's own milliseconds."""

    at: float
    uptime: int
    values: dict[str, Value]


class Edge(NamedTuple):
    """Words that changed together, and the moment at which they did, before any debouncing."""

    at: float
    uptime: int
    values: dict[str, Value]


class _Unsettled(NamedTuple):
    word: Value
    since: float
    uptime: int
    due: float


class Board:
    """One sensor board in one world. It moves the world on as far as it is asked to."""

    def __init__(self, world: World, period: float = PERIOD) -> None:
        if period < 0.001:
            raise ValueError(f"a sample period of {period} s is shorter than the world's millisecond")
        self.world = world
        self.period = period
        self._noise = [(name, Noise(world.seed, f"sensor/{name}"), precision) for name, precision in PRECISION.items()]
        self._last: dict[str, Value] = {}
        self._start()

    def _start(self) -> None:
        wiring = self.world.site.board
        self.starts = wiring.starts
        self.boot = int(Noise(self.world.seed, "boot").uniform(self.starts) * 2**32)
        self._begun = tick_of(max(wiring.started, self.world.now))
        self._samples = 0
        self._sampled_at = self._sample_at = self._begun
        self._raw: dict[str, Value] = {}
        self._raw = self._sensed(self.world.words())
        self._reported = dict(self._raw)
        self._unsettled: dict[str, _Unsettled] = {}

    @property
    def on(self) -> bool:
        """It has power."""
        return self.world.site.board.on

    @property
    def next_at(self) -> float:
        """When it, or the world, next does something."""
        if not self.on:
            return self.world.next_at
        due = min(self.world.next_at, self._sample_at)
        return min(due, self._next_settled()) if self._unsettled else due

    def uptime(self, at: float) -> int:
        """Milliseconds of its counter at `at`, modulo 2^32."""
        return round((at - self._begun + self.world.site.board.clock_error_s) * 1000) % UPTIME_SPAN

    def run_to(self, at: float) -> Iterator[Edge | Sample]:
        """What it notices up to and including `at`, in order. Nothing while it has no power."""
        at = tick_of(at)
        while (due := self.next_at) <= at:
            self.world.run_to(due)
            yield from self._act(due)
        self.world.run_to(at)

    def _act(self, now: float) -> Iterator[Edge | Sample]:
        if not self.on:
            return
        if self.world.site.board.starts != self.starts:
            self._start()
        self._look(now)
        if self._unsettled:
            yield from self._settled(now)
        if now >= self._sample_at:
            yield self._sample(now)

    def _next_settled(self) -> float:
        return min(one.due for one in self._unsettled.values())

    def _sensed(self, words: dict[str, Value]) -> dict[str, Value]:
        """What the inputs of the board show, broken wires and stuck sensors included."""
        wiring = self.world.site.board
        if wiring.stuck or wiring.cut:
            words = words | {name: self._raw[name] for name in wiring.stuck if name in self._raw}
            words |= {name: CUT_LOOP.get(name) for name in wiring.cut if name in words}
        return words

    def _look(self, now: float) -> None:
        raw = self._sensed(self.world.words())
        if raw is self._raw or raw == self._raw:
            return
        for name, word in raw.items():
            if word == self._raw[name]:
                continue
            if word == self._reported[name]:
                self._unsettled.pop(name, None)  # it bounced
            else:
                hold = LATCH if LATCHED.get(name) == word else DEBOUNCE.get(name, 0.0)
                self._unsettled[name] = _Unsettled(word, now, self.uptime(now), tick_of(now + hold))
        self._raw = raw

    def _settled(self, now: float) -> Iterator[Edge]:
        due = [(name, one) for name, one in self._unsettled.items() if one.due <= now]
        together: dict[tuple[float, int], dict[str, Value]] = {}
        for name, one in due:
            del self._unsettled[name]
            self._reported[name] = one.word
            together.setdefault((one.since, one.uptime), {})[name] = one.word
        for (since, uptime), values in sorted(together.items(), key=lambda item: item[0]):
            yield Edge(since, uptime, values)

    def _sample(self, now: float) -> Sample:
        world, wiring = self.world, self.world.site.board
        values = self._reported | world.numbers()
        if "motion.peak_ms2" in values:  # held from one sample to the next
            values["motion.peak_ms2"] = world.site.motion.peak_since(self._sampled_at)
        moment = round(now * 1000)
        for name, noise, (absolute, relative, decimals, signed) in self._noise:
            value = values.get(name)
            if value is not None:
                assert isinstance(value, int | float)
                value += noise.normal(moment) * (absolute + relative * value)
                values[name] = round(value if signed or value > 0.0 else 0.0, decimals)
        for name in wiring.stuck | wiring.cut:
            if name in values and name not in self._reported:
                values[name] = None if name in wiring.cut else self._last.get(name, values[name])
        self._last = values
        self._sampled_at = now
        self._samples += 1
        self._sample_at = tick_of(self._begun + self._samples * self.period)
        return Sample(now, self.uptime(now), values)
