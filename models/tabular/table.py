"""A CSV with a label: read whole, and every way in which it can be unfit told in one line."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import DataError

UNKNOWN = frozenset({"", "nan", "na", "n/a", "null", "?"})  # "none" says something: that there is none
DECIMAL = re.compile(r"[+-]?\d+,\d+")
LEAST_ROWS = 50
LEAST_OF_CLASS = 10
CELL = 131_072  # characters; the csv module's bound
SHOWN = 40  # characters of a cell in a message


@dataclass(frozen=True)
class Table:
    """Columns of text, as they stand in the file."""

    path: Path
    names: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    """Where each row ends in the file."""

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> tuple[str, ...]:
        """Its cells. Raises DataError when there is none of that name."""
        if name not in self.names:
            near = get_close_matches(name, self.names, 1) or get_close_matches(name.lower(), self.names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, self.names[:12]))}"
            raise DataError(f"{self.path}: has no column {name!r}; {hint}")
        return self.columns[self.names.index(name)]

    def without(self, left_out: Sequence[str]) -> Table:
        """The same without some columns. Raises DataError when one is not there."""
        for name in left_out:
            self.column(name)
        kept = [at for at, name in enumerate(self.names) if name not in left_out]
        return Table(self.path, tuple(self.names[at] for at in kept), tuple(self.columns[at] for at in kept), self.lines)

    def take(self, rows: NDArray[np.int64]) -> Table:
        """Some of the rows."""
        columns = tuple(tuple(column[row] for row in rows) for column in self.columns)
        return Table(self.path, self.names, columns, tuple(self.lines[row] for row in rows))


def read(path: Path) -> Table:
    """Read a file: its first line names the columns; commas, semicolons or tabs part them. Raises DataError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give a CSV file with a header") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}: line {line} is not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    table = csv.reader(text.splitlines(keepends=True), delimiter=mark)
    try:
        rows = [(table.line_num, [_cell(cell, mark) for cell in row]) for row in table if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{path}: line {table.line_num}: {error}; mend the line") from error
    if not rows:
        raise DataError(f"{path}: is empty; give a CSV file with a header")
    return _whole(path, rows[0][1], rows[1:])


def _cell(cell: str, mark: str) -> str:
    """Without blanks around it; where no comma parts the cells, one in a number is its decimal point."""
    text = cell.strip()
    return text.replace(",", ".") if mark != "," and DECIMAL.fullmatch(text) else text


def _whole(path: Path, names: list[str], rows: list[tuple[int, list[str]]]) -> Table:
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise DataError(f"{path}: two columns are called {doubled[0]!r}; give each a name of its own")
    if "" in names:
        raise DataError(f"{path}: column {names.index('') + 1} has no name; the first line must name every column")
    for line, row in rows:
        if len(row) != len(names):
            raise DataError(f"{path}: line {line} has {len(row)} cells where the header has {len(names)}; mend the line")
    columns = zip(*(row for _, row in rows), strict=True) if rows else ((),) * len(names)
    return Table(path, tuple(names), tuple(tuple(column) for column in columns), tuple(line for line, _ in rows))


def is_known(cell: str) -> bool:
    """Whether it says anything."""
    return cell.lower() not in UNKNOWN


@dataclass(frozen=True)
class Labelled:
    """Rows with a label, the label's column taken out."""

    table: Table
    labels: NDArray[np.bool_]
    notes: tuple[str, ...]


def label(table: Table, name: str, positive: str, least: bool = True) -> Labelled:
    """Part the label from the rest. `least`: there must be enough of both kinds to learn from. Raises DataError."""
    cells = table.column(name)
    known = np.array([is_known(cell) for cell in cells], bool)
    values = Counter(cell for cell, some in zip(cells, known, strict=True) if some)
    if len(values) > max(20, len(table) // 10):
        raise DataError(
            f"{table.path}: column {name!r} has {len(values)} values, so it is no label of two kinds; name another one"
        )
    wanted = _same(positive, values)
    if wanted is None:
        shown = ", ".join(repr(value[:SHOWN]) for value, _ in values.most_common(8)) or "nothing"
        raise DataError(f"{table.path}: column {name!r} never says {positive!r}, only {shown}; name one of them with --positive")
    notes = []
    if not known.all():
        notes.append(f"{int((~known).sum())} rows have no label and are left out")
    if len(values) > 2:
        notes.append(f"column {name!r} has {len(values)} values; {positive!r} is told from all the others")
    rest = table.without([name]).take(np.flatnonzero(known))
    labels = np.array([cell == wanted for cell, some in zip(cells, known, strict=True) if some], bool)
    if least:
        _enough(rest, labels, name)
    return Labelled(rest, labels, tuple(notes))


def _same(positive: str, values: Counter[str]) -> str | None:
    """The value that is meant: the same text, or the same number."""
    if positive in values:
        return positive
    number = as_number(positive)
    return next((value for value in values if number is not None and as_number(value) == number), None)


def _enough(table: Table, labels: NDArray[np.bool_], name: str) -> None:
    positives = int(labels.sum())
    others = len(labels) - positives
    if len(labels) < LEAST_ROWS:
        raise DataError(f"{table.path}: {len(labels)} rows with a label; at least {LEAST_ROWS} are needed to learn and to test")
    if not positives or not others:
        raise DataError(
            f"{table.path}: column {name!r} has only one value, so there is nothing to tell apart; look at its source"
        )
    if min(positives, others) < LEAST_OF_CLASS:
        raise DataError(
            f"{table.path}: {positives} positive rows and {others} others; at least {LEAST_OF_CLASS} of each are needed"
        )


def as_number(cell: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) < 1e30 else None
