"""AI4I 2020, the public yardstick: a milling machine's readings and whether it failed (S. Matzka, UCI 601, CC BY 4.0).

The columns that name the mode of failure tell the label, so they are never read as inputs.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import DataError
from models.forest import Derived, Floats, Forest, Growth, grow

COLUMNS = {  # in the file -> here; kelvin, revolutions a minute, newton metres, minutes
    "Air temperature [K]": "air_k",
    "Process temperature [K]": "process_k",
    "Rotational speed [rpm]": "speed_rpm",
    "Torque [Nm]": "torque_nm",
    "Tool wear [min]": "wear_min",
}
TYPE = "Type"
TYPES = ("L", "M", "H")
LABEL = "Machine failure"
MODES = ("TWF", "HDF", "PWF", "OSF", "RNF")
NAMES = (*COLUMNS.values(), *(f"type_{name}" for name in TYPES))
DERIVED = (
    Derived("power", "torque_nm", "times", "speed_rpm"),
    Derived("cooling", "process_k", "minus", "air_k"),
    Derived("strain", "torque_nm", "times", "wear_min"),
    *(Derived(f"strain_{name}", "strain", "times", f"type_{name}") for name in TYPES),
)
GROWTH = Growth(trees=20, depth=8)
FOLDS = 5
LEAST_ROWS = 200
LEAST_FAULTS = 2 * FOLDS


@dataclass(frozen=True)
class Milling:
    """The file's rows."""

    path: Path
    rows: Floats
    faults: NDArray[np.bool_]


@dataclass(frozen=True)
class Repeat:
    """One cross-validation: every row scored by the forest that did not see it, the threshold at one half."""

    macro_f1: float
    fault_f1: float
    precision: float
    recall: float
    auc: float
    brier: float
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]


def read(path: Path) -> Milling:
    """Read the file. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            missing = [name for name in (*COLUMNS, TYPE, LABEL) if name not in (table.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: has no column {missing[0]!r}; give ai4i2020.csv as UCI 601 has it")
            lines = [(table.line_num, row) for row in table]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: {reason}; give ai4i2020.csv as UCI 601 has it") from error
    rows = np.array([_row(path, line, row) for line, row in lines], np.float32).reshape(len(lines), len(NAMES))
    faults = np.array([_number(path, line, LABEL, row[LABEL]) > 0 for line, row in lines], bool)
    if len(rows) < LEAST_ROWS or not LEAST_FAULTS <= faults.sum() <= len(rows) - LEAST_FAULTS:
        raise DataError(
            f"{path}: {len(rows)} rows with {int(faults.sum())} failures; at least {LEAST_ROWS} rows and {LEAST_FAULTS} of each "
            "kind are needed"
        )
    for name, column in zip(COLUMNS, rows.T, strict=False):
        if column.min() == column.max():
            raise DataError(f"{path}: column {name!r} never changes, so nothing can be learned from it; look at its source")
    return Milling(path, rows, faults)


def _row(path: Path, line: int, row: dict[str, str]) -> list[float]:
    if row[TYPE] not in TYPES:
        raise DataError(f"{path}: line {line}, column {TYPE!r}: expected L, M or H, got {str(row[TYPE])[:40]!r}")
    return [*(_number(path, line, name, row[name]) for name in COLUMNS), *(float(row[TYPE] == name) for name in TYPES)]


def _number(path: Path, line: int, column: str, cell: str | None) -> float:
    try:
        value = float(cell or "")
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise DataError(f"{path}: line {line}, column {column!r}: expected a number, got {str(cell)[:40]!r}; mend the line")
    return value


def train(data: Milling, seed: int) -> Forest:
    """A forest on all rows."""
    return grow(data.rows, data.faults, NAMES, DERIVED, GROWTH, seed)


def cross_validate(data: Milling, repeats: int, seed: int) -> Iterator[Repeat]:
    """Stratified five-fold, out of fold, as often as wanted, each time with other folds."""
    from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    for number in range(repeats):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed + number)
        scores = np.empty(len(data.rows))
        for learned, held in folds.split(data.rows, data.faults):
            forest = grow(data.rows[learned], data.faults[learned], NAMES, DERIVED, GROWTH, seed)
            scores[held] = forest.score(data.rows[held])
        called = scores >= 0.5
        yield Repeat(
            float(f1_score(data.faults, called, average="macro")),
            float(f1_score(data.faults, called)),
            float(precision_score(data.faults, called, zero_division=0)),
            float(recall_score(data.faults, called)),
            float(roc_auc_score(data.faults, scores)),
            float(np.mean((scores - data.faults) ** 2)),
            scores,
            data.faults,
        )
