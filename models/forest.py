"""Trees that sum, over given and derived columns, in plain arrays: what is trained, exported and explained.

A forest's trees are weighted so that they sum to its answer: a share between 0 and 1, or log-odds that a logistic turns into one.
A node's value is the mean of the leaves below it. What a row owes to a column is the sum, over the splits on that column along
the row's paths, of how far the value moved there (Saabas 2014). Parts and the value of the roots sum to the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
LEAF = -1


@dataclass(frozen=True, slots=True)
class Derived:
    """A column made of two others, named before it: `times`, `minus`, `plus`, or `per` (the second is at least 1)."""

    name: str
    left: str
    how: str
    right: str


def derive(rows: Floats, columns: Sequence[str], derived: Sequence[Derived]) -> Floats:
    """Given and derived columns in single precision, step by step as the graph does it. Missing stays missing."""
    made = {name: rows[:, index].astype(np.float32) for index, name in enumerate(columns)}
    for one in derived:
        left, right = made[one.left], made[one.right]
        if one.how == "times":
            made[one.name] = left * right
        elif one.how == "minus":
            made[one.name] = left - right
        elif one.how == "plus":
            made[one.name] = left + right
        else:
            made[one.name] = np.divide(left, np.maximum(right, np.float32(1)), dtype=np.float32)
    return np.column_stack(list(made.values()))


@dataclass(frozen=True)
class Tree:
    """Nodes in the order of the trainer; a leaf has no children. A value at or below its threshold goes left."""

    column: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]

    def paths(self, rows: Floats) -> list[NDArray[np.int64]]:
        """The node that each row is at, from the root down to its leaf."""
        at = np.zeros(len(rows), np.int64)
        found = [at]
        while (inner := self.left[at] != LEAF).any():
            value = rows[np.arange(len(rows)), np.maximum(self.column[at], 0)]
            goes_left = np.where(np.isnan(value), self.missing_left[at], value <= self.threshold[at])
            at = np.where(inner, np.where(goes_left, self.left[at], self.right[at]), at)
            found.append(at)
        return found


@dataclass(frozen=True)
class Forest:
    """A trained forest over `columns` and what is derived from them."""

    columns: tuple[str, ...]
    derived: tuple[Derived, ...]
    trees: tuple[Tree, ...]
    offset: float = 0.0
    logistic: bool = False

    @property
    def width(self) -> int:
        """Of the table that the trees look at."""
        return len(self.columns) + len(self.derived)

    @property
    def base(self) -> float:
        """The answer before anything is known of a row."""
        return self.offset + sum(float(tree.value[0]) for tree in self.trees)

    def raw(self, rows: Floats) -> NDArray[np.float64]:
        """[rows] what the trees sum to: a share, or log-odds."""
        table = derive(rows, self.columns, self.derived)
        return np.asarray(self.offset + np.sum([tree.value[tree.paths(table)[-1]] for tree in self.trees], axis=0))

    def score(self, rows: Floats) -> NDArray[np.float64]:
        """[rows] 0 to 1."""
        raw = self.raw(rows)
        return np.asarray(1.0 / (1.0 + np.exp(-raw)) if self.logistic else np.clip(raw, 0.0, 1.0))

    def contributions(self, rows: Floats) -> NDArray[np.float64]:
        """[rows, columns] what each given column adds to the base; a derived column's part goes to those it is made of."""
        table = derive(rows, self.columns, self.derived)
        parts = np.zeros(table.shape)
        for tree in self.trees:
            for above, below in pairwise(tree.paths(table)):
                column = np.maximum(tree.column[above], 0)
                parts[np.arange(len(rows)), column] += tree.value[below] - tree.value[above]
        return np.asarray(parts @ self.credit())

    def credit(self) -> NDArray[np.float64]:
        """[table columns, given columns] who is named for a column: half to each side of what it is derived from."""
        given = np.eye(len(self.columns))
        credit = dict(zip(self.columns, given, strict=True))
        for one in self.derived:
            credit[one.name] = (credit[one.left] + credit[one.right]) / 2
        return np.array(list(credit.values()))


@dataclass(frozen=True, slots=True)
class Growth:
    """How the forest is grown."""

    trees: int = 20
    depth: int = 8
    least: int = 1
    """Rows in a leaf."""
    columns: float | None = None
    """Share of the columns that a split may choose from; None: all."""


def grow(
    rows: Floats, faults: NDArray[np.bool_], columns: Sequence[str], derived: Sequence[Derived], growth: Growth, seed: int
) -> Forest:
    """Train a forest with scikit-learn: the mean of its trees. Each sees a sample of the rows, drawn with repetition."""
    from sklearn.ensemble import RandomForestClassifier

    trainer = RandomForestClassifier(
        growth.trees,
        max_depth=growth.depth,
        min_samples_leaf=growth.least,
        max_features=growth.columns,
        random_state=seed,
        n_jobs=1,
    )
    trainer.fit(derive(rows, columns, derived), faults)
    yes = list(trainer.classes_).index(True)
    return Forest(tuple(columns), tuple(derived), tuple(_shares(each.tree_, yes, growth.trees) for each in trainer.estimators_))


def _shares(trained: Any, yes: int, trees: int) -> Tree:
    values = trained.value[:, 0, :]
    return tree_of(trained, values[:, yes] / values.sum(axis=1) / trees)


def tree_of(trained: Any, value: NDArray[np.float64]) -> Tree:
    """A tree of scikit-learn (`estimator.tree_`) with the value of each of its nodes."""
    nodes = trained.__getstate__()["nodes"]  # the only door to where missing values go
    return Tree(
        nodes["feature"].astype(np.int64),
        rounded_down(nodes["threshold"]),
        nodes["left_child"].astype(np.int64),
        nodes["right_child"].astype(np.int64),
        nodes["missing_go_to_left"].astype(bool),
        value,
    )


def averaged(
    leaves: NDArray[np.float64], left: NDArray[np.int64], right: NDArray[np.int64], rows: NDArray[Any]
) -> NDArray[np.float64]:
    """The value of every node from those of the leaves: the mean over the training rows that came through."""
    value = leaves.astype(np.float64)
    for node in range(len(value) - 1, -1, -1):  # children stand behind their parents
        if left[node] != LEAF:
            ours, theirs = float(rows[left[node]]), float(rows[right[node]])
            value[node] = (ours * value[left[node]] + theirs * value[right[node]]) / (ours + theirs)
    return value


def rounded_down(thresholds: NDArray[np.float64]) -> Floats:
    """The largest single-precision number that is not above: a single-precision value then goes the same way."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
