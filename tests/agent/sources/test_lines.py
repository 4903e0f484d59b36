"""Lines of a microcontroller: what becomes of their fields."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.records import Quality, Reading
from agent.sources import Context
from agent.sources.lines import Field, Settings, TextLines
from firmware_sim.twins import twin
from firmware_sim.world import World

CONTEXT = Context("lines", "atm-1", "gw-1", lambda: 0.0)
T = Field(point="environment.temperature_c")
DOOR = Field(point="auxiliaries.safeDoor", words={"0": "closed", "1": "open", "true": "open"})


def driver(**settings: Any) -> TextLines:
    return TextLines(CONTEXT, Settings(port="/dev/ttyUSB0", **settings))


def hear(device: TextLines, data: bytes, at: float = 5.0) -> list[tuple[str, object, str]]:
    return [(each.point, each.value, each.reason) for each in device.hear("device", data, at, at)]


def test_each_field_with_a_point_gives_a_reading_and_a_chunk_gives_all_of_them_at_once() -> None:
    device = driver(fields={"t": T, "d": DOOR})
    readings = device.hear("device", b'{"t":21.5,"d":1,"x":7}\n{"t":22}\n\n{"t":2', 5.0, 1.0)
    assert list(readings) == [
        Reading("atm-1", "environment.temperature_c", 21.5, 5.0),
        Reading("atm-1", "auxiliaries.safeDoor", "open", 5.0),
        Reading("atm-1", "environment.temperature_c", 22, 5.0),
    ]
    assert device.frames == 2
    assert hear(device, b"3}\r\n") == [("environment.temperature_c", 23, "")]


@pytest.mark.parametrize(
    ("line", "value", "reason"),
    [
        (b'{"t":null}', None, "noValue"),
        (b'{"t":400}', None, "outOfLimits"),
        (b'{"t":"warm"}', None, "notAValue"),
        (b'{"t":true}', None, "notAValue"),
        (b'{"t":[1]}', None, "notAValue"),
        (b'{"t":123456789012345678901234567890}', None, "outOfLimits"),
        (b'{"d":"1"}', "open", ""),
        (b'{"d":1.0}', "open", ""),
        (b'{"d":true}', "open", ""),
        (b'{"d":"open"}', None, "notAValue"),
        (b'{"d":null}', None, "noValue"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_and_never_made_up(line: bytes, value: object, reason: str) -> None:
    device = driver(fields={"t": T, "d": DOOR})
    ((_, got, why),) = hear(device, line + b"\n")
    assert (got, why) == (value, reason)
    assert device.counters()["unknown"] == (reason not in ("", "noValue"))


def test_words_of_the_vocabulary_need_no_mapping() -> None:
    device = driver(fields={"d": Field(point="auxiliaries.safeDoor")})
    assert hear(device, b'{"d":"bolted"}\n{"d":"ajar"}\n') == [
        ("auxiliaries.safeDoor", "bolted", ""),
        ("auxiliaries.safeDoor", None, "unknownWord"),
    ]


def test_a_truth_value_is_a_word_of_points_that_know_it() -> None:
    device = driver(fields={"ups": Field(point="auxiliaries.UPS.low")})
    assert hear(device, b'{"ups":false}\n') == [("auxiliaries.UPS.low", "false", "")]


def test_scale_and_offset() -> None:
    device = driver(
        fields={
            "t": Field(point="environment.temperature_c", scale=0.1),
            "f": Field(point="powerManagement.temperature_c", scale=5 / 9, offset=-160 / 9),
        }
    )
    assert hear(device, b'{"t":215,"f":77}\n') == [
        ("environment.temperature_c", 21.5, ""),
        ("powerManagement.temperature_c", 25.0, ""),
    ]


def test_lines_that_tell_of_one_field_each() -> None:
    device = driver(fields={"t1": T, "7": DOOR}, name_in="ch", value_in="v")
    said = b'{"ch":"t1","v":21.5}\n{"v":1,"ch":7}\n{"ch":"t9","v":1}\n{"ch":true,"v":1}\n{"ch":"t1"}\n'
    assert [value for _, value, _ in hear(device, said)] == [21.5, "open"]
    assert device.counters()["unknown"] == 3


def test_fields_within_fields() -> None:
    device = driver(fields={"env.t": T, "d": DOOR})
    assert [value for _, value, _ in hear(device, b'{"env":{"t":3,"h":4},"d":0}\n{"env":5}\n')] == ["closed", 3]


def test_a_csv_with_names_refuses_a_line_that_lost_a_separator() -> None:
    device = driver(format="csv", columns=("t", "h", "d"), separator=";", fields={"t": T, "d": DOOR})
    assert [value for _, value, _ in hear(device, b"t;h;d\r\n21.5;40;1\r\n21.540;1\r\n")] == [21.5, "open"]
    assert device.counters() == {"crcErrors": 0, "garbageBytes": 9, "unknown": 0}


def test_a_csv_without_names_and_key_value_pairs() -> None:
    assert [value for _, value, _ in hear(driver(format="csv", fields={"2": T}), b"99,21.5\n")] == [21.5]
    assert [value for _, value, _ in hear(driver(format="keyvalue", fields={"t": T, "d": DOOR}), b"t=21.5, d=0\n")] == [
        21.5,
        "closed",
    ]


def test_a_line_whose_check_is_wrong_is_counted_and_dropped() -> None:
    device = driver(format="keyvalue", check="xor", fields={"t": T})
    assert [value for _, value, _ in hear(device, b"t=21.5*51\nt=22.5*51\nt=21.5\n")] == [21.5]
    assert device.counters()["crcErrors"] == 2


def test_garbage_between_lines_costs_only_the_lines_that_it_touches() -> None:
    device = driver(fields={"t": T})
    assert [value for _, value, _ in hear(device, b'{"t":1}\n\xff\x00{"t":2}\n{"t":3}\nhello\n')] == [1, 3]
    assert device.counters()["garbageBytes"] == 10 + 6


def test_a_change_that_must_be_said_twice() -> None:
    device = driver(
        fields={
            "t": Field(point="environment.temperature_c", twice=True, step=1.0),
            "d": Field(point="auxiliaries.safeDoor", twice=True),
        }
    )
    said = b'{"t":20}\n{"t":20.5}\n{"t":60}\n{"t":21}\n{"t":60}\n{"t":60.2}\n'
    assert [value for _, value, _ in hear(device, said)] == [20.5, 21, 60.2]
    assert [value for _, value, _ in hear(device, b'{"d":"open"}\n{"d":"closed"}\n{"d":"closed"}\n')] == ["closed"]
    device.begin()
    assert hear(device, b'{"t":60.2}\n') == []


def test_an_opened_line_begins_with_a_whole_line() -> None:
    device = driver(fields={"t": T})
    hear(device, b'{"t":1')
    device.begin()
    assert [value for _, value, _ in hear(device, b'{"t":2}\n')] == [2]


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([b'{"t":1}\n', b'{"d":1}\n', b'{"t":{"t":{}}}\n', b"[[],{}]\n"])),
        max_size=12,
    )
)
def test_nothing_on_a_line_raises(chunks: list[bytes]) -> None:
    for form in ("json", "csv", "keyvalue"):
        device = driver(format=form, fields={"t": T, "d.e": DOOR, "1": Field(point="environment.humidity_pct")})
        for chunk in chunks:
            for reading in device.hear("device", chunk, 1.0, 1.0):
                assert reading.value is None or reading.quality is Quality.GOOD


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"fields": {}}, "^fields: is empty"),
        ({"fields": {"t": T}, "separator": ""}, "^separator: expected one character"),
        ({"fields": {"t": T}, "name_in": "ch"}, "^value_in: goes with name_in"),
        ({"fields": {"t": T}, "columns": ("t",)}, "^columns: only a CSV"),
        ({"fields": {"t": T}, "format": "csv", "columns": ("x",)}, "^fields.t: no column is called so; there are x"),
        ({"fields": {"t": T, "u": T}}, "^fields: environment.temperature_c stands there twice"),
        ({"fields": {"t": T}, "host_port": "/dev/ttyUSB0"}, "^host_port: is the same"),
        ({"fields": {"t": T}, "host_port": "ttyUSB1"}, "^host_port: 'ttyUSB1' is no port"),
    ],
)
def test_mistakes_name_the_key(settings: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        driver(**settings)


@pytest.mark.parametrize(
    ("field", "mistake"),
    [
        ({"point": "environment.temperature"}, "^point: .*did you mean environment.temperature_c"),
        ({"point": "?"}, "^point: .*auxiliaries.sensor.NAME"),
        ({"point": "environment.temperature_c", "words": {"1": "open"}}, "^words: .*is a number"),
        ({"point": "auxiliaries.safeDoor", "words": {"1": "ajar"}}, "^words.1: .*no word 'ajar'"),
        ({"point": "auxiliaries.safeDoor", "scale": 2.0}, "^scale: .*says words"),
        ({"point": "environment.temperature_c", "scale": 0.0}, "^scale: expected"),
        ({"point": "environment.temperature_c", "step": 1.0}, "^step: expected"),
    ],
)
def test_mistakes_of_a_field(field: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        Field(**field)


@pytest.mark.parametrize(("name", "form"), [("lines", "json"), ("lines_csv", "csv"), ("lines_keyvalue", "keyvalue")])
def test_the_twins_lines_are_the_world(name: str, form: str) -> None:
    world = World("normal_week", seed=3)
    printer = twin(name, world)
    columns = ("t", "h", "shake", "tilt", "cabinet", "safe", "seismic") if form == "csv" else ()
    device = driver(format=form, columns=columns, fields={"t": T, "safe": Field(point="auxiliaries.safeDoor")})
    out = printer.tick(0.0)
    said = {point: value for _, data in out for point, value, _ in hear(device, data)}
    assert said["auxiliaries.safeDoor"] == world.points()["auxiliaries.safeDoor"]
    assert abs(float(str(said["environment.temperature_c"])) - float(str(world.points()["environment.temperature_c"]))) < 1.0
    assert printer.tick(0.5) == []
    assert printer.on_bytes(b"anything", 0.6) == []
    assert printer.tick(1.0)


@pytest.mark.parametrize("check", ["none", "crc16"])
def test_one_byte_in_a_hundred_corrupted(check: Any, wrong: Any) -> None:
    """10,000 lines: with a CRC no wrong value passes; without one, some digits do. Every line that is intact is heard."""
    from agent.wire.crc import ccitt_false

    rng = random.Random(8)
    device = driver(format="keyvalue", check=check, fields={"t": T})
    passed = amiss = intact = 0
    for number in range(10_000):
        truth = number % 100
        line = b"t=%d.5 n=%d" % (truth, number)
        if check == "crc16":
            line += b"*%04X" % ccitt_false(line)
        line += b"\n"
        spoilt = wrong(line, rng)
        intact += spoilt == line
        for _, value, _ in hear(device, spoilt):
            passed += value is not None
            amiss += value is not None and value != truth + 0.5
    assert passed - amiss >= 0.98 * intact
    if check == "crc16":
        assert amiss == 0
    else:
        assert amiss / 10_000 < 0.03
