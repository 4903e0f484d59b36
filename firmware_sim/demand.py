"""How much cash is asked of a machine each day: one column of a CSV of dates × machines."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import cache
from math import isfinite
from pathlib import Path

MINOR_UNITS_PER_UNIT = 100_000  # NN5 never published its scale; this makes the shipped machine's mean day 13,760.00
SHIPPED = Path(__file__).parent / "data" / "nn5_063.csv"
SHIPPED_SERIES = "NN5-063"
WEEK = 7


class DemandError(ValueError):
    """A demand series cannot be used; the message names the file, the place and the remedy."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Minor units asked for on each day from `first` on. Beyond its ends the series repeats in whole weeks."""

    name: str
    first: date
    totals: tuple[int, ...]

    def on(self, day: date) -> int:
        """What is asked on `day`: the series' own day where it has one, else one of the same weekday."""
        period = len(self.totals) // WEEK * WEEK
        offset = (day - self.first).days
        return self.totals[offset if 0 <= offset < len(self.totals) else offset % period]

    @property
    def mean(self) -> int:
        """Minor units a day, over the whole series."""
        return sum(self.totals) // len(self.totals)

    def at(self, moment: float) -> int:
        """What is asked on the day (UTC) of `moment`, seconds since the epoch."""
        return self.on(datetime.fromtimestamp(moment, UTC).date())


def load(path: Path, series: str, minor_units: float = MINOR_UNITS_PER_UNIT) -> Demand:
    """Column `series` of a CSV whose first column holds consecutive ISO dates and whose first row holds names.

    A blank is not recorded: it becomes the mean of the nearest recorded days of the same weekday on either side.
    Raises DemandError.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DemandError(f"{path}: cannot be read: {error}") from error
    if len(rows) <= 2 * WEEK:
        raise DemandError(f"{path}: {max(len(rows) - 1, 0)} days; at least two weeks are needed")
    column = _column(path, rows[0], series)
    first = _day(path, 2, rows[1][0] if rows[1] else "")
    amounts = [_amount(path, number, row, column, (first, number - 2)) for number, row in enumerate(rows[1:], start=2)]
    totals = tuple(round(amount * minor_units) for amount in _filled(path, series, amounts))
    if not any(totals):
        raise DemandError(f"{path}: {series} is zero on every day; choose another series")
    return Demand(series, first, totals)


@cache
def shipped() -> Demand:
    """Machine NN5-063 of the NN5 competition; data/README.md tells its origin and licence."""
    return load(SHIPPED, SHIPPED_SERIES)


def _column(path: Path, header: Sequence[str], series: str) -> int:
    names = header[1:]
    if series in names:
        return names.index(series) + 1
    near = get_close_matches(series, names, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]!r}?" if near else "; it has no series at all"
    raise DemandError(f"{path}: no series {series!r}{hint}")


def _day(path: Path, line: int, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DemandError(f"{path}:{line}: expected a date such as 2025-03-10, got {text!r}") from None


def _amount(path: Path, line: int, row: Sequence[str], column: int, place: tuple[date, int]) -> float | None:
    first, offset = place
    if (_day(path, line, row[0] if row else "") - first).days != offset:
        raise DemandError(f"{path}:{line}: {row[0]} does not follow the line before; one line a day, none left out")
    text = row[column].strip() if column < len(row) else ""
    if not text:
        return None
    try:
        amount = float(text)
    except ValueError:
        raise DemandError(f"{path}:{line}: expected a number, got {text!r}; leave unknown days blank") from None
    if not isfinite(amount) or amount < 0:
        raise DemandError(f"{path}:{line}: {text} is no amount; a withdrawal is 0 or more")
    return amount


def _filled(path: Path, series: str, amounts: Sequence[float | None]) -> list[float]:
    filled = []
    for at, amount in enumerate(amounts):
        if amount is not None:
            filled.append(amount)
            continue
        before = next((value for value in amounts[at % WEEK : at : WEEK][::-1] if value is not None), None)
        after = next((value for value in amounts[at + WEEK :: WEEK] if value is not None), None)
        known = [value for value in (before, after) if value is not None]
        if not known:
            weekday = at % WEEK + 2
            raise DemandError(f"{path}: {series} is blank on every weekday like that of line {weekday}; choose another")
        filled.append(sum(known) / len(known))
    return filled
