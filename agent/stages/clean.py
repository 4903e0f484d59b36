"""Cleaning: every Reading leaves with a quality and, when that is not good, its reason. Nothing is guessed or repaired.

    quality     reason
    bad         unknownPoint | unknownWord | notANumber | outOfLimits | spike | noAnswer | what the source said
    uncertain   rate | stuck | what the source said
    stale       silent     made here, value None, when a point has said nothing for `silent_after`

What is bad or stale has no value any more: behind this stage a value of None means "not usable", and anything else is usable.
A duplicate (same value, same time) is dropped and counted. A Reading older than the one before it is counted and passed on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite

import msgspec

from agent.records import Quality, Reading, Value
from agent.settings import Duration
from agent.vocabulary import Point, fault, point

MAD_TO_DEVIATION = 1.4826  # the median absolute deviation of normal noise, times this, is its standard deviation
POINTS_LIMIT = 2_000  # points that one machine may have; a hostile source must not fill the memory
SPIKE_WINDOW = 7  # values; Hampel's usual half width of three
SPIKE_FLOOR = 1e-3  # of the median: below this a deviation is quantisation, whatever the others do


@dataclass(frozen=True)
class Limits:
    """What is believable at one point, beside the limits of the vocabulary."""

    low: float = -inf
    high: float = inf
    rate: float | None = None
    """Fastest believable change, in the point's unit per second."""
    spike: float | None = None
    """Deviations (Hampel's) from the median of the last seven values that make a value a spike. A blow is no spike: leave
    this out for vibration."""
    stuck_after: Duration | None = None
    """An analogue sensor that repeats one value so long is stuck."""

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low: {self.low} is above high ({self.high})")
        for name in ("rate", "spike", "stuck_after"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected more than 0, got {value}")


@dataclass(frozen=True)
class Calibration:
    """What makes a sensor's number right: number × scale + offset, in the point's unit. Applied before any limit."""

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not isfinite(self.scale) or not isfinite(self.offset) or self.scale == 0.0:
            raise ValueError(f"scale: expected finite numbers and a scale other than 0, got {self.scale}, {self.offset}")


@dataclass(frozen=True)
class CleanSettings:
    """What the pipeline believes."""

    silent_after: Duration = 180.0
    """A point that has said nothing for so long is stale."""
    limits: Mapping[str, Limits] = field(default_factory=dict)
    """By point, where the vocabulary's own limits are too wide."""
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    """By point: a sensor in another unit (g for m/s², °F for °C), or one that shows too much or too little."""

    def __post_init__(self) -> None:
        if not self.silent_after > 0:
            raise ValueError(f"silent_after: expected more than 0s, got {self.silent_after:g}s")


class Heard:
    """What is known of one point."""

    __slots__ = (
        "at", "calibration", "changed", "entry", "high", "limits", "low", "plain", "raw", "recent", "silent", "value", "words",
    )  # fmt: skip

    def __init__(self, entry: Point | None, limits: Limits | None, calibration: Calibration | None) -> None:
        self.entry = entry
        self.limits = limits
        self.calibration = calibration
        # the quick way, for a Reading that needs no second look: a word of these, or a number between these
        self.plain = entry is not None and limits is None and calibration is None
        self.words = frozenset(entry.words) if entry is not None and self.plain else frozenset[str]()
        self.low, self.high = (entry.low, entry.high) if entry is not None and self.plain and not entry.words else (inf, -inf)
        self.raw: Value = None  # as it came
        self.value: Value = None  # as it was believed
        self.at = -inf
        self.changed = -inf  # when the value was last another one
        self.silent = False
        self.recent: deque[float] | None = deque(maxlen=SPIKE_WINDOW) if limits and limits.spike else None


class Clean:
    """The first stage of one machine's pipeline. `due`: when `tick` must be called next."""

    def __init__(self, machine: str, settings: CleanSettings) -> None:
        self._machine = machine
        self._settings = settings
        self._tracks: dict[str, Heard] = {}
        self.due = -inf
        self.news = False  # whether the newest Reading has another value than the one before it
        self.duplicates = 0
        self.late = 0  # Readings older than the one before them
        self.refused = 0  # Readings of points beyond the bound

    def feed(self, reading: Reading) -> Reading | None:
        """The Reading as it may be believed, or None when it says nothing new."""
        track = self._tracks.get(reading.point)
        if track is None:
            track = self._new_track(reading.point)
            if track is None:
                return None
        value, at = reading.value, reading.at
        if at <= track.at:
            if at == track.at and value == track.raw:
                self.duplicates += 1
                return None
            self.late += at < track.at
        track.raw = value
        kind = value.__class__
        if reading.quality is not Quality.GOOD or not (
            value in track.words if kind is str else (kind is float or kind is int) and track.low <= value <= track.high  # type: ignore[operator]
        ):
            reading = self._doubted(track, reading)
            value = reading.value
        self.news = value != track.value
        if self.news:
            track.value = value
            track.changed = at
        if at > track.at:
            track.at = at
        track.silent = False
        return reading

    def track(self, point: str) -> Heard:
        """What is kept of a point that was heard."""
        return self._tracks[point]

    def _new_track(self, name: str) -> Heard | None:
        if len(self._tracks) >= POINTS_LIMIT:
            self.refused += 1
            return None
        settings = self._settings
        track = self._tracks[name] = Heard(point(name), settings.limits.get(name), settings.calibration.get(name))
        return track

    def _doubted(self, track: Heard, reading: Reading) -> Reading:
        """The Reading with what is wrong with it, or as it is when nothing is."""
        if reading.quality is Quality.BAD or reading.quality is Quality.STALE:
            return reading if reading.value is None else _with(reading, reading.quality, reading.reason)
        if track.entry is None:
            return _with(reading, Quality.BAD, "unknownPoint")
        if reading.value is None:
            return _with(reading, Quality.BAD, "noAnswer")
        if track.calibration is not None and isinstance(reading.value, int | float):
            value = reading.value * track.calibration.scale + track.calibration.offset
            reading = msgspec.structs.replace(reading, value=value)
        reason = fault(track.entry, reading.value)
        if reason is not None:
            return _with(reading, Quality.BAD, reason)
        if track.limits is None or isinstance(reading.value, str):
            return reading
        assert reading.value is not None
        return self._within(track, track.limits, reading, float(reading.value))

    def _within(self, track: Heard, limits: Limits, reading: Reading, value: float) -> Reading:
        if not limits.low <= value <= limits.high:
            return _with(reading, Quality.BAD, "outOfLimits")
        if track.recent is not None and _is_spike(track.recent, value, limits.spike or 0.0):
            return _with(reading, Quality.BAD, "spike")
        elapsed = reading.at - track.at
        last = track.value
        known = isinstance(last, int | float) and 0 < elapsed <= self._settings.silent_after
        if known and limits.rate is not None and abs(value - float(last or 0)) > limits.rate * elapsed:
            return _with(reading, Quality.UNCERTAIN, "rate")
        if limits.stuck_after is not None and value == last and reading.at - track.changed >= limits.stuck_after:
            return _with(reading, Quality.UNCERTAIN, "stuck")
        return reading

    def tick(self, now: float) -> list[Reading]:
        """A stale Reading for each point that has gone silent by `now`, at the moment at which it did."""
        stale = []
        silent_after = self._settings.silent_after
        next_due = now + silent_after  # a point that is met meanwhile is not silent before
        for name, track in self._tracks.items():
            if track.silent:
                continue
            due = track.at + silent_after
            if due > now:
                next_due = min(next_due, due)
                continue
            track.silent = True
            track.raw = None
            if track.value is not None:
                track.value = None
                track.changed = due
                stale.append(Reading(self._machine, name, None, due, Quality.STALE, "silent"))
        self.due = next_due
        return stale

    def expect(self, names: Collection[str], now: float) -> None:
        """These points were heard before a restart: one that says nothing from now on goes silent as any other."""
        for name in names:
            track = self._new_track(name) if name not in self._tracks else None
            if track is not None:
                track.at = now
                track.value = _EXPECTED

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds: every moment that is remembered moves with it."""
        for track in self._tracks.values():
            track.at += by
            track.changed += by
        self.due += by

    def known(self) -> list[Reading]:
        """What every point says now, as it came, at the moment at which it began to say so; the oldest first."""
        heard = [(name, track) for name, track in self._tracks.items() if track.raw is not None and not track.silent]
        readings = [Reading(self._machine, name, track.raw, min(track.changed, track.at)) for name, track in heard]
        return sorted(readings, key=lambda reading: reading.at)

    def values(self) -> dict[str, Value]:
        """The newest value of every point."""
        return {name: None if track.value is _EXPECTED else track.value for name, track in self._tracks.items()}

    def since(self) -> dict[str, float]:
        """When the value of every point began; the moment at which it went silent, if it did."""
        return {name: track.changed for name, track in self._tracks.items()}


_EXPECTED = "expected"  # stands for a value that was not heard yet; no point has this word


def _is_spike(recent: deque[float], value: float, deviations: float) -> bool:
    spike = False
    if len(recent) == SPIKE_WINDOW:
        middle = sorted(recent)[SPIKE_WINDOW // 2]
        spread = MAD_TO_DEVIATION * sorted(abs(each - middle) for each in recent)[SPIKE_WINDOW // 2]
        spike = abs(value - middle) > deviations * max(spread, SPIKE_FLOOR * abs(middle), 1e-9)
    recent.append(value)
    return spike


def _with(reading: Reading, quality: Quality, reason: str) -> Reading:
    """The Reading with a doubt. What is bad has no value any more: nobody may take it for one, and nothing strange travels on."""
    value = None if quality is Quality.BAD or quality is Quality.STALE else reading.value
    return msgspec.structs.replace(reading, value=value, quality=quality, reason=reason)
