"""The world's promises: the course does not depend on the steps, seeds repeat, notes are conserved, words are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import vocabulary
from agent.wire.board_points import POINTS
from firmware_sim import points
from firmware_sim.demand import shipped
from firmware_sim.params import LOCAL, OPTIONAL, Parameters
from firmware_sim.replay import replay
from firmware_sim.scenarios import SCENARIOS, SettingError
from firmware_sim.world import World

BUSY = {"fix_losses": 40, "brown_outs": 30, "mains_failures": 20, "link_losses": 20, "cleanings": 10, "passers_by": 500}
# when each scenario's own event begins, so that a short run sees it
EVENT = {
    name: datetime(2025, 3, 13, one.settings["at"].hour, one.settings["at"].minute, tzinfo=UTC)  # type: ignore[union-attr]
    for name, one in SCENARIOS.items()
    if "at" in one.settings
}


def snapshot(world: World) -> object:
    return world.now, world.points(), world.truth, world.changes, world.journal, world.plan, world.next_at


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(SCENARIOS)),
    st.integers(0, 50),
    st.lists(st.integers(0, 900_000), min_size=1, max_size=12),
)
def test_the_course_does_not_depend_on_the_steps(name: str, seed: int, steps_ms: list[int]) -> None:
    def begin() -> World:
        return World(name, seed, settings=BUSY, start=EVENT.get(name))

    at_once, in_steps = begin(), begin()
    at_once.step(sum(steps_ms) / 1000)
    for step in steps_ms:
        in_steps.step(step / 1000)
        in_steps.points()  # looking changes nothing
    assert snapshot(in_steps) == snapshot(at_once)


def test_a_minute_is_sixty_seconds() -> None:
    by_minutes, by_seconds = World("black_box"), World("black_box")
    by_minutes.run_to(by_minutes.start + 4 * 3600)
    by_seconds.run_to(by_seconds.start + 4 * 3600)
    for _ in range(30):
        by_minutes.step(60)
        for _ in range(60):
            by_seconds.step(1)
    assert snapshot(by_minutes) == snapshot(by_seconds)


@pytest.mark.parametrize("name", ["normal_week", "black_box", "cash_trap"])
def test_the_same_seed_gives_the_same_course_and_another_another(name: str) -> None:
    def course(seed: int) -> object:
        world = World(name, seed, start=EVENT.get(name))
        return list(replay(world, 300.0, until=world.start + 7_200)), world.journal, world.truth

    assert course(5) == course(5)
    assert course(5) != course(6)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_notes_are_conserved_words_known_and_counters_only_grow(name: str) -> None:
    world = World(name, seed=2)
    last: dict[str, float] = {}
    while world.now < world.end:
        world.step(1_800)
        points = world.points()
        assert points.keys() == world.fitted
        for point, value in points.items():
            entry = vocabulary.point(point)
            assert entry is not None
            assert vocabulary.fault(entry, value) is None, (point, value)
            if entry.counter and value is not None:
                assert isinstance(value, int)
                assert value >= last.get(point, 0)
                last[point] = value
        assert +world.site.cash.places() == +world.site.cash.loaded
        assert world.site.housing.near >= 0


def test_words_change_only_when_something_happens() -> None:
    world = World("cash_trap", settings=BUSY)
    rng = Random(3)
    while world.now < world.start + 13 * 3600:
        words = world.words()
        if rng.random() < 0.2:
            world.run_to(world.next_at - 0.001 if world.next_at > world.now else world.now)
            assert world.words() == words
        world.run_to(world.next_at)


def test_every_point_of_the_board_is_there_but_the_bins_two() -> None:
    assert set(POINTS.values()) - World().fitted == {"storage.unitReject.presented", "storage.unitReject.accuracy"}


def test_what_is_not_fitted_is_absent_and_what_cannot_be_told_is_none() -> None:
    parameters = replace(Parameters(), not_fitted=frozenset({"auxiliaries.proximitySensor", "position.lat"}))
    world = World(parameters=parameters)
    points = world.points()
    assert "auxiliaries.proximitySensor" not in points
    assert "position.lat" not in points
    assert points["cardReader.insertionTime_s"] is None  # no card yet
    world.site.dispenser.device = "noDevice"
    points = world.points()
    assert points["cashDispenser.outDefault.shutter"] == "unknown"
    assert points["cashManagement.dispenser"] == "unknown"
    world.site.computer.running = False
    assert world.points()["cashDispenser.device"] is None  # it has power, but nobody answers for it
    assert world.points()["link.host"] == "down"


@pytest.mark.parametrize("seed", range(6))
def test_randomised_machines_are_machines(seed: int) -> None:
    parameters = Parameters().randomised(Random(seed)).replenished_for(shipped().mean)
    assert parameters != Parameters()
    assert parameters.not_fitted <= set(OPTIONAL)
    assert 1 <= parameters.replenish_every_days <= 14
    world = World(seed=seed, parameters=parameters)
    for _, values in replay(world, 3_600.0, until=world.start + 86_400):
        for point, value in values.items():
            entry = vocabulary.point(point)
            assert entry is not None
            assert vocabulary.fault(entry, value) is None, (point, value)


def test_what_may_be_missing_is_a_point() -> None:
    assert set(OPTIONAL) <= set(POINTS.values())


def test_an_ordinary_month_has_its_disturbances() -> None:
    """Everything that is known to fool a detector happens by itself."""
    often = (
        "mains_failures", "road_works", "technician_visits", "pc_hangs", "glares", "dirty_readers", "stuck_shutters",
        "dispenser_resets", "link_losses", "brown_outs", "cleanings", "mistaken_hold_ups",
    )  # fmt: skip
    rare = {"jams_per_note": 0.002, "forgotten_cash_per_present": 0.002}
    world = World(seed=1, settings=dict.fromkeys(often, 0.4) | rare)
    world.run_to(world.start + 21 * 86_400)
    assert not any(label.kind == "attack" for label in world.truth)
    assert {label.name for label in world.truth if label.kind == "visit"} == {"replenishment", "technician"}
    assert {label.name for label in world.truth if label.kind == "disturbance"} == {
        "brownOut", "cleaning", "dispenserReset", "forgottenCash", "glare", "mistakenHoldUp", "roadWorks",
    }  # fmt: skip
    assert {label.name for label in world.truth if label.kind == "fault"} >= {
        "dirtyReader", "linkDown", "mainsFailure", "noteJam", "pcHang", "shutterStuck",
    }  # fmt: skip
    assert all(label.end is not None for label in world.truth if label.start < world.now - 5 * 86_400)  # all is mended


@pytest.mark.parametrize("scenario", ["black_box", "gas_attack", "replenishment", "technician_visit"])
def test_words_that_are_remembered_are_those_that_are_true(scenario: str) -> None:
    world = World(scenario, seed=2, settings=dict.fromkeys(("mains_failures", "pc_hangs", "glares"), 4.0))
    while world.now < world.end:
        assert world.words() == {name: word for name, word in points.words(world.site).items() if name in world.fitted}
        world.run_to(world.next_at)


def test_what_looks_like_an_attack_happens_where_somebody_asks_for_it() -> None:
    world = World(seed=1, settings=dict.fromkeys(LOCAL, 0.5))
    world.run_to(world.start + 10 * 86_400)
    told = {label.name for label in world.truth if label.kind == "disturbance"}
    assert told >= {"rain", "paint", "exhaust", "construction", "earthquake", "softwareUpdate"}
    assert not any(label.kind == "attack" for label in world.truth)
    assert not told & {label.name for label in World(seed=1).truth}


@pytest.mark.parametrize(
    ("scenario", "changes", "message"),
    [
        ("blackbox", {}, "unknown scenario 'blackbox'; did you mean 'black_box'"),
        ("black_box", {"presnts": "3"}, "black_box: unknown setting 'presnts'; did you mean 'presents'"),
        ("black_box", {"lorrys": "3"}, "did you mean 'lorries'"),
        ("black_box", {"at": "25:99"}, "at: expected something like 02:10, got '25:99'"),
        ("black_box", {"presents": "many"}, "presents: expected something like 15, got 'many'"),
        ("black_box", {"presents": "1.5"}, "presents: expected something like 15"),
        ("black_box", {"gap_s": "nan"}, "gap_s: nan is out of range"),
        ("black_box", {"gap_s": "-1"}, "gap_s: -1.0 is out of range"),
        ("normal_week", {"wear": "2"}, "wear: 2.0 is not between 0 and 1"),
        ("normal_week", {"mains_failures": "-1"}, "mains_failures: -1.0 is not between"),
        ("replenishment", {"exchange": "maybe"}, "exchange: expected something like true, got 'maybe'"),
        ("sensor_stuck", {"point": "environment.temprature_c"}, "did you mean 'environment.temperature_c'"),
    ],
)
def test_a_wrong_setting_gets_a_message_that_helps(scenario: str, changes: dict[str, str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        World(scenario, settings=changes)


def test_a_start_needs_a_time_zone_and_the_world_no_way_back() -> None:
    with pytest.raises(ValueError, match="has no time zone; write"):
        World(start=datetime(2025, 3, 10))  # noqa: DTZ001
    with pytest.raises(ValueError, match="cannot go back"):
        World().step(-1.0)
