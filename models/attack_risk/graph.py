"""The trained model as one ONNX graph, written node by node: features in, score, contributions and classes out."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.attack_risk.additive import Additive

FAR = 1e6  # pushes the ramp of a sign whose feature is missing below its foot


def graph(model: Additive) -> onnx.GraphProto:
    """Input `features` [rows, F] with NaN for missing; outputs `score` [rows], `contributions` [rows, F], `classes` [rows, C]."""
    ramps = model.ramps
    features, kinds = ramps.slopes.shape[0], model.weights.shape[1]
    constants = {
        "zero": np.float32(0.0),
        "one": np.float32(1.0),
        "slopes": np.vstack([ramps.slopes, -FAR * (ramps.slopes != 0.0)]),
        "offsets": ramps.offsets,
        "weights": np.hstack([np.zeros((len(model.weights), 1)), model.weights]),
        "biases": np.hstack([[0.0], model.biases]),
        "by_class": model.weights.T,
        "credit": ramps.credit,
        "first": np.int64(0),
        "from": np.asarray([1]),
        "to": np.asarray([kinds + 1]),
        "axis": np.asarray([1]),
    }
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["known"]),
        helper.make_node("Cast", ["missing"], ["gaps"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["known", "gaps"], ["both"], axis=1),
        helper.make_node("Gemm", ["both", "slopes", "offsets"], ["ramps"]),
        helper.make_node("Clip", ["ramps", "zero", "one"], ["signs"]),
        helper.make_node("Gemm", ["signs", "weights", "biases"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["classes"], axis=1),
        helper.make_node("Gather", ["classes", "first"], ["none"], axis=1),
        helper.make_node("Sub", ["one", "none"], ["score"]),
        helper.make_node("Slice", ["logits", "from", "to", "axis"], ["attacks"]),
        helper.make_node("ArgMax", ["attacks"], ["strongest"], axis=1, keepdims=0),
        helper.make_node("Gather", ["by_class", "strongest"], ["its_weights"], axis=0),
        helper.make_node("Mul", ["signs", "its_weights"], ["given"]),
        helper.make_node("MatMul", ["given", "credit"], ["contributions"]),
    ]
    return helper.make_graph(
        nodes,
        "attack_risk",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", features])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"]),
            helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["rows", features]),
            helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["rows", kinds + 1]),
        ],
        [
            numpy_helper.from_array(np.asarray(value if np.asarray(value).dtype == np.int64 else np.float32(value)), name)
            for name, value in constants.items()
        ],
    )
