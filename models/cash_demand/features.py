"""From history and calendar to what the network sees: nodes of the exported graph, and nothing else.

The trainer runs these very nodes to make its training rows, so what was learned and what the gateway computes cannot drift apart.

    history   [machines, 546]  daily amounts, oldest first, the last one yesterday; NaN or 0: not known (0 is demand not met,
                               but on a weekday that has had nothing else for four weeks or more: then the machine is closed)
    calendar  [602, 7]         codes of those days and of the 56 to come (daycodes.CODES)

Amounts are taken as logarithms, freed of the calendar's pooled effect. Three blocks of 26 weeks are told apart: the last one,
which alone is needed; the one before; and the one before the same weeks of last year, which tells the season where it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from agent.analysis.daycodes import CODES
from models.cash_demand.columns import BY_WEEKDAY, MONTH, NAMES, SEASON, TENTS, YEAR, Array, Tent, code_indices, group_matrix
from models.cash_demand.nodes import Nodes

WEEK = 7
BLOCK = 26  # weeks
NEEDED = BLOCK * WEEK
HISTORY = 3 * NEEDED  # days
HORIZON = 56  # days
USUAL_WEEKS = (6, 12, 26)  # medians over these are averaged to what is usual on a weekday
RECENT_WEEKS = (1, 2, 4, 8, 16)
SPREAD_WEEKS = 12
CLOSED_WEEKS = 4  # with 0 on a weekday, and no other amount on it in 26 weeks
LEAD = 14  # days before the same weeks of last year that are looked at too
SMOOTHING = (3, 7, 14)  # days on either side
SMALLEST = 1e-6  # of the currency; keeps the logarithm finite where it is not used
OWN = 0.3  # squared logarithms: a calendar that moves amounts by a tenth is believed half after 30 days
REST_LIMIT, SEASON_LIMIT, GROUP_LIMIT = 1.0, 1.2, 1.5  # of the logarithm: one odd day must not speak for a week

MACHINE = len(RECENT_WEEKS) + 2 + WEEK + 3  # the first of FEATURES: levels, spread, gaps, profile, seasons
_SEEN = [index for index, name in enumerate(NAMES) if name.startswith(("weekday", "day ", "days_left", "turn"))]
FEATURES = (
    *(f"level of the last {weeks} weeks" for weeks in RECENT_WEEKS),
    "spread",
    "share of unknown days",
    *(f"profile of weekday {each}" for each in range(7)),
    "season, eight weeks",
    "season, two weeks before",
    "season known",
    *(f"median of {weeks} weeks" for weeks in (4, *USUAL_WEEKS)),
    *(f"{weeks} weeks ago" for weeks in (1, 2, 3)),
    "spread on this weekday",
    "profile of this weekday",
    "last week known",
    "this day last year",
    *(f"season, {2 * days + 1} days" for days in SMOOTHING),
    "past days of this kind",
    "own place in the month",
    "own time of the year",
    "own season of this weekday",
    "days ahead",
    "calendar factor",
    *(NAMES[index] for index in _SEEN),
    *(f"kind of day {each}" for each in range(1, group_matrix().shape[1])),
)


Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Made:
    """Names of what the nodes make."""

    features: str
    """[machines, 56, FEATURES]"""
    level: str
    """[machines, 56], the logarithm of what is usual on such a day."""
    machine: str
    """[machines, 1, MACHINE], those of the features that are the same on every day ahead."""
    last_week: str
    """[machines, 1, 7], how the last seven days differed from what was usual, oldest first."""
    opened: str
    """[machines, 56], 0 on days on which the machine is closed, else 1."""


def inputs() -> list[onnx.ValueInfoProto]:
    """The graph's two inputs."""
    return [
        helper.make_tensor_value_info("history", TensorProto.FLOAT, ["machines", HISTORY]),
        helper.make_tensor_value_info("calendar", TensorProto.FLOAT, [HISTORY + HORIZON, len(CODES)]),
    ]


