"""Lines between the board and the gateway: a clean one, and the bad ones that serial wiring knows.

`carry` takes what one end sent at line time `now` and gives what arrives, each with its delay in seconds. A line keeps the
order of bytes. Each direction has a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from random import Random
from typing import TypeAlias

Arrivals: TypeAlias = Iterable[tuple[float, bytes]]


class Line:
    """A clean line: everything arrives at once."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def carry(self, data: bytes, now: float) -> Arrivals:
        """What arrives of `data`."""
        del now
        return [(0.0, data)]


class Lossy(Line):
    """Bytes vanish, and bits flip: one byte in four thousand each."""

    RATE = 1 / 4_000

    def carry(self, data: bytes, now: float) -> Arrivals:
        del now
        arrived = bytearray()
        for byte in data:
            chance = self.rng.random()
            if chance < self.RATE:
                continue
            arrived.append(byte ^ 1 << self.rng.randrange(8) if chance < 2 * self.RATE else byte)
        return [(0.0, bytes(arrived))]


class ByteAtATime(Line):
    """Every byte arrives by itself."""

    def carry(self, data: bytes, now: float) -> Arrivals:
        del now
        return [(0.0, bytes((byte,))) for byte in data]


class Babbling(Line):
    """Noise between frames: an open input beside a motor."""

    def carry(self, data: bytes, now: float) -> Arrivals:
        del now
        noise = self.rng.randbytes(self.rng.randrange(24))
        return [(0.0, noise), (0.0, data)]


class Spells:
    """Good and bad spells that follow each other, from the first time they are asked for."""

    def __init__(self, rng: Random, good: tuple[float, float], bad: tuple[float, float]) -> None:
        self._rng, self._good, self._bad = rng, good, bad
        self._bad_from = self.bad_until = float("-inf")

    def bad(self, now: float) -> bool:
        """Whether `now` lies in a bad spell, which then lasts until `bad_until`."""
        if now >= self.bad_until:
            self._bad_from = now + self._rng.uniform(*self._good)
            self.bad_until = self._bad_from + self._rng.uniform(*self._bad)
        return now >= self._bad_from


class Stalling(Line):
    """Now and then nothing arrives for seconds, then all of it at once: a USB adapter that was suspended."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._spells = Spells(rng, good=(5.0, 30.0), bad=(1.0, 4.0))

    def carry(self, data: bytes, now: float) -> Arrivals:
        return [(self._spells.bad_until - now if self._spells.bad(now) else 0.0, data)]


class Cut(Line):
    """Dead for spans, and back: a plug that works loose."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._spells = Spells(rng, good=(10.0, 60.0), bad=(3.0, 20.0))

    def carry(self, data: bytes, now: float) -> Arrivals:
        return [] if self._spells.bad(now) else [(0.0, data)]


LINES: dict[str, Callable[[Random], Line]] = {
    "clean": Line,
    "lossy": Lossy,
    "byte_at_a_time": ByteAtATime,
    "babbling": Babbling,
    "stalling": Stalling,
    "cut": Cut,
}


def line(name: str, rng: Random) -> Line:
    """The line of that name. Raises ValueError, which names the nearest."""
    if name not in LINES:
        near = get_close_matches(name, LINES, n=1, cutoff=0.0)[0]
        raise ValueError(f"unknown line {name!r}; did you mean {near!r}? There are {', '.join(LINES)}")
    return LINES[name](rng)
