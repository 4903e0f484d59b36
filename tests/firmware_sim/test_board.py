"""What the board makes of the world: samples, debounced edges, noise, broken wires, its own clock."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.board_points import POINTS
from firmware_sim.board import CUT_LOOP, DEBOUNCE, LATCHED, PRECISION, Board, Edge, Sample
from firmware_sim.world import World

Quiet = Callable[..., World]


def at(world: World, seconds: float, act: Callable[[], None]) -> None:
    world.site.agenda.put(world.start + seconds, act)


def set_door(world: World, word: str) -> Callable[[], None]:
    return lambda: setattr(world.site.housing, "cabinet", word)


def edges(board: Board, seconds: float) -> list[Edge]:
    return [item for item in board.run_to(board.world.now + seconds) if isinstance(item, Edge)]


def test_samples_come_once_a_period_from_the_start_on(quiet: Quiet) -> None:
    world = quiet()
    samples = list(Board(world).run_to(world.start + 5.5))
    assert [item.at - world.start for item in samples] == [0, 1, 2, 3, 4, 5]
    assert [item.uptime for item in samples] == [0, 1000, 2000, 3000, 4000, 5000]
    assert all(isinstance(item, Sample) and item.values.keys() == world.fitted for item in samples)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=8))
def test_what_it_notices_does_not_depend_on_how_often_it_is_asked(steps_ms: list[int]) -> None:
    def noticed(steps: list[int]) -> list[object]:
        world = World("cash_trap", settings={"passers_by": 2_000})
        world.run_to(world.start + 11 * 3600)
        board = Board(world, period=7.0)
        return [item for step in steps for item in list(board.run_to(world.now + step / 1000))]

    assert noticed(steps_ms) == noticed([sum(steps_ms)])


def test_an_edge_bears_the_moment_before_the_debouncing(quiet: Quiet) -> None:
    world = quiet()
    at(world, 10.5, set_door(world, "open"))
    board = Board(world)
    items = list(board.run_to(world.start + 11))
    assert items[-2] == Edge(world.start + 10.5, 10_500, {"auxiliaries.cabinetDoor": "open"})
    assert items[-1].values["auxiliaries.cabinetDoor"] == "open"
    assert items[-3].values["auxiliaries.cabinetDoor"] == "locked"


@pytest.mark.parametrize(("bounce_s", "believed"), [(0.049, 0), (0.051, 2)])
def test_a_bounce_is_no_edge(quiet: Quiet, bounce_s: float, believed: int) -> None:
    world = quiet()
    at(world, 10, set_door(world, "open"))
    at(world, 10 + bounce_s, set_door(world, "locked"))
    assert len(edges(Board(world), 20)) == believed


def test_a_bouncing_contact_is_believed_when_it_rests(quiet: Quiet) -> None:
    world = quiet()
    for number in range(21):
        at(world, 10 + number * 0.02, set_door(world, "locked" if number % 2 else "open"))
    assert edges(Board(world), 20) == [Edge(world.start + 10.4, 10_400, {"auxiliaries.cabinetDoor": "open"})]


def test_a_shock_is_held_so_that_none_is_too_short(quiet: Quiet) -> None:
    world = quiet()
    at(world, 10, lambda: world.site.motion.shake(0.3, 20.0, 90.0))
    alarm, clear = edges(Board(world), 20)
    assert alarm.at == world.start + 10
    assert alarm.values == {"auxiliaries.seismicSensor": "on", "banknoteNeutralization.seismic": "criticalLevel"}
    assert clear.values == {"auxiliaries.seismicSensor": "off", "banknoteNeutralization.seismic": "notDetected"}
    assert clear.at == world.start + 10.3


def test_words_that_change_together_come_together(quiet: Quiet) -> None:
    world = quiet()
    at(world, 3, world.site.power.fail)
    first, *_ = edges(Board(world), 5)
    assert first.values == {
        "powerManagement.powerInStatus": "noPower",
        "powerManagement.batteryChargingStatus": "discharging",
    }


def test_numbers_make_no_edges(quiet: Quiet) -> None:
    world = quiet()
    board = Board(world, period=60.0)
    assert edges(board, 3600) == []
    world.site.dispenser.presents += 5
    assert edges(board, 10) == []


def test_noise_and_resolution_are_the_sensors_own(quiet: Quiet) -> None:
    world = quiet()
    samples = [item for item in Board(world).run_to(world.start + 600) if isinstance(item, Sample)]
    for name, precision in PRECISION.items():
        values = [value for item in samples if isinstance(value := item.values[name], int | float)]
        assert all(round(value, precision.decimals) == value for value in values)
        if precision.absolute and name != "motion.tilt_deg":
            assert pstdev(values) > 0.0
    volts = [item.values["powerManagement.inputVoltage_v"] for item in samples]
    assert fmean(volts) == pytest.approx(world.site.power.input_v(world.start + 300), abs=0.5)  # type: ignore[type-var]
    assert samples[5] == next(
        item for item in Board(quiet()).run_to(world.start + 600) if item.at == samples[5].at
    )  # the noise is the moment's, not the asking's


def test_the_peak_is_held_from_sample_to_sample(quiet: Quiet) -> None:
    world = quiet()
    at(world, 30, lambda: world.site.motion.shake(0.2, 1.0, 12.0))
    peaks = [item.values["motion.peak_ms2"] for item in Board(world, 60.0).run_to(world.start + 180) if isinstance(item, Sample)]
    assert peaks[1] == pytest.approx(12.0, rel=0.2)
    assert max(peaks[0], peaks[2], peaks[3]) < 1.0  # type: ignore[type-var, operator]


def test_a_stuck_sensor_repeats_and_a_stuck_contact_says_nothing(quiet: Quiet) -> None:
    world = quiet()
    board = Board(world)
    world.site.board.stuck |= {"powerManagement.inputVoltage_v", "auxiliaries.cabinetDoor"}
    at(world, 5, set_door(world, "open"))
    at(world, 6, world.site.power.fail)
    items = list(board.run_to(world.start + 20))
    volts = {item.values["powerManagement.inputVoltage_v"] for item in items if isinstance(item, Sample)}
    assert len(volts) == 1
    assert not any("auxiliaries.cabinetDoor" in item.values for item in items if isinstance(item, Edge))
    world.site.board.stuck.clear()
    later = list(board.run_to(world.start + 30))
    assert any(item.values.get("auxiliaries.cabinetDoor") == "open" for item in later if isinstance(item, Edge))
    assert later[-1].values["powerManagement.inputVoltage_v"] < 2.0  # type: ignore[operator]


def test_a_cut_loop_is_an_alarm_and_a_cut_sensor_has_no_answer(quiet: Quiet) -> None:
    world = quiet()
    at(world, 5, lambda: world.site.board.cut.update({"auxiliaries.safeDoor", "environment.humidity_pct", "link.host"}))
    items = list(Board(world).run_to(world.start + 8))
    told = {name: value for item in items if isinstance(item, Edge) for name, value in item.values.items()}
    assert told == {"auxiliaries.safeDoor": "open", "link.host": None}
    assert items[-1].values["environment.humidity_pct"] is None


def test_without_power_it_is_silent_and_starts_anew(quiet: Quiet) -> None:
    world = quiet()
    wiring = world.site.board
    board = Board(world)
    first = board.boot
    at(world, 3.5, wiring.lose_power)
    at(world, 10.25, lambda: wiring.power_up(world.now))
    items = list(board.run_to(world.start + 12))
    assert [(item.at - world.start, item.uptime) for item in items] == [
        (0, 0), (1, 1000), (2, 2000), (3, 3000), (10.25, 0), (11.25, 1000),
    ]  # fmt: skip
    assert board.boot != first
    assert 0 <= board.boot < 2**32


def test_its_counter_wraps_and_steps(quiet: Quiet) -> None:
    world = quiet()
    board = Board(world)
    assert board.uptime(world.start + 2**32 / 1000) == 0
    assert board.uptime(world.start + 2**32 / 1000 + 5) == 5_000
    world.site.board.clock_error_s = -10.0
    assert board.uptime(world.start + 1) == 2**32 - 9_000


def test_a_period_below_the_worlds_grid_is_refused(quiet: Quiet) -> None:
    with pytest.raises(ValueError, match=r"0\.0001 s is shorter"):
        Board(quiet(), 0.0001)


def test_its_tables_name_points() -> None:
    assert {*DEBOUNCE, *LATCHED, *CUT_LOOP, *PRECISION} <= set(POINTS.values())
