"""Cash risk against its published check case, by hand, and on a past with a weekly pattern."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import exp, log, sqrt
from random import Random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.risk import (
    DayOfDemand,
    QuantileDemand,
    SampledDemand,
    cash_risk,
    demand_from,
    first_empty,
    history_forecast,
    lasts_until,
    quantile_forecast,
)

MONDAY = date(2025, 3, 10)


@dataclass(frozen=True)
class NormalDemand:
    """Independent normal days, as the check case has them."""

    mean: float
    deviation: float

    @classmethod
    def of_days(cls, days: float, mean: float, deviation: float) -> NormalDemand:
        return cls(days * mean, sqrt(days) * deviation)

    def probability_above(self, amount: float) -> float:
        return 1.0 - NormalDist(self.mean, self.deviation).cdf(amount)

    def quantile(self, level: float) -> float:
        return NormalDist(self.mean, self.deviation).inv_cdf(level)

    def unmet(self, amount: float) -> float:
        z = (amount - self.mean) / self.deviation
        unit = NormalDist()
        return self.deviation * (unit.pdf(z) - z * (1.0 - unit.cdf(z)))


def test_the_check_case_to_every_digit() -> None:
    demand = NormalDemand.of_days(3, 12_000, 3_500)
    risk = cash_risk(41_200, 3, demand)
    assert risk.days_to_empty is not None
    assert f"{risk.days_to_empty:.2f}" == "3.43"
    assert f"{risk.probability_of_cash_out:.4f}" == "0.1955"
    assert f"{demand.quantile(0.95):.0f}" == "45971"
    assert f"{risk.cash_at_risk:.0f}" == "4771"
    assert f"{risk.expected_unmet:.1f}" == "657.4"


def test_samples_by_hand() -> None:
    risk = cash_risk(250, 2, SampledDemand((300.0, 100.0, 200.0, 400.0)), level=0.5)
    assert (risk.probability_of_cash_out, risk.expected_unmet, risk.idle) == (0.5, 50.0, 50.0)
    assert (risk.cash_at_risk, risk.days_to_empty) == (0.0, 2.0)
    assert SampledDemand((0.0, 10.0)).quantile(0.25) == 2.5


@given(st.integers(0, 10**7), st.lists(st.floats(0, 1e7), min_size=1, max_size=30))
def test_what_is_there_is_either_asked_for_or_idle(cash: int, samples: list[float]) -> None:
    demand = SampledDemand(tuple(samples))
    risk = cash_risk(cash, 3, demand)
    assert risk.idle == pytest.approx(sum(max(0.0, cash - sample) for sample in samples) / len(samples), abs=1e-3)
    assert cash - risk.idle + risk.expected_unmet == pytest.approx(demand.mean, abs=1e-3)
    assert 0.0 <= risk.probability_of_cash_out <= 1.0


def test_nothing_asked_lasts_for_ever() -> None:
    assert cash_risk(100, 1, SampledDemand((0.0,))).days_to_empty is None


def test_the_unit_that_is_empty_first_counts() -> None:
    assert first_empty({"unit1": 100, "unit2": 900}, {"unit1": 50, "unit2": 300, "unit3": 7, "unit4": 0}) == ("unit1", 2.0)
    assert first_empty({"unit1": 100}, {}) is None


@pytest.mark.parametrize("make", [lambda: SampledDemand(())])
def test_demand_that_is_none(make: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()  # type: ignore[operator]


def past(weeks: int, seed: int = 1, down: frozenset[int] = frozenset()) -> list[DayOfDemand]:
    """Fridays ask three times as much; 10 % noise. On the days in `down` the machine was out of order, and paid out half."""
    rng = Random(seed)
    days = []
    for number in range(7 * weeks):
        day = MONDAY + timedelta(days=number)
        amount = (30_000.0 if day.weekday() == 4 else 10_000.0) * rng.gauss(1.0, 0.1)
        broken = number in down
        days.append(DayOfDemand(day, amount / 2 if broken else amount, 0.5 if broken else 1.0))
    return days


def test_a_weekend_is_foretold_from_weekends() -> None:
    demand = demand_from(past(12), MONDAY + timedelta(days=88), 3)  # Friday to Sunday
    assert demand is not None
    assert demand.mean == pytest.approx(50_000, rel=0.05)
    assert demand.quantile(0.95) < 62_000
    other = demand_from(past(12), MONDAY + timedelta(days=84), 3)  # Monday to Wednesday
    assert other is not None
    assert other.mean == pytest.approx(30_000, rel=0.05)


def test_part_of_a_day_counts_in_part() -> None:
    demand = demand_from(past(12), MONDAY + timedelta(days=84), 1.5)
    assert demand is not None
    assert demand.mean == pytest.approx(15_000, rel=0.05)


def test_days_on_which_the_machine_was_down_are_no_observation() -> None:
    down = frozenset(range(0, 364, 5))
    honest = demand_from(past(52, down=down), MONDAY + timedelta(days=364), 1)
    assert honest is not None
    assert honest.mean == pytest.approx(10_000, rel=0.05)
    fooled = demand_from([DayOfDemand(each.day, each.amount) for each in past(52, down=down)], MONDAY + timedelta(days=364), 1)
    assert fooled is not None
    assert fooled.mean < 0.95 * honest.mean


@pytest.mark.parametrize(("days", "weeks"), [(3, 1), (0, 12), (80, 12)])
def test_too_little_past_foretells_nothing(days: float, weeks: int) -> None:
    assert demand_from(past(weeks), MONDAY, days) is None
    assert demand_from([], MONDAY, 1) is None


# Forecasts --------------------------------------------------------------------------------------------------------------------

LEVELS = {0.1: 100.0, 0.5: 200.0, 0.9: 400.0}


def test_quantiles_make_a_distribution_by_hand() -> None:
    demand = QuantileDemand(LEVELS)
    assert [demand.quantile(level) for level in (0.1, 0.3, 0.5, 0.9)] == pytest.approx([100.0, 150.0, 200.0, 400.0])
    assert [demand.probability_above(amount) for amount in (0.0, 50.0, 100.0, 150.0, 300.0)] == pytest.approx(
        [1.0, 0.95, 0.9, 0.7, 0.3]
    )
    tail = 200.0 / log(5.0)  # the last two levels: of a half, a fifth is left 200 further on
    assert demand.probability_above(400.0 + tail) == pytest.approx(0.1 * exp(-1.0))
    assert demand.quantile(0.99) == pytest.approx(400.0 + tail * log(10.0))
    assert demand.mean == pytest.approx(0.1 * 50.0 + 0.4 * 150.0 + 0.4 * 300.0 + 0.1 * (400.0 + tail))


@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), st.floats(0, 2e6))
def test_unmet_demand_is_the_area_of_what_is_above(amounts: list[float], cash: float) -> None:
    demand = QuantileDemand(dict(zip((0.1, 0.5, 0.9), amounts, strict=True)))
    assert demand.unmet(0.0) == pytest.approx(demand.mean, rel=1e-6, abs=1e-6)
    steps = 2_000
    area = sum(max(0.0, demand.quantile((number + 0.5) / steps) - cash) for number in range(steps)) / steps
    assert demand.unmet(cash) == pytest.approx(area, rel=0.02, abs=max(amounts) * 1e-3 + 1e-6)
    assert 0.0 <= demand.probability_above(cash) <= 1.0


def test_the_check_case_as_a_model_would_tell_it() -> None:
    """Many quantiles of the check case's normal distribution give what the normal distribution gives."""
    normal = NormalDemand.of_days(3, 12_000, 3_500)
    levels = [number / 200 for number in range(1, 200)]
    risk = cash_risk(41_200, 3, QuantileDemand({level: normal.quantile(level) for level in levels}))
    assert risk.probability_of_cash_out == pytest.approx(0.1955, abs=1e-4)
    assert risk.cash_at_risk == pytest.approx(4_771, abs=1)
    assert risk.expected_unmet == pytest.approx(657.4, rel=0.01)


