"""How good forecasts are, by the measures that others publish for NN5. Unknown days are left out; zero days stay in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.cash_demand.columns import Array
from models.cash_demand.features import Flags
from models.cash_demand.graph import LEVELS, MIDDLE, SPAN

WQL_LEVELS = tuple(level / 10 for level in range(1, 10))
SPANS = (3, 5, 7)  # days
HIGH = 0.95


@dataclass(frozen=True)
class Daily:
    """Of the days ahead, means over the machines of their means over the days, but for wql."""

    smape: float
    """200·|a-f|/(|a|+|f|) (Makridakis and Hibon 2000, as the NN5 competition took it); f is the median."""
    mae: float
    mase: float
    """The error over the mean step from one day to the next among the rows before (Hyndman and Koehler 2006, m = 1)."""
    wql: float
    """Twice the pinball loss of the quantiles 0.1 to 0.9 over the sum of all amounts, mean over the levels."""
    coverage: float
    """Share of the days that are not above the quantile 0.95."""


@dataclass(frozen=True)
class Cumulative:
    """Of the demand of `days` days from every start day on, at the quantile 0.95, beside the same quantile of the past."""

    days: int
    spans: int
    coverage: float
    pinball: float
    history_coverage: float
    history_pinball: float

    @property
    def ratio(self) -> float:
        """Of the pinball losses."""
        return self.pinball / self.history_pinball if self.history_pinball > 0 else np.nan


def daily(actual: Array, quantiles: Array, before: Array) -> Daily:
    """`actual` [days, machines], `quantiles` [machines, days, LEVELS], `before` [days, machines]: what was known then."""
    wanted = actual.T
    error = np.abs(wanted - quantiles[..., MIDDLE])
    steps = _mean(np.abs(np.diff(before, axis=0)).T)
    steps = np.where(steps > 0, steps, np.nan)
    high = np.where(np.isfinite(error), wanted <= quantiles[..., LEVELS.index(HIGH)], np.nan)
    return Daily(
        smape=_overall(_relative(wanted, quantiles)),
        mae=_overall(error),
        mase=_over(_mean(error) / steps),
        wql=_wql(wanted, quantiles),
        coverage=_over(high),
    )


def by_day(actual: Array, quantiles: Array) -> Array:
    """SMAPE of each day ahead over all machines."""
    return _mean(_relative(actual.T, quantiles).T)


def _relative(wanted: Array, quantiles: Array) -> Array:
    median = quantiles[..., MIDDLE]
    size = np.abs(wanted) + np.abs(median)
    return np.asarray(200.0 * np.abs(wanted - median) / np.where(size > 0, size, 1.0))


def _wql(wanted: Array, quantiles: Array) -> float:
    known = np.isfinite(wanted) & np.isfinite(quantiles[..., MIDDLE])
    losses = [pinball(wanted[known], quantiles[known][:, LEVELS.index(level)], level).sum() for level in WQL_LEVELS]
    size = float(np.abs(wanted[known]).sum())
    return float(2.0 * np.mean(losses) / size) if size > 0 else np.nan


def pinball(actual: Array, quantile: Array, level: float) -> Array:
    """The loss whose least expectation is the quantile (Koenker and Bassett 1978)."""
    missed = actual - quantile
    return np.maximum(level * missed, (level - 1.0) * missed)


def demand(amounts: Array, first: int, closed: Flags) -> Array:
    """`amounts` [days, machines] with NaN where demand was not met; 0 is demand on a day on which a machine is closed.

    `closed` [machines, 7]: on which days of the week, counted from day `first` on.
    """
    shut = closed.T[(np.arange(len(amounts)) - first) % 7]
    return np.where((amounts > 0) | (shut & (amounts == 0)), amounts, np.nan)


def sums(demanded: Array, days: int) -> Array:
    """Demand of `days` days from each day on, [days - days + 1, machines]; NaN where one is not known."""
    if len(demanded) < days:
        return np.empty((0, demanded.shape[1]))
    return np.asarray(np.sum(np.lib.stride_tricks.sliding_window_view(demanded, days, axis=0), axis=-1))


def cumulative(demanded: Array, first: int, quantiles: Array, days: int) -> Cumulative:
    """`demanded` [days, machines] of the whole file; `quantiles` [starts, machines, 14, LEVELS] from day `first` on."""
    every = sums(demanded, days)
    starts = len(demanded) - days + 1 - first
    actual = every[first : first + starts]
    ours = quantiles[:starts, :, days - 1, LEVELS.index(HIGH)]
    theirs = np.stack([_past(every[: first + start - days + 1]) for start in range(starts)])
    known = np.isfinite(actual) & np.isfinite(ours) & np.isfinite(theirs)
    held = [np.where(known, actual <= quantile, np.nan) for quantile in (ours, theirs)]
    lost = [np.where(known, pinball(actual, quantile, HIGH), np.nan) for quantile in (ours, theirs)]
    return Cumulative(days, int(known.sum()), _over(held[0]), _over(lost[0]), _over(held[1]), _over(lost[1]))


def _past(past: Array) -> Array:
    """The quantile of what each machine was asked for in such a span before; NaN where too little is known."""
    enough = np.isfinite(past).sum(axis=0) >= SPAN
    found = np.full(past.shape[1], np.nan)
    if enough.any():
        found[enough] = np.nanquantile(past[:, enough], HIGH, axis=0)
    return found


def _mean(values: Array) -> Array:
    """Along the days; NaN where none is known."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _overall(values: Array) -> float:
    return _over(_mean(values))


def _over(values: Array) -> float:
    """Mean of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan
