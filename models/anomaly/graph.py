"""The anomaly score as one ONNX graph, the same for every machine: a row of any features and a machine's own baseline in, a
score and each feature's part in it out. P is the number of features, S the longest season, in rows.

    features    float32 [1, P]    one row, NaN where a point said nothing usable
    step        int64 [1]         the row's number; seasons are counted in it
    season, period, gain, precision, pace     the baseline (agent/scoring/baseline.py)
    state       float32 [8, P]    what the graph gave as next_state, or the baseline's own
    trace       float32 [2]       the same of next_trace

    score           [1]     0 to 1, one half at the commissioning window's limit
    contributions   [1, P]  each feature's part in the score's newest peak; they sum to the score
    next_state, next_trace

What it does with a row: take off what is usual at this step of the season; follow level, spread and unrest (exponential means);
compare these with themselves as the machine slowly changes; weigh the differences by how the traits hang together (Mahalanobis
distance); divide by the distances of late, so that repetition tells less; keep the highest of late, fading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from agent.scoring.baseline import MEMORY, TRAITS

BASELINE: Mapping[str, tuple[int, Sequence[int | str]]] = {  # name -> element type and shape
    "season": (TensorProto.FLOAT, ["season", "points"]),
    "period": (TensorProto.INT64, ["points"]),
    "gain": (TensorProto.FLOAT, [TRAITS, "points"]),
    "precision": (TensorProto.FLOAT, ["traits", "traits"]),
    "pace": (TensorProto.FLOAT, [6]),
}
STATE: Mapping[str, Sequence[int | str]] = {"state": [MEMORY, "points"], "trace": [2]}
_USUAL = """
    phase = Mod step period
    phases = Unsqueeze phase zeroth
    usual = GatherElements season phases
    missing = IsNaN features
    known = Not missing
    present = Cast known
    fast slow_rate damp_rate keep floor limit = Split pace sixths
    level spread unrest last slow share = Split state eighths
    deseasoned = Sub features usual
    value = Where known deseasoned last
    rate = Mul present fast
"""
_TRAITS = """
    above = Sub value level
    rise = Mul rate above
    level_now = Add level rise
    off = Sub value level_now
    distance_off = Abs off
    wider = Sub distance_off spread
    widening = Mul rate wider
    spread_now = Add spread widening
    jump = Sub value last
    size = Abs jump
    wilder = Sub size unrest
    stirring = Mul rate wilder
    unrest_now = Add unrest stirring
    traits_now = Concat level_now spread_now unrest_now
    changed = Sub traits_now slow
    slowly = Mul present slow_rate
    drift = Mul slowly changed
    slow_now = Add slow drift
"""
_DISTANCE = """
    scaled = Mul changed gain
    normal = Mul scaled present
    normals = Reshape normal flat
    weighed = MatMul normals precision
    products = Mul normals weighed
    folded = Reshape products by_trait
    parts = ReduceSum folded zeroth
    total = ReduceSum parts
    squared = Max total nothing
    distance = Sqrt squared
"""
_SCORE = """
    damp peak = Split trace halves
    of_late = Max damp floor
    fresh = Div distance of_late
    fading = Mul peak keep
    peak_now = Max fresh fading
    newest = GreaterOrEqual fresh fading
    divisor = Max squared tiny
    shares = Div parts divisor
    share_now = Where newest shares share
    whole = Add peak_now limit
    score = Div peak_now whole
    contributions = Mul share_now score
    farther = Sub distance damp
    damping = Mul damp_rate farther
    damp_now = Add damp damping
    next_state = Concat traits_now value slow_now share_now
    next_trace = Concat damp_now peak_now
"""
_ATTRIBUTES: dict[str, dict[str, int]] = {
    "Cast": {"to": TensorProto.FLOAT},
    "Concat": {"axis": 0},
    "GatherElements": {"axis": 0},
    "Split": {"axis": 0},
}
_CONSTANTS = {
    "zeroth": np.array([0], np.int64),
    "sixths": np.ones(6, np.int64),
    "eighths": np.array([1, 1, 1, 1, TRAITS, 1], np.int64),
    "halves": np.ones(2, np.int64),
    "flat": np.array([1, -1], np.int64),
    "by_trait": np.array([TRAITS, -1], np.int64),
    "nothing": np.array([0.0], np.float32),
    "tiny": np.array([1e-12], np.float32),
}


def graph() -> onnx.GraphProto:
    """The graph of this module's head."""
    lines = "".join((_USUAL, _TRAITS, _DISTANCE, _SCORE)).splitlines()
    inputs = [_info("features", TensorProto.FLOAT, [1, "points"]), _info("step", TensorProto.INT64, [1])]
    inputs += [_info(name, kind, shape) for name, (kind, shape) in BASELINE.items()]
    inputs += [_info(name, TensorProto.FLOAT, shape) for name, shape in STATE.items()]
    outputs = [_info("score", TensorProto.FLOAT, [1]), _info("contributions", TensorProto.FLOAT, [1, "points"])]
    outputs += [_info(f"next_{name}", TensorProto.FLOAT, shape) for name, shape in STATE.items()]
    constants = [numpy_helper.from_array(value, name) for name, value in _CONSTANTS.items()]
    return helper.make_graph([_node(line) for line in lines if line.strip()], "anomaly", inputs, outputs, constants)


def _node(line: str) -> onnx.NodeProto:
    """One line of the tables above: outputs = operator inputs."""
    made, _, call = line.partition("=")
    operator, *names = call.split()
    attributes = dict(_ATTRIBUTES.get(operator, {}))
    if operator == "ReduceSum":
        attributes["keepdims"] = int("zeroth" in names)
    node: onnx.NodeProto = helper.make_node(operator, names, made.split(), **attributes)
    return node


def _info(name: str, kind: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    info: onnx.ValueInfoProto = helper.make_tensor_value_info(name, kind, shape)
    return info
