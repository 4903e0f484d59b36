"""Learning from a file: factors of the calendar, then the head for days, then the head for sums, which stands on the other.

A training row is a day ahead of some morning in the past, seen as the gateway would have seen it then; only days before `end` are
ever looked at. Unknown days and days of unmet demand are never a target. How far to trust the head for days is learned where
it has not been: for each of several stretches of time the rows for sums stand on factors and a network that know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from models.cash_demand import network
from models.cash_demand.columns import Array, columns
from models.cash_demand.factors import factors
from models.cash_demand.features import HORIZON, WEEK, closed
from models.cash_demand.graph import LEVELS, SPAN, Head, Learned, Rows, daily_rows, sum_rows
from models.cash_demand.network import Floats, Training
from models.cash_demand.series import Calendar, Series
from models.data import DataError

LEAST_DAYS = 28 + 2 * HORIZON  # before `end`: four weeks to look back on, and one morning's days ahead as often again
LEAST_KNOWN = 8_000  # days of machines that make a model better than the one that ships
FIRST = 112  # the first morning, where the file is long enough
MOST_ROWS = 450_000
LIMIT = 3.0  # of a target's logarithm: one odd day must not pull
LEAST_SCALE = 0.05  # of an input, so that what hardly ever changed is not blown up
DAILY = Training(hidden=(48, 32), passes=8)
CUMULATIVE = Training(hidden=(32, 16), passes=8)


@dataclass(frozen=True)
class Effort:
    """How much is spent on training."""

    networks: int = 4
    daily: Training = DAILY
    cumulative: Training = CUMULATIVE
    folds: int = 4
    """Stretches of time that the head for days is tried on."""

    @property
    def steps(self) -> int:
        """How often learn() calls `step`."""
        return self.networks * (self.daily.passes + self.cumulative.passes) + self.folds * self.daily.passes


QUICK = Effort(1, Training((16,), passes=2), Training((8,), passes=2), folds=2)


def learn(
    series: Series, calendar: Calendar, end: int, effort: Effort, seed: int, step: Callable[[], None] = lambda: None
) -> Learned:
    """Everything, from the days before `end` alone. The same arguments give the same on the same machine. Raises DataError."""
    if end < LEAST_DAYS:
        raise DataError(
            f"{series.path}: {end} days to learn from; at least {LEAST_DAYS} are needed, so give a longer file, or with --model "
            "a model that was trained on another one"
        )
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # matrices this small gain nothing by threads, which wait by spinning: four times the time
        days = _learn_days(series, calendar, end, effort, seed, step)
        sums = list(_spans(series, calendar, end, days, replace(effort, networks=1), seed, step))
        cumulative = _fit(series, sums, effort.cumulative, effort.networks, seed, step)
    return Learned(*days, cumulative)


Days = tuple[Array, Head]
"""The factors of the calendar and the head for days."""


def _learn_days(series: Series, calendar: Calendar, end: int, effort: Effort, seed: int, step: Callable[[], None]) -> Days:
    if not (np.nan_to_num(series.amounts[:end]) > 0).any():
        raise DataError(f"{series.path}: 0 known days to learn from; give a file with amounts above 0")
    effects = factors(series.amounts[:end], columns(calendar.until(end).astype(np.float64)))
    days = list(_days(series, calendar, end, daily_rows(effects), seed))
    return effects, _fit(series, days, effort.daily, effort.networks, seed, step)


def too_little(series: Series, end: int) -> str:
    """Why a model of its own would be worse than one that has seen other machines; nothing when there is enough."""
    if end < LEAST_DAYS:
        return f"{end} days to learn from, fewer than {LEAST_DAYS}"
    known = int((np.nan_to_num(series.amounts[:end]) > 0).sum())
    return f"{known} known days of machines to learn from, fewer than {LEAST_KNOWN}" if known < LEAST_KNOWN else ""


Lot = tuple[Floats, Floats]
"""Inputs [rows, inputs] and targets [rows]."""


def _mornings(series: Series, end: int, ahead: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """(day, machines) to make rows of: as many mornings as the bound allows, and of very many machines some each time."""
    last = end - ahead
    first = min(FIRST, last // 2)
    count = len(series.machines)
    wanted = max(40, MOST_ROWS // (count * ahead))
    stride = max(1, (last - first) // wanted)
    stride += stride % 7 == 0  # every weekday must have its turn
    some = min(count, max(1, MOST_ROWS // (ahead * ((last - first) // stride + 1))))
    chance = np.random.default_rng(seed)
    for day in range(last, first - 1, -stride):
        yield day, np.sort(chance.permutation(count)[:some])


def _days(series: Series, calendar: Calendar, end: int, rows: Rows, seed: int) -> Iterator[Lot]:
    for day, machines in _mornings(series, end, HORIZON, seed):
        features, level = rows(series.before(day)[machines], calendar.around(day))
        amounts = series.amounts[day : day + HORIZON, machines].T
        yield _known(features, amounts, level)


def _spans(
    series: Series, calendar: Calendar, end: int, known: Days, effort: Effort, seed: int, step: Callable[[], None]
) -> Iterator[Lot]:
    mornings = list(_mornings(series, end, SPAN, seed))
    for numbers in np.array_split(np.arange(len(mornings)), effort.folds):
        fold = [mornings[number] for number in numbers]
        unseen = series.amounts.copy()
        unseen[fold[-1][0] : fold[0][0] + SPAN] = np.nan  # the latest morning comes first
        try:
            rows = sum_rows(*_learn_days(replace(series, amounts=unseen), calendar, end, effort, seed, step))
        except DataError:  # too little is known but for this stretch
            rows = sum_rows(*known)
        yield from (_sums(series, calendar, day, machines, rows) for day, machines in fold)


def _sums(series: Series, calendar: Calendar, day: int, machines: np.ndarray, rows: Rows) -> Lot:
    given = series.before(day)[machines]
    features, base = rows(given, calendar.around(day))
    amounts = series.amounts[day : day + SPAN, machines].T
    met = np.where(np.tile(closed(given), SPAN // WEEK), 0.0, np.where(amounts > 0, amounts, np.nan))
    return _known(features, np.cumsum(met, axis=1), base)


def _known(features: Floats, amounts: np.ndarray, level: Floats) -> Lot:
    known = (np.nan_to_num(amounts) > 0) & np.isfinite(level)
    targets = np.log(amounts[known]) - level[known]
    return features[known], np.clip(targets, -LIMIT, LIMIT).astype(np.float32)


def _fit(series: Series, lots: list[Lot], how: Training, networks: int, seed: int, step: Callable[[], None]) -> Head:
    rows, targets = (np.concatenate(each) for each in zip(*lots, strict=True))
    lots.clear()  # a few hundred megabytes for a large file
    if len(rows) < 100:
        raise DataError(f"{series.path}: {len(rows)} known days to learn from; give a file with fewer gaps and zeros")
    known = np.isfinite(rows)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0, dtype=np.float64) / count
    square = np.where(known, rows - mean, 0.0)
    scale = np.maximum(np.sqrt((square**2).sum(axis=0, dtype=np.float64) / count), LEAST_SCALE)
    head = Head(mean.astype(np.float32), scale.astype(np.float32), ())
    seen = head.seen(rows)
    del rows, square, known
    found = (network.train(seen, targets, LEVELS, how, seed * 1000 + number, step) for number in range(networks))
    return replace(head, networks=tuple(found))
