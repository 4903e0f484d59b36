"""A file of daily amounts: the first column holds dates, every other one a machine. What is not known stays unknown."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import isfinite
from pathlib import Path

import numpy as np

from agent.analysis.daycodes import codes
from agent.analysis.holidays import Holidays
from models.cash_demand.columns import Array
from models.cash_demand.features import HISTORY, HORIZON
from models.cash_demand.network import Floats

UNKNOWN = frozenset({"", "nan", "na", "n/a", "null", "none", "?", "-"})
MOST_DAYS = 40_000  # a hundred years: a year written wrong would ask for more


class DataError(ValueError):
    """A file cannot be used; the message names file, place and remedy."""


@dataclass(frozen=True)
class Series:
    """Amounts [days, machines] of consecutive days; NaN is not recorded, 0 is a day on which demand was not met."""

    path: Path
    first: date
    machines: tuple[str, ...]
    amounts: Array

    def __len__(self) -> int:
        return len(self.amounts)

    def before(self, day: int) -> Floats:
        """What the graph is given on the morning of `day`: [machines, 546], NaN where there was no day yet."""
        given = np.full((len(self.machines), HISTORY), np.nan, np.float32)
        known = min(day, HISTORY)
        given[:, HISTORY - known :] = self.amounts[day - known : day].T
        return given


@dataclass(frozen=True)
class Calendar:
    """The codes of every day that a series may be asked about."""

    codes: Floats
    """From 546 days before the series to 56 days after it."""

    @classmethod
    def of(cls, series: Series, holidays: Holidays, shift: int = 0) -> Calendar:
        """`shift`: days to add to the dates of the file to get the real ones."""
        first = series.first + timedelta(days=shift - HISTORY)
        return cls(np.array(codes(first, HISTORY + len(series) + HORIZON, holidays), np.float32))

    def around(self, day: int) -> Floats:
        """What the graph is given on the morning of `day`: [602, CODES]."""
        return self.codes[day : day + HISTORY + HORIZON]

    def until(self, day: int) -> Floats:
        """The codes of the series' days before `day`."""
        return self.codes[HISTORY : HISTORY + day]


def read(path: Path) -> Series:
    """Read a file. Days that are not in it become unknown ones. Raises DataError."""
    names, lines = _lines(path)
    days: dict[date, list[float]] = {}
    for number, cells in lines:
        day = _date(path, number, cells[0])
        if day in days:
            raise DataError(f"{path}: line {number}: {day} is there twice; keep one line a day")
        if len(cells) != len(names):
            raise DataError(f"{path}: line {number} has {len(cells)} cells where the header has {len(names)}; mend the line")
        days[day] = [_amount(path, number, name, cell) for name, cell in zip(names[1:], cells[1:], strict=True)]
    if len(days) < 2:
        raise DataError(f"{path}: holds {len(days)} days; give a line a day below the header")
    first, last = min(days), max(days)
    if (count := (last - first).days + 1) > MOST_DAYS:
        raise DataError(f"{path}: goes from {first} to {last}; look for a year that is written wrong")
    amounts = np.full((count, len(names) - 1), np.nan)
    for day, row in days.items():
        amounts[(day - first).days] = row
    return Series(path, first, tuple(names[1:]), amounts)


def _lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give a CSV file of dates and machines") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    head = text.partition("\n")[0]
    table = csv.reader(text.splitlines(), delimiter=max(",;\t", key=head.count))
    try:
        rows = [(table.line_num, [cell.strip() for cell in row]) for row in table if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{path}: line {table.line_num}: {error}; give a CSV file of dates and machines") from error
    names = rows[0][1] if rows else []
    if len(names) < 2:
        raise DataError(f"{path}: its first line must name a column of dates and at least one machine")
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path}: two columns are called {doubled!r}; name every machine once")
    return names, rows[1:]


def _date(path: Path, line: int, cell: str) -> date:
    try:
        return date.fromisoformat(cell[:10])
    except ValueError:
        raise DataError(
            f"{path}: line {line}: expected a date such as 1998-03-22 in the first column, got {cell[:40]!r}"
        ) from None


def _amount(path: Path, line: int, machine: str, cell: str) -> float:
    if cell.lower() in UNKNOWN:
        return np.nan
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if not isfinite(value) or value < 0:
        raise DataError(f"{path}: line {line}, machine {machine!r}: expected an amount of 0 or more, got {cell[:40]!r}")
    return value


def unknown(machines: Sequence[str], given: Floats) -> list[str]:
    """Machines of which nothing is known in the last 26 weeks, so that nothing can be said of them."""
    recent = given[:, HISTORY * 2 // 3 :]
    return [machine for machine, row in zip(machines, recent, strict=True) if not (row > 0).any()]
