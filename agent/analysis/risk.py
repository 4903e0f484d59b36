"""Cash risk of one machine: what may be asked for until the next replenishment, against what is there.

    D   demand until the next replenishment, a distribution      B   cash that can be paid out now

    P(cash-out)             P(D > B)
    cash-at-risk at q       max(0, Q_q[D] - B)      the cash that is missing at confidence q
    expected unmet demand   E[(D - B)+]
    idle cash               E[(B - D)+]

Where the demand comes from is nobody's business here: a Forecast is any callable that takes a number of days and returns the
Demand of that time. A model gives its quantiles (`quantile_forecast`), the past foretells without one (`history_forecast`).

Amounts are minor units of one currency.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from math import exp, floor, fsum, isfinite, log
from typing import Protocol, TypeAlias

DAY = 86_400.0  # s
HORIZON = 3 * DAY  # s until the next replenishment, where no calendar tells it
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
        return _mean(self.samples)

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
        return _mean([max(0.0, sample - amount) for sample in self.samples])


@dataclass(frozen=True)
class QuantileDemand:
    """A distribution by some of its quantiles: level (between 0 and 1) -> amount that is not exceeded with that probability.

    Between two levels the amount is taken as linear in the level, below the lowest it falls linearly to nothing at level 0,
    and beyond the highest it has an exponential tail as steep as the last two levels are. So P(cash-out) is more than 0
    however much cash there is. Quantiles that cross are sorted; a negative amount is none.
    """

    quantiles: Mapping[float, float]

    def __post_init__(self) -> None:
        levels = sorted(self.quantiles)
        if len(levels) < 2 or not 0.0 < levels[0] <= levels[-1] < 1.0:
            raise ValueError(f"quantiles: expected two levels or more between 0 and 1, got {levels}")
        if not all(isfinite(amount) for amount in self.quantiles.values()):
            raise ValueError("quantiles: expected finite amounts")
        amounts = sorted(max(0.0, float(amount)) for amount in self.quantiles.values())
        object.__setattr__(self, "quantiles", dict(zip(levels, amounts, strict=True)))

    @property
    def _points(self) -> list[tuple[float, float]]:
        return [(0.0, 0.0), *self.quantiles.items()]

    @property
    def _tail(self) -> float:
        """Mean of what lies beyond the highest quantile, given that it is exceeded."""
        (low, less), (high, more) = list(self.quantiles.items())[-2:]
        return (more - less) / log((1.0 - low) / (1.0 - high))

    @property
    def mean(self) -> float:
        """The area under the quantiles."""
        level, amount = self._points[-1]
        inner = sum((high - low) * (less + more) / 2.0 for (low, less), (high, more) in pairwise(self._points))
        return inner + (1.0 - level) * (amount + self._tail)

    def probability_above(self, amount: float) -> float:
        """Of more than `amount`."""
        level, highest = self._points[-1]
        if amount >= highest:
            tail = self._tail
            return (1.0 - level) * exp((highest - amount) / tail) if tail > 0.0 else 0.0
        for (low, less), (high, more) in reversed(list(pairwise(self._points))):
            if less <= amount < more:
                return 1.0 - low - (high - low) * (amount - less) / (more - less)
        return 1.0

    def quantile(self, level: float) -> float:
        """What is not exceeded with probability `level`."""
        highest, amount = self._points[-1]
        if level > highest:
            return amount + self._tail * log((1.0 - highest) / (1.0 - level))
        for (low, less), (high, more) in pairwise(self._points):
            if level <= high:
                return less + (more - less) * (level - low) / (high - low)
        return amount

    def unmet(self, amount: float) -> float:
        """Expected demand beyond `amount`: the area under the quantiles above it."""
        level, highest = self._points[-1]
        beyond = max(amount, highest)
        total = (
            self.probability_above(beyond) * self._tail if amount >= highest else (1.0 - level) * (highest - amount + self._tail)
        )
        for (low, less), (high, more) in pairwise(self._points):
            if more <= amount:
                continue
            start = max(less, amount)
            share = (high - low) * (more - start) / (more - less) if more > less else high - low
            total += share * ((start + more) / 2.0 - amount)
        return total


Forecast: TypeAlias = Callable[[float], Demand | None]
"""Days from now on (more than 0, parts of a day among them) -> the demand of all of them together; None when it is not known."""


def quantile_forecast(by_days: Mapping[int, Mapping[float, float]]) -> Forecast:
    """A forecast out of a model's cumulative quantiles: number of days -> level -> what those days ask for together.

    All numbers of days have the same levels. Between two of them an amount is taken as linear in the days, before the first
    too (nothing is asked in no time); beyond the last the forecast is not known. Raises ValueError when the levels differ.
    """
    levels = {tuple(sorted(quantiles)) for quantiles in by_days.values()}
    if len(levels) != 1 or min(by_days, default=0) < 1:
        raise ValueError("quantiles: expected the same levels for each number of days, and 1 day or more")
    (wanted,) = levels
    known = sorted(by_days)

    def forecast(days: float) -> Demand | None:
        if not 0.0 < days <= known[-1]:
            return None
        after = next(each for each in known if each >= days)
        before = max((each for each in known if each < after), default=0)
        nothing = dict.fromkeys(wanted, 0.0)
        low, high, part = by_days.get(before, nothing), by_days[after], (days - before) / (after - before)
        return QuantileDemand({level: low[level] + (high[level] - low[level]) * part for level in wanted})

    return forecast


def history_forecast(past: Sequence[DayOfDemand], first: date) -> Forecast:
    """The fallback: what past spans of as many days foretell (`demand_from`)."""
    return lambda days: demand_from(past, first, days)


def lasts_until(cash: float, forecast: Forecast, level: float, longest: int = 56) -> float | None:
    """Days until the cash is gone if no more is asked than with probability `level`; None when it lasts longer than is known.

    With 0.5 that is days-to-empty as people plan with it, with 0.95 the cautious one that an alarm wants.
    """
    before = 0.0
    for days in range(1, longest + 1):
        demand = forecast(float(days))
        if demand is None:
            return None
        asked = demand.quantile(level)
        if asked > cash:
            return days - 1 + max(0.0, cash - before) / (asked - before) if asked > before else float(days)
        before = asked
    return None


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


def first_empty(notes: Mapping[str, int], notes_a_day: Mapping[str, float]) -> tuple[str, float] | None:
    """The unit that is empty first and the days until then; None when no unit is asked for."""
    days = [(notes[unit] / rate, unit) for unit, rate in notes_a_day.items() if rate > 0 and unit in notes]
    if not days:
        return None
    least, unit = min(days)
    return unit, least


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
    overall = _mean(known.values())
    by_weekday: dict[int, list[float]] = {}
    for day, amount in known.items():
        by_weekday.setdefault(day.weekday(), []).append(amount)
    return {weekday: _mean(by_weekday.get(weekday, [overall])) for weekday in range(7)}


def _expected(usual: Mapping[int, float], first: date, weights: Sequence[float]) -> float:
    return sum(usual[(first + timedelta(days=number)).weekday()] * weight for number, weight in enumerate(weights))


def _mean(values: Collection[float]) -> float:
    return fsum(values) / len(values)  # of the standard library's statistics a gateway would load no more than this