def test_a_forecast_out_of_cumulative_quantiles() -> None:
    forecast = quantile_forecast({1: {0.5: 100.0, 0.9: 150.0}, 2: {0.5: 210.0, 0.9: 280.0}, 4: {0.5: 400.0, 0.9: 500.0}})
    medians = {days: demand.quantile(0.5) for days in (0.5, 1.0, 1.5, 3.0) if (demand := forecast(days)) is not None}
    assert medians == pytest.approx({0.5: 50.0, 1.0: 100.0, 1.5: 155.0, 3.0: 305.0})
    assert (forecast(0.0), forecast(4.1)) == (None, None)
    assert lasts_until(155.0, forecast, 0.5) == pytest.approx(1.5)
    assert lasts_until(40.0, forecast, 0.5) == pytest.approx(0.4)
    assert lasts_until(155.0, forecast, 0.9) == pytest.approx(1.0 + 5.0 / 130.0)
    assert lasts_until(1_000.0, forecast, 0.5) is None, "longer than is known"


def test_the_past_is_a_forecast_too() -> None:
    demand = history_forecast(past(12), MONDAY + timedelta(days=84))(3.0)
    assert demand is not None
    assert demand.mean == pytest.approx(30_000, rel=0.05)


@pytest.mark.parametrize("quantiles", [{}, {0.5: 1.0}, {0.0: 1.0, 0.5: 2.0}, {0.5: 1.0, 1.0: 2.0}, {0.1: 1.0, 0.5: float("nan")}])
def test_quantiles_that_are_none(quantiles: dict[float, float]) -> None:
    with pytest.raises(ValueError, match="quantiles: expected"):
        QuantileDemand(quantiles)


@pytest.mark.parametrize("by_days", [{}, {0: LEVELS}, {1: LEVELS, 2: {0.5: 1.0, 0.9: 2.0}}])
def test_forecasts_that_are_none(by_days: dict[int, dict[float, float]]) -> None:
    with pytest.raises(ValueError, match="the same levels"):
        quantile_forecast(by_days)
