"""CreditRisk+ against its published check case, a direct sum, and scale."""

from __future__ import annotations

from itertools import product
from math import exp, factorial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.analysis.creditrisk import Exposure, exposure, loss_distribution, smallest_unit

CASE = [Exposure(mu, nu) for mu, nu in zip((0.02, 0.05, 0.01, 0.03, 0.04), (3, 1, 5, 2, 4), strict=True)]


def test_the_check_case_to_every_digit() -> None:
    found = loss_distribution(CASE, sigma=0.8)
    assert [f"{each:.6f}" for each in found.probabilities[:7]] == [
        "0.866555", "0.039533", "0.025198", "0.017639", "0.033436", "0.011104", "0.002462",
    ]  # fmt: skip
    assert f"{found.expected:.2f}" == "0.38"
    assert f"{found.variance:.6f}" == "1.332416"
    assert [found.quantile(level) for level in (0.95, 0.99, 0.999)] == [4, 5, 9]
    assert f"{found.expected_shortfall(0.99):.3f}" == "6.521"


def test_the_check_case_without_a_common_factor() -> None:
    found = loss_distribution(CASE)
    assert f"{found.probabilities[0]:.6f}" == "0.860708"
    assert found.quantile(0.999) == 8


def test_two_machines_summed_directly() -> None:
    """Compound Poisson by hand: the number of events of each machine is Poisson."""
    found = loss_distribution([Exposure(0.5, 2), Exposure(0.3, 3)]).probabilities
    for loss in range(12):
        direct = sum(
            exp(-0.8) * 0.5**a / factorial(a) * 0.3**b / factorial(b)
            for a, b in product(range(7), repeat=2)
            if 2 * a + 3 * b == loss
        )
        assert found[loss] == pytest.approx(direct, rel=1e-9)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0.001, 0.5), st.integers(1, 10)), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.3, 1.0, 1.7]),
)
def test_moments_of_the_distribution_are_those_of_the_formula(machines: list[tuple[float, int]], sigma: float) -> None:
    found = loss_distribution([Exposure(mu, nu) for mu, nu in machines], sigma)
    mean = sum(n * p for n, p in enumerate(found.probabilities))
    assert sum(found.probabilities) == pytest.approx(1.0, abs=1e-6)
    assert mean == pytest.approx(found.expected, rel=1e-4)
    assert sum((n - mean) ** 2 * p for n, p in enumerate(found.probabilities)) == pytest.approx(found.variance, rel=1e-2)


def test_thousands_of_machines_do_not_underflow() -> None:
    """The probability of no loss at all is e^-2000, which no float holds."""
    found = loss_distribution([Exposure(4.0, 1 + number % 5) for number in range(500)])
    assert sum(found.probabilities) == pytest.approx(1.0, abs=1e-6)
    assert found.quantile(0.5) == pytest.approx(found.expected, rel=1e-3)


def test_a_loss_far_away_is_reached() -> None:
    found = loss_distribution([Exposure(0.01, 5_000)])
    assert found.probabilities[5_000] == pytest.approx(0.01 * exp(-0.01))
    assert found.quantile(0.995) == 5_000


def test_nobody_loses_nothing() -> None:
    found = loss_distribution([])
    assert (found.quantile(0.99), found.expected, found.expected_shortfall(0.99)) == (0, 0, 0)


def test_losses_become_whole_units() -> None:
    assert exposure(0.1, 26_000_00, 10_000_00) == Exposure(0.1, 3)
    assert exposure(0.1, 1, 10_000_00) == Exposure(0.1, 1)
    assert smallest_unit([5.0, 400.0]) == 2.0


@pytest.mark.parametrize("wrong", [(-0.1, 1), (float("nan"), 1), (float("inf"), 1), (0.1, 0)])
def test_exposures_that_are_none(wrong: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match=r"^(intensity|units): expected"):
        Exposure(*wrong)


def test_other_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma"):
        loss_distribution(CASE, -1.0)
    with pytest.raises(ValueError, match="level"):
        loss_distribution(CASE).quantile(1.0)
    with pytest.raises(ValueError, match="losses"):
        smallest_unit([0.0])