def build(nodes: Nodes, factors: Array) -> Made:
    """Add the nodes. `factors` [columns.NAMES]: what each column of the calendar adds to the logarithm of every amount."""
    days = _columns(nodes)
    effects = nodes.op("MatMul", days, nodes.floats(factors.reshape(-1, 1)))
    past, ahead = nodes.slice(effects, 0, HISTORY, 0), nodes.slice(effects, HISTORY, HISTORY + HORIZON, 0)
    weeks = _weeks(nodes, nodes.reshape(past, 1, HISTORY))
    ago, before, last = (nodes.slice(weeks, block * BLOCK, (block + 1) * BLOCK, 1) for block in range(3))
    medians = [_median(nodes, last, each) for each in (4, *USUAL_WEEKS)]
    usual, usual_ago = _usual(nodes, medians[1:]), _usual(nodes, [_median(nodes, ago, each) for each in USUAL_WEEKS])
    usual_before = _usual(nodes, [_median(nodes, before, each) for each in USUAL_WEEKS])
    rests = [nodes.op("Sub", block, level) for block, level in ((ago, usual_ago), (before, usual_before), (last, usual))]
    season = nodes.op("Sub", nodes.slice(weeks, BLOCK - LEAD // WEEK, BLOCK + HORIZON // WEEK + LEAD // WEEK, 1), usual_ago)
    season = nodes.reshape(nodes.clip(season, SEASON_LIMIT), 0, 1, HORIZON + 2 * LEAD)
    groups = nodes.op("Min", nodes.op("MatMul", days, nodes.floats(group_matrix())), nodes.floats(1.0))
    profile = nodes.op("Sub", usual, nodes.mean(usual, 2))
    machine = [*_machine(nodes, rests[2]), _by_weekday(nodes, profile, days), *_season(nodes, season)]
    weekday = [*(nodes.op("Sub", each, usual) for each in medians), *_weekday(nodes, rests[2]), profile, _last_known(nodes, last)]
    rest = nodes.clip(nodes.reshape(nodes.concat(*rests, axis=1), 0, HISTORY), GROUP_LIMIT)
    daily = [*_smoothed(nodes, season), _kind(nodes, rest, groups), *_own(nodes, rest, days, factors)]
    shared = _shared(nodes, days, groups, ahead)
    features = _assemble(nodes, machine, weekday, daily, shared)
    level = nodes.op("Add", nodes.reshape(_repeat(nodes, usual), 0, HORIZON), nodes.reshape(ahead, 1, HORIZON))
    opened = _opened(nodes)
    level = nodes.op("Where", nodes.op("Greater", opened, nodes.floats(0.0)), level, nodes.floats(np.log(SMALLEST)))
    last_week = nodes.clip(nodes.slice(rests[2], BLOCK - 1, BLOCK, 1), REST_LIMIT)
    return Made(features, level, nodes.concat(*machine, axis=2), last_week, opened)


def _opened(nodes: Nodes) -> str:
    """[machines, 56]: `closed` as nodes, turned round."""
    last = nodes.reshape(nodes.slice("history", HISTORY - NEEDED, HISTORY, 1), 0, BLOCK, WEEK)
    some, none = (nodes.op(kind, last, nodes.floats(0.0)) for kind in ("Greater", "Equal"))
    paid, zeros = (
        nodes.op("ReduceSum", nodes.op("Cast", each, to=TensorProto.FLOAT), nodes.ints(1), keepdims=1) for each in (some, none)
    )
    few = nodes.op("Less", zeros, nodes.floats(CLOSED_WEEKS))
    never = nodes.op("Equal", nodes.op("ReduceSum", paid, nodes.ints(2), keepdims=1), nodes.floats(0.0))
    opened = nodes.op("Or", nodes.op("Or", nodes.op("Greater", paid, nodes.floats(0.0)), few), never)
    return nodes.reshape(_repeat(nodes, nodes.op("Cast", opened, to=TensorProto.FLOAT)), 0, HORIZON)


def closed(history: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Flags:
    """On which days of its week a machine is closed, [machines, 7] from the day of the forecast on, out of `history`. One that
    has paid out nothing at all is not closed: nothing is known of it."""
    last = history[:, HISTORY - NEEDED :].reshape(-1, BLOCK, WEEK)
    paid = np.any(last > 0, axis=1)
    return np.asarray(((last == 0).sum(axis=1) >= CLOSED_WEEKS) & ~paid & np.any(paid, axis=1, keepdims=True))


def _columns(nodes: Nodes) -> str:
    """columns.columns as nodes."""
    tents = _rise(nodes, TENTS)
    weekdays = nodes.op("Unsqueeze", nodes.slice(tents, 0, WEEK, 1), nodes.ints(1))
    products = nodes.op("Mul", nodes.op("Unsqueeze", _rise(nodes, BY_WEEKDAY), nodes.ints(2)), weekdays)
    return nodes.concat(tents, nodes.reshape(products, 0, WEEK * len(BY_WEEKDAY)), axis=1)


def _rise(nodes: Nodes, tents: Sequence[Tent]) -> str:
    codes = nodes.gather("calendar", code_indices(tuple(tents)), 1)
    distance = nodes.op("Abs", nodes.op("Sub", codes, nodes.floats([tent.centre for tent in tents])))
    fall = nodes.op("Div", distance, nodes.floats([tent.width for tent in tents]))
    return nodes.op("Relu", nodes.op("Sub", nodes.floats(1.0), fall))


def _weeks(nodes: Nodes, effects: str) -> str:
    """Logarithms of the known amounts without the calendar's effect, [machines, 78, 7]."""
    some = nodes.op("Greater", "history", nodes.floats(0.0))
    known = nodes.op("Where", some, "history", nodes.floats(1.0))
    logs = nodes.op("Log", nodes.op("Max", known, nodes.floats(SMALLEST)))
    return nodes.reshape(nodes.op("Where", some, nodes.op("Sub", logs, effects), nodes.floats(np.nan)), 0, 3 * BLOCK, WEEK)


def _median(nodes: Nodes, block: str, weeks: int) -> str:
    return nodes.median(nodes.slice(block, BLOCK - weeks, BLOCK, 1), 1, weeks)


def _usual(nodes: Nodes, medians: list[str]) -> str:
    """What is usual on each day of the week, [machines, 1, 7]; a day of the week that is not known gets the others' mean."""
    usual = nodes.mean(nodes.concat(*medians, axis=1), 1)
    return nodes.fill(usual, nodes.mean(usual, 2))


def _machine(nodes: Nodes, rest: str) -> list[str]:
    """[machines, 1, 1] each: recent levels, spread, share of unknown days."""
    capped = nodes.clip(rest, REST_LIMIT)
    levels = [nodes.mean(nodes.slice(capped, BLOCK - weeks, BLOCK, 1), 1, 2) for weeks in RECENT_WEEKS]
    recent = nodes.op("Abs", nodes.slice(rest, BLOCK - SPREAD_WEEKS, BLOCK, 1))
    days = SPREAD_WEEKS * WEEK
    spread = nodes.reshape(nodes.median(nodes.reshape(recent, 0, days), 1, days), 0, 1, 1)
    _, mask = nodes.known(recent)
    gaps = nodes.op("Sub", nodes.floats(1.0), nodes.op("ReduceMean", mask, axes=[1, 2], keepdims=1))
    return [*levels, spread, gaps]


def _by_weekday(nodes: Nodes, profile: str, days: str) -> str:
    """The profile from Monday to Sunday, [machines, 1, 7]: the week of the input begins on the day of the forecast."""
    weekdays = nodes.slice(nodes.slice(days, HISTORY, HISTORY + WEEK, 0), 0, WEEK, 1)
    return nodes.op("MatMul", profile, weekdays)


def _season(nodes: Nodes, season: str) -> list[str]:
    """[machines, 1, 1] each: last year's level in the weeks to come and in the two before, against what was usual then."""
    ahead = nodes.mean(nodes.slice(season, LEAD, LEAD + HORIZON, 2), 2)
    _, mask = nodes.known(ahead)
    return [ahead, nodes.mean(nodes.slice(season, 0, LEAD, 2), 2), mask]


def _weekday(nodes: Nodes, rest: str) -> list[str]:
    """[machines, 1, 7] each: the last three weeks, the spread."""
    weeks = [nodes.slice(rest, BLOCK - ago, BLOCK - ago + 1, 1) for ago in (1, 2, 3)]
    recent = nodes.op("Abs", nodes.slice(rest, BLOCK - SPREAD_WEEKS, BLOCK, 1))
    return [*weeks, nodes.median(recent, 1, SPREAD_WEEKS)]


def _last_known(nodes: Nodes, last: str) -> str:
    _, mask = nodes.known(nodes.slice(last, BLOCK - 1, BLOCK, 1))
    return mask


def _smoothed(nodes: Nodes, season: str) -> list[str]:
    """[machines, 1, 56] each: last year's day as it was, and means around it."""
    values, mask = nodes.known(season)
    smoothed = [nodes.slice(season, LEAD, LEAD + HORIZON, 2)]
    for days in SMOOTHING:
        window = nodes.floats(np.ones((1, 1, 2 * days + 1)))
        total, count = (nodes.op("Conv", each, window, pads=[days, days]) for each in (values, mask))
        smoothed.append(nodes.slice(nodes.ratio(total, count), LEAD, LEAD + HORIZON, 2))
    return smoothed


def _kind(nodes: Nodes, rest: str, groups: str) -> str:
    """[machines, 1, 56]: how this machine differed on past days of the same kind, drawn to 0 by half a day of its own."""
    values, mask = nodes.known(rest)
    past = nodes.slice(groups, 0, HISTORY, 0)
    total, count = nodes.op("MatMul", values, past), nodes.op("MatMul", mask, past)
    own = nodes.op("Div", total, nodes.op("Add", count, nodes.floats(0.5)))
    ahead = nodes.op("Transpose", nodes.slice(groups, HISTORY, HISTORY + HORIZON, 0), perm=[1, 0])
    return nodes.reshape(nodes.op("MatMul", own, ahead), 0, 1, HORIZON)


def _own(nodes: Nodes, rest: str, days: str, factors: Array) -> list[str]:
    """[machines, 1, 56] each: how much more than others this machine follows the month, the year, the seasons of a weekday.

    The slope of what is left on the part of the calendar's effect, drawn to 0 by OWN, times that part on the day ahead.
    """
    values, mask = nodes.known(rest)
    found = []
    for part in (MONTH, YEAR, SEASON):
        effects = nodes.op("MatMul", nodes.gather(days, part, 1), nodes.floats(factors[part].reshape(-1, 1)))
        past, ahead = nodes.slice(effects, 0, HISTORY, 0), nodes.slice(effects, HISTORY, HISTORY + HORIZON, 0)
        squares = nodes.op("MatMul", mask, nodes.op("Mul", past, past))
        slope = nodes.op("Div", nodes.op("MatMul", values, past), nodes.op("Add", squares, nodes.floats(OWN)))
        found.append(nodes.reshape(nodes.op("Mul", slope, nodes.reshape(ahead, 1, HORIZON)), 0, 1, HORIZON))
    return found


def _shared(nodes: Nodes, days: str, groups: str, effects: str) -> str:
    """[56, …]: what is the same for every machine."""
    ahead = nodes.floats(np.arange(HORIZON, dtype=np.float32).reshape(-1, 1) / HORIZON)
    seen = nodes.slice(nodes.gather(days, _SEEN, 1), HISTORY, HISTORY + HORIZON, 0)
    kinds = nodes.slice(nodes.slice(groups, HISTORY, HISTORY + HORIZON, 0), 1, group_matrix().shape[1], 1)
    return nodes.concat(ahead, effects, seen, kinds, axis=1)


def _repeat(nodes: Nodes, weekday: str) -> str:
    """[machines, k, 7] to [machines, k, 56]."""
    return nodes.gather(weekday, [day % WEEK for day in range(HORIZON)], 2)


def _assemble(nodes: Nodes, machine: list[str], weekday: list[str], daily: list[str], shared: str) -> str:
    by_machine = nodes.op("Add", nodes.concat(*machine, axis=2), nodes.floats(np.zeros((1, HORIZON, 1))))
    by_day = nodes.concat(_repeat(nodes, nodes.concat(*weekday, axis=1)), *daily, axis=1)
    nothing = nodes.op("Mul", nodes.known(machine[0])[1], nodes.floats(0.0))
    parts = [by_machine, nodes.op("Transpose", by_day, perm=[0, 2, 1]), nodes.op("Add", nothing, shared)]
    return nodes.concat(*parts, axis=2)
