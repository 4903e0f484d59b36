"""The whole model as one graph: features, a head for the days, a head for sums of days. Trainer and gateway run the same nodes.

    daily       [machines, 56, LEVELS]  quantiles of each day's demand, in the unit of the history
    cumulative  [machines, 14, LEVELS]  quantiles of the demand of the first 1 to 14 days together

A machine whose last 26 weeks hold no known day gets NaN: nothing is known of it. On a day on which it is closed it gets 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from models import card
from models.cash_demand.columns import Array
from models.cash_demand.features import FEATURES, MACHINE, WEEK, Made, build, inputs
from models.cash_demand.network import Floats, Layers, quantiles, spreading
from models.cash_demand.nodes import Nodes

LEVELS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
MIDDLE = LEVELS.index(0.5)
SPAN = 14  # days, the longest sum
FARTHEST = 6.0  # deviations: what is beyond was never seen in training
WIDTHS = (0.05, 0.95, 0.99)  # how uncertain the days of a span are by themselves
SUMS = (
    *FEATURES[:MACHINE],
    *(f"day {days} before" for days in range(WEEK, 0, -1)),
    "sum against usual",
    *(f"mean width to {level:g}" for level in WIDTHS),
    "length",
    "one day's share",
    "logarithm of the length",
)
"""What the head for sums sees of a span."""


@dataclass(frozen=True)
class Head:
    """Several networks that see the same and whose answers are averaged."""

    mean: Floats
    scale: Floats
    networks: tuple[Layers, ...]

    def seen(self, rows: Floats) -> Floats:
        """[rows, inputs] as the networks see them: 0 is what is usual, and what is not known."""
        around = np.nan_to_num((rows - self.mean) / self.scale)
        return np.asarray(np.clip(around, -FARTHEST, FARTHEST), np.float32)

    def __call__(self, rows: Floats) -> Floats:
        """[rows, LEVELS] on the logarithmic scale, against the level."""
        seen = self.seen(rows)
        return np.asarray(np.mean([quantiles(each, seen, LEVELS) for each in self.networks], axis=0), np.float32)


@dataclass(frozen=True)
class Learned:
    """Everything that training finds."""

    factors: Array
    daily: Head
    cumulative: Head


def graph(learned: Learned) -> onnx.GraphProto:
    """The graph that ships."""
    nodes = Nodes()
    made = build(nodes, learned.factors)
    daily = _daily(nodes, made, learned.daily)
    sums, base = _sums(nodes, made, daily)
    total = nodes.op("Add", _head(nodes, sums, learned.cumulative), nodes.reshape(base, 0, SPAN, 1))
    opened = nodes.slice(made.opened, 0, SPAN, 1)
    ever = nodes.op("Min", nodes.op("CumSum", opened, nodes.ints(1)), nodes.floats(1.0))
    named = tuple(
        nodes.op("Mul", nodes.op("Exp", each), nodes.op("Unsqueeze", days, nodes.ints(2)))
        for each, days in ((daily, made.opened), (total, ever))
    )
    nodes.nodes += [helper.make_node("Identity", [name], [out]) for name, out in zip(named, ("daily", "cumulative"), strict=True)]
    outputs = [
        helper.make_tensor_value_info("daily", TensorProto.FLOAT, ["machines", 56, len(LEVELS)]),
        helper.make_tensor_value_info("cumulative", TensorProto.FLOAT, ["machines", SPAN, len(LEVELS)]),
    ]
    return helper.make_graph(nodes.nodes, "cash_demand", inputs(), outputs, nodes.initializers)


Rows = Callable[[Floats, Floats], list[Floats]]
"""(history, calendar) -> what a head sees [machines, days, inputs], and the logarithm [machines, days] that it starts from."""


def daily_rows(factors: Array) -> Rows:
    """What the head for days sees, and the level of each day."""
    nodes = Nodes()
    made = build(nodes, factors)
    return _runner(nodes, made.features, made.level)


def sum_rows(factors: Array, daily: Head) -> Rows:
    """What the head for sums sees, and the logarithm of the sum of the days' medians."""
    nodes = Nodes()
    made = build(nodes, factors)
    return _runner(nodes, *_sums(nodes, made, _daily(nodes, made, daily)))


