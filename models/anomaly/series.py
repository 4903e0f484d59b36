"""Labelled series from CSV files: which columns are numbers, which rows are anomalous, which are there to learn from."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.scoring.baseline import LEAST_ROWS, MOST_FEATURES, Floats
from models.data import DataError

LABELS = ("label", "is_anomaly", "anomaly")  # what a column of labels is called, in any case
YES_NO = {"true": True, "yes": True, "anomaly": True, "attack": True, "false": False, "no": False, "normal": False}
TIMES = ("timestamp", "time", "date", "datetime")
DECIMAL = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
TRAINED = re.compile(r"_tr_(\d+)_")  # TSB-AD puts the rows to learn from into the file's name
SHARE = 4  # of the rows is learned from where nothing else is said: one in four


@dataclass(frozen=True)
class Series:
    """One file. Rows before `trained` are learned from."""

    path: Path
    columns: tuple[str, ...]
    values: Floats  # [rows, columns], NaN where blank
    labels: NDArray[np.bool_]
    trained: int
    labelled: bool = True
    """Whether the file says which rows are anomalous."""
    left_out: tuple[str, ...] = ()
    """Columns that change least in the rows to learn from, where there are more than a baseline takes."""
    counting: tuple[str, ...] = ()
    """Columns that rise by the same step from row to row, and so are no measurements; they are left out."""

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        return self.path.stem


def read(
    path: Path,
    label: str | None,
    train_rows: int | None,
    windows: Mapping[str, Sequence[Sequence[str]]] | None,
    *,
    unlabelled: bool = False,
) -> Series:
    """Read one file: a header, then numbers. Raises DataError.

    `windows` are NAB's labels: file -> spans of time. Columns of times and of words are left out, and columns that never change
    or only count the rows. `unlabelled`: a file in which no row is labelled will do.
    """
    header, table = _table(path)
    times = [index for index, name in enumerate(header) if name.lower() in TIMES]
    marked = None if windows is not None else _label_column(path, header, label, unlabelled=unlabelled)
    numbers = [
        index
        for index in range(len(header))
        if index not in times and index != marked and not all(_is_word(row[index]) for _, row in table)
    ]
    if not numbers:
        raise DataError(f"{path}: has no column of numbers beside {', '.join(header)}; give at least one")
    values = np.array([[_number(path, line, header[at], row[at]) for at in numbers] for line, row in table])
    if windows is not None:
        labels = _in_windows(path, windows, [row[times[0]] for _, row in table] if times else None)
    elif marked is not None:
        labels = np.array([_label(path, line, header[marked], row[marked]) for line, row in table])
    else:
        labels = np.zeros(len(values), bool)
    moving = np.array([len(np.unique(column[np.isfinite(column)])) > 1 for column in values.T])
    if not moving.any():
        names = ", ".join(header[at] for at in numbers)
        raise DataError(f"{path}: column {names} never changes, so nothing in it can be unusual; give another one")
    counting = np.array([_counts(column) for column in values.T])
    if (moving & ~counting).any():  # a file of nothing but a ramp is a series of one
        moving &= ~counting
    else:
        counting[:] = False
    columns, counters = (
        tuple(header[at] for at, chosen in zip(numbers, which, strict=True) if chosen) for which in (moving, counting)
    )
    labelled = (windows is not None or marked is not None) and bool(labels.any() or not unlabelled)
    return _with_training(Series(path, columns, values[:, moving], labels, 0, labelled, counting=counters), train_rows)


def _counts(column: Floats) -> bool:
    """Whether it rises by the same step from row to row: a number of the row, or its time."""
    steps = np.diff(column)
    return len(steps) > 1 and bool(steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6, atol=0.0))


def read_windows(path: Path) -> Mapping[str, Sequence[Sequence[str]]]:
    """NAB's combined_windows.json: file -> [[first, last], …]. Raises DataError."""
    try:
        windows = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as labels ({error}); give NAB's combined_windows.json") from error
    if not isinstance(windows, dict):
        raise DataError(f"{path}: expected an object of files and their windows; give NAB's combined_windows.json")
    return windows


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows with their line numbers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            mark = max(",;\t", key=head.count)
            lines = csv.reader(file, delimiter=mark)
            header = [name.strip() for name in next(lines, [])]
            rows = [(lines.line_num, [_cell(cell, mark) for cell in row]) for row in lines if row]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: {reason}; give a CSV file with a header") from error
    if not rows:
        raise DataError(f"{path}: has no rows below its header; give a CSV file with a header")
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(f"{path}: line {line} has {len(row)} cells, the header {len(header)}; mend the line")
    return header, rows


