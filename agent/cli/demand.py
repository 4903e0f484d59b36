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
from agent.cli import amounts
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


def _read(path: Path) -> tuple[tuple[str, ...], date, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """The machines, the day behind the last one, and [machines, 546] before it."""
    from agent.scoring.demand_card import BACK

    found = amounts.read(path)
    for told, names in (("columns of words are left out", found.words), ("no row is of, so taken as closed", found.closed)):
        if names:
            print(f"{path}: {told}: {', '.join(names)}", file=sys.stderr)
    history = np.full((len(found.machines), BACK), np.nan)
    last = found.table[-BACK:]
    history[:, BACK - len(last) :] = last.T
    return found.machines, found.first + timedelta(days=len(found.table)), history
