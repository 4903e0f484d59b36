"""What can be said of a file before it runs, on files that onnx itself has written, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from agent.errors import ModelRefused
from agent.scoring import onnx_file
from tests.agent.scoring import graphs

PATH = Path("test.onnx")
WHOLE = graphs.model()


def test_metadata_as_onnx_reads_it() -> None:
    theirs = {entry.key: entry.value for entry in onnx.load_model_from_string(WHOLE).metadata_props}
    assert onnx_file.metadata(PATH, WHOLE) == theirs
    assert list(theirs) == ["card"]


def test_a_good_graph_passes() -> None:
    onnx_file.check_operators(PATH, WHOLE)


@pytest.mark.parametrize("operator", ["Loop", "Scan", "If"])
def test_operators_without_a_bound(operator: str) -> None:
    node = helper.make_node(operator, ["features"], ["score"])
    with pytest.raises(ModelRefused, match=f"operator ai.onnx.{operator}, whose time has no bound"):
        onnx_file.check_operators(PATH, graphs.model([node]))


def test_an_operator_that_hides_behind_a_field_of_the_wrong_type() -> None:
    """A field 4 that is a number, behind the one that is text: a runtime passes over it, and so must we."""
    node = helper.make_node("Loop", ["features"], ["score"]).SerializeToString() + b"\x20\x01"
    assert onnx.NodeProto.FromString(node).op_type == "Loop"
    graph = bytes((0x0A, len(node))) + node
    with pytest.raises(ModelRefused, match="Loop, whose time has no bound"):
        onnx_file.check_operators(PATH, bytes((0x3A, len(graph))) + graph)


def test_operators_of_strangers() -> None:
    node = helper.make_node("Anything", ["features"], ["score"], domain="com.example")
    with pytest.raises(ModelRefused, match=r"com\.example\.Anything"):
        onnx_file.check_operators(PATH, graphs.model([node]))


def test_functions_and_weights_elsewhere() -> None:
    made = onnx.load_model_from_string(WHOLE)
    made.functions.append(helper.make_function("own", "f", [], [], [], [helper.make_opsetid("", 17)]))
    with pytest.raises(ModelRefused, match="operators of its own"):
        onnx_file.check_operators(PATH, made.SerializeToString())
    made = onnx.load_model_from_string(WHOLE)
    weight = made.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/shadow")
    with pytest.raises(ModelRefused, match="weights in another file"):
        onnx_file.check_operators(PATH, made.SerializeToString())


def elsewhere(location: str) -> onnx.TensorProto:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return weight


@pytest.mark.parametrize("location", ["/etc/shadow", "../../../etc/shadow", "*/_ORT_MEM_ADDR_/*", "weights.bin"])
def test_weights_elsewhere_within_a_node(location: str) -> None:
    node = helper.make_node("Constant", [], ["score"], value=elsewhere(location))
    with pytest.raises(ModelRefused, match="weights in another file") as refused:
        onnx_file.check_operators(PATH, graphs.model([node]))
    assert "\n" not in str(refused.value)


def test_graphs_within_graphs_and_sparse_weights() -> None:
    inner = helper.make_graph([], "inner", [], [])
    with pytest.raises(ModelRefused, match="a graph within its graph"):
        onnx_file.check_operators(PATH, graphs.model([helper.make_node("SequenceMap", ["features"], ["score"], body=inner)]))
    made = onnx.load_model_from_string(WHOLE)
    values, at = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]), helper.make_tensor("i", TensorProto.INT64, [1], [0])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, at, [2**40]))
    with pytest.raises(ModelRefused, match="sparse weights"):
        onnx_file.check_operators(PATH, made.SerializeToString())


def test_what_a_file_says_of_itself_cannot_command_the_terminal() -> None:
    node = helper.make_node("Loop\x1b[2J\n", ["features"], ["score"], domain="evil\r\n")
    with pytest.raises(ModelRefused) as refused:
        onnx_file.check_operators(PATH, graphs.model([node]))
    assert str(refused.value).isprintable()


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_no_bytes_make_it_do_anything_but_refuse(data: bytes) -> None:
    for look in (onnx_file.check_operators, onnx_file.metadata):
        try:
            look(PATH, data)
        except ModelRefused:
            continue


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_one_damaged_byte(at: int, flip: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= flip
    for look in (onnx_file.check_operators, onnx_file.metadata):
        try:
            look(PATH, bytes(damaged))
        except ModelRefused:
            continue
