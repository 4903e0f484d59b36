"""The nodes against numpy, the features against values by hand, the graph against the networks in it."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from agent.analysis.holidays import Holidays
from models.cash_demand import network
from models.cash_demand.columns import MONTH, NAMES, SEASON, YEAR, columns
from models.cash_demand.factors import factors
from models.cash_demand.features import FEATURES, HISTORY, HORIZON, OWN, closed
from models.cash_demand.graph import LEVELS, SPAN, SUMS, Head, Learned, daily_rows, sum_rows, whole
from models.cash_demand.nodes import Nodes
from models.cash_demand.series import Calendar, Series
from models.cash_demand.train import SHIPPED, open_model
from tests.models.cash_demand.demand import RHYTHM, amounts

SOME = st.lists(st.one_of(st.none(), st.floats(-100, 100, width=32)), min_size=5, max_size=5)


def run(nodes: Nodes, out: str, given: np.ndarray) -> np.ndarray:
    """One input called x."""
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", out)]
    made = helper.make_graph(nodes.nodes, "test", info[:1], info[1:], nodes.initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([out], {"x": given})[0]


@given(st.lists(SOME, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_median_and_mean_leave_out_what_is_not_known(rows: list[list[float | None]]) -> None:
    table = np.array([[np.nan if value is None else value for value in row] for row in rows], np.float32)
    for name in ("median", "mean"):
        nodes = Nodes()
        out = nodes.median("x", 1, 5) if name == "median" else nodes.mean("x", 1)
        found = run(nodes, out, table)[:, 0]
        for value, row in zip(found, table, strict=True):
            known = row[~np.isnan(row)]
            wanted = getattr(np, name)(known.astype(float)) if len(known) else np.nan
            assert value == pytest.approx(wanted, abs=1e-4, nan_ok=True)


def series(table: np.ndarray) -> Series:
    return Series(Path("x.csv"), date(2024, 1, 1), tuple(f"M{number}" for number in range(table.shape[1])), table)


def test_features_of_a_machine_without_noise() -> None:
    table = np.array([[100.0 * RHYTHM[day % 7]] for day in range(HISTORY + HORIZON)])
    table[HISTORY - 7] *= 2.0  # the last of the first weekday ahead
    given = series(table)
    made, level = daily_rows(np.zeros(len(NAMES)))(given.before(HISTORY), Calendar.of(given, Holidays()).around(HISTORY))
    named = dict(zip(FEATURES, np.moveaxis(made[0], 1, 0), strict=True))
    assert np.exp(level[0, :7]) == pytest.approx([100.0 * each for each in np.roll(RHYTHM, -(HISTORY % 7))], rel=1e-5)
    assert named["level of the last 1 weeks"] == pytest.approx(np.log(2.0) / 7.0, abs=1e-5)
    assert named["1 weeks ago"][[0, 1, 7]] == pytest.approx([np.log(2.0), 0.0, np.log(2.0)], abs=1e-5)
    assert named["share of unknown days"] == pytest.approx(0.0, abs=1e-6)
    assert named["profile of weekday 6"] == pytest.approx(np.log(0.6) - np.mean(np.log(RHYTHM)), abs=1e-5)
    assert named["days ahead"][28] == pytest.approx(0.5)


def test_zero_and_missing_days_are_the_same_and_no_demand() -> None:
    table = amounts(HISTORY, 2)
    table[-60:-53] = np.nan
    zeros = np.nan_to_num(table)
    calendar = Calendar.of(series(table), Holidays("GB")).around(HISTORY)
    rows = daily_rows(np.zeros(len(NAMES)))
    with_gaps, with_zeros = (rows(series(each).before(HISTORY), calendar) for each in (table, zeros))
    for one, other in zip(with_gaps, with_zeros, strict=True):
        assert np.array_equal(one, other, equal_nan=True)


def test_a_weekday_without_any_payout_for_weeks_is_closed() -> None:
    """The second machine on the first day ahead and the fourth; the first one paid out once on such days, the third is new."""
    table = amounts(HISTORY, 3)
    for machine, weeks in ((0, 26), (1, 26), (2, 3)):
        table[HISTORY - 7 * weeks :: 7, machine] = table[HISTORY - 7 * weeks + 3 :: 7, machine] = 0.0
    table[[-7, -4], 0] = 5.0
    nothing = series(np.zeros((HISTORY, 1))).before(HISTORY)
    assert not closed(nothing).any()
    table[: HISTORY - 21, 2] = np.nan
    given = series(table).before(HISTORY)
    assert np.flatnonzero(closed(given).any(axis=0)).tolist() == [0, 3]
    assert closed(given).any(axis=1).tolist() == [False, True, False]
    learned = Learned(np.zeros(len(NAMES)), random_head(len(FEATURES), (8,), 1), random_head(len(SUMS), (6,), 2))
    daily, cumulative = whole(learned)(given, Calendar.of(series(table), Holidays()).around(HISTORY))
    assert np.flatnonzero((daily[1] == 0).all(axis=1)).tolist() == [day for day in range(HORIZON) if day % 7 in (0, 3)]
    assert (daily[[0, 2]] > 0).all()
    assert (cumulative[1, 0] == 0).all()
    assert (cumulative[1, 1:] > 0).all()
    assert np.isnan(whole(learned)(nothing, Calendar.of(series(table), Holidays()).around(HISTORY))[0]).all()
    open_days = [[day for day in range(span) if day % 7 not in (0, 3)] for span in (2, 7)]
    for span, days in zip((2, 7), open_days, strict=True):
        learned_sum = cumulative[1, span - 1, LEVELS.index(0.5)] / daily[1, days, LEVELS.index(0.5)].sum()
        assert 0.2 < learned_sum < 5.0  # heads of chance, but on the sum of the open days


def test_factors_find_a_holiday_that_all_machines_keep() -> None:
    table = amounts(730, 6, noise=0.05)
    holidays = Holidays(added=frozenset({date(2024, 6, 5), date(2025, 6, 11)}))
    given = series(table)
    for day in (date(2024, 6, 5), date(2025, 6, 11)):
        table[(day - given.first).days] *= 0.5
    found = factors(table, columns(Calendar.of(given, holidays).until(730).astype(float)))
    assert found[NAMES.index("holiday 0")] == pytest.approx(np.log(0.5), abs=0.08)


def test_factors_tell_a_saturday_in_august_from_one_in_february_and_neither_from_growth() -> None:
    table = amounts(730, 12, noise=0.05) * np.exp(0.3 * np.arange(730) / 365)[:, None]
    given = series(table)
    days = [given.first + timedelta(offset) for offset in range(730)]
    table[[day.weekday() == 5 and day.month in (7, 8) for day in days]] *= 0.8
    seen = columns(Calendar.of(given, Holidays()).until(730).astype(float))
    found = seen @ factors(table, seen)
    summer, winter = (days.index(date(2025, month, 1)) + 5 for month in (8, 2))  # a Wednesday and a Thursday
    saturdays = [next(day for day in range(first, first + 7) if days[day].weekday() == 5) for first in (summer, winter)]
    assert (
        1.1 * np.log(0.8) < found[saturdays[0]] - found[saturdays[1]] < 0.6 * np.log(0.8)
    )  # drawn to 0, for it was seen 18 times
    others = [next(day for day in range(first, first + 7) if days[day].weekday() == 2) for first in (summer, winter)]
    assert found[others[0]] - found[others[1]] == pytest.approx(0.0, abs=0.04)  # it grew by 0.15 in between


def test_one_odd_holiday_of_six_does_not_speak_for_the_others() -> None:
    table = amounts(730, 6, noise=0.05)
    kept = [date(2024 + year, *day) for year in (0, 1) for day in ((3, 6), (5, 8), (9, 4))]
    given = series(table)
    for day in kept:
        table[(day - given.first).days] *= 0.8
    table[(kept[0] - given.first).days] *= 2.5
    found = factors(table, columns(Calendar.of(given, Holidays(added=frozenset(kept))).until(730).astype(float)))
    assert found[NAMES.index("holiday 0")] == pytest.approx(np.log(0.8), abs=0.06)


def test_a_machine_may_follow_the_calendar_more_than_others_do() -> None:
    """The second one twice as much as the factors say, the third one not at all; the fourth is half unknown."""
    factors_ = np.zeros(len(NAMES))
    factors_[[NAMES.index("days_left 0"), NAMES.index("day 1")]] = 0.5, -0.4
    factors_[NAMES.index("day_of_year 1")] = 0.3
    factors_[NAMES.index("season 3 on weekday 5")] = -0.2
    calendar = Calendar.of(series(np.zeros((HISTORY, 4))), Holidays()).around(HISTORY)
    seen = columns(calendar.astype(float))
    follows = np.array([1.0, 2.0, 0.0, 2.0])
    history = (100.0 * np.exp((seen[:HISTORY] @ factors_)[None] * follows[:, None])).astype(np.float32)
    history[3, ::2] = np.nan
    made, _ = daily_rows(factors_)(history, calendar)
    for name, part in (("place in the month", MONTH), ("time of the year", YEAR), ("season of this weekday", SEASON)):
        effects = seen[:, part] @ factors_[part]
        found = made[..., FEATURES.index(f"own {name}")]
        squares = (effects[:HISTORY] ** 2).sum()
        assert found[0] == pytest.approx(0.0, abs=0.01)
        if part is MONTH:  # what comes seldom leaves the usual level alone, so the slope is known
            wanted = effects[HISTORY:] * squares / (squares + OWN)
            assert found[1] == pytest.approx(wanted, abs=0.15 * np.abs(wanted).max())
            assert found[2] == pytest.approx(-wanted, abs=0.15 * np.abs(wanted).max())
            assert found[3] == pytest.approx(effects[HISTORY:] * squares / 2 / (squares / 2 + OWN), abs=0.1)


def random_head(inputs: int, hidden: tuple[int, ...], seed: int) -> Head:
    chance = np.random.default_rng(seed)
    sizes = [inputs, *hidden, len(LEVELS)]
    networks = tuple(
        [
            (chance.normal(0, 0.3, shape).astype(np.float32), chance.normal(0, 0.1, shape[1]).astype(np.float32))
            for shape in pairwise(sizes)
        ]
        for _ in range(2)
    )
    mean, scale = (chance.random(inputs).astype(np.float32) + offset for offset in (0.0, 0.5))
    return Head(mean, scale.astype(np.float32), networks)


def random_history(machines: int, seed: int) -> np.ndarray:
    """Long and short, small and large, with holes and zeros."""
    chance = np.random.default_rng(seed)
    table = (10.0 ** chance.uniform(0, 6, (machines, 1)) * np.exp(chance.normal(0, 0.6, (machines, HISTORY)))).astype(np.float32)
    table[chance.random(table.shape) < 0.05] = np.nan
    table[chance.random(table.shape) < 0.03] = 0.0
    for row, begun in zip(table, chance.integers(0, HISTORY - 60, machines), strict=True):
        row[:begun] = np.nan
    return table


def test_parity_with_the_networks_over_ten_thousand_days() -> None:
    learned = Learned(
        np.random.default_rng(2).normal(0, 0.1, len(NAMES)),
        random_head(len(FEATURES), (12, 8), 3),
        random_head(len(SUMS), (8,), 4),
    )
    history = random_history(180, 5)
    calendar = Calendar.of(series(amounts(HISTORY, 1)), Holidays("DE")).around(HISTORY)
    daily, cumulative = whole(learned)(history, calendar)
    features, level = daily_rows(learned.factors)(history, calendar)
    wanted = learned.daily(features.reshape(-1, len(FEATURES))).reshape(daily.shape) + level[..., None]
    assert daily[..., 0].size >= 10_000
    assert np.abs(np.log(daily) - wanted).max() <= 1e-5
    sums, base = sum_rows(learned.factors, learned.daily)(history, calendar)
    wanted = learned.cumulative(sums.reshape(-1, len(SUMS))).reshape(cumulative.shape) + base[..., None]
    assert np.abs(np.log(cumulative) - wanted).max() <= 1e-5
    assert (np.diff(daily, axis=2) >= 0).all()
    assert cumulative.shape == (180, SPAN, len(LEVELS))


def test_nothing_is_said_of_a_machine_of_which_nothing_is_known() -> None:
    learned = Learned(np.zeros(len(NAMES)), random_head(len(FEATURES), (4,), 1), random_head(len(SUMS), (4,), 2))
    calendar = Calendar.of(series(amounts(HISTORY, 1)), Holidays()).around(HISTORY)
    history = np.full((2, HISTORY), np.nan, np.float32)
    history[1, -30:] = 5.0
    daily, cumulative = whole(learned)(history, calendar)
    assert np.isnan(daily[0]).all()
    assert np.isnan(cumulative[0]).all()
    assert np.isfinite(daily[1]).all()
    assert np.isfinite(cumulative[1]).all()


def test_gradients_are_those_of_the_loss() -> None:
    chance = np.random.default_rng(1)
    rows, targets = chance.normal(size=(40, 5)).astype(np.float32), chance.normal(size=40).astype(np.float32)
    levels = (0.1, 0.5, 0.9)
    sizes = (5, 4, 3)
    layers = [(chance.normal(size=shape), chance.normal(size=shape[1])) for shape in pairwise(sizes)]

    def loss() -> float:
        missed = targets[:, None] - network.quantiles(layers, rows, levels)
        size, wanted = np.abs(missed), np.where(missed > 0, levels, 1.0 - np.array(levels))
        smooth = np.where(size < network.SMOOTH, size**2 / (2 * network.SMOOTH), size - network.SMOOTH / 2)
        return float((wanted * smooth).sum() / len(rows))

    found = network._gradients(layers, rows, targets, levels, 0.0, np.random.default_rng(0))
    for parameter, gradient in zip((each for layer in layers for each in layer), found, strict=True):
        at = tuple(size // 2 for size in parameter.shape)
        parameter[at] += 1e-5
        above = loss()
        parameter[at] -= 2e-5
        below = loss()
        parameter[at] += 1e-5
        assert gradient[at] == pytest.approx((above - below) / 2e-5, abs=2e-4)


def test_the_graph_is_a_whole_one() -> None:
    learned = Learned(np.zeros(len(NAMES)), random_head(len(FEATURES), (4,), 1), random_head(len(SUMS), (4,), 2))
    from models.cash_demand.graph import graph

    made = helper.make_model(graph(learned), opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)


@pytest.mark.parametrize(("rhythm", "least", "most"), [(RHYTHM, -0.06, 0.06), (np.ones(7), -0.20, 0.02)])
def test_how_the_model_that_ships_foretells_machines_that_nothing_but_the_weekday_moves(
    rhythm: np.ndarray, least: float, most: float
) -> None:
    """How far its median is off on the 28 days from the 6th of each month but December's.

    It is too low where all weekdays are alike: it has learned from no such machine.
    """
    run = open_model(SHIPPED)
    chance = np.random.default_rng(0).standard_normal((60, HISTORY + HORIZON))
    for month in range(1, 12):
        first = date(2026, month, 6)
        made_up = Series(Path("x.csv"), first - timedelta(HISTORY), ("M0",), np.zeros((HISTORY, 1)))
        weekdays = (made_up.first.weekday() + np.arange(HISTORY + HORIZON)) % 7
        usual = 1_000.0 * np.asarray(rhythm)[weekdays]
        history = (usual * np.exp(0.3 * chance))[:, :HISTORY].astype(np.float32)
        history[:, :-182] = np.nan
        daily, _ = run(history, Calendar.of(made_up, Holidays("GB")).around(HISTORY))
        off = np.median(np.log(daily[:, :28, LEVELS.index(0.5)] / usual[HISTORY : HISTORY + 28]))
        assert least <= off <= most, (month, off)
