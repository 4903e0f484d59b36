"""The UPS driver and its twin, in virtual time."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.ups import Settings, Ups
from agent.wire import megatec
from firmware_sim.twins import twin
from firmware_sim.twins import ups as sim
from firmware_sim.world import World
from tests.agent.sources.wired import Wired

GOOD = sim.Supply(230.0, 27.4, 1.0, 180.0, 24.0, mains=True, supplied=True)
P = "powerManagement"


def driver(**settings: Any) -> Ups:
    return Ups(Settings(port="/dev/ttyUSB0", **settings))


def wired(state: sim.Supply, protocol: Any = "megatec", **variant: bool) -> Wired:
    device = sim.Ups(lambda: state, voltronic=protocol == "voltronic", **variant)
    return Wired([driver(protocol=protocol)], [device])


def test_megatec() -> None:
    line = wired(GOOD)
    assert {name: value for name, value in line.run(5).items() if not name.startswith("gateway.")} == {
        f"{P}.inputVoltage_v": 230.0,
        f"{P}.outputVoltage_v": 230.0,
        f"{P}.load_pct": 30.0,
        f"{P}.batteryVoltage_v": 27.4,
        f"{P}.temperature_c": 24.0,
        f"{P}.device": "online",
        f"{P}.powerInStatus": "powering",
        f"{P}.powerOutStatus": "powering",
        f"{P}.batteryStatus": "operational",
        "auxiliaries.UPS.low": "false",
        "auxiliaries.UPS.powering": "false",
    }
    assert line.members[0].device.identity == "SIMULATED UPS600 V1.0"
    assert line.run(20)["gateway.line.device0.roundTrip"] == pytest.approx(0.22, abs=0.02)


def test_voltronic() -> None:
    line = wired(GOOD._replace(charge=0.68, battery_v=26.5), "voltronic")
    values = line.run(10)
    assert values[f"{P}.batteryCharge_pct"] == 68.0
    assert values[f"{P}.batteryRuntime_s"] == 20 * 60.0
    assert values[f"{P}.batteryChargingStatus"] == "charging"
    assert line.members[0].device.identity == "protocol PI00"


@pytest.mark.parametrize("protocol", ["megatec", "voltronic"])
def test_a_mains_failure_and_an_empty_battery(protocol: str) -> None:
    states = [GOOD]
    device = sim.Ups(lambda: states[-1], voltronic=protocol == "voltronic")
    line = Wired([driver(protocol=protocol)], [device])
    line.run(10)
    states.append(GOOD._replace(mains=False, input_v=0.0, charge=0.2, battery_v=21.5))
    values = line.run(10)
    assert values[f"{P}.powerInStatus"] == "noPower"
    assert values[f"{P}.powerOutStatus"] == "powering"
    assert values[f"{P}.batteryChargingStatus"] == "discharging"
    assert values[f"{P}.batteryStatus"] == "low"
    assert values["auxiliaries.UPS.low"] == values["auxiliaries.UPS.powering"] == "true"
    states.append(states[-1]._replace(supplied=False, charge=0.0))
    values = line.run(10)
    assert values[f"{P}.powerOutStatus"] == "noPower"
    assert values["auxiliaries.UPS.powering"] == "false"
    assert values[f"{P}.batteryStatus"] == ("critical" if protocol == "voltronic" else "low")


def test_a_broken_ups() -> None:
    values = wired(GOOD._replace(failed=True)).run(5)
    assert values[f"{P}.device"] == "hardwareError"
    assert values[f"{P}.batteryStatus"] == "failure"


def test_volts_of_one_cell_become_those_of_the_battery_and_no_thermometer_is_no_point() -> None:
    values = wired(GOOD, per_cell=True).run(5)
    assert values[f"{P}.batteryVoltage_v"] == pytest.approx(27.4, abs=0.1)
    assert f"{P}.temperature_c" not in values


def test_an_output_that_the_ups_does_not_know_is_neither_on_nor_off() -> None:
    class Unknowing:
        def on_bytes(self, data: bytes, now: float) -> list[tuple[float, bytes]]:
            del data, now
            return [(0.1, b"(226.0 195.0 ---.- 014 49.0 27.5 30.0 00001000\r")]

    values = Wired([driver()], [Unknowing()]).run(10)
    assert values[f"{P}.powerInStatus"] == "powering"
    assert f"{P}.powerOutStatus" not in values
    assert f"{P}.outputVoltage_v" not in values


def test_warnings() -> None:
    assert Ups(Settings(port="/dev/ttyUSB0")).every == 2.0
    from agent.sources.ups import _of_mode, _of_warnings

    assert _of_warnings(frozenset({1, 7})) == {}
    for battery in (0, 6, 37, 55):
        assert _of_warnings(frozenset({battery}))[f"{P}.batteryStatus"] == "failure"
    assert _of_warnings(frozenset({9})) == {f"{P}.error.eventId": "hardware", f"{P}.error.action": "maintenance"}
    assert _of_mode("L") == _of_mode("B") == {}
    assert _of_mode("S") == _of_mode("D") == {f"{P}.powerOutStatus": "noPower"}
    assert _of_mode("F") == {f"{P}.device": "hardwareError"}


def test_a_change_shows_within_a_second() -> None:
    states = [GOOD]
    line = Wired([driver(every=0.5)], [sim.Ups(lambda: states[-1])])
    line.run(5)
    states.append(GOOD._replace(mains=False, input_v=0.0))
    assert line.run(1.2)[f"{P}.powerInStatus"] == "noPower"


def test_a_silent_ups_and_one_that_is_back() -> None:
    alive = [True]
    device = sim.Ups(lambda: GOOD)
    line = Wired([driver()], [device], way_back=lambda data: data if alive[0] else b"")
    line.run(5)
    alive[0] = False
    values = line.run(12)
    assert values["gateway.source.device0"] == "silent"
    assert values[f"{P}.device"] == "powerOff"
    alive[0] = True
    values = line.run(6)
    assert values["gateway.source.device0"] == "ok"
    assert values[f"{P}.device"] == "online"
    assert line.members[0].counts["timeouts"] >= 3


@given(st.binary(max_size=12))
def test_nothing_but_status_and_identity_may_be_sent(data: bytes) -> None:
    assert driver().may_send(data) == (data in {b"Q1\r", b"F\r", b"I\r", b"QPI\r", b"QGS\r", b"QMOD\r", b"QWS\r", b"QBV\r"})


@pytest.mark.parametrize(
    "request_", [b"S.5\r", b"S01R0001\r", b"C\r", b"T\r", b"TL\r", b"T05\r", b"CT\r", b"Q\r", b"Q1", b"Q1\rS.5\r", b""]
)
def test_the_commands_of_a_ups_may_not(request_: bytes) -> None:
    assert not driver().may_send(request_)


def test_what_was_sent_was_on_the_list_whatever_came_back() -> None:
    rng = random.Random(4)
    for protocol in ("megatec", "voltronic"):
        device = sim.Ups(lambda: GOOD, voltronic=protocol == "voltronic")
        line = Wired(
            [driver(protocol=protocol)], [device], way_back=lambda data: rng.choice((data, b"", rng.randbytes(20), b"(NAK\r"))
        )
        line.until(600)
        assert set(line.sent) <= megatec.REQUESTS
        assert device.harmed == []


def test_the_twin_shows_the_one_world() -> None:
    world = World("normal_week", seed=1)
    line = Wired([driver()], [twin("ups", world)])
    line.run(5)
    world.site.power.fail()
    values = line.run(5)
    assert values[f"{P}.powerInStatus"] == world.points()[f"{P}.powerInStatus"] == "noPower"
    assert values[f"{P}.inputVoltage_v"] == 0.0


def test_one_byte_in_a_hundred_corrupted(wrong: Any) -> None:
    """10,000 exchanges without any check: what passes wrong is a digit within the tolerance, never a word."""
    rng = random.Random(6)
    device = sim.Ups(lambda: GOOD)
    line = Wired([driver(every=0.5)], [device], lambda data: wrong(data, rng), lambda data: wrong(data, rng))
    right = wired(GOOD).run(5)
    gave = [each for each in line.until(10_000) if not each.point.startswith("gateway.")]
    off = [each for each in gave if each.value != right[each.point]]
    far = [each for each in off if isinstance(each.value, str) or abs(each.value - right[each.point]) > 5.0]
    assert len(off) / len(gave) < 0.01
    assert far == []


def test_it_recovers_within_three_polls(wrong: Any) -> None:
    rng = random.Random(7)
    spoilt = [True]
    line = Wired([driver()], [sim.Ups(lambda: GOOD)], way_back=lambda data: rng.randbytes(30) if spoilt[0] else data)
    for _ in range(20):
        spoilt[0] = True
        line.run(7)
        spoilt[0] = False
        before = line.exchanges
        line.readings.clear()
        while not any(each.point == f"{P}.inputVoltage_v" for each in line.readings):
            line.step()
        assert line.exchanges - before <= 3 + 2  # F and I at the first of all
