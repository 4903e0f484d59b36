"""Small models for tests, written node by node: a good one and those that must be refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES = ("mean(motion.rms_ms2,60s)", "share(auxiliaries.cabinetDoor=open|tampered,60s)", "delta(cashDispenser.presents,60s)")
WEIGHTS = (0.5, 2.0, 1.0)
BIAS = -3.0


def answer(row: Sequence[float | None]) -> float:
    """What the good model answers, by definition: the logistic function of a weighted sum, what is missing left out."""
    total = BIAS + sum(weight * value for weight, value in zip(WEIGHTS, row, strict=True) if value is not None)
    return float(1.0 / (1.0 + np.exp(-total)))


def card(**changes: Any) -> dict[str, Any]:
    """The card of the good model."""
    rows = [[None, None, None], [0.5, 1.0, 3.0], [None, 0.25, 0.0]]
    return {
        "name": "test_risk",
        "version": "1.0",
        "features": list(FEATURES),
        "classes": ["none", "BLACK_BOX", "B2"],
        "threshold": 0.5,
        "golden": {"inputs": rows, "scores": [answer(row) for row in rows]},
        **changes,
    }


def good() -> list[onnx.NodeProto]:
    """Nodes of the good model."""
    return [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["known"]),
        helper.make_node("Mul", ["known", "weights"], ["contributions"]),
        helper.make_node("ReduceSum", ["contributions", "axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "bias"], ["logit"]),
        helper.make_node("Mul", ["logit", "turns"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["classes"], axis=1),
        helper.make_node("Sigmoid", ["logit"], ["scores"]),
        helper.make_node("Squeeze", ["scores", "axis"], ["score"]),
    ]


def model(
    nodes: Sequence[onnx.NodeProto] | None = None, text: dict[str, Any] | None = None, features: int = len(FEATURES)
) -> bytes:
    """A model file: the good one, or other nodes, another card, another number of features."""
    weights = np.resize(np.asarray(WEIGHTS, dtype=np.float32), features)
    constants = {
        "zero": np.float32(0.0),
        "weights": weights,
        "bias": np.float32(BIAS),
        "turns": np.asarray([0.0, 1.0, -1.0], dtype=np.float32),
        "axis": np.asarray([1]),
    }
    graph = helper.make_graph(
        list(nodes if nodes is not None else good()),
        "test",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", features])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"]),
            helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["rows", features]),
            helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["rows", 3]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    entry = made.metadata_props.add()
    entry.key, entry.value = "card", json.dumps(card() if text is None else text)
    return bytes(made.SerializeToString(deterministic=True))


def saying(score: float) -> list[onnx.NodeProto]:
    """Nodes of a model that says the same to everything."""
    value = numpy_helper.from_array(np.asarray([score], dtype=np.float32), "value")
    return [
        *(node for node in good() if "score" not in node.output),
        helper.make_node("Constant", [], ["score"], value=value),
    ]


def endless() -> list[onnx.NodeProto]:
    """Nodes with a loop that does not end within a lifetime."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Add", ["carried", "carried"], ["doubled"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, ["rows"]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("doubled", TensorProto.FLOAT, ["rows"]),
        ],
    )
    most = numpy_helper.from_array(np.asarray(2**62), "most")
    yes = numpy_helper.from_array(np.asarray(True), "yes")
    nodes = good()
    nodes[-1].output[0] = "once"
    return [
        *nodes,
        helper.make_node("Constant", [], ["turns_wanted"], value=most),
        helper.make_node("Constant", [], ["going_on"], value=yes),
        helper.make_node("Loop", ["turns_wanted", "going_on", "once"], ["score"], body=body),
    ]


def heavy(products: int) -> list[onnx.NodeProto]:
    """Nodes that keep a processor busy: products of a 400 × 400 matrix that is made from the input, so that nothing folds."""
    side = numpy_helper.from_array(np.asarray([400, 400]), "side")
    nodes = good()
    nodes[-1].output[0] = "once"
    chain = [
        helper.make_node("Constant", [], ["side"], value=side),
        helper.make_node("ReduceSum", ["once"], ["seed"], keepdims=0),
        helper.make_node("Expand", ["seed", "side"], ["product_0"]),
    ]
    for number in range(products):
        chain.append(helper.make_node("MatMul", [f"product_{number}", "product_0"], [f"raw_{number}"]))
        chain.append(helper.make_node("Tanh", [f"raw_{number}"], [f"product_{number + 1}"]))
    last = [
        helper.make_node("ReduceSum", [f"product_{products}"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["nothing"]),
        helper.make_node("Add", ["once", "nothing"], ["score"]),
    ]
    return [*nodes, *chain, *last]


def greedy(numbers: int) -> list[onnx.NodeProto]:
    """Nodes that make a tensor of so many numbers."""
    side = numpy_helper.from_array(np.asarray([numbers]), "side")
    nodes = good()
    nodes[-1].output[0] = "once"
    return [
        *nodes,
        helper.make_node("Constant", [], ["side"], value=side),
        helper.make_node("ReduceSum", ["once"], ["seed"], keepdims=0),
        helper.make_node("Expand", ["seed", "side"], ["wide"]),
        helper.make_node("ReduceSum", ["wide"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["nothing"]),
        helper.make_node("Add", ["once", "nothing"], ["score"]),
    ]


def put(folder: Path, data: bytes, name: str = "test_risk.onnx") -> Path:
    """Write a model file."""
    path = folder / name
    path.write_bytes(data)
    return path
