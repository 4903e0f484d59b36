"""An ONNX graph written as one expression after the other. Missing values are NaN, and stay what they are: unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BIG = np.float32(1e30)  # sorts behind every logarithm of an amount


class Nodes:
    """Collects nodes and constants; every method returns the name of what it makes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[Any, ...], str] = {}
        self.initializers: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """One node. With several outputs the name of the first one comes back; the others end in _1, _2…"""
        name = f"{kind.lower()}{len(self.nodes)}"
        names = [name, *(f"{name}_{index}" for index in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, inputs, names, name, **attributes))  # onnxruntime 1.20 wants names to fuse
        return name

    def floats(self, value: Any) -> str:
        """A constant of 32-bit floats."""
        return self._constant(np.asarray(value, dtype=np.float32))

    def ints(self, *value: int) -> str:
        """A constant list of 64-bit integers."""
        return self._constant(np.asarray(value, dtype=np.int64))

    def flags(self, value: Any) -> str:
        """A constant of truth values."""
        return self._constant(np.asarray(value, dtype=np.bool_))

    def _constant(self, array: np.ndarray[Any, Any]) -> str:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = f"c{len(self.constants)}"
            self.initializers.append(numpy_helper.from_array(array, self.constants[key]))
        return self.constants[key]

    def slice(self, data: str, start: int, end: int, axis: int) -> str:
        """data[start:end] along one axis."""
        return self.op("Slice", data, self.ints(start), self.ints(end), self.ints(axis))

    def gather(self, data: str, indices: list[int], axis: int) -> str:
        """Rows, columns or planes by their numbers."""
        return self.op("Gather", data, self.ints(*indices), axis=axis)

    def reshape(self, data: str, *shape: int) -> str:
        """0 keeps a dimension, -1 fills up."""
        return self.op("Reshape", data, self.ints(*shape))

    def concat(self, *parts: str, axis: int) -> str:
        """Side by side."""
        return self.op("Concat", *parts, axis=axis)

    def known(self, data: str) -> tuple[str, str]:
        """The values with 0 for NaN, and 1 or 0 for known or not."""
        missing = self.op("IsNaN", data)
        mask = self.op("Cast", self.op("Not", missing), to=TensorProto.FLOAT)
        return self.op("Where", missing, self.floats(0.0), data), mask

    def fill(self, data: str, value: str) -> str:
        """`value` where data is NaN."""
        return self.op("Where", self.op("IsNaN", data), value, data)

    def ratio(self, total: str, count: str) -> str:
        """total / count, NaN where count is 0."""
        some = self.op("Greater", count, self.floats(0.0))
        return self.op("Where", some, self.op("Div", total, self.op("Max", count, self.floats(1.0))), self.floats(np.nan))

    def mean(self, data: str, *axes: int) -> str:
        """Of the known values; NaN where there is none. The axes stay, of length 1."""
        values, mask = self.known(data)
        total = self.op("ReduceSum", values, self.ints(*axes), keepdims=1)
        return self.ratio(total, self.op("ReduceSum", mask, self.ints(*axes), keepdims=1))

    def median(self, data: str, axis: int, length: int) -> str:
        """Of the known values along an axis of that length; NaN where there is none. The axis stays, of length 1."""
        _, mask = self.known(data)
        ordered = self.op("TopK", self.fill(data, self.floats(BIG)), self.ints(length), outputs=2, axis=axis, largest=0)
        count = self.op("ReduceSum", mask, self.ints(axis), keepdims=1)
        half = self.op("Div", count, self.floats(2.0))
        upper = self._at(ordered, self.op("Floor", half), axis, length)
        lower = self._at(ordered, self.op("Sub", self.op("Ceil", half), self.floats(1.0)), axis, length)
        middle = self.op("Mul", self.op("Add", lower, upper), self.floats(0.5))
        some = self.op("Greater", count, self.floats(0.0))
        return self.op("Where", some, middle, self.floats(np.nan))

    def _at(self, ordered: str, position: str, axis: int, length: int) -> str:
        bounded = self.op("Clip", position, self.floats(0.0), self.floats(float(length - 1)))
        return self.op("GatherElements", ordered, self.op("Cast", bounded, to=TensorProto.INT64), axis=axis)

    def clip(self, data: str, limit: float) -> str:
        """Between -limit and limit; NaN stays."""
        bounded = self.op("Clip", data, self.floats(-limit), self.floats(limit))
        return self.op("Where", self.op("IsNaN", data), data, bounded)  # what Clip makes of NaN is left open by ONNX