def _cell(cell: str, mark: str) -> str:
    """Where no comma parts the cells, one in a number is its decimal point."""
    return cell.replace(",", ".") if mark != "," and DECIMAL.fullmatch(cell.strip()) else cell


def _number(path: Path, line: int, column: str, cell: str) -> float:
    text = cell.strip()
    if not text or text.lower() == "nan":
        return nan
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise DataError(f"{path}: line {line}, column {column!r}: expected a number, got {text[:40]!r}; mend or drop the column")
    return value


def _is_word(cell: str) -> bool:
    """Whether a cell says something that is no number."""
    try:
        float(cell)
    except ValueError:
        return bool(cell.strip())
    return False


def _label(path: Path, line: int, column: str, cell: str) -> bool:
    word = cell.strip().lower()
    return YES_NO[word] if word in YES_NO else _number(path, line, column, cell) > 0


def _label_column(path: Path, header: Sequence[str], label: str | None, *, unlabelled: bool) -> int | None:
    wanted = LABELS if label is None else (label,)
    for index, name in enumerate(header):
        if name == label or (label is None and name.lower() in wanted):
            return index
    if label is None and unlabelled:
        return None
    known = ", ".join(header)
    raise DataError(f"{path}: has no column {' or '.join(wanted)} among {known}; name the column of labels with --label")


def _in_windows(path: Path, windows: Mapping[str, Sequence[Sequence[str]]], times: Sequence[str] | None) -> NDArray[np.bool_]:
    key = "/".join(path.parts[-2:])
    if key not in windows:
        raise DataError(f"{path}: the windows know no {key!r}; keep the file in the folder that NAB has it in")
    if times is None:
        raise DataError(f"{path}: has no column {' or '.join(TIMES)}; windows are spans of time")
    try:
        at = np.array([datetime.fromisoformat(text) for text in times])
        spans = [(datetime.fromisoformat(first), datetime.fromisoformat(last)) for first, last in windows[key]]
    except ValueError as error:
        raise DataError(f"{path}: {error}; write times as 2014-04-01 00:00:00") from error
    labels = np.zeros(len(at), bool)
    for first, last in spans:
        labels |= (at >= first) & (at <= last)
    return labels


def _with_training(series: Series, train_rows: int | None) -> Series:
    rows, first = len(series.values), int(np.argmax(series.labels))
    if series.labelled and (not series.labels.any() or series.labels.all()):
        raise DataError(f"{series.path}: {'no' if not series.labels.any() else 'every'} row is labelled; both kinds are needed")
    named = TRAINED.search(series.path.name)
    if train_rows is not None:
        trained = train_rows
    elif named is not None:
        trained = int(named[1])
    elif series.labelled and first > LEAST_ROWS:
        trained = max(LEAST_ROWS, min(rows // SHARE, first - 1))
    else:
        trained = max(LEAST_ROWS, rows // SHARE)
    if rows <= LEAST_ROWS:
        raise DataError(f"{series.path}: {rows} rows; more than {LEAST_ROWS} are needed to learn what is usual and to score")
    if not LEAST_ROWS <= trained < rows:
        raise DataError(
            f"{series.path}: {trained} of {rows} rows to learn from; set --train-rows to {LEAST_ROWS} or more, and fewer than all"
        )
    if series.labelled and not series.labels[trained:].any():
        raise DataError(
            f"{series.path}: no row after the first {trained} is labelled, and those are learned from; give a longer file, or "
            f"fewer of them with --train-rows (at least {LEAST_ROWS})"
        )
    return _narrowed(replace(series, trained=trained))


def _narrowed(series: Series) -> Series:
    """With as many columns as a baseline takes: those that change most often while it learns."""
    changes = np.count_nonzero(np.diff(series.values[: series.trained], axis=0), axis=0)
    kept = sorted(np.argsort(-changes, kind="stable")[:MOST_FEATURES])
    left_out = tuple(name for at, name in enumerate(series.columns) if at not in kept)
    columns = tuple(series.columns[at] for at in kept)
    return replace(series, columns=columns, values=series.values[:, kept], left_out=left_out)
