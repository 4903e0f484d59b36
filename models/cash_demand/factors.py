"""The calendar's pooled effect: how much more or less than usual all machines pay out on a day of that date.

The logarithm of an amount is taken as the machine's usual level on that weekday plus one factor a day that all machines share.
The days' factors are then explained by the columns of the calendar, by a ridge regression that a few odd days cannot bend.
"""

from __future__ import annotations

import warnings

import numpy as np

from models.cash_demand.columns import HOLIDAYS, Array
from models.cash_demand.features import WEEK

REACH = 6  # weeks on either side that make a day's usual level
ROUNDS = 3
PENALTY = 1.0  # of the ridge, in days: what was seen n times is believed n / (n + PENALTY)
HOLIDAY_PENALTY = 0.05  # one Easter tells more of the next one than nothing does
ODD = 4.5  # median absolute deviations beyond which a day's weight falls


def factors(amounts: Array, columns: Array) -> Array:
    """Effects [columns] on the logarithm of the amount, from amounts [days, machines] and the days' columns [days, columns].

    0 and NaN are days that are not known.
    """
    logs = np.log(np.where(amounts > 0, amounts, np.nan))
    effects: Array = np.zeros(columns.shape[1])
    for _ in range(ROUNDS):
        usual = _usual(logs - (columns @ effects)[:, None])
        effects = _ridge(columns, _median(logs - usual, axis=1))
    return effects


def _usual(logs: Array) -> Array:
    """Each day's level: the median over the same weekday in the weeks around it."""
    reach = REACH * WEEK
    padded = np.pad(logs, ((reach, reach), (0, 0)), constant_values=np.nan)
    return _median(np.stack([padded[start : start + len(logs)] for start in range(0, 2 * reach + 1, WEEK)]), axis=0)


def _median(values: Array, axis: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a day that no machine knows has no median: NaN is right
        return np.asarray(np.nanmedian(values, axis=axis))


def _ridge(columns: Array, days: Array) -> Array:
    known = np.isfinite(days)
    x, y = np.column_stack([columns[known], np.ones(known.sum())]), days[known]
    penalties = np.full(x.shape[1], PENALTY)
    penalties[HOLIDAYS] = HOLIDAY_PENALTY
    penalties[-1] = 1e-9  # the level itself is not drawn to 0
    festive = columns[known][:, HOLIDAYS].any(axis=1)
    weights, effects = np.ones(len(y)), np.zeros(x.shape[1])
    for _ in range(3):
        effects = np.linalg.solve(x.T * weights @ x + np.diag(penalties), x.T @ (weights * y))
        rest = np.abs(y - x @ effects)
        weights = 1.0 / np.maximum(1.0, rest / max(ODD * float(np.median(rest)), 1e-6))
        weights[festive] = 1.0  # a holiday is odd by nature, and there are few of them
    return np.asarray(effects[:-1])
