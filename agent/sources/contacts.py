"""Contacts as values: what is wired to which pin, and how bouncing levels become words. No pins, no clock.

`mono` is seconds of the loop's clock, `at` seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

from agent.records import Reading
from agent.settings import Duration
from agent.vocabulary import nearest, point

State: TypeAlias = Literal["closed", "open"]


@dataclass(frozen=True, kw_only=True)
class Contact:
    """One loop between a pin and ground (pull up) or 3.3 V (pull down)."""

    pin: int
    """Number of the GPIO line as the chip has it (BCM), not of the header's pin."""
    point: str
    """What it tells, as in auxiliaries.safeDoor."""
    closed: str = "closed"
    """The word while the loop is closed."""
    open: str = "open"
    """The word while the loop is open, or cut."""
    pull: Literal["up", "down"] = "up"
    normally: State = "closed"
    """The loop's state at rest. A loop that is normally open cannot tell a cut wire from peace, and the log says so."""
    debounce: Duration = 0.05
    """How long a level must stay to count. Doors 50ms, tilt and shock latches 1s to 2s, heat 5s."""
    count_edges: bool = True
    """Give `gpio.PIN.edges`, every change of the level, bounces too: 200 a minute are an attack or a broken contact."""

    def __post_init__(self) -> None:
        if not 0 <= self.pin <= 63:
            raise ValueError(f"pin: {self.pin} is no GPIO line; expected the chip's number (BCM), 0 to 27 on the 40-pin header")
        entry = point(self.point)
        if entry is None:
            hint = nearest(self.point)
            meant = f"did you mean {hint}?" if hint else "a contact of your own is auxiliaries.contact.NAME"
            raise ValueError(f"point: no point is called {self.point!r}; {meant}")
        for key, word in (("closed", self.closed), ("open", self.open)):
            if word not in entry.words:
                known = ", ".join(entry.words) or "a number, which a contact cannot tell"
                raise ValueError(f"{key}: {self.point} does not know the word {word!r}; it is {known}")
        if self.closed == self.open:
            raise ValueError(f"open: must differ from the word of the closed loop, {self.closed!r}")
        if not 0.0 <= self.debounce <= 60.0:
            raise ValueError("debounce: expected 0s to 60s; doors take 50ms")


class Debounce:
    """One level with its bounces taken out: it counts once it has stayed for `wait` seconds."""

    def __init__(self, closed: bool, wait: float) -> None:
        self.closed = closed  # what counts
        self.level = closed  # what the pin said last
        self._wait = wait
        self._edged = self._left = -inf  # mono of the last edge, and of the one that left the state that counts

    def edge(self, closed: bool, mono: float) -> float | None:
        """The pin changed. As `settle` for the time before it."""
        settled = self.settle(mono)
        if self.level == self.closed:
            self._left = mono
        self.level = closed
        self._edged = mono
        return settled

    def settle(self, mono: float) -> float | None:
        """When the state that counts has just changed, the mono at which the level left the old one; else None."""
        if self.level == self.closed or mono < self.due:
            return None
        self.closed = self.level
        return self._left

    @property
    def due(self) -> float:
        """The mono at which `settle` will have something to say, if no edge comes before."""
        return inf if self.level == self.closed else self._edged + self._wait


class Contacts:
    """All contacts of one source. Levels and edges in, Readings out."""

    def __init__(self, machine: str, contacts: Sequence[Contact], levels: Mapping[int, bool]) -> None:
        self._machine = machine
        self._contacts = {contact.pin: contact for contact in contacts}
        self._states = {pin: Debounce(levels[pin], contact.debounce) for pin, contact in self._contacts.items()}

    @property
    def due(self) -> float:
        """The mono at which `settle` is to be called, if no edge comes before."""
        return min((state.due for state in self._states.values()), default=inf)

    def edge(self, pin: int, closed: bool, at: float, mono: float) -> list[Reading]:
        """A pin changed to `closed` at `mono`, which was `at`."""
        left = self._states[pin].edge(closed, mono)
        return [] if left is None else [self._reading(pin, at - (mono - left))]

    def settle(self, at: float, mono: float) -> list[Reading]:
        """Contacts that have come to rest in another state by now, each with the time at which it left the old one."""
        return [
            self._reading(pin, at - (mono - left))
            for pin, state in self._states.items()
            if (left := state.settle(mono)) is not None
        ]

    def states(self, at: float) -> list[Reading]:
        """The state of every contact."""
        return [self._reading(pin, at) for pin in self._states]

    def differing(self, levels: Mapping[int, bool]) -> list[int]:
        """Pins whose level is not what their last edge said."""
        return [pin for pin, state in self._states.items() if levels[pin] != state.level]

    def edges(self, counts: Mapping[int, int], at: float) -> list[Reading]:
        """The edges of those contacts that count them."""
        return [
            Reading(self._machine, f"gpio.{pin}.edges", counts[pin], at)
            for pin, contact in self._contacts.items()
            if contact.count_edges
        ]

    def _reading(self, pin: int, at: float) -> Reading:
        contact = self._contacts[pin]
        return Reading(self._machine, contact.point, contact.closed if self._states[pin].closed else contact.open, at)
