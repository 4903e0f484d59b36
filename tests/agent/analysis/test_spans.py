"""Spans of time: unions, parts in common, holes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.spans import Span, clipped, common, seconds, united, without

_SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda ends: Span(min(ends), max(ends))), max_size=8)


def moments(spans: list[Span]) -> set[int]:
    """The whole seconds within."""
    return {moment for span in spans for moment in range(int(span.start), int(span.end))}


def test_by_hand() -> None:
    spans = [Span(0, 10), Span(5, 20), Span(20, 25), Span(30, 40), Span(33, 34), Span(50, 50)]
    assert united(spans) == [Span(0, 25), Span(30, 40)]
    assert seconds(spans) == 35
    assert clipped(spans, Span(8, 32)) == [Span(8, 10), Span(8, 20), Span(20, 25), Span(30, 32)]
    assert without([Span(0, 100)], spans) == [Span(25, 30), Span(40, 100)]
    assert common([Span(0, 100)], [Span(90, 120), Span(-5, 5)]) == [Span(0, 5), Span(90, 100)]


@given(_SPANS, _SPANS)
def test_they_are_sets_of_moments(first: list[Span], second: list[Span]) -> None:
    assert moments(united(first)) == moments(first)
    assert seconds(first) == len(moments(first))
    assert moments(common(first, second)) == moments(first) & moments(second)
    assert moments(without(first, second)) == moments(first) - moments(second)
    for found in (united(first), without(first, second), common(first, second)):
        assert all(early.end <= late.start for early, late in pairwise(found))
