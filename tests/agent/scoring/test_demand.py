"""The model of demand that ships, at the gateway: vouched for, right about its golden rows, and a Forecast for the risk."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from shutil import copy

import onnx
import pytest

from agent.analysis.holidays import Holidays
from agent.analysis.risk import DayOfDemand, Forecast, cash_risk, history_forecast, lasts_until
from agent.errors import ModelRefused
from agent.scoring import prove_demand, trust
from agent.scoring.demand import DemandModel, load_demand
from tests.agent.scoring import graphs

FILE = Path(__file__).parents[3] / "models" / "cash_demand" / "cash_demand.onnx"
FIRST = date(2026, 3, 2)  # a Monday
RHYTHM = (0.8, 0.9, 1.0, 1.1, 1.5, 1.3, 0.6)


def past(days: int, amount: float = 2_000_000.0) -> list[DayOfDemand]:
    """With a weekly rhythm, and every week a little other."""
    found = []
    for ago in range(days, 0, -1):
        day = FIRST - timedelta(days=ago)
        found.append(DayOfDemand(day, amount * RHYTHM[day.weekday()] * (0.9 + 0.2 * (day.toordinal() * 7919 % 100) / 100)))
    return found


def opened() -> DemandModel:
    data = trust.read(FILE)
    return load_demand(FILE, data, trust.sha256(data))


def foretold(days: list[DayOfDemand], country: str = "") -> Forecast:
    found = opened().forecast(days, FIRST, Holidays(country))
    assert found is not None
    return found


def test_the_release_vouches_for_it_and_it_is_small() -> None:
    model = opened()
    assert model.sha256 == trust.vouched(FILE)
    assert model.id.startswith("cash_demand-1.2-")
    assert FILE.stat().st_size <= 200_000


def test_it_foretells_a_week_as_the_past_did() -> None:
    forecast = foretold(past(300), "GB")
    week = forecast(7.0)
    assert week is not None
    assert week.mean == pytest.approx(2_000_000 * sum(RHYTHM), rel=0.12)
    assert week.quantile(0.05) < week.quantile(0.5) < week.quantile(0.95)
    risk = cash_risk(20_000_000, 7.0, week)
    assert 0.0 < risk.probability_of_cash_out < 0.2
    assert lasts_until(20_000_000, forecast, 0.5) == pytest.approx(9.5, abs=1.5)


def test_half_a_day_is_part_of_the_first() -> None:
    forecast = foretold(past(300))
    half, whole = forecast(0.5), forecast(1.0)
    assert half is not None
    assert whole is not None
    assert half.quantile(0.5) == pytest.approx(whole.quantile(0.5) / 2)


def test_little_known_or_far_ahead_the_past_alone_foretells() -> None:
    model = opened()
    assert model.forecast(past(27), FIRST, Holidays()) is None
    many = past(300)
    assert foretold(many)(20.0) == history_forecast(many, FIRST)(20.0)


def test_days_that_could_not_be_met_are_no_demand() -> None:
    whole = past(300)
    broken = [DayOfDemand(each.day, 0.0, 0.0) if (FIRST - each.day).days in range(3, 17) else each for each in whole]
    week, other = foretold(whole)(7.0), foretold(broken)(7.0)
    assert week is not None
    assert other is not None
    assert other.mean == pytest.approx(week.mean, rel=0.15)


def test_a_weekday_on_which_the_machine_is_closed_is_no_demand() -> None:
    shut = [DayOfDemand(each.day, 0.0, 1.0) if each.day.weekday() == FIRST.weekday() else each for each in past(300)]
    forecast = foretold(shut)
    day, week = forecast(1.0), forecast(7.0)
    assert day is not None
    assert day.quantile(0.95) == 0.0
    assert week is not None
    assert week.mean == pytest.approx(2_000_000 * (sum(RHYTHM) - RHYTHM[FIRST.weekday()]), rel=0.15)


async def test_what_nobody_vouches_for_or_is_another_model_is_refused(tmp_path: Path) -> None:
    other = Path(copy(FILE, tmp_path / "cash_demand.onnx"))
    with pytest.raises(ModelRefused, match="nothing vouches for it"):
        await prove_demand(other, None, 5.0)
    with pytest.raises(ModelRefused, match="its sha256 is"):
        await prove_demand(other, "0" * 64, 5.0)
    data = trust.read(FILE.parents[1] / "attack_risk" / "attack_risk.onnx")
    with pytest.raises(ModelRefused, match="its card is not that of a model of demand"):
        load_demand(other, data, trust.sha256(data))


def test_a_graph_of_demand_that_is_another_is_refused(tmp_path: Path) -> None:
    """The card of the real one in a graph that takes rows of features."""
    entries = {each.key: each.value for each in onnx.load(FILE).metadata_props}
    data = graphs.model(text=json.loads(entries["card"]))
    with pytest.raises(ModelRefused, match="expected the inputs history and calendar"):
        load_demand(tmp_path / "other.onnx", data, trust.sha256(data))
