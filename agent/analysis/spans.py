"""Spans of time and what they have in common. A span is [start, end) in seconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """From `start` to before `end`."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return max(0.0, self.end - self.start)


def united(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that neither overlap nor touch, in order."""
    found: list[Span] = []
    for span in sorted(span for span in spans if span.end > span.start):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(Span(*span))
    return found


def clipped(spans: Iterable[Span], within: Span) -> list[Span]:
    """The parts that lie within a span."""
    cut = (Span(max(span.start, within.start), min(span.end, within.end)) for span in spans)
    return [span for span in cut if span.end > span.start]


def common(first: Iterable[Span], second: Iterable[Span]) -> list[Span]:
    """The time that lies in both."""
    own = united(first)
    return [part for span in united(second) for part in clipped(own, span)]


def without(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """The time of `spans` that lies in none of `holes`."""
    rest = united(spans)
    for hole in united(holes):
        rest = [
            part
            for span in rest
            for part in (Span(span.start, min(span.end, hole.start)), Span(max(span.start, hole.end), span.end))
            if part.end > part.start
        ]
    return rest


def seconds(spans: Iterable[Span]) -> float:
    """How long they are together, overlaps counted once."""
    return sum(span.seconds for span in united(spans))
