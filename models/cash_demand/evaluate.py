"""Evaluation: learn on the rows before some day, forecast the days from it on, and compare. Nothing later is looked at.

The days ahead are forecast once, on their first morning. The sums are forecast on every morning, as a gateway does that knows
what was paid out the day before; the model stays the one that was trained before the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from models.cash_demand import measure
from models.cash_demand.columns import Array
from models.cash_demand.features import closed
from models.cash_demand.graph import SPAN, Rows, whole
from models.cash_demand.learn import Effort, learn
from models.cash_demand.measure import SPANS, Cumulative, Daily
from models.cash_demand.series import Calendar, Series, unknown


@dataclass(frozen=True)
class Judged:
    """One origin: the day on whose morning the forecast was made, and what came of it."""

    origin: int
    horizon: int
    daily: Daily
    cumulative: tuple[Cumulative, ...]
    left_out: tuple[str, ...]
    """Machines of which nothing was known."""
    quantiles: Array
    """[machines, horizon, LEVELS]"""

    def measures(self) -> dict[str, Any]:
        """As one JSON object."""
        sums = {
            str(each.days): {name: _rounded(value) for name, value in asdict(each).items() if name != "days"}
            | {"ratio": _rounded(each.ratio)}
            for each in self.cumulative
        }
        return {
            "origin": self.origin,
            "horizon": self.horizon,
            **{name: _rounded(value) for name, value in asdict(self.daily).items()},
            "cumulative": sums,
            "left_out": list(self.left_out),
        }


def _rounded(value: float) -> float | int | None:
    """None where nothing was known, for JSON has no NaN."""
    if isinstance(value, int):
        return value
    return round(value, 5) if isfinite(value) else None


def judge(series: Series, calendar: Calendar, origin: int, horizon: int, run: Rows, step: Callable[[], None]) -> Judged:
    """Forecast with a graph that is there already. `step` is called after each morning."""
    given = series.before(origin)
    quantiles = run(given, calendar.around(origin))[0][:, :horizon].astype(np.float64)
    actual, before = series.amounts[origin : origin + horizon], series.amounts[:origin]
    mornings = list(_mornings(series, calendar, origin, horizon, run, step))
    seen = measure.demand(series.amounts[: origin + horizon], origin, closed(given))
    spans = tuple(measure.cumulative(seen, origin, np.stack(mornings), days) for days in SPANS if days <= horizon)
    left_out = tuple(unknown(series.machines, given))
    return Judged(origin, horizon, measure.daily(actual, quantiles, before), spans, left_out, quantiles)


def _mornings(
    series: Series, calendar: Calendar, origin: int, horizon: int, run: Rows, step: Callable[[], None]
) -> Iterator[Array]:
    for day in range(origin, origin + horizon):
        yield run(series.before(day), calendar.around(day))[1].astype(np.float64)
        step()


def learn_and_judge(
    series: Series, calendar: Calendar, origin: int, horizon: int, effort: Effort, seed: int, step: Callable[[], None]
) -> Judged:
    """Train on the days before the origin, then forecast."""
    learned = learn(series, calendar, origin, effort, seed, step)
    return judge(series, calendar, origin, horizon, whole(learned), step)


def origins(days: int, horizon: int, count: int, apart: int) -> list[int]:
    """The last origins of a file, the latest first."""
    return [days - horizon - number * apart for number in range(count)]


def spread(judged: Sequence[Judged]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each measure over the origins."""
    rows = [asdict(each.daily) | _flat(each.cumulative) for each in judged]
    return {name: _middle([row[name] for row in rows]) for name in rows[0]}


def _flat(spans: Sequence[Cumulative]) -> dict[str, float]:
    return {f"coverage_{each.days}d": each.coverage for each in spans} | {f"pinball_{each.days}d": each.ratio for each in spans}


def _middle(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


assert max(SPANS) <= SPAN
