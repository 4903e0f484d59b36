"""`atm-agent model score` with a model of demand: what a CSV of dates × machines lets expect of the days behind its last one."""

from __future__ import annotations

import csv
import json
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agent.analysis.holidays import HolidayError, Holidays
from agent.cli.table import MISSING, lines
from agent.errors import EXIT_OK, AgentError

if TYPE_CHECKING:
    from agent.scoring.demand import DemandModel


def foretell(model: DemandModel, path: Path, country: str, *, as_json: bool) -> int:
    """Print, of every machine, quantiles of the first 1 to 14 days together behind the last date. Raises AgentError."""
    try:
        holidays = Holidays(country.upper())
    except HolidayError as error:
        raise AgentError(f"--country: {error}") from error
    machines, first, history = _read(path)
    sums = model.cumulative(history, first, holidays)
    levels = [f"{level:g}" for level in model.card.levels]
    writer = csv.writer(sys.stdout)
    if not as_json:
        writer.writerow(("machine", "first", "days", *levels))
    for machine, table in zip(machines, sums, strict=True):
        for days, row in enumerate(table.tolist(), 1):
            known = [value if np.isfinite(value) else None for value in row]
            if as_json:
                quantiles = dict(zip(levels, known, strict=True))
                print(json.dumps({"machine": machine, "first": str(first), "days": days, "quantiles": quantiles}))
            else:
                writer.writerow((machine, first, days, *("" if value is None else f"{value:.6g}" for value in known)))
    return EXIT_OK


def _read(path: Path) -> tuple[list[str], date, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """The machines, the day behind the last one, and [machines, 546] before it; NaN where demand is not known or was not met."""
    from agent.scoring.demand_card import BACK

    found = lines(path)
    _, header = next(found)
    if len(header) < 2:
        raise AgentError(f"{path}:1: expected a column of dates, then one a machine")
    days = {_date(path, number, line[0]): (number, line) for number, line in found}
    if not days:
        raise AgentError(f"{path}:1: has no rows below its header")
    first = max(days) + timedelta(days=1)
    history = np.full((len(header) - 1, BACK), np.nan)
    for day, (number, line) in days.items():
        if (place := BACK - (first - day).days) >= 0:
            history[:, place] = [_amount(path, number, name, cell) for name, cell in _cells(path, number, header, line)]
    return header[1:], first, history


def _cells(path: Path, number: int, header: list[str], line: list[str]) -> list[tuple[str, str]]:
    if len(line) != len(header):
        raise AgentError(f"{path}:{number}: has {len(line)} cells where the header has {len(header)}")
    return list(zip(header[1:], line[1:], strict=True))


def _date(path: Path, number: int, cell: str) -> date:
    try:
        return date.fromisoformat(cell.strip()[:10])
    except ValueError:
        raise AgentError(f"{path}:{number}: expected a date such as 2026-03-30 in the first column, got {cell[:40]!r}") from None


def _amount(path: Path, number: int, machine: str, cell: str) -> float:
    text = cell.strip()
    try:
        value = float(text) if text.lower() not in MISSING else np.nan
    except ValueError:
        value = -1.0
    if value < 0 or value == np.inf:
        raise AgentError(f"{path}:{number}: {machine}: expected an amount of 0 or more, got {text[:40]!r}")
    return value if value > 0 else np.nan
