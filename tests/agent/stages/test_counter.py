"""Growth of counters, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.stages.counter import growth


@pytest.mark.parametrize(
    ("last", "value", "grown"),
    [
        (100, 107, 7),
        (100, 100, 0),
        (100, 3, 3),  # started anew
        (65_530, 4, 10),  # 16 bits: 65530 … 65535, 0 … 4
        (4_294_967_295, 0, 1),  # 32 bits
        (65_530, 60_000, 60_000),  # too far back for a wrap
        (60_000, 5, 5),  # too far from its end for a wrap
        (70_000, 5, 5),  # beyond 16 bits, far from 32
        (0.5, 0.25, 0.25),
    ],
)
def test_growth(last: float, value: float, grown: float) -> None:
    assert growth(last, value) == grown


@given(st.integers(0, 2**53), st.integers(0, 2**53))
def test_a_counter_never_shrinks(last: int, value: int) -> None:
    assert growth(last, value) >= 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 40_000_000), st.sampled_from([2**16, 2**32]))
def test_a_wrap_near_the_end_is_the_true_growth(start: int, steps: int, modulus: int) -> None:
    start %= modulus
    steps %= modulus // 100 + 1
    end = (start + steps) % modulus
    if end < start and start >= 0.99 * modulus and end <= 0.01 * modulus:
        assert growth(start, end) == steps
