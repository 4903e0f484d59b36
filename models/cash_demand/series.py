"""Daily amounts of machines out of a file, and the calendar of its days. What is not known stays unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from agent.analysis.daycodes import codes
from agent.analysis.holidays import Holidays
from agent.cli import amounts
from agent.errors import AgentError
from models.cash_demand.columns import Array
from models.cash_demand.features import HISTORY, HORIZON
from models.cash_demand.network import Floats
from models.data import DataError


@dataclass(frozen=True)
class Series:
    """Amounts [days, machines] of consecutive days; NaN is not recorded, 0 is a day on which demand was not met."""

    path: Path
    first: date
    machines: tuple[str, ...]
    amounts: Array
    words: tuple[str, ...] = ()
    """Columns that hold words alone, and are no machines."""
    closed: tuple[str, ...] = ()
    """Weekdays of which the file has no row in four weeks or more: they hold 0, as if it said that nothing was paid out."""

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
    try:
        found = amounts.read(path)
    except AgentError as error:
        raise DataError(str(error)) from error
    return Series(path, found.first, found.machines, found.table, found.words, found.closed)


def unknown(machines: Sequence[str], given: Floats) -> list[str]:
    """Machines of which nothing is known in the last 26 weeks, so that nothing can be said of them."""
    recent = given[:, HISTORY * 2 // 3 :]
    return [machine for machine, row in zip(machines, recent, strict=True) if not (row > 0).any()]
