"""What can be said of a model file before any runtime looks at it: its metadata and its operators.

ONNX is protocol buffers (onnx.proto3, ModelProto). Only the fields that are named here are read; what is cut short, or nested
deeper than any graph needs, is refused. An operator that repeats or chooses part of a graph is refused as well: without one, a
graph's time is bounded by its size, so a model that was quick in its proof stays quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.errors import ModelRefused

GRAPH, METADATA, FUNCTIONS = 7, 14, 25  # of ModelProto
NODE, INITIALIZER, SPARSE_INITIALIZER = 1, 5, 15  # of GraphProto
OPERATOR, ATTRIBUTE, DOMAIN = 4, 5, 7  # of NodeProto
TENSOR, SUBGRAPH, TENSORS, SUBGRAPHS, SPARSE, SPARSES = 5, 6, 10, 11, 22, 23  # of AttributeProto
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of TensorProto
KEY, VALUE = 1, 2  # of StringStringEntryProto
UNBOUNDED = frozenset({"Loop", "Scan", "If"})
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})


def metadata(path: Path, data: bytes) -> dict[str, str]:
    """The model's metadata. Raises ModelRefused when the file is no whole ONNX file."""
    found: dict[str, str] = {}
    for field, value in _fields(path, memoryview(data)):
        if field == METADATA:
            entry = dict(_fields(path, _bytes(path, value)))
            found[_text(entry.get(KEY))] = _text(entry.get(VALUE))
    return found


def check_operators(path: Path, data: bytes) -> None:
    """Nothing, when every operator is one that ends. Raises ModelRefused."""
    graphs = 0
    for field, value in _fields(path, memoryview(data)):
        if field == FUNCTIONS:
            raise ModelRefused(f"{path}: defines operators of its own; export it with the project's trainer")
        if field == GRAPH:
            graphs += 1
            _check_graph(path, _bytes(path, value))
    if graphs != 1:
        raise ModelRefused(f"{path}: holds no graph; it is no ONNX file, or only a part of one")


def _check_graph(path: Path, graph: memoryview) -> None:
    for field, value in _fields(path, graph):
        if field == NODE:
            _check_node(path, _bytes(path, value))
        elif field == INITIALIZER:
            _check_tensor(path, _bytes(path, value))
        elif field == SPARSE_INITIALIZER:
            raise _sparse(path)


def _check_node(path: Path, node: memoryview) -> None:
    fields = list(_fields(path, node))
    names = {field: value for field, value in fields if isinstance(value, memoryview)}  # a runtime passes over other wire types
    operator, domain = _text(names.get(OPERATOR)), _text(names.get(DOMAIN))
    if operator in UNBOUNDED or domain not in DOMAINS:
        raise ModelRefused(f"{path}: uses the operator {domain or 'ai.onnx'}.{operator}, whose time has no bound")
    for field, value in fields:
        if field == ATTRIBUTE:
            _check_attribute(path, _bytes(path, value))


def _check_attribute(path: Path, attribute: memoryview) -> None:
    for field, value in _fields(path, attribute):
        if field in (SUBGRAPH, SUBGRAPHS):
            raise ModelRefused(f"{path}: holds a graph within its graph, which only operators without a bound want")
        if field in (SPARSE, SPARSES):
            raise _sparse(path)
        if field in (TENSOR, TENSORS):
            _check_tensor(path, _bytes(path, value))


def _check_tensor(path: Path, tensor: memoryview) -> None:
    for field, value in _fields(path, tensor):
        if field == EXTERNAL_DATA or (field == DATA_LOCATION and value):
            raise ModelRefused(f"{path}: keeps weights in another file; a model of this agent is one file")


def _sparse(path: Path) -> ModelRefused:
    return ModelRefused(f"{path}: holds sparse weights, which may grow without a bound; export it with the project's trainer")


def _fields(path: Path, message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one message; fixed-width values are given as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(path, message, at)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            number, at = _varint(path, message, at)
            yield field, number
            continue
        if kind == 2:
            size, at = _varint(path, message, at)
        else:
            size = {1: 8, 5: 4}.get(kind, -1)
        if size < 0 or at + size > len(message):
            raise _damaged(path)
        yield field, message[at : at + size]
        at += size


def _varint(path: Path, message: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise _damaged(path)


def _bytes(path: Path, value: int | memoryview) -> memoryview:
    if isinstance(value, memoryview):
        return value
    raise _damaged(path)


def _damaged(path: Path) -> ModelRefused:
    return ModelRefused(f"{path}: is no ONNX file, or was cut short; copy it again")


def _text(value: int | memoryview | None) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, memoryview) else ""
