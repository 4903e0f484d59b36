"""The queue of what will happen, in order of time. It is the only clock of the world.

Times are seconds since the epoch with a resolution of one millisecond. Things due at the same millisecond happen in the
order in which they were put down, so that the course does not depend on how far each step reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heappop, heappush
from math import inf
from typing import TypeAlias

Script: TypeAlias = Generator[float, None, None]
"""What somebody does: each value yielded is the number of seconds until the next act."""

SHORTEST = 0.001  # s between two acts of a script; also keeps a script that yields 0 from stopping the world


def tick_of(at: float) -> float:
    """The moment `at` on the millisecond grid of the world."""
    return round(at, 3)


class Agenda:
    """What is due, and the time."""

    def __init__(self, start: float) -> None:
        self.now = tick_of(start)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    @property
    def next_at(self) -> float:
        """When the next thing happens; infinity when nothing is planned."""
        return self._due[0][0] if self._due else inf

    def put(self, at: float, act: Callable[[], None]) -> None:
        """Do `act` at `at`, or now when that is past."""
        self._order += 1
        heappush(self._due, (max(tick_of(at), self.now), self._order, act))

    def play(self, script: Script, at: float | None = None) -> None:
        """Let `script` run from `at` (now when not given) to its end."""

        def resume() -> None:
            pause = next(script, None)
            if pause is not None:
                self.put(self.now + max(pause, SHORTEST), resume)

        if at is None:
            resume()
        else:
            self.put(at, resume)

    def run_to(self, at: float) -> None:
        """Let everything up to and including `at` happen. Raises ValueError when `at` is past."""
        at = tick_of(at)
        if at < self.now:
            raise ValueError(f"the world is at {self.now:.3f} and cannot go back to {at:.3f}")
        while self._due and self._due[0][0] <= at:
            self.now, _, act = heappop(self._due)
            act()
        self.now = at
