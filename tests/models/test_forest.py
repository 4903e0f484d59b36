"""Trees: values by hand, parts that sum to the answer, and the exported graph against plain numpy."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from models.forest import LEAF, Derived, Forest, Growth, Tree, averaged, derive, grow, rounded_down
from models.forest_graph import graph

NAMES = ("a", "b", "c")
DERIVED = (Derived("ab", "a", "times", "b"), Derived("less", "ab", "minus", "c"), Derived("rate", "a", "per", "c"))
STUMP = Tree(
    np.array([0, LEAF, 3, LEAF, LEAF]),
    np.array([1.0, 0.0, 6.0, 0.0, 0.0], np.float32),
    np.array([1, LEAF, 3, LEAF, LEAF]),
    np.array([2, LEAF, 4, LEAF, LEAF]),
    np.array([True, False, False, False, False]),
    np.array([0.4, 0.1, 0.6, 0.5, 0.9]),
)


def exported(forest: Forest, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    made = onnx.helper.make_model(graph(forest, "forest"), opset_imports=opsets, ir_version=9)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["score", "contributions"], {"features": rows})


def random_rows(count: int, width: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    rows = (chance.standard_normal((count, width)) * 10.0 ** chance.integers(-1, 3, (count, 1))).astype(np.float32)
    rows[chance.random(rows.shape) < 0.1] = np.nan
    return rows


def test_derived_columns_by_hand() -> None:
    table = derive(np.array([[2.0, 3.0, 4.0], [np.nan, 1.0, 0.5]], np.float32), NAMES, DERIVED)
    assert table[0].tolist() == [2.0, 3.0, 4.0, 6.0, 2.0, 0.5]
    assert np.isnan(table[1, [0, 3, 4, 5]]).all()


def test_scores_and_parts_by_hand() -> None:
    forest = Forest(NAMES, DERIVED, (STUMP,))
    rows = np.array([[0.5, 0.0, 0.0], [2.0, 3.0, 0.0], [2.0, 4.0, 0.0], [np.nan, 4.0, 0.0], [2.0, np.nan, 0.0]], np.float32)
    assert forest.score(rows) == pytest.approx([0.1, 0.5, 0.9, 0.1, 0.9])  # a missing product goes right there
    assert forest.contributions(rows)[1] == pytest.approx([0.2 - 0.05, -0.05, 0.0])  # the product's part, half to each side
    assert forest.base + forest.contributions(rows).sum(axis=1) == pytest.approx(forest.score(rows))


@pytest.mark.parametrize("logistic", [False, True])
def test_parity_over_ten_thousand_rows(logistic: bool) -> None:
    rows = random_rows(600, 3, 1)
    labels = np.nan_to_num(rows[:, 0]) * np.nan_to_num(rows[:, 1]) > np.nan_to_num(rows[:, 2])
    grown = grow(rows, labels, NAMES, DERIVED, Growth(trees=8, depth=6), 1)
    forest = Forest(NAMES, DERIVED, grown.trees, -0.3, logistic) if logistic else grown
    asked = random_rows(10_000, 3, 2)
    score, parts = exported(forest, asked)
    assert np.abs(score - forest.score(asked)).max() <= 1e-5
    assert np.abs(parts - forest.contributions(asked)).max() <= 1e-5
    assert forest.base + forest.contributions(asked).sum(axis=1) == pytest.approx(forest.raw(asked))


def test_thresholds_are_never_rounded_up() -> None:
    doubles = np.random.default_rng(3).standard_normal(1000) * 1e6
    assert (rounded_down(doubles).astype(np.float64) <= doubles).all()


def test_inner_values_are_means_over_rows() -> None:
    left, right = np.array([1, LEAF, 3, LEAF, LEAF]), np.array([2, LEAF, 4, LEAF, LEAF])
    found = averaged(np.array([0.0, 1.0, 0.0, 3.0, 5.0]), left, right, np.array([10, 5, 5, 4, 1]))
    assert found.tolist() == [pytest.approx(2.2), 1.0, pytest.approx(3.4), 3.0, 5.0]