def whole(learned: Learned) -> Rows:
    """The graph that ships, to be run at once: daily and cumulative quantiles."""
    return _session(graph(learned), ["daily", "cumulative"])


def _runner(nodes: Nodes, *outputs: str) -> Rows:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return _session(helper.make_graph(nodes.nodes, "rows", inputs(), infos, nodes.initializers), list(outputs))


def _session(made: onnx.GraphProto, outputs: Sequence[str]) -> Rows:
    opsets = [helper.make_opsetid("", card.OPSETS[""])]
    model = helper.make_model(made, opset_imports=opsets, ir_version=card.IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda history, calendar: list(session.run(outputs, {"history": history, "calendar": calendar}))


def _daily(nodes: Nodes, made: Made, head: Head) -> str:
    """Logarithms of the days' quantiles, [machines, 56, LEVELS]."""
    return nodes.op("Add", _head(nodes, made.features, head), nodes.op("Unsqueeze", made.level, nodes.ints(2)))


def _sums(nodes: Nodes, made: Made, daily: str) -> tuple[str, str]:
    """SUMS of each span [machines, 14, SUMS], and the logarithm of its medians' sum [machines, 14]."""
    days = nodes.slice(daily, 0, SPAN, 1)
    medians = nodes.gather(days, [MIDDLE], 2)
    amounts = nodes.op("Exp", medians)
    sums = nodes.op("CumSum", amounts, nodes.ints(1))
    usual = nodes.op("Exp", nodes.op("Unsqueeze", nodes.slice(made.level, 0, SPAN, 1), nodes.ints(2)))
    base = nodes.op("Log", sums)
    shift = nodes.op("Sub", base, nodes.op("Log", nodes.op("CumSum", usual, nodes.ints(1))))
    widths = nodes.op("Sub", nodes.gather(days, [LEVELS.index(level) for level in WIDTHS], 2), medians)
    width = nodes.op("Div", nodes.op("CumSum", nodes.op("Mul", widths, amounts), nodes.ints(1)), sums)
    same = nodes.op("Add", nodes.concat(made.machine, made.last_week, axis=2), nodes.floats(np.zeros((1, SPAN, 1))))
    length = np.arange(1, SPAN + 1)
    spans = np.column_stack([length / SPAN, 1 / length, np.log(length) / np.log(SPAN)])[None]
    shared = nodes.op("Add", nodes.floats(spans), nodes.op("Mul", nodes.known(base)[1], nodes.floats(0.0)))
    return nodes.concat(same, shift, width, shared, axis=2), nodes.reshape(base, 0, SPAN)


def _head(nodes: Nodes, rows: str, head: Head) -> str:
    """Head.__call__ as nodes."""
    around = nodes.op("Mul", nodes.op("Sub", rows, nodes.floats(head.mean)), nodes.floats(1.0 / head.scale))
    seen = nodes.clip(nodes.fill(around, nodes.floats(0.0)), FARTHEST)
    middle = np.arange(len(LEVELS)) == MIDDLE
    answers = []
    for layers in head.networks:
        inner = seen
        for weights, biases in layers[:-1]:
            inner = nodes.op("Relu", nodes.op("Add", nodes.op("MatMul", inner, nodes.floats(weights)), nodes.floats(biases)))
        raw = nodes.op("Add", nodes.op("MatMul", inner, nodes.floats(layers[-1][0])), nodes.floats(layers[-1][1]))
        answers.append(nodes.op("Where", nodes.flags(middle), raw, nodes.op("Softplus", raw)))
    mean = nodes.op("Mul", nodes.op("Sum", *answers), nodes.floats(1.0 / len(answers)))
    return nodes.op("MatMul", mean, nodes.floats(spreading(LEVELS)))
