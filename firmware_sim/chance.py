"""Seeded chance: streams for what happens, and noise that is a pure function of time for what wavers."""

from __future__ import annotations

from math import cos, pi
from random import Random
from zlib import crc32

_MASK = (1 << 64) - 1
_GAUSS_SCALE = 3**0.5 / 65536  # four uniform sixteenths summed have variance 1/3


def stream(seed: int, name: str) -> Random:
    """An independent generator for one use. Two uses never share one, so that neither changes the other's course."""
    return Random(f"{seed}/{name}")


def log_uniform(rng: Random, low: float, high: float) -> float:
    """Between `low` and `high`, each order of magnitude as likely as the next."""
    return float(low * (high / low) ** rng.random())


class Noise:
    """Noise without memory: the value at a quantum of time depends on (seed, channel, quantum) and nothing else."""

    __slots__ = ("_key", "_knot", "_left", "_right")

    def __init__(self, seed: int, channel: str) -> None:
        self._key = (crc32(channel.encode()) << 32) ^ (seed * 0x9E3779B97F4A7C15 & _MASK)
        self._knot: int | None = None  # the last stretch that `drift` was asked for: it stays the same for long
        self._left = self._right = 0.0

    def _hash(self, quantum: int) -> int:
        # the finaliser of SplitMix64: every bit of the input moves every bit of the output
        mixed = (self._key + quantum * 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def uniform(self, quantum: int) -> float:
        """A number in [0, 1)."""
        return (self._hash(quantum) >> 11) * 2.0**-53

    def normal(self, quantum: int) -> float:
        """Nearly normal, mean 0, deviation 1, never beyond 3.5: a sensor's noise has no tails without end."""
        # `_hash`, written out: a month of samples asks half a million times
        mixed = (self._key + quantum * 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        bits = mixed ^ (mixed >> 31)
        total = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
        return (total - 131070) * _GAUSS_SCALE

    def drift(self, at: float, scale: float) -> float:
        """Smooth wandering (mean 0, deviation below 1) whose turns are about `scale` seconds apart."""
        knot = int(at // scale)
        if knot != self._knot:
            self._knot, self._left, self._right = knot, self.normal(knot), self.normal(knot + 1)
        weight = (1.0 - cos(pi * (at / scale - knot))) / 2.0
        return self._left + (self._right - self._left) * weight
