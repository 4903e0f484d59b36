"""A forest as one ONNX graph: given columns in, score and contributions out. Derived columns are made inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.forest import LEAF, Forest

_OPERATORS = {"times": "Mul", "minus": "Sub", "plus": "Add", "per": "Div"}


def graph(forest: Forest, name: str) -> onnx.GraphProto:
    """Input `features` [rows, F] with NaN for missing; outputs `score` [rows] and `contributions` [rows, F]."""
    given = len(forest.columns)
    constants = {
        "ones": np.ones(given, np.int64),
        "split": np.array([1, forest.width], np.int64),
        "second": np.array([1], np.int64),
        "credit": forest.credit().astype(np.float32),
    }
    if not forest.logistic:
        constants["zero"] = np.array(0.0, np.float32)
    if not forest.logistic or any(one.how == "per" for one in forest.derived):
        constants["one"] = np.array(1.0, np.float32)
    nodes = [
        *_table(forest),
        _ensemble(forest),
        helper.make_node("Split", ["sums", "split"], ["raw", "parts"], axis=1),
        helper.make_node("Squeeze", ["raw", "second"], ["answer"]),
        _link(forest),
        helper.make_node("MatMul", ["parts", "credit"], ["contributions"]),
    ]
    return helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", given])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"]),
            helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["rows", given]),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )


def _link(forest: Forest) -> onnx.NodeProto:
    """From the answer to a score between 0 and 1."""
    if forest.logistic:
        return helper.make_node("Sigmoid", ["answer"], ["score"])
    return helper.make_node("Clip", ["answer", "zero", "one"], ["score"])


def _table(forest: Forest) -> Sequence[onnx.NodeProto]:
    """Columns apart, derived ones made, all together again."""
    tensors = {name: f"column {index}" for index, name in enumerate(forest.columns)}
    nodes = [helper.make_node("Split", ["features", "ones"], list(tensors.values()), axis=1)]
    for one in forest.derived:
        left, right, made = tensors[one.left], tensors[one.right], f"derived {one.name}"
        if one.how == "per":
            nodes.append(helper.make_node("Max", [right, "one"], [f"at least one {one.name}"]))
            right = f"at least one {one.name}"
        nodes.append(helper.make_node(_OPERATORS[one.how], [left, right], [made]))
        tensors[one.name] = made
    return [*nodes, helper.make_node("Concat", list(tensors.values()), ["table"], axis=1)]


def _ensemble(forest: Forest) -> onnx.NodeProto:
    """All trees in one operator. Target 0 is the answer, target 1 + c the part of column c of the table."""
    listed: dict[str, list[object]] = {f"nodes_{what}": [] for what in _NODE_LISTS}
    targets: dict[str, list[object]] = {f"target_{what}": [] for what in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(forest.trees):
        leaves = tree.left == LEAF
        count = len(leaves)
        columns = (
            [number] * count,
            list(range(count)),
            np.where(leaves, 0, tree.column).tolist(),
            ["LEAF" if leaf else "BRANCH_LEQ" for leaf in leaves],
            np.where(leaves, 0.0, tree.threshold).tolist(),
            np.where(leaves, 0, tree.left).tolist(),
            np.where(leaves, 0, tree.right).tolist(),
            np.where(leaves, 0, tree.missing_left).tolist(),
        )
        for what, values in zip(_NODE_LISTS, columns, strict=True):
            listed[f"nodes_{what}"] += values
        for leaf, weights in _leaves(forest, number):
            for target, weight in weights.items():
                for what, value in zip(targets, (number, leaf, target, weight), strict=True):
                    targets[what].append(value)
    node: onnx.NodeProto = helper.make_node(
        "TreeEnsembleRegressor",
        ["table"],
        ["sums"],
        domain="ai.onnx.ml",
        n_targets=1 + forest.width,
        aggregate_function="SUM",
        base_values=[forest.offset] + [0.0] * forest.width,
        **listed,
        **targets,
    )
    return node


_NODE_LISTS = (
    "treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true",
)  # fmt: skip


def _leaves(forest: Forest, number: int) -> list[tuple[int, dict[int, float]]]:
    """Each leaf of a tree with its weight for every target that it moves."""
    tree = forest.trees[number]
    found: list[tuple[int, dict[int, float]]] = []
    waiting: list[tuple[int, dict[int, float]]] = [(0, {})]
    while waiting:
        at, parts = waiting.pop()
        if tree.left[at] == LEAF:
            found.append((at, {0: float(tree.value[at])} | {1 + column: part for column, part in sorted(parts.items()) if part}))
            continue
        column = int(tree.column[at])
        for child in (int(tree.right[at]), int(tree.left[at])):
            step = float(tree.value[child] - tree.value[at])
            waiting.append((child, parts | {column: parts.get(column, 0.0) + step}))
    return found
