"""Power, climate and motion: closed forms, checked against their own definition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim import visits
from firmware_sim.climate import DAY, HOUR
from firmware_sim.world import World

Quiet = Callable[..., World]


def battery(world: World) -> tuple[float, str, str]:
    points = world.points()
    return (
        points["powerManagement.batteryVoltage_v"],  # type: ignore[return-value]
        points["powerManagement.batteryStatus"],
        points["powerManagement.batteryChargingStatus"],
    )


def test_the_battery_falls_from_float_to_empty_in_its_runtime(quiet: Quiet) -> None:
    world = quiet()
    assert battery(world) == (27.4, "full", "notCharging")
    world.site.power.fail()
    world.step(900.0)
    volts, status, charging = battery(world)
    assert volts == pytest.approx((27.4 + 21.0) / 2)
    assert (status, charging) == ("operational", "discharging")
    assert world.points()["powerManagement.inputVoltage_v"] == 0.0
    assert world.points()["energy.active_power_w"] == 0.0
    world.step(899.0)
    assert battery(world)[1] == "critical"
    assert world.points()["cashDispenser.device"] == "online"
    world.step(2.0)
    assert battery(world) == (21.0, "critical", "notCharging")
    points = world.points()
    assert (points["cashDispenser.device"], points["link.host"]) == ("powerOff", "down")
    assert points["transaction.count"] is None
    assert points["storage.unit1.count"] is None


def test_the_machine_comes_back_with_the_mains(quiet: Quiet) -> None:
    world = quiet()
    count = world.points()["transaction.count"]
    world.site.power.fail()
    world.step(2_000.0)
    world.site.power.come_back()
    world.step(10.0)
    assert world.points()["printer.device"] == "starting"
    world.step(200.0)
    assert world.points()["printer.device"] == "online"
    assert world.points()["transaction.count"] == count
    assert battery(world)[1:] == ("critical", "charging")
    world.step(14_400.0)
    assert battery(world) == (27.4, "full", "notCharging")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=6), st.integers(1, 900))
def test_words_of_the_battery_change_only_when_something_happens(spells: list[int], step: int) -> None:
    """Between two things that happen no word may change, or the board would miss it."""
    world = World("normal_week", settings={"mains_failures": 0})
    power = world.site.power
    at = world.now
    for number, seconds in enumerate(spells):
        at += seconds
        world.site.agenda.put(at, power.come_back if number % 2 else power.fail)
    while world.now < at + 3_000:
        before, next_at = power.words(), world.next_at
        world.run_to(min(next_at - 0.001, world.now + step))
        assert power.words() == before
        world.run_to(min(next_at, world.now + step))


def test_a_worn_battery_gives_seconds(quiet: Quiet) -> None:
    world = quiet(ups_health=0.1)
    world.site.power.fail()
    world.step(179.0)
    assert world.points()["cashDispenser.device"] == "online"
    world.step(2.0)
    assert world.points()["cashDispenser.device"] == "powerOff"


def test_inside_is_warmer_and_the_day_has_its_curve(quiet: Quiet) -> None:
    climate, start = quiet(weather_c=0.0, sun_rise_c=0.0).site.climate, datetime(2025, 4, 15, tzinfo=UTC).timestamp()
    hours = [climate.outside(start + hour * HOUR) for hour in range(24)]
    assert hours.index(min(hours)) == 4
    assert hours.index(max(hours)) == 16
    assert max(hours) - min(hours) == pytest.approx(8.0, abs=0.2)
    assert climate.inside(start) - climate.outside(start) == pytest.approx(8.0)
    year = [fmean(climate.outside(start + (day * 24 + hour) * HOUR) for hour in (4, 16)) for day in range(365)]
    assert max(year) - min(year) == pytest.approx(18.0, abs=0.5)


def test_the_heater_keeps_the_frost_out(quiet: Quiet) -> None:
    world = quiet(mean_c=-8.0, weather_c=0.0)
    seen = []
    for _ in range(24 * 12):
        world.step(300.0)
        points = world.points()
        seen.append((points["auxiliaries.heating"], points["environment.temperature_c"], points["energy.active_power_w"]))
    assert {heating for heating, _, _ in seen} == {"on", "off"}
    assert all(watts > 250 for heating, _, watts in seen if heating == "on")  # type: ignore[operator]
    assert fmean(celsius for heating, celsius, _ in seen if heating == "on") > -4.0  # type: ignore[misc]


def test_heat_that_ends_decays(quiet: Quiet) -> None:
    world = quiet()
    heat = world.site.climate.heat(20.0, HOUR)
    assert heat.kelvin(world.now) == 0.0
    assert heat.kelvin(world.now + 10 * HOUR) == pytest.approx(20.0, abs=0.01)
    world.step(HOUR)
    world.site.climate.cool(heat)
    assert heat.kelvin(world.now) == pytest.approx(20.0 * (1 - 0.3679), abs=0.01)
    assert heat.kelvin(world.now + 5 * HOUR) < 0.1


def test_nights_are_dark_and_noons_are_not(quiet: Quiet) -> None:
    world = quiet(start_fill=1.0)
    seen: dict[int, set[object]] = {}
    for hour in range(7 * 24):
        seen.setdefault(hour % 24, set()).add(world.points()["auxiliaries.ambientLightSensor"])
        world.step(HOUR)
    assert seen[0] == {"dark"}
    assert seen[12] <= {"light", "veryLight"}


def test_a_shaking_lasts_as_long_as_it_lasts(quiet: Quiet) -> None:
    world = quiet()
    world.site.motion.shake(10.0, rms=3.0, peak=12.0, drill=2.5, tilt=8.0)
    world.step(1.0)
    points = world.points()
    assert points["motion.rms_ms2"] == pytest.approx(3.0, rel=0.01)
    assert points["motion.peak_ms2"] == 12.0
    assert points["banknoteNeutralization.tilt"] == "tilted"
    assert points["auxiliaries.seismicSensor"] == "off"  # a detector wants two seconds of it
    world.step(1.5)
    assert world.points()["banknoteNeutralization.seismic"] == "warningLevel"
    world.step(8.0)
    points = world.points()
    assert points["motion.rms_ms2"] == pytest.approx(3.0 * 0.5**0.5, rel=0.02)  # half of the last second
    assert points["banknoteNeutralization.seismic"] == "notDetected"
    world.step(1.0)
    assert world.points()["motion.rms_ms2"] < 0.05  # type: ignore[operator]


def test_a_blow_is_critical_at_once(quiet: Quiet) -> None:
    world = quiet()
    world.site.motion.shake(0.3, rms=20.0, peak=80.0)
    world.step(0.1)
    assert world.points()["banknoteNeutralization.seismic"] == "criticalLevel"


def test_the_memory_of_motion_is_bounded(quiet: Quiet) -> None:
    world = quiet()
    for _ in range(3_000):
        world.site.motion.shake(0.2, 0.1, 1.0)
        world.step(5.0)
    assert len(world.site.motion._recent) <= 1_000 / 5 + 2


@pytest.mark.parametrize(
    ("at", "first"),
    [
        ("2025-03-10T07:00", "2025-03-10T08:00"),
        ("2025-03-10T12:30", "2025-03-10T12:30"),
        ("2025-03-10T18:00", "2025-03-11T08:00"),
        ("2025-03-15T19:00", "2025-03-17T08:00"),
        ("2025-03-16T10:00", "2025-03-17T08:00"),
    ],
)
def test_working_hours(at: str, first: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
    assert visits.working_time(moment) == datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp()


def test_a_position_moves_in_a_straight_line(quiet: Quiet) -> None:
    world = quiet()
    lat, lon = world.points()["position.lat"], world.points()["position.lon"]
    world.site.place.move(10.0, 90.0)
    world.step(60.0)
    points = world.points()
    assert points["position.lat"] == pytest.approx(lat)
    assert (points["position.lon"] - lon) * 111_320 * 0.6664 == pytest.approx(600.0, rel=0.01)  # type: ignore[operator]
    world.site.place.fix = False
    assert (world.points()["position.lat"], world.points()["position.valid"]) == (None, "false")
    assert DAY == 24 * HOUR
