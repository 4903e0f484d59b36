"""The dispenser's driver, asking and listening, and its twins, in virtual time."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Value
from agent.sources import Context
from agent.sources.lcdm import Asking, Dispenser, Listening, Settings
from agent.vocabulary import fault, point
from agent.wire import lcdm
from agent.wire.lcdm import Response
from firmware_sim.conversation import Conversation
from firmware_sim.twins import lcdm as sim
from firmware_sim.world import World
from tests.agent.sources.wired import Wired

CONTEXT = Context("d", "atm-1", "gw-1", lambda: 0.0)


def settings(**more: Any) -> Settings:
    return Settings(port="/dev/ttyUSB0", **more)


def world(model: int = 1000) -> tuple[World, Wired, sim.Lcdm]:
    made = World("normal_week", seed=4)
    twin = sim.Lcdm(made, model)
    return made, Wired([Asking(settings(mode="poll"))], [twin]), twin


def test_an_lcdm_1000_is_the_first_cassette_of_the_world() -> None:
    made, line, _ = world()
    values = line.run(6)
    assert values == values | {
        "cashDispenser.device": "online",
        "cashDispenser.outDefault.transport": "ok",
        "cashDispenser.outDefault.transportStatus": "empty",
        "cashDispenser.outDefault.positionStatus": "empty",
        "cashManagement.dispenser": "ok",
        "storage.unit1.status": "ok",
        "storage.unit1.replenishmentStatus": "ok",
        "storage.unitReject.status": "ok",
    }
    assert "storage.unit2.status" not in values
    assert line.members[0].device.identity == "Puloon LCDM-1000, ROM O16T"
    cassette = made.site.cash.cassettes[0]
    cassette.count = cassette.near_end
    values = line.run(6)
    assert values["storage.unit1.replenishmentStatus"] == "low"
    assert values["cashManagement.dispenser"] == "attention"
    cassette.count = 0
    values = line.run(6)
    assert values["storage.unit1.replenishmentStatus"] == "empty"
    assert values["cashManagement.dispenser"] == "stop"
    cassette.status, cassette.count = "missing", 5000
    values = line.run(6)
    assert values["storage.unit1.status"] == "missing"
    assert values["storage.unit1.replenishmentStatus"] is None
    cassette.status = "ok"
    assert line.run(6)["storage.unit1.replenishmentStatus"] == "ok"
    made.site.dispenser.transport = "inoperative"
    values = line.run(6)
    assert values["cashDispenser.outDefault.transport"] == "inoperative"
    assert values["cashDispenser.device"] == "hardwareError"
    assert values["cashDispenser.error.action"] == "clear"
    assert values["cashManagement.dispenser"] == "unknown"


def test_an_lcdm_2000_has_two() -> None:
    made, line, _ = world(2000)
    made.site.cash.cassettes[1].status = "missing"
    values = line.run(6)
    assert values["storage.unit1.status"] == "ok"
    assert values["storage.unit2.status"] == "missing"
    assert values["cashManagement.dispenser"] == "attention"
    assert line.members[0].device.identity == "Puloon LCDM-2000, ROM T20T"


def test_every_answer_is_acknowledged_and_nothing_that_moves_a_note_is_sent() -> None:
    _, line, twin = world()
    line.run(30)
    assert set(line.sent) == lcdm.REQUESTS
    assert 0 <= sum(each != b"\x06" for each in line.sent) - line.sent.count(b"\x06") <= 1  # the last is under way
    assert twin.harmed == []


@given(st.binary(max_size=12))
def test_the_allow_list(data: bytes) -> None:
    assert Asking(settings(mode="poll")).may_send(data) == (
        data in {bytes.fromhex("045002460313"), bytes.fromhex("045002470312"), b"\x06"}
    )


def test_no_command_but_two_may_be_sent() -> None:
    driver = Asking(settings(mode="poll"))
    for command in range(256):
        assert driver.may_send(sim.framed(4, command)) == (command in (0x46, 0x47))
        assert not driver.may_send(sim.framed(4, command, b"10"))


@pytest.mark.parametrize(
    ("error", "values"),
    [
        (0x32, {"cashManagement.noteError": "otherNoteError", "cashDispenser.device": "online"}),
        (0x33, {"cashDispenser.outDefault.transport": "inoperative", "cashDispenser.error.action": "clear"}),
        (0x3A, {"cashManagement.noteError": "incorrectCount"}),
        (0x3F, {"storage.unitReject.status": "missing", "cashManagement.dispenser": "stop"}),
        (0x44, {"storage.unitReject.replenishmentStatus": "high", "cashManagement.dispenser": "attention"}),
        (0x45, {"storage.unit1.status": "missing"}),
        (0x46, {"storage.unit2.status": "missing"}),
        (0x49, {"cashDispenser.device": "hardwareError", "cashDispenser.error.action": "maintenance"}),
        (0x37, {"cashDispenser.device": "online"}),
    ],
)
def test_what_an_error_tells(error: int, values: dict[str, Value]) -> None:
    said = Dispenser(settings()).said(Response(lcdm.PURGE, bytes((error,))), 0.0)
    assert said is not None
    assert said == said | values


def test_every_error_gives_values_of_the_vocabulary() -> None:
    for model in ("lcdm-1000", "lcdm-2000"):
        for error in range(256):
            for sensors in (b"\x80\x00", b"\xff\xff", b"\xc0\x80"):
                said = Dispenser(settings(model=model)).said(Response(lcdm.STATUS, bytes((0x30, error)) + sensors), 0.0)
                assert (said is None) == (not 0x30 <= error < 0x80)
                for name, value in (said or {}).items():
                    entry = point(name)
                    assert entry is not None, name
                    assert fault(entry, value) is None


def test_an_error_that_stands_in_no_table_is_a_fault_all_the_same() -> None:
    """Of later firmware, say. What it was doing is counted."""
    said = Dispenser(settings()).said(Response(lcdm.STATUS, bytes.fromhex("30 5A 80 00")), 0.0)
    assert said is not None
    assert (said["cashDispenser.device"], said["cashDispenser.error.action"]) == ("hardwareError", "maintenance")
    counted = Dispenser(settings()).said(Response(lcdm.UPPER, b"0503\x5a" + b"002"), 0.0)
    assert counted is not None
    assert (counted["storage.unit1.presented"], "cashDispenser.device" in counted) == (3, False)


def dispense(data: str) -> Response:
    return Response(lcdm.UPPER, data.encode())


def test_counts_out_of_what_the_pc_orders() -> None:
    dispenser = Dispenser(settings())
    dispenser.said(dispense("10101000"), 0.0)
    said = dispenser.said(dispense("07062101"), 10.0)
    assert said is not None
    assert said == said | {
        "cashDispenser.presents": 2,
        "cashDispenser.picks": 17,
        "cashDispenser.pickFailures": 1,
        "storage.unit1.presented": 16,
        "storage.unit1.rejected": 1,
        "storage.unitReject.rejected": 1,
        "storage.unit1.accuracy": "inaccurate",
        "storage.unit1.replenishmentStatus": "low",
    }
    assert dispenser.said(dispense("07062101"), 11.0) == {}  # the PC has asked for it again
    for at in (20.0, 30.0):
        said = dispenser.said(dispense("00002000"), at)
    assert said is not None
    assert said["storage.unit1.operationStatus"] == "dispenseInoperative"


def test_listening_beside_the_pc_counts_what_the_worlds_customers_got() -> None:
    made = World("normal_week", seed=4)
    line = Conversation(sim.Lcdm(made), sim.Master(made))
    device = Listening(CONTEXT, settings())
    before = made.site.cash.cassettes[0].presented
    values: dict[str, Value] = {}
    for second in range(900):
        made.run_to(made.start + 8 * 3600 + second * 10)
        now = float(second)
        while line.next_at <= now:
            for said in line.tick(line.next_at):
                values |= {each.point: each.value for each in device.hear(said.side, said.data, now, now)}
    assert values["cashDispenser.device"] == "online"
    given = made.site.cash.cassettes[0].presented - before
    assert given > 0
    assert values["storage.unit1.presented"] == pytest.approx(given, abs=60)
    assert device.counters() == {"crcErrors": 0, "garbageBytes": 0, "unknown": 0}


def test_a_dispenser_that_does_not_answer_its_pc_has_no_power() -> None:
    device = Listening(CONTEXT, settings(host_port="/dev/ttyUSB1"))
    assert device.away("silent", 0.0) == ()
    device.hear("host", lcdm.ASK_STATUS, 0.0, 0.0)
    assert [each.value for each in device.away("silent", 0.0)] == ["powerOff"]
    device.hear("device", sim.framed(1, 0x46, b"\x30\x30\x80\x80"), 0.0, 0.0)
    assert device.away("silent", 0.0) == ()
    assert [each.value for each in device.away("missing", 0.0)] == ["noDevice"]


def test_the_model_is_overheard_when_the_pc_asks_for_it() -> None:
    device = Listening(CONTEXT, settings())
    assert device.identity == ""
    device.hear("device", sim.framed(1, 0x47, b"T20T1A2B"), 0.0, 0.0)
    assert device.identity == "Puloon LCDM-2000, ROM T20T"


def test_a_response_that_breaks_its_form_is_counted() -> None:
    device = Listening(CONTEXT, settings())
    assert device.hear("device", sim.framed(1, 0x46, b"\x30\x99\x80\x80") + b"\x01\x50", 0.0, 0.0) == []
    device.begin()
    assert device.counters() == {"crcErrors": 0, "garbageBytes": 2, "unknown": 1}


def test_one_byte_in_a_hundred_corrupted(wrong: Any) -> None:
    """10,000 exchanges under an XOR, with the form of each answer and every change read twice."""
    rng = random.Random(12)
    made = World("normal_week", seed=4)
    twin = sim.Lcdm(made)
    right = Wired([Asking(settings(mode="poll"))], [sim.Lcdm(made)]).run(6)
    line = Wired([Asking(settings(mode="poll"))], [twin], lambda data: wrong(data, rng), lambda data: wrong(data, rng))
    gave = [each for each in line.until(10_000) if each.machine == "atm-1"]
    off = [each for each in gave if each.value != right.get(each.point)]
    assert len(off) <= 0.0002 * len(gave)
    assert len(gave) > 20_000


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        ({"upper": "cassette1"}, "^upper: 'cassette1' is no storage unit"),
        ({"lower": "unit1"}, "^lower: three places"),
        ({"mode": "poll", "host_port": "/dev/ttyUSB1"}, "^host_port: whoever asks"),
        ({"every": 0.1}, "^every:"),
    ],
)
def test_mistakes_name_the_key(more: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        settings(**more)
