"""The Modbus driver and its twins, in virtual time."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from agent.records import Quality
from agent.sources.exchange import Polled
from agent.sources.modbus import Device, Settings
from agent.sources.registers import Register, blocks, shipped
from agent.wire import modbus
from firmware_sim.twins import modbus as sim
from firmware_sim.twins import twin
from firmware_sim.world import World
from tests.agent.sources.wired import Wired

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "modbus.json").read_text())
CLIMATE = {"environment.temperature_c": 30.5, "environment.humidity_pct": 54.6}


def device(**settings: Any) -> Polled:
    return Device("climate", Settings(port="/dev/ttyUSB0", **settings))


def climate(unit: int = 1) -> sim.Bus:
    return sim.Bus([sim.Unit(unit, sim.climate(lambda: CLIMATE))], sim.Shape(9_600))


@pytest.mark.parametrize("one", GOLDEN["values"], ids=lambda one: f"{one['type']} {one['order']} {one['data']}")
def test_golden_values(one: dict[str, Any]) -> None:
    register = Register(point="auxiliaries.sensor.x", address=0, type=one["type"], order=one["order"], scale=one["scale"])
    assert register.value(bytes.fromhex(one["data"])) == one["value"]


def test_an_xy_md02() -> None:
    line = Wired([device(map="xy-md02")], [climate()])
    values = line.run(12)
    assert values["environment.temperature_c"] == 30.5
    assert values["environment.humidity_pct"] == 54.6
    assert set(line.sent) == {bytes.fromhex("010400010002200b")}


def test_below_zero() -> None:
    bus = sim.Bus(
        [sim.Unit(1, sim.climate(lambda: {"environment.temperature_c": -20.5, "environment.humidity_pct": 3.0}))],
        sim.Shape(9_600),
    )
    assert Wired([device(map="xy-md02")], [bus]).run(6)["environment.temperature_c"] == -20.5


@pytest.mark.parametrize("name", ["sdm120", "sdm230"])
def test_an_energy_meter(name: str) -> None:
    shown = {
        "0000": 230.2,
        "0006": 0.5,
        "000C": 110.0,
        "0012": 115.1,
        "0018": 33.9,
        "001E": 0.956,
        "0046": 49.98,
        "0048": 1234.5,
        "0156": 1240.25,
    }
    line = Wired([device(map=name)], [sim.Bus([sim.Unit(1, sim.meter(lambda: shown))], sim.Shape(2_400))])
    values = line.run(6)
    assert [values[each.point] for each in shipped()[name].registers] == list(shown.values())
    assert len(set(line.sent)) == 3  # and not nine


def test_two_devices_on_one_bus_take_turns() -> None:
    world = World("normal_week", seed=2)
    line = Wired([device(map="xy-md02", unit=1), device(map="sdm120", unit=2)], [twin("modbus", world)])
    values = line.run(12)
    assert abs(values["energy.active_power_w"] - world.points()["energy.active_power_w"]) < 1
    assert abs(values["environment.temperature_c"] - world.points()["environment.temperature_c"]) < 1
    assert {each[0] for each in line.sent} == {1, 2}
    assert [member.counts["timeouts"] for member in line.members] == [0, 0]


def test_one_of_two_is_silent_and_the_other_is_not() -> None:
    line = Wired([device(map="xy-md02", unit=1, every=1.0), device(map="xy-md02", unit=9, every=1.0)], [climate()])
    line.run(10)
    assert [member.health.word for member in line.members] == ["ok", "silent"]
    assert line.members[0].counts["timeouts"] == 0


def test_an_echo_of_the_adapter_is_passed_over() -> None:
    bus, line = climate(), None

    class Echo:
        def on_bytes(self, data: bytes, now: float) -> list[tuple[float, bytes]]:
            return [(0.0, data), *bus.on_bytes(data, now)]

    line = Wired([device(map="xy-md02")], [Echo()])
    assert line.run(6)["environment.temperature_c"] == 30.5
    assert line.members[0].counts["garbageBytes"] == 0


def test_what_the_device_refuses_has_no_value_and_the_rest_has(caplog: pytest.LogCaptureFixture) -> None:
    own = (Register(point="auxiliaries.sensor.co2", address=40, table="holding"),)
    line = Wired([device(map="xy-md02", registers=own)], [climate()])
    line.run(15)
    assert {each.point: each.quality for each in line.readings if each.machine == "atm-1"} == {
        "environment.temperature_c": Quality.GOOD,
        "environment.humidity_pct": Quality.GOOD,
        "auxiliaries.sensor.co2": Quality.BAD,
    }
    assert caplog.text.count("refuses holding registers 40 to 40 (illegal address)") == 1
    assert line.members[0].health.word == "ok"


def test_bits_words_and_values_that_say_that_there_is_none() -> None:
    door = Register(point="auxiliaries.safeDoor", address=0, type="uint16", bit=3, words={"0": "closed", "1": "open"})
    mode = Register(point="auxiliaries.operatorSwitch", address=0, type="uint16", words={"0": "run"})
    none = Register(point="environment.temperature_c", address=0, unusable=(-32768,))
    assert (door.value(b"\x00\x08"), door.value(b"\x00\xf7")) == ("open", "closed")
    assert (mode.value(b"\x00\x00"), mode.value(b"\x00\x01")) == ("run", "?")
    assert none.value(b"\x80\x00") is None


def test_registers_are_read_together_as_far_as_they_may() -> None:
    def at(*addresses: int, kind: Any = "int16") -> list[Register]:
        return [Register(point=f"auxiliaries.sensor.a{each}", address=each, type=kind) for each in addresses]

    assert [(each.address, each.size) for each in blocks(at(5, 1, 2, 3), 0)] == [(1, 3), (5, 1)]
    assert [(each.address, each.size) for each in blocks(at(5, 1, 2, 3), 1)] == [(1, 5)]
    assert [(each.address, each.size) for each in blocks(at(0, 124), 125)] == [(0, 125)]
    assert [(each.address, each.size) for each in blocks(at(0, 124, kind="int32"), 125)] == [(0, 2), (124, 2)]
    assert [
        each.function for each in blocks([*at(0), Register(point="auxiliaries.sensor.h", address=1, table="holding")], 9)
    ] == [3, 4]


def test_nothing_but_the_configured_reads_may_be_sent() -> None:
    driver = device(map="xy-md02")
    assert driver.may_send(modbus.request(1, 4, 1, 2))
    for frame in (
        modbus.request(1, 4, 1, 1),
        modbus.request(2, 4, 1, 2),
        bytes.fromhex("0106010100019801"),
        modbus.request(1, 4, 1, 2) + b"\0",
        b"",
    ):
        assert not driver.may_send(frame)


def test_a_late_answer_does_not_answer_the_next_request() -> None:
    """Two blocks of the same size: the answer to the first comes when the second has been asked."""
    late = [True]
    unit = sim.Unit(1, lambda: {(4, 0): 1, (4, 10): 2})

    class Late:
        def on_bytes(self, data: bytes, now: float) -> list[tuple[float, bytes]]:
            del now
            answer = unit.answer(data[1], int.from_bytes(data[2:4], "big"), 1)
            return [(0.55 if late[0] and data[3] == 0 else 0.02, answer)]

    own = (Register(point="auxiliaries.sensor.a", address=0), Register(point="auxiliaries.sensor.b", address=10))
    line = Wired([device(registers=own, within=0.5)], [Late()])
    line.run(60)
    assert {each.value for each in line.readings if each.point == "auxiliaries.sensor.a"} == set()
    assert {each.value for each in line.readings if each.point == "auxiliaries.sensor.b"} == {2.0}
    late[0] = False
    values = line.run(10)
    assert (values["auxiliaries.sensor.a"], values["auxiliaries.sensor.b"]) == (1.0, 2.0)


def test_one_byte_in_a_hundred_corrupted(wrong: Any) -> None:
    """10,000 exchanges under a CRC-16: not one wrong value."""
    rng = random.Random(5)
    bus = climate()
    line = Wired([device(map="xy-md02", every=0.2)], [bus], lambda data: wrong(data, rng), lambda data: wrong(data, rng))
    gave = [each for each in line.until(10_000) if each.point in CLIMATE]
    assert len(gave) > 14_000
    assert {(each.point, each.value) for each in gave} == set(CLIMATE.items())
    assert bus.harmed == []
    assert line.members[0].counts["crcErrors"] > 300


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({}, "^registers: is empty"),
        ({"map": "sdm"}, "^map: no map is called 'sdm'; there are xy-md02, sdm120, sdm230"),
        ({"map": "xy-md02", "unit": 0}, "^unit: 0"),
        (
            {"map": "xy-md02", "registers": (Register(point="environment.temperature_c", address=9),)},
            "^registers: environment.temperature_c stands there twice",
        ),
        ({"map": "xy-md02", "every": 0.1}, "^every:"),
        ({"map": "xy-md02", "within": 20.0}, "^within:"),
        ({"map": "xy-md02", "gap": 200}, "^gap:"),
    ],
)
def test_mistakes_name_the_key(settings: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        Settings(port="/dev/ttyUSB0", **settings)


@pytest.mark.parametrize(
    ("register", "mistake"),
    [
        ({"point": "environment.temp"}, "^point: .*did you mean environment.temperature_c"),
        ({"point": "environment.temperature_c", "address": 65536}, "^address: expected 0 to 65535; 30001"),
        ({"point": "environment.temperature_c", "words": {"1": "x"}}, "^words: .*is a number"),
        ({"point": "auxiliaries.safeDoor"}, "^words: .*says words"),
        ({"point": "auxiliaries.safeDoor", "words": {"1": "ajar"}}, "^words.1: .*no word 'ajar'"),
        ({"point": "environment.temperature_c", "scale": 0.0}, "^scale:"),
        ({"point": "environment.temperature_c", "bit": 16}, "^bit: expected 0 to 15"),
    ],
)
def test_mistakes_of_a_register(register: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        Register(**{"address": 0, **register})
