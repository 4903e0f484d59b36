"""A file of daily amounts: one column holds dates, every other one a machine. What is not known stays unknown."""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from agent.errors import AgentError

CLOSED_WEEKS = 4  # without a row of a weekday, before it is taken for one on which all are closed
UNKNOWN = frozenset({"", "nan", "na", "n/a", "null", "none", "?", "-"})
FORMS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%y", "%d-%b-%Y",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y",
)  # fmt: skip
"""How dates are written; a time of day may follow."""
THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?")
MOST_AMOUNT = 1e15  # more than any currency pays out on a day, and what a 32-bit float still holds many of
MOST_CLOSED = 3  # weekdays
MOST_DAYS = 40_000  # a hundred years: a year written wrong would ask for more


@dataclass(frozen=True)
class Amounts:
    """Consecutive days from `first` on."""

    first: date
    machines: tuple[str, ...]
    table: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    """[days, machines]; NaN is not recorded, 0 is a day on which demand was not met, or on which the machine is closed."""
    words: tuple[str, ...]
    """Columns that hold words alone, and are no machines."""
    closed: tuple[str, ...]
    """Weekdays of which the file has no row in four weeks or more: they hold 0, as if it said that nothing was paid out."""


def read(path: Path) -> Amounts:
    """Read a file. Days that are not in it become unknown ones. Raises AgentError."""
    names, lines, comma = _lines(path)
    at = next((at for at, cell in enumerate(lines[0][1]) if any(_is_date(cell, form) for form in FORMS)), 0) if lines else 0
    machines = [place for place, name in enumerate(names) if name and place != at]  # what has no name counts the rows
    if not machines:
        raise AgentError(f"{path}: names no machine beside the column of dates")
    words = [place for place in machines if all(_is_word(cells[place]) for _, cells in lines)]
    machines = [place for place in machines if place not in words] or machines
    days: dict[date, list[float]] = {}
    for day, (number, cells) in zip(_dates(path, [(number, cells[at]) for number, cells in lines]), lines, strict=True):
        if day in days:
            raise AgentError(f"{path}: line {number}: {day} is there twice; keep one line a day, with a column a machine")
        days[day] = [_amount(path, number, names[place], cells[place], comma) for place in machines]
    if len(days) < 2:
        raise AgentError(f"{path}: holds {len(days)} days; give a line a day below the header")
    first, last = min(days), max(days)
    if (count := (last - first).days + 1) > MOST_DAYS:
        raise AgentError(f"{path}: goes from {first} to {last}; look for a year that is written wrong")
    table = np.full((count, len(machines)), np.nan)
    for day, row in days.items():
        table[(day - first).days] = row
    left_out = tuple(names[place] for place in words if place not in machines)
    shut = [first + timedelta(day) for day in range(7) if count >= 7 * CLOSED_WEEKS and not _any(days, first, day, count)]
    if len(shut) > MOST_CLOSED:
        shut = []  # a file of weeks, say
    for day in shut:
        table[(day - first).days :: 7] = 0.0
    closed = tuple(f"{day:%A}s" for day in shut)
    return Amounts(first, tuple(names[place] for place in machines), table, left_out, closed)


def _any(days: Container[date], first: date, start: int, count: int) -> bool:
    """Whether there is a row of any of the days a week apart from `first` + `start` on."""
    return any(first + timedelta(day) in days for day in range(start, count, 7))


def _lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], bool]:
    """The header, the rows with their lines, and whether a comma stands in numbers for the decimal point."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}; give a CSV file of dates and machines") from error
    except UnicodeDecodeError as error:
        raise AgentError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    table = csv.reader(text.splitlines(), delimiter=mark)
    try:
        rows = [(table.line_num, [cell.strip() for cell in row]) for row in table if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise AgentError(f"{path}: line {table.line_num}: {error}; give a CSV file of dates and machines") from error
    names = rows[0][1] if rows else []
    if len(names) < 2:
        raise AgentError(f"{path}: its first line must name a column of dates and at least one machine")
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise AgentError(f"{path}: two columns are called {doubled!r}; name every machine once")
    for number, cells in rows[1:]:
        if len(cells) != len(names):
            raise AgentError(f"{path}: line {number} has {len(cells)} cells where the header has {len(names)}; mend the line")
    return names, rows[1:], mark != ","


def _dates(path: Path, cells: Sequence[tuple[int, str]]) -> list[date]:
    """Of every line, all written in one way. Where days and months may be either, the reading with fewer gaps is meant."""
    found = {}
    for form in FORMS:
        try:
            found[form] = [_date(cell, form) for _, cell in cells]
        except ValueError:
            continue
    if found:
        return min(found.values(), key=_extent)
    best = max(FORMS, key=lambda form: sum(_is_date(cell, form) for _, cell in cells))
    line, wrong = next((line, cell) for line, cell in cells if not _is_date(cell, best))
    raise AgentError(f"{path}: line {line}: expected a date such as 1998-03-22 in the first column, got {wrong[:40]!r}")


def _extent(days: Sequence[date]) -> int:
    return (max(days) - min(days)).days if days else 0


def _date(cell: str, form: str) -> date:
    """A date, whatever time of day follows it. Raises ValueError."""
    words = cell.replace("T", " ").split()
    if not words:
        raise ValueError("no date")
    return datetime.strptime(words[0], form).replace(tzinfo=UTC).date()


def _is_date(cell: str, form: str) -> bool:
    try:
        _date(cell, form)
    except ValueError:
        return False
    return True


def _is_word(cell: str) -> bool:
    """Whether a cell holds something without any digit that is not a way to say that nothing is known."""
    return cell.lower() not in UNKNOWN and not any(each.isdigit() for each in cell)


def _amount(path: Path, line: int, machine: str, cell: str, comma: bool) -> float:
    if cell.lower() in UNKNOWN:
        return np.nan
    plain = cell.replace(",", "") if THOUSANDS.fullmatch(cell) and not comma else cell
    try:
        value = float(plain.replace(",", ".") if comma else plain)
    except ValueError:
        value = np.nan
    if not 0 <= value <= MOST_AMOUNT:  # nor NaN
        wrong = f"line {line}, machine {machine!r}: expected an amount of 0 or more, got {cell[:40]!r}"
        raise AgentError(f"{path}: {wrong}; leave the cell empty where nothing is known")
    return value
