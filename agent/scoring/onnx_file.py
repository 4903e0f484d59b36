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
NODE, INITIALIZER = 1, 5  # of GraphProto
OPERATOR, DOMAIN = 4, 7  # of NodeProto
EXTERNAL_DATA = 13  # of TensorProto
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
            node = dict(_fields(path, _bytes(path, value)))
            operator, domain = _text(node.get(OPERATOR)), _text(node.get(DOMAIN))
            if operator in UNBOUNDED or domain not in DOMAINS:
                raise ModelRefused(f"{path}: uses the operator {domain or 'ai.onnx'}.{operator}, whose time has no bound")
        elif field == INITIALIZER and EXTERNAL_DATA in dict(_fields(path, _bytes(path, value))):
            raise ModelRefused(f"{path}: keeps weights in another file; a model of this agent is one file")


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
