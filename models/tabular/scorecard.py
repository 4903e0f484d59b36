"""Weights on bins: log-odds are the sum of one weight a column, so every score explains itself exactly.

A column of numbers is cut at quantiles of the training rows, a column of words has a bin a word; missing has a weight of its own.
A column's contribution is its weight less that column's mean weight over the training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.tabular.encode import Encoding, Floats

BINS = 8
LOWEST, HIGHEST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Bins:
    """Bin b holds what is in column[b] at or above low[b] and below high[b]; then comes one bin a column for what is missing."""

    column: NDArray[np.int64]
    low: Floats
    high: Floats
    width: int

    def __call__(self, rows: Floats) -> Floats:
        """[rows, bins + columns] 0 or 1."""
        values = rows[:, self.column]
        inside = (values >= self.low) & (values < self.high)
        return np.hstack([inside, np.isnan(rows)]).astype(np.float32)

    def owners(self) -> NDArray[np.int64]:
        """The column of each bin."""
        return np.concatenate([self.column, np.arange(self.width)])


def cut(rows: Floats, encoding: Encoding) -> Bins:
    """Bins that suit the training rows."""
    found: list[tuple[int, float, float]] = []
    for number, (column, values) in enumerate(zip(encoding.columns, rows.T, strict=True)):
        known = values[~np.isnan(values)]
        if column.words:
            edges = np.arange(len(column.words) - 1) + 0.5
        else:
            different = np.unique(known)
            few = len(different) <= BINS
            edges = different[1:] if few else np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
        bounds = [LOWEST, *(float(np.float32(edge)) for edge in edges), HIGHEST]
        found += [(number, low, high) for low, high in pairwise(bounds) if low < high]
    owners, lows, highs = zip(*found, strict=True)
    return Bins(np.array(owners, np.int64), np.array(lows, np.float32), np.array(highs, np.float32), rows.shape[1])


@dataclass(frozen=True)
class Scorecard:
    """Log-odds: base + the sum over the columns of the weight of the bin that the value is in."""

    bins: Bins
    weights: NDArray[np.float64]
    """[bins + columns], the mean of each column over the training rows taken out."""
    base: float

    def score(self, rows: Floats) -> NDArray[np.float64]:
        """[rows] 0 to 1."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.base + self.bins(rows) @ self.weights))))

    def contributions(self, rows: Floats) -> NDArray[np.float64]:
        """[rows, columns] of the log-odds."""
        return np.asarray((self.bins(rows) * self.weights) @ self._credit())

    def _credit(self) -> NDArray[np.float64]:
        return np.eye(self.bins.width)[self.bins.owners()]

    def graph(self, name: str) -> onnx.GraphProto:
        """Input `features` [rows, F] with NaN for missing; outputs `score` [rows] and `contributions` [rows, F]."""
        constants: dict[str, Any] = {
            "column": self.bins.column,
            "low": self.bins.low,
            "high": self.bins.high,
            "credit": (self.weights[:, None] * self._credit()).astype(np.float32),
            "base": np.float32(self.base),
            "axis": np.array([1], np.int64),
        }
        nodes = [
            helper.make_node("Gather", ["features", "column"], ["values"], axis=1),
            helper.make_node("GreaterOrEqual", ["values", "low"], ["above"]),
            helper.make_node("Less", ["values", "high"], ["below"]),
            helper.make_node("And", ["above", "below"], ["inside"]),
            helper.make_node("IsNaN", ["features"], ["missing"]),
            helper.make_node("Concat", ["inside", "missing"], ["flags"], axis=1),
            helper.make_node("Cast", ["flags"], ["bins"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["bins", "credit"], ["contributions"]),
            helper.make_node("ReduceSum", ["contributions", "axis"], ["sum"], keepdims=0),
            helper.make_node("Add", ["sum", "base"], ["log_odds"]),
            helper.make_node("Sigmoid", ["log_odds"], ["score"]),
        ]
        outputs = [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"]),
            helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["rows", self.bins.width]),
        ]
        inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", self.bins.width])]
        held = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
        return helper.make_graph(nodes, name, inputs, outputs, held)


def scorecard(bins: Bins, rows: Floats, weights: NDArray[np.float64], intercept: float) -> Scorecard:
    """With the mean of each column over the rows moved into the base."""
    owners = bins.owners()
    means = np.bincount(owners, bins(rows).mean(axis=0) * weights, bins.width)
    return Scorecard(bins, weights - means[owners], intercept + float(means.sum()))
