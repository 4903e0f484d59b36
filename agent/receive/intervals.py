"""Sets of whole numbers that mostly follow one another: as few bytes as there are gaps, however many numbers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Intervals:
    """Disjoint intervals first..last, both ends in, in order, never touching."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._firsts, number) - 1
        return index >= 0 and number <= self._lasts[index]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """How many numbers."""
        return sum(last - first + 1 for first, last in self)

    @property
    def highest(self) -> int:
        """The largest number; 0 when there is none."""
        return self._lasts[-1] if self._lasts else 0

    def add(self, first: int, last: int) -> None:
        """Put in the numbers first to last."""
        begin = bisect_left(self._lasts, first - 1)  # what touches or overlaps lies in begin..end
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def union(self, other: Intervals) -> Intervals:
        """What is in either."""
        both = Intervals()
        for first, last in (*self, *other):
            both.add(first, last)
        return both

    def holes(self) -> list[tuple[int, int]]:
        """What is not in it, from 1 to the highest."""
        before = [0, *self._lasts]
        return [(last + 1, first - 1) for last, first in zip(before, self._firsts, strict=False) if first > last + 1]
