"""The worlds: drawn the same each time, never shared between groups, and watched as a gateway would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from agent import config
from agent.config.settings import RulesSettings
from agent.pipeline import Pipeline, PipelineSettings
from agent.records import Alarm, Reading
from agent.stages.features import parse
from agent.stages.score import Score, Scoring
from firmware_sim.replay import replay
from firmware_sim.scenarios import first_after
from firmware_sim.world import World
from models.attack_risk import measure, train
from models.attack_risk.evidence import ATTACK_CLASSES, FEATURES
from models.attack_risk.learn import lesson
from models.attack_risk.train import Extent
from models.attack_risk.watch import HISTORY, LEISURE, MACHINE, Announced, Watched, record, watch
from models.attack_risk.worlds import ATTACKS, LOOK_ALIKES, TROUBLES, WIDER, Group, Kind, Plot, draw

NEAR = "share(auxiliaries.proximitySensor=present,60s)"
NAMES_OF = {  # look-alike -> its label in the world
    "road_works": "roadWorks", "glare": "glare", "dirty_reader": "dirtyReader", "stuck_shutter": "shutterStuck",
    "dispenser_reset": "dispenserReset", "cleaning": "cleaning", "brown_out": "brownOut", "forgotten_cash": "forgottenCash",
    "rain": "rain", "paint": "paint", "exhaust": "exhaust", "construction": "construction", "earthquake": "earthquake",
    "software_update": "softwareUpdate",
}  # fmt: skip


def test_a_world_is_the_same_whenever_it_is_drawn() -> None:
    for group in Group:
        for kind in Kind:
            assert draw(group, kind, 3) == draw(group, kind, 3)
    seeds = [draw(group, kind, number).seed for group in Group for kind in Kind for number in range(200)]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(("group", "wider"), [(Group.TRAIN, 1.0), (Group.CHOOSE, 1.0), (Group.REPORT, WIDER)])
def test_settings_stay_in_their_ranges(group: Group, wider: float) -> None:
    beyond = 0
    for number in range(120):
        plot = draw(group, Kind.ATTACK, number)
        for name, (low, high) in ATTACKS[plot.scenario].items():
            value = plot.settings[name]
            assert isinstance(value, float | int)
            assert low / wider - 0.5 <= value <= high * wider + 0.5
            beyond += not low - 0.5 <= value <= high + 0.5
    assert (beyond > 0) == (wider > 1.0)


def test_every_scenario_has_its_turn() -> None:
    plots = Extent(len(ATTACKS), len(TROUBLES), 1, 1).plots(Group.TRAIN)
    assert {plot.scenario for plot in plots} == {*ATTACKS, *TROUBLES, "life", "often"}
    assert LOOK_ALIKES.keys() <= TROUBLES.keys()
    for plot in plots:
        assert plot.world().now == plot.start.timestamp()


def test_what_is_scripted_begins_at_the_moment_from_which_it_is_watched() -> None:
    for group in Group:
        for kind in (Kind.ATTACK, Kind.TROUBLE):
            for number in range(60):
                plot = draw(group, kind, number)
                if "at" in plot.settings:
                    assert first_after(plot.start.timestamp(), plot.settings) == plot.moment.timestamp()


def drill() -> Plot:
    """A short world with a drill, little before it."""
    plot = next(plot for plot in map(lambda n: draw(Group.TRAIN, Kind.ATTACK, n), range(60)) if plot.scenario == "drilling")  # noqa: C417
    return replace(plot, settings={**plot.settings, "minutes": 4.0})


def at_one_hertz(plot: Plot) -> dict[float, list[float]]:
    """The features of a world by the plainest way: a sample a second, each into the pipeline, a score every five seconds."""
    rows: dict[float, list[float]] = {}
    world: World = plot.world()

    def note(row: list[float]) -> Score | None:
        rows[pipeline.last] = list(row)
        return None

    class Noting(Pipeline):
        last = 0.0

        def _score(self, scores, now, out):  # type: ignore[no-untyped-def]
            self.last = now
            super()._score(scores, now, out)

    features = tuple(parse(text) for text in FEATURES)
    scoring = Scoring("note", features, note, 1.0)  # type: ignore[arg-type]
    pipeline = Noting(PipelineSettings(MACHINE, 3600.0, plan=Announced(world=world), scorings=(scoring,)))
    points = {feature.point for feature in features}
    for at, values in replay(world, 1.0, plot.moment.timestamp() + 420.0):
        pipeline.tick(max(at, world.now))
        for name, value in values.items():
            if name in points:
                pipeline.feed(Reading(MACHINE, name, value, at))
    return rows


def test_sparing_the_calm_changes_nothing_that_matters() -> None:
    """What a world shows at an attack is what a sample a second shows."""
    plot = replace(drill(), calendar_known=True)
    plain = at_one_hertz(plot)
    watched = record(plot, [parse(text) for text in FEATURES], 5.0)
    moment = plot.moment.timestamp()
    compared = 0
    for at, row in zip(watched.times, watched.rows, strict=True):
        if not moment <= at <= moment + 400.0:
            continue
        for name, ours, theirs in zip(FEATURES, row, plain[at], strict=True):
            if "604800s" in name or "3600s" in name:
                continue  # reach back into the calm, where samples are fewer
            near = 0.12 if "900s" in name else 0.02
            assert isnan(ours) == isnan(theirs), name
            assert isnan(ours) or ours == pytest.approx(theirs, abs=near + near * abs(theirs)), (name, at - moment)
            compared += 1
    assert compared > 1_000


def test_lessons_leave_out_the_attackers_arrival_and_the_traces() -> None:
    watched = record(drill(), [parse("max(motion.drill_band_ms2,60s)")], 5.0)
    attack = watched.attack
    assert attack is not None
    assert attack.seen is not None
    assert attack.end is not None
    used, classes = lesson(watched)
    assert set(classes[used]) == {0, 3}
    assert not used[(watched.times >= attack.start) & (watched.times < attack.seen)].any()
    assert not used[watched.times >= attack.end].any()
    assert watched.times.min() >= watched.plot.moment.timestamp() - HISTORY
    assert watched.rows[classes == 3].max() > 1.0


def test_rules_and_model_watch_the_same_world() -> None:
    def model(row: object) -> Score | None:
        return Score(0.9, (FEATURES[0],), "B2")

    scoring = Scoring("attack_risk", (parse(FEATURES[0]),), model, 0.5)
    watched = watch(drill(), config.rules(RulesSettings()), [scoring])
    found = measure.found(watched)
    assert found is not None
    assert found.named_by_rules < measure.TIME_SCALE["B2"]
    raised = [alarm for alarm in watched.alarms if isinstance(alarm, Alarm) and alarm.rule == measure.MODEL_RULE]
    assert len(raised) == 1  # a score that stays up raises one alarm, before the attack, and so it is a false one
    assert measure.false_alarms(watched) == raised


def test_a_look_alike_comes_in_the_hours_that_are_watched() -> None:
    """Of every kind in some of the worlds (low sun has hours that few of them reach), and none is an attack."""
    met: dict[str, list[bool]] = {}
    for number in range(2 * len(TROUBLES)):
        plot = draw(Group.TRAIN, Kind.TROUBLE, number)
        if plot.scenario in NAMES_OF:
            world = plot.world()
            world.run_to(plot.moment.timestamp() + plot.hours * 3600.0)
            names = {label.name for label in world.truth}
            assert not any(label.attack for label in world.truth)
            met.setdefault(plot.scenario, []).append(NAMES_OF[plot.scenario] in names)
    assert met.keys() == LOOK_ALIKES.keys()
    assert all(map(any, (each for name, each in met.items() if name != "glare"))), met


def test_sparing_hears_what_is_news_and_alarms_no_less() -> None:
    """Two hours of a day, and a model that alarms whenever somebody stands in front of the machine for long."""
    plot = draw(Group.TRAIN, Kind.OFTEN, 2)
    noon = plot.start + timedelta(hours=12)
    plot = replace(plot, start=noon, moment=noon, hours=2.0)

    def model(row: Sequence[float]) -> Score:
        return Score(row[0], (NEAR,), "B2")

    scoring = Scoring("attack_risk", (parse(NEAR),), model, 0.7)
    closely = watch(plot, (), [scoring])
    looked = watch(plot, (), [replace(scoring, threshold=0.4 * 0.7, hold=1)], sparing=True)
    assert closely.alarms
    for alarm in closely.alarms:
        if not alarm.cleared:
            assert any(not each.cleared and each.at <= alarm.at + LEISURE for each in looked.alarms)


def test_what_was_watched_is_kept_until_it_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plots = [replace(draw(Group.TRAIN, Kind.LIFE, number), hours=0.2) for number in range(3)]
    kept = train.kept()
    first = list(kept.each(train.study, plots[:2], 1))
    files = sorted(kept.folder.iterdir())
    assert len(files) == 2
    files[0].write_bytes(files[0].read_bytes()[:100])  # torn
    again = list(kept.each(study_but_the_second(plots), plots, 1))
    for one, other in zip(first, again, strict=False):
        assert (one.plot, one.days, list(one.labels)) == (other.plot, other.days, list(other.labels))
        assert np.array_equal(one.rows, other.rows, equal_nan=True)
        assert np.array_equal(one.times, other.times)
    kept.forget()
    assert not kept.folder.exists()


def study_but_the_second(plots: list[Plot]) -> Callable[[Plot], Watched]:
    """Of the two that were kept only the torn one is watched again."""
    asked: list[Plot] = []

    def study(plot: Plot) -> Watched:
        asked.append(plot)
        assert len([each for each in asked if each in plots[:2]]) <= 1
        return train.study(plot)

    return study


def test_training_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    features = [parse(text) for text in FEATURES]
    short = [replace(draw(Group.TRAIN, Kind.LIFE, 0), hours=1.0), drill()]
    worlds = [record(plot, features, 5.0) for plot in short]
    files = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        model, limits = train.finish(worlds, worlds)
        assert limits.shape == (len(ATTACK_CLASSES),)
        assert (limits >= train.LOWEST).all()
        files.append(train.write(model, worlds, 1, {"worlds": "two"}, {}, tmp_path / name).read_bytes())
    assert files[0] == files[1]
