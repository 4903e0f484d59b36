"""`forward` decides what leaves the pipeline: windows of any length, single readings or none. Alarms leave always."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from agent import config, rooms
from agent.records import Alarm, Body, PointSummary, Reading, Summary
from agent.stages.tracks import joined
from firmware_sim.replay import replay
from firmware_sim.world import World

HOUR = 3_600.0
LENGTHS = {"10s": 10.0, "60s": 60.0, "300s": 300.0, "1h": HOUR}


@cache
def said() -> list[Reading]:
    """Two hours around a black box attack, from a full hour on."""
    world = World("black_box", seed=3)
    begin, end = world.start + 4 * HOUR, world.start + 6 * HOUR
    return [
        Reading("ATM", point, value, at)
        for at, values in replay(world, 20.0, end - 1.0)
        if at >= begin
        for point, value in values.items()
    ]


@pytest.fixture(scope="module")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the pipeline that a configuration makes lets out."""

    @cache
    def out(length: str, readings: str) -> list[Body]:
        path: Path = tmp_path_factory.mktemp("forward") / "config.yaml"
        path.write_text(
            "gateway: {id: gw}\n"
            "machines: [{id: ATM, cassettes: {unit1: {value: 1000, currency: EUR}}}]\n"
            f"forward: {{summaries: {length}, readings: {readings}}}\n"
        )
        pipeline = rooms.pipeline("ATM", config.load(path))
        bodies: list[Body] = []
        for reading in said():
            bodies += pipeline.feed(reading)
        bodies += pipeline.tick(said()[0].at + 2 * HOUR)
        return bodies

    return out


def windows(bodies: Sequence[Body]) -> list[Summary]:
    return [body for body in bodies if isinstance(body, Summary)]


def together(parts: Sequence[Summary], length: float) -> list[tuple[float, dict[str, PointSummary]]]:
    """Windows joined to longer ones: their ends, and what each point did."""
    found = []
    for start, group in groupby(parts, key=lambda part: part.start // length * length):
        points: dict[str, PointSummary] = {}
        for part in group:
            for name, point in part.points.items():
                points[name] = joined(points[name], point) if name in points else point
        found.append((start + length, points))
    return found


@pytest.mark.parametrize("length", LENGTHS)
def test_windows_of_any_length_are_aligned_and_none_is_missing(leaves: Any, length: str) -> None:
    found = windows(leaves(length, "none"))
    seconds = LENGTHS[length]
    assert len(found) == 2 * HOUR / seconds
    assert all(each.end % seconds == 0.0 and each.end - each.start == seconds and each.observed == 1.0 for each in found)
    assert all(early.end == late.start for early, late in pairwise(found))


@pytest.mark.parametrize("length", ["60s", "300s", "1h"])
def test_the_sum_of_short_windows_is_the_long_one(leaves: Any, length: str) -> None:
    short = together(windows(leaves("10s", "none")), LENGTHS[length])
    for (end, points), whole in zip(short, windows(leaves(length, "none")), strict=True):
        assert end == whole.end
        assert points.keys() == whole.points.keys()
        for name, part in points.items():
            one = whole.points[name]
            for field in ("n", "bad", "late", "min", "max", "last", "delta", "changes"):
                assert getattr(part, field) == getattr(one, field), (name, field)
            assert part.states == (pytest.approx(one.states, abs=0.01) if one.states else one.states), name
            assert part.mean == pytest.approx(one.mean, abs=1e-6), name
            assert part.deviation == pytest.approx(one.deviation, abs=1e-3), name


def test_no_reading_leaves_unless_somebody_wants_it(leaves: Any) -> None:
    assert not any(isinstance(body, Reading) for body in leaves("60s", "none"))


def test_every_reading_leaves_where_all_are_wanted(leaves: Any) -> None:
    sent = [body for body in leaves("60s", "all") if isinstance(body, Reading)]
    heard = [(each.point, each.at, each.value) for each in sent if not each.point.startswith("machine.")]
    assert heard == [(each.point, each.at, each.value) for each in said()]


def test_only_news_leaves_where_changes_are_wanted(leaves: Any) -> None:
    by_point: defaultdict[str, list[Any]] = defaultdict(list)
    for body in leaves("60s", "changes"):
        if isinstance(body, Reading):
            by_point[body.point].append(body.value)
    every: defaultdict[str, list[Any]] = defaultdict(list)
    for body in leaves("60s", "all"):
        if isinstance(body, Reading):
            every[body.point].append(body.value)
    assert by_point == {point: [value for value, _ in groupby(values)] for point, values in every.items()}


@pytest.mark.parametrize(("length", "readings"), [("10s", "all"), ("300s", "changes"), ("1h", "none")])
def test_alarms_do_not_depend_on_what_else_is_sent(leaves: Any, length: str, readings: str) -> None:
    usual = [body for body in leaves("60s", "none") if isinstance(body, Alarm)]
    assert "blackBox" in {alarm.rule for alarm in usual}
    assert [body for body in leaves(length, readings) if isinstance(body, Alarm)] == usual
