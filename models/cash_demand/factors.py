"""The calendar's pooled effect: how much more or less than usual all machines pay out on a day of that date.

The logarithm of an amount is taken as the machine's usual level on that weekday plus one factor a day that all machines share.
The days' factors are then explained by the columns of the calendar and a steady growth, by a ridge regression that a few odd days
cannot bend. The growth is told from the seasons here and then left out: a machine's own recent weeks carry it.
"""

from __future__ import annotations

import warnings

import numpy as np

from models.cash_demand.columns import HOLIDAYS, SELDOM, Array
from models.cash_demand.features import WEEK

ROUNDS = 5
PENALTY = 1.0  # of the ridge, in days: what was seen n times is believed n / (n + PENALTY)
HOLIDAY_PENALTY = 0.05  # one Easter tells more of the next one than nothing does
FREE = 1e-3  # of growth and level, which are not drawn to 0
ODD = 4.5  # median absolute deviations beyond which a day's weight falls


def factors(amounts: Array, columns: Array) -> Array:
    """Effects [columns] on the logarithm of the amount, from amounts [days, machines] and the days' columns [days, columns].

    0 and NaN are days that are not known.
    """
    logs = np.log(np.where(amounts > 0, amounts, np.nan))
    explained = np.column_stack([columns, np.linspace(-1.0, 1.0, len(columns)), np.ones(len(columns))])
    effects: Array = np.zeros(explained.shape[1])
    for _ in range(ROUNDS):
        usual = _usual(logs - (explained @ effects)[:, None])
        effects = _ridge(explained, _median(logs - usual, axis=1))
    return effects[:-2]


def _usual(logs: Array) -> Array:
    """Each machine's level on that day of the week."""
    usual = np.empty_like(logs)
    for weekday in range(WEEK):
        usual[weekday::WEEK] = _median(logs[weekday::WEEK], axis=0)
    return usual


def _median(values: Array, axis: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a day that no machine knows has no median: NaN is right
        return np.asarray(np.nanmedian(values, axis=axis))


def _ridge(explained: Array, days: Array) -> Array:
    known = np.isfinite(days)
    x, y = explained[known], days[known]
    penalties = np.full(x.shape[1], PENALTY)
    penalties[HOLIDAYS] = HOLIDAY_PENALTY
    penalties[-2:] = FREE
    seldom = x[:, SELDOM].any(axis=1)
    weights: Array = np.ones(len(y))
    effects: Array = np.zeros(x.shape[1])
    for _ in range(3):
        effects = np.asarray(np.linalg.solve(x.T * weights @ x + np.diag(penalties), x.T @ (weights * y)), np.float64)
        rest = np.abs(y - x @ effects)
        weights = 1.0 / np.maximum(1.0, rest / max(ODD * float(np.median(rest)), 1e-6))
        weights[seldom] = 1.0  # the days around Easter and Christmas are odd by nature, and there are few of them
    return effects
