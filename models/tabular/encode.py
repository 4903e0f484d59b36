"""Cells to numbers, learned on the training rows alone. A number stays what it is; a word becomes its place in a list.

The list of a column's words is sorted by how often they come with a positive label (drawn towards the overall share by thirty
rows), so that a tree can part it at one place. An unknown cell, and a word that training never met, is NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import DataError
from models.tabular.table import SHOWN, Table, as_number, is_known

Floats = NDArray[np.float32]
SHRINK = 30.0  # rows of the overall share that a word begins with: a few rows alone put a rare word at neither end of the list
MOST_WORDS = 60
MOST_SHARE = 0.5  # of the rows: with more different words a column names rows and does not describe them
STRAY = 0.02  # share of cells that may be no number in a column of numbers


@dataclass(frozen=True)
class Column:
    """How one column is read. Without words it holds numbers."""

    name: str
    words: tuple[str, ...] = ()

    def encode(self, cells: Sequence[str]) -> Floats:
        """[rows], NaN for what is not known."""
        if self.words:
            places = {word: float(place) for place, word in enumerate(self.words)}
            return np.array([places.get(cell, np.nan) for cell in cells], np.float32)
        numbers = (as_number(cell) if is_known(cell) else None for cell in cells)
        return np.array([np.nan if number is None else number for number in numbers], np.float32)

    def object(self) -> dict[str, Any]:
        """For the card."""
        return {"name": self.name, **({"words": list(self.words)} if self.words else {})}


@dataclass(frozen=True)
class Encoding:
    """Every column that is used, in the order of the graph's input."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features."""
        return tuple(column.name for column in self.columns)

    def encode(self, table: Table) -> Floats:
        """[rows, features]. Raises DataError when a column is not there."""
        return np.column_stack([column.encode(table.column(column.name)) for column in self.columns]).astype(np.float32)

    @classmethod
    def of(cls, card: Sequence[Mapping[str, Any]]) -> Encoding:
        """From a card."""
        return cls(tuple(Column(str(each["name"]), tuple(each.get("words", ()))) for each in card))


def usable(table: Table, labels: NDArray[np.bool_], keep: Sequence[str]) -> tuple[Table, list[str]]:
    """The table without columns that tell nothing, and why each was left out. Raises DataError when none is left."""
    notes, dropped = [], []
    for name, cells in zip(table.names, table.columns, strict=True):
        reason = "" if name in keep else _useless(cells)
        if reason:
            dropped.append(name)
            notes.append(f"column {name!r} {reason}: left out")
        elif missing := sum(not is_known(cell) for cell in cells):
            notes.append(f"column {name!r} is missing in {missing} of {len(cells)} rows: missing is a value of its own")
    notes += [note for name in table.names if name not in dropped for note in _telling(name, table.column(name), labels)]
    left = table.without(dropped)
    if not left.names:
        raise DataError(f"{table.path}: no column is left that says anything; {'; '.join(notes)}")
    return left, notes


def _useless(cells: Sequence[str]) -> str:
    known = [cell for cell in cells if is_known(cell)]
    if not known:
        return "is empty"
    different = len(set(known))
    if different == 1 and len(known) == len(cells):
        return f"always says {known[0][:SHOWN]!r}"
    if _is_number(known):
        return "counts the rows" if different == len(cells) and _counts([as_number(cell) for cell in cells]) else ""
    if different > MOST_SHARE * len(known):
        return f"has {different} different words in {len(known)} rows, so it names rows"
    return f"has {different} different words, more than {MOST_WORDS}" if different > MOST_WORDS else ""


def _counts(numbers: Sequence[float | None]) -> bool:
    """Whether each is one more than the one before."""
    return all(after is not None and before is not None and after == before + 1.0 for before, after in pairwise(numbers))


def _is_number(known: Sequence[str]) -> bool:
    return sum(as_number(cell) is None for cell in known) <= STRAY * len(known)


def _telling(name: str, cells: Sequence[str], labels: NDArray[np.bool_]) -> list[str]:
    """A value that never comes without the label may have been written after it."""
    rows, positives = Counter(cells), Counter(cell for cell, yes in zip(cells, labels, strict=True) if yes)
    if len(rows) > 10 or labels.mean() > 0.5:
        return []
    return [
        f"column {name!r}: all {count} rows that say {value[:SHOWN]!r} are positive; make sure that it is known before the label"
        for value, count in rows.items()
        if count >= 10 and positives[value] == count
    ]


def fit(table: Table, labels: NDArray[np.bool_]) -> Encoding:
    """Learn how to read each column from these rows."""
    return Encoding(tuple(_column(name, cells, labels) for name, cells in zip(table.names, table.columns, strict=True)))


def _column(name: str, cells: Sequence[str], labels: NDArray[np.bool_]) -> Column:
    known = [cell for cell in cells if is_known(cell)]
    if _is_number(known):
        return Column(name)
    overall = float(labels.mean())
    rows, positives = Counter(known), Counter(cell for cell, yes in zip(cells, labels, strict=True) if yes)
    share = {word: (positives[word] + SHRINK * overall) / (count + SHRINK) for word, count in rows.items()}
    return Column(name, tuple(sorted(rows, key=lambda word: (share[word], word))))


def check_leaks(table: Table, labels: NDArray[np.bool_], keep: Sequence[str], limit: float = 0.99) -> None:
    """No single column may tell the label: judged out of fold by a small tree. Raises DataError."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    rows = fit(table, labels).encode(table)
    for name, values in zip(table.names, rows.T, strict=True):
        if name in keep:
            continue
        guess = cross_val_predict(
            DecisionTreeClassifier(max_leaf_nodes=8, random_state=0),
            values[:, None],
            labels,
            cv=StratifiedKFold(2),
            method="predict_proba",
        )
        auc = float(roc_auc_score(labels, guess[:, 1]))
        if auc >= limit:
            raise DataError(
                f"{table.path}: column {name!r} alone tells the label (AUC {auc:.3f}), so it was probably made from it; leave it "
                f"out with --drop {name!r}, or insist with --keep {name!r}"
            )
