"""Alarm loops with a resistor at their end, measured by an analog input: four states instead of two. Levels in, Readings out.

    3.3 V ──[R]──┬── channel       short      0        the wires touch
                 │                 normal     0.50     contact closed: R at the end alone
                 └──[contact ∥ R]──[R]── ground
                                   alarm      0.67     contact open: two R
                                   cut        1        nothing there any more

`mono` is seconds of the loop's clock, `at` seconds since the epoch; a level is a share of the supply, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Literal, TypeAlias

from agent.records import Quality, Reading
from agent.settings import Duration
from agent.vocabulary import nearest, point

State: TypeAlias = Literal["short", "normal", "alarm", "cut"]

APART = 0.1  # between two levels that are to be told from each other; resistors, supply and converter are together good for 5 %
HYSTERESIS = 0.02  # by which another state must be nearer than the one that counts


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One loop on one channel of the converter."""

    channel: int
    point: str
    """What it tells, as in auxiliaries.safeDoor."""
    normal: str = "closed"
    """The point's word at rest."""
    alarm: str = "open"
    """The word when the contact acts."""
    short: str = ""
    """The word when the wires touch; without one the point has no value then."""
    cut: str = ""
    """The word when a wire is cut; without one the point has no value then."""
    normal_level: float = 0.5
    """Share of the supply at rest; the default is that of three equal resistors."""
    alarm_level: float = 0.667
    """Share of the supply when the contact acts."""
    debounce: Duration = 0.2
    """How long a state must stay to count."""

    def __post_init__(self) -> None:
        if not 0 <= self.channel <= 7:
            raise ValueError(f"channel: {self.channel} is no input of a converter; expected 0 to 7")
        entry = point(self.point)
        if entry is None:
            hint = nearest(self.point)
            meant = f"did you mean {hint}?" if hint else "a contact of your own is auxiliaries.contact.NAME"
            raise ValueError(f"point: no point is called {self.point!r}; {meant}")
        for key in ("normal", "alarm", "short", "cut"):
            word = getattr(self, key)
            if word not in entry.words and not (key in ("short", "cut") and word == ""):
                known = ", ".join(entry.words) or "a number, which a loop cannot tell"
                raise ValueError(f"{key}: {self.point} does not know the word {word!r}; it is {known}")
        if self.normal == self.alarm:
            raise ValueError(f"alarm: must differ from the word at rest, {self.normal!r}")
        levels = sorted(self.levels.values())
        if any(upper - lower < APART for lower, upper in pairwise(levels)):
            raise ValueError(f"alarm_level: short (0), normal, alarm and cut (1) must be at least {APART} apart")
        if not 0.0 <= self.debounce <= 60.0:
            raise ValueError("debounce: expected 0s to 60s")

    @property
    def levels(self) -> dict[State, float]:
        """The level of each state."""
        return {"short": 0.0, "normal": self.normal_level, "alarm": self.alarm_level, "cut": 1.0}


class Loops:
    """All loops of one source."""

    def __init__(self, machine: str, loops: Sequence[Loop]) -> None:
        self._machine = machine
        self._loops = {loop.channel: loop for loop in loops}
        self._states: dict[int, State] = {}  # what counts
        self._others: dict[int, tuple[State, float]] = {}  # another state, and since when it is measured

    def measured(self, levels: Mapping[int, float], at: float, mono: float) -> list[Reading]:
        """The levels of all channels, now; a Reading for each state that counts from now on, dated to when it began."""
        readings = []
        for channel, level in levels.items():
            loop = self._loops[channel]
            state = self._nearest(loop, level)
            if state == self._states.get(channel):
                self._others.pop(channel, None)
                continue
            known, since = self._others.get(channel, (state, mono))
            if known != state:
                since = mono
            self._others[channel] = (state, since)
            if channel not in self._states or mono - since >= loop.debounce:
                self._states[channel] = state
                del self._others[channel]
                readings.append(self._reading(channel, at - (mono - since)))
        return readings

    def _nearest(self, loop: Loop, level: float) -> State:
        now = self._states.get(loop.channel)
        return min(loop.levels, key=lambda state: abs(loop.levels[state] - level) - (HYSTERESIS if state == now else 0.0))

    def states(self, at: float) -> list[Reading]:
        """The state of every loop that has been measured."""
        return [self._reading(channel, at) for channel in self._states]

    def _reading(self, channel: int, at: float) -> Reading:
        loop, state = self._loops[channel], self._states[channel]
        word = getattr(loop, state)
        if word:
            return Reading(self._machine, loop.point, word, at)
        return Reading(self._machine, loop.point, None, at, Quality.BAD, state)


class Pulses:
    """What a pulse output has counted since the start: a pulse is a closing of its contact."""

    def __init__(self) -> None:
        self.counted = 0
        self._closed = False
        self._closed_at = -inf

    def edge(self, closed: bool, mono: float, shortest: float) -> None:
        """The contact changed; one that closes again sooner than `shortest` seconds bounces."""
        if closed and not self._closed and mono - self._closed_at >= shortest:
            self.counted += 1
            self._closed_at = mono
        self._closed = closed


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """A pulse output, as of an energy meter (S0) or a note counter, on a pin."""

    pin: int
    point: str
    """A counter of the vocabulary, as in energy.import_kwh."""
    each: float = 1.0
    """How much one pulse is, in the point's unit: 0.001 for 1000 pulses a kWh."""
    pull: Literal["up", "down"] = "up"
    shortest: Duration = 0.03
    """Between two pulses; what closes sooner bounces. S0 outputs stay closed for at least 30 ms."""

    def __post_init__(self) -> None:
        if not 0 <= self.pin <= 63:
            raise ValueError(f"pin: {self.pin} is no GPIO line; expected the chip's number (BCM), 0 to 27 on the 40-pin header")
        entry = point(self.point)
        if entry is None or not entry.counter:
            raise ValueError(f"point: {self.point!r} is no counter; expected one such as energy.import_kwh or printer.receipts")
        if not 0.0 < self.each <= 1e6:
            raise ValueError("each: expected how much one pulse is, more than 0")
        if not 0.0 <= self.shortest <= 10.0:
            raise ValueError("shortest: expected 0s to 10s")
