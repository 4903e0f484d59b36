"""A bagged forest of small trees over given and derived columns, in plain arrays: what is trained, exported and explained.

A tree gives the share of faults among the training rows in a leaf; the forest is the mean of its trees. What a row owes to a
column is the sum, over the splits on that column along the row's paths, of how far the share moved there. Parts and the share
of all training rows sum to the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

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
    share: NDArray[np.float64]

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

    @property
    def width(self) -> int:
        """Of the table that the trees look at."""
        return len(self.columns) + len(self.derived)

    @property
    def base(self) -> float:
        """The score before anything is known of a row."""
        return float(np.mean([tree.share[0] for tree in self.trees]))

    def score(self, rows: Floats) -> NDArray[np.float64]:
        """[rows] share of faults, 0 to 1."""
        table = derive(rows, self.columns, self.derived)
        return np.asarray(np.mean([tree.share[tree.paths(table)[-1]] for tree in self.trees], axis=0))

    def contributions(self, rows: Floats) -> NDArray[np.float64]:
        """[rows, columns] what each given column adds to the base; a derived column's part goes to those it is made of."""
        table = derive(rows, self.columns, self.derived)
        parts = np.zeros(table.shape)
        for tree in self.trees:
            nodes = tree.paths(table)
            for above, below in pairwise(nodes):
                column = np.maximum(tree.column[above], 0)
                parts[np.arange(len(rows)), column] += tree.share[below] - tree.share[above]
        return parts / len(self.trees) @ self.credit()

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
    """Train a forest with scikit-learn. Each tree sees a sample of the rows, drawn with repetition."""
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
    return Forest(tuple(columns), tuple(derived), tuple(_tree(each.tree_, yes) for each in trainer.estimators_))


def _tree(trained: object, yes: int) -> Tree:
    nodes = trained.__getstate__()["nodes"]  # type: ignore[index]  # the only door to where missing values go
    values = trained.value[:, 0, :]  # type: ignore[attr-defined]  # scikit-learn has no types
    return Tree(
        nodes["feature"].astype(np.int64),
        _rounded_down(nodes["threshold"]),
        nodes["left_child"].astype(np.int64),
        nodes["right_child"].astype(np.int64),
        nodes["missing_go_to_left"].astype(bool),
        values[:, yes] / values.sum(axis=1),
    )


def _rounded_down(thresholds: NDArray[np.float64]) -> Floats:
    """The largest single-precision number that is not above: a single-precision value then goes the same way."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
