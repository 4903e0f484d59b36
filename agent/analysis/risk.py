"""Cash risk of one machine: what may be asked for until the next replenishment, against what is there.

    D   demand until the next replenishment, a distribution      B   cash that can be paid out now

    P(cash-out)             P(D > B)
    cash-at-risk at q       max(0, Q_q[D] - B)      the cash that is missing at confidence q
    expected unmet demand   E[(D - B)+]
    idle cash               E[(B - D)+]
    newsvendor load         F^-1(c_u / (c_u + c_o)) c_u: cost of a unit that is missing, c_o: of one that lies idle

Amounts are minor units of one currency.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import floor, sqrt
from statistics import NormalDist, fmean
from typing import Protocol

CENSORED_BELOW = 0.95  # availability: a day on which the machine paid out less than it was asked for is a lower bound
LEAST_SAMPLES = 8  # past spans that make a distribution


class Demand(Protocol):
    """What may be asked for until some moment."""

    @property
    def mean(self) -> float:
        """What is expected."""

    def probability_above(self, amount: float) -> float:
        """Of more than `amount`."""

    def quantile(self, level: float) -> float:
        """What is not exceeded with probability `level`."""

    def unmet(self, amount: float) -> float:
        """Expected demand beyond `amount`."""


@dataclass(frozen=True)
class NormalDemand:
    """Independent normal days."""

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not self.deviation > 0:
            raise ValueError(f"deviation: expected more than 0, got {self.deviation}")

    @classmethod
    def of_days(cls, days: float, mean: float, deviation: float) -> NormalDemand:
        """The demand of `days` days of this mean and deviation a day."""
        return cls(days * mean, sqrt(days) * deviation)

    def probability_above(self, amount: float) -> float:
        """Of more than `amount`."""
        return 1.0 - NormalDist(self.mean, self.deviation).cdf(amount)

    def quantile(self, level: float) -> float:
        """What is not exceeded with probability `level`."""
        return NormalDist(self.mean, self.deviation).inv_cdf(level)

    def unmet(self, amount: float) -> float:
        """Expected demand beyond `amount`."""
        z = (amount - self.mean) / self.deviation
        unit = NormalDist()
        return self.deviation * (unit.pdf(z) - z * (1.0 - unit.cdf(z)))


@dataclass(frozen=True)
class SampledDemand:
    """Equally likely outcomes: what the past would have asked for in such a span."""

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError("samples: expected at least one")
        object.__setattr__(self, "samples", tuple(sorted(self.samples)))

    @property
    def mean(self) -> float:
        """What is expected."""
        return fmean(self.samples)

    def probability_above(self, amount: float) -> float:
        """Of more than `amount`."""
        return 1.0 - bisect_right(self.samples, amount) / len(self.samples)

    def quantile(self, level: float) -> float:
        """Between the samples, linearly (Hyndman and Fan, 1996, type 7)."""
        place = level * (len(self.samples) - 1)
        low = floor(place)
        high = min(low + 1, len(self.samples) - 1)
        return self.samples[low] + (place - low) * (self.samples[high] - self.samples[low])

    def unmet(self, amount: float) -> float:
        """Expected demand beyond `amount`."""
        return fmean(max(0.0, sample - amount) for sample in self.samples)


@dataclass(frozen=True)
class CashRisk:
    """The risk of one machine until its next replenishment; amounts in minor units."""

    cash: int
    probability_of_cash_out: float
    cash_at_risk: float
    level: float
    expected_unmet: float
    idle: float
    days_to_empty: float | None
    """At the mean demand; None when nothing is asked for."""


def cash_risk(cash: int, days: float, demand: Demand, level: float = 0.95) -> CashRisk:
    """The risk of `cash` against the demand of the next `days` days."""
    unmet = demand.unmet(cash)
    a_day = demand.mean / days
    return CashRisk(
        cash=cash,
        probability_of_cash_out=demand.probability_above(cash),
        cash_at_risk=max(0.0, demand.quantile(level) - cash),
        level=level,
        expected_unmet=unmet,
        idle=cash - demand.mean + unmet,  # E[(B-D)+] = B - E[D] + E[(D-B)+]
        days_to_empty=cash / a_day if a_day > 0 else None,
    )


def newsvendor_load(demand: Demand, missing: float, idle: float) -> float:
    """The load at which one more unit costs as much as it saves. `missing`, `idle`: cost of one unit too few, too many."""
    if not (missing > 0 and idle > 0):
        raise ValueError(f"costs: expected more than 0, got {missing} and {idle}")
    return demand.quantile(missing / (missing + idle))


def days_to_empty(notes: Mapping[str, float], notes_a_day: Mapping[str, float]) -> float | None:
    """Days until the first unit is empty; None when no unit is asked for."""
    days = [notes[unit] / rate for unit, rate in notes_a_day.items() if rate > 0]
    return min(days, default=None)


def security_exposure(dispensable: int, deposited: int = 0, retracted: int = 0) -> int:
    """What a thief would find: all cash in the machine, in minor units."""
    return dispensable + deposited + retracted


@dataclass(frozen=True)
class DayOfDemand:
    """What was paid out on one day (minor units), and the share of its opening hours in which it could be."""

    day: date
    amount: float
    available: float = 1.0

    @property
    def censored(self) -> bool:
        """The amount is a lower bound of the demand and no observation of it."""
        return self.available < CENSORED_BELOW


def demand_from(past: Sequence[DayOfDemand], first: date, days: float) -> SampledDemand | None:
    """The demand of the `days` days from `first` on, as past spans of as many days foretell it; None when there are too few.

    Each past span without a censored day gives one sample: what was asked in it, compared with what its weekdays usually ask,
    times what the coming weekdays usually ask. So the weekday is known, and how days go together is kept.
    """
    known = {each.day: each.amount for each in past if not each.censored}
    if not known or days <= 0:
        return None
    usual = _weekday_means(known)
    whole, part = int(days), days - int(days)
    weights = [1.0] * whole + ([part] if part > 0 else [])
    coming = _expected(usual, first, weights)
    samples = []
    for start in sorted(known):
        span = [start + timedelta(days=number) for number in range(len(weights))]
        expected = _expected(usual, start, weights)
        if expected > 0 and all(day in known for day in span):
            asked = sum(known[day] * weight for day, weight in zip(span, weights, strict=True))
            samples.append(asked / expected * coming)
    return SampledDemand(tuple(samples)) if len(samples) >= LEAST_SAMPLES else None


def _weekday_means(known: Mapping[date, float]) -> dict[int, float]:
    """The mean of each weekday; of all days where a weekday was never seen."""
    overall = fmean(known.values())
    by_weekday: dict[int, list[float]] = {}
    for day, amount in known.items():
        by_weekday.setdefault(day.weekday(), []).append(amount)
    return {weekday: fmean(by_weekday.get(weekday, [overall])) for weekday in range(7)}


def _expected(usual: Mapping[int, float], first: date, weights: Sequence[float]) -> float:
    return sum(usual[(first + timedelta(days=number)).weekday()] * weight for number, weight in enumerate(weights))
