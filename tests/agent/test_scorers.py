"""A model of demand in a running agent: proved, asked once a day for each machine, and missed by nobody when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import config, rooms
from agent.audit import Audit
from agent.pipeline import Pipeline
from agent.records import Body, Reading
from agent.scorers import Scorers
from agent.scoring.demand import DemandModel

MACHINE, GATEWAY = "atm-1", "gw-1"
TODAY = date(2026, 6, 1)
NOW = 1_780_308_000.0  # 2026-06-01, 10:00 UTC
DAYS = 200
HOUR = 3_600.0


def settings(folder: Path) -> config.Settings:
    file = folder / "config.yaml"
    machine = {"id": MACHINE, "location": {"country": "GB"}, "cassettes": {"unit1": {"value": 1000, "currency": "GBP"}}}
    file.write_text(
        yaml.safe_dump(
            {
                "gateway": {"id": GATEWAY},
                "machines": [machine],
                "models": [{"name": "cash_demand"}],
                "store": {"path": str(folder / "store")},
            }
        )
    )
    return config.load(file)


def lived(chosen: config.Settings) -> Pipeline:
    """A pipeline that knows 200 days, on each of which customers asked for 1,000.00 and twice as much on Fridays."""
    days = [TODAY - timedelta(days=number) for number in range(1, DAYS + 1)]
    known = {day.isoformat(): {"paid": 200_000 if day.weekday() == 4 else 100_000, "served": 86_400.0} for day in days}
    pipeline = rooms.pipeline(MACHINE, chosen)
    pipeline.restore({f"demand {MACHINE}": known}, NOW)
    wait(pipeline, NOW, HOUR)
    return pipeline


def wait(pipeline: Pipeline, since: float, seconds: float) -> None:
    """The machine goes on saying that it holds 2,000.00."""
    for step in range(1, int(seconds // 60) + 1):
        pipeline.feed(Reading(MACHINE, "storage.unit1.count", 200, since + 60.0 * step))


@asynccontextmanager
async def looking_after(pipeline: Pipeline, chosen: config.Settings) -> AsyncIterator[dict[str, Any]]:
    """`said` is what the gateway says of its models."""
    said: dict[str, Any] = {}

    def keep(bodies: Any, _: Any) -> None:
        assert all(isinstance(body, Body) for body in bodies)

    scorers = Scorers(GATEWAY, {MACHINE: pipeline}, keep, said.__setitem__, Audit(GATEWAY, lambda _: None, lambda: NOW))
    task = asyncio.create_task(scorers.look_after(chosen, lambda _: None, 0.01))
    try:
        yield said
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Any) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.01)


async def test_it_foretells_for_the_day_and_the_pipeline_says_what_comes_of_it(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    pipeline = lived(chosen)  # three days ask for 3,000.00
    by_the_past = pipeline.values()["machine.cashAtRisk"]
    assert pipeline.asks_demand() is not None
    async with looking_after(pipeline, chosen) as said:
        await until(lambda: pipeline.asks_demand() is None)
        assert said["gateway.model.cash_demand"] == "ok"
    wait(pipeline, NOW + HOUR, 60.0)
    values = pipeline.values()
    assert values["machine.cashAtRisk"] != by_the_past
    assert 100_000 <= values["machine.cashAtRisk"] < 200_000  # what three days ask for beyond 2,000.00, and the model's doubt
    assert values["machine.cashOutProbability"] == pytest.approx(1.0, abs=0.1)
    assert pipeline.asks_demand() is None
    wait(pipeline, NOW + HOUR, 15 * HOUR)
    assert pipeline.asks_demand() is not None  # a new day


async def test_a_model_that_breaks_costs_its_forecasts_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("non-zero status code")

    monkeypatch.setattr(DemandModel, "forecast", breaks)
    chosen = settings(tmp_path)
    pipeline = lived(chosen)
    async with looking_after(pipeline, chosen) as said:
        await until(lambda: said.get("gateway.model.cash_demand") == "broken")
    wait(pipeline, NOW + HOUR, HOUR)
    assert pipeline.values()["machine.cashOutProbability"] == 1.0
