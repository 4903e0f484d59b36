"""The ccTalk driver, asking and listening, and its twins, in virtual time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agent.sources import Context
from agent.sources.cctalk import Asking, Listening, Settings
from agent.sources.cctalk_values import Hopper, Validator
from agent.vocabulary import fault, point
from agent.wire import cctalk
from firmware_sim.coins import hopper
from firmware_sim.conversation import Conversation
from firmware_sim.deposits import Habits, acceptor
from firmware_sim.twins import cctalk as sim
from firmware_sim.world import World
from tests.agent.sources.wired import Wired


def settings(device: Any, **more: Any) -> Settings:
    return Settings(port="/dev/ttyUSB0", device=device, mode="poll", **more)


def asking(device: Any, till: sim.Till, *, echo: bool = True, **more: Any) -> tuple[Wired, sim.Wire]:
    wire = sim.Wire(till, echo=echo)
    return Wired([Asking(device, settings(device, **more))], [wire]), wire


@pytest.mark.parametrize("echo", [True, False])
def test_a_hopper(echo: bool) -> None:
    till = sim.Till()
    line, _ = asking("hopper", till, echo=echo)
    values = line.run(5)
    assert values["cashDispenser.device"] == "online"
    assert values["storage.unitHopper.replenishmentStatus"] == "high"
    assert values["storage.unitHopper.presented"] == 12_000
    assert line.members[0].device.identity == "SIM HOPPER 1.0"
    assert line.members[0].counts["garbageBytes"] == 0
    till.coins, till.paid = 20, 12_380
    values = line.run(15)
    assert values["storage.unitHopper.replenishmentStatus"] == "low"
    assert values["storage.unitHopper.presented"] == 12_380
    till.flags = 0b10  # payout timeout
    assert line.run(5)["storage.unitHopper.replenishmentStatus"] == "empty"


def test_a_hopper_without_level_sensors_says_nothing_of_its_level_but_that_it_is_empty() -> None:
    hopper = Hopper("h", "cashDispenser", "unitHopper", twice=False)
    level = "storage.unitHopper.replenishmentStatus"

    def said(flags: int) -> object:
        return hopper.said({cctalk.TEST: bytes((flags,)), cctalk.LEVELS: b"\x00"}).get(level)

    assert [said(0), said(2), said(0)] == [None, "empty", "ok"]


@pytest.mark.parametrize(
    ("flags", "device", "event", "action"),
    [
        (0x01, "hardwareError", "hardware", "clear"),  # max current
        (0x10, "potentialFraud", "fraudAttempt", "maintenance"),  # opto short while idle
        (0x2000, "hardwareError", "hardware", "maintenance"),  # coil
        (0x0100, "potentialFraud", "fraudAttempt", "maintenance"),  # opto short in payout
    ],
)
def test_faults_of_a_hopper(flags: int, device: str, event: str, action: str) -> None:
    till = sim.Till()
    line, _ = asking("hopper", till, service="cashDispenser", unit="unit9")
    line.run(3)
    till.flags = flags
    values = line.run(3)
    assert [values[f"cashDispenser.{name}"] for name in ("device", "error.eventId", "error.action")] == [device, event, action]
    till.flags = 0x40  # powered up: nothing
    assert line.run(3)["cashDispenser.device"] == "online"


def test_a_validator_counts_and_tells_its_events() -> None:
    till = sim.Till()
    till.event(0, 14)  # full, before we came
    till.event(3, 0)
    line, _ = asking("validator", till)
    values = line.run(5)
    assert values["storage.unitCashbox.replenishmentStatus"] == "full"
    assert (values["cashAcceptor.accepted"], values["cashAcceptor.rejected"]) == (0, 0)
    till.event(2, 1)
    values = line.run(2)
    assert values["cashAcceptor.intermediateStacker"] == "notEmpty"
    till.event(2, 0)
    till.event(0, 2)
    till.event(0, 9)
    values = line.run(2)
    assert (values["cashAcceptor.accepted"], values["cashAcceptor.rejected"]) == (1, 1)
    assert values["cashAcceptor.device"] == "potentialFraud"
    assert values["cashAcceptor.error.eventId"] == "fraudAttempt"
    till.event(0, 11)
    values = line.run(2)
    assert values["storage.unitCashbox.status"] == "missing"
    till.event(0, 12)
    values = line.run(2)
    assert (values["storage.unitCashbox.status"], values["cashAcceptor.device"]) == ("ok", "online")


def test_the_counter_wraps_and_events_that_were_lost_are_told(caplog: pytest.LogCaptureFixture) -> None:
    till = sim.Till()
    till.counter = 253
    line, _ = asking("validator", till)
    line.run(3)
    for _ in range(4):
        till.event(1, 0)
    assert till.counter == 2
    assert line.run(3)["cashAcceptor.accepted"] == 4
    for _ in range(8):
        till.event(1, 0)
    line.run(3)
    assert "3 events were lost" in caplog.text


@pytest.mark.parametrize(
    ("code", "point", "word"),
    [
        (39, "cashAcceptor.device", "hardwareError"),
        (51, "cashAcceptor.device", "userError"),
        (44, "storage.unitCashbox.status", "missing"),
        (45, "storage.unitCashbox.replenishmentStatus", "full"),
        (38, "storage.unitCashbox.status", "inoperative"),
    ],
)
def test_fault_codes(code: int, point: str, word: str) -> None:
    till = sim.Till()
    line, _ = asking("validator", till)
    line.run(3)
    till.fault = code
    assert line.run(40)[point] == word
    till.fault = 0
    values = line.run(40)
    assert values["cashAcceptor.device"] == "online"
    assert point.startswith("cashAcceptor.") or values[point] == "ok"


def test_every_event_gives_values_of_the_vocabulary() -> None:
    for code in range(256):
        validator = Validator("v", "cashAcceptor", "unitCashbox", twice=False)
        hopper = Hopper("h", "cashDispenser", "unitHopper", twice=False)
        validator.said({cctalk.BILL_EVENTS: bytes((1, 0, code, *bytes(8)))})
        values = validator.said({cctalk.SELF_CHECK: bytes((code,))}) | hopper.said({163: bytes((code,)), 217: bytes((code,))})
        for name, value in values.items():
            entry = point(name)
            assert entry is not None, name
            assert fault(entry, value) is None


class Machine:
    """The wire of a machine whose customers are in a hurry; the world goes on with whoever looks at it."""

    def __init__(self, echo: bool = True) -> None:
        self.world = World(seed=3)
        self.notes = acceptor(self.world.site, Habits(deposits_per_day=4000.0, rejects_per_note=0.2))
        self.coins = hopper(self.world.site)
        self.wire = sim.Wire(sim.WorldTill(self.coins, self.notes), echo=echo)

    def on_bytes(self, data: bytes, now: float) -> list[tuple[float, bytes]]:
        self.world.run_to(max(self.world.now, self.world.start + now))
        return self.wire.on_bytes(data, now)


def test_two_devices_of_one_wire_take_turns_and_show_the_world() -> None:
    machine = Machine()
    paid = machine.coins.paid
    line = Wired([Asking("h", settings("hopper")), Asking("v", settings("validator"))], [machine])
    values = line.run(120)
    assert values["cashDispenser.device"] == values["cashAcceptor.device"] == "online"
    assert machine.notes.accepted > 10
    assert machine.notes.rejected > 0
    assert abs(machine.notes.accepted - values["cashAcceptor.accepted"]) <= 1  # the last is under way
    assert abs(machine.notes.rejected - values["cashAcceptor.rejected"]) <= 1
    assert machine.coins.paid > paid
    assert 0 <= machine.coins.paid - values["storage.unitHopper.presented"] <= 15  # it is asked every ten seconds
    assert machine.wire.harmed == []


def test_what_breaks_in_the_world_shows_on_the_wire() -> None:
    machine = Machine()
    line = Wired([Asking("h", settings("hopper")), Asking("v", settings("validator"))], [machine])
    line.run(10)
    notes, coins = machine.notes, machine.coins
    for trouble, device in (("jamInStacker", "hardwareError"), ("", "online"), ("cheated", "potentialFraud"), ("", "online")):
        notes.trouble = trouble  # type: ignore[assignment]  # each is a Trouble
        assert line.run(3)["cashAcceptor.device"] == device
    notes.seated = False
    assert line.run(3)["storage.unitCashbox.status"] == "missing"
    notes.seated, notes.stacked = True, notes.habits.capacity
    assert line.run(3)["storage.unitCashbox.replenishmentStatus"] == "full"
    coins.jammed = True
    assert line.run(3)["cashDispenser.device"] == "hardwareError"
    coins.jammed, coins.coins, coins.short = False, 0, True
    assert line.run(3)["storage.unitHopper.replenishmentStatus"] == "empty"
    machine.world.site.power.mains = machine.world.site.power.supplied = False
    values = line.run(30)
    assert values["cashDispenser.device"] == values["cashAcceptor.device"] == "powerOff"


def listened(*sides: str) -> tuple[dict[str, Any], Listening, Conversation]:
    machine = Machine(echo=len(sides) == 1)
    line = Conversation(machine.wire, sim.Master())
    device = Listening(Context("v", "atm-1", "gw-1", lambda: 0.0), Settings(port="/dev/ttyUSB0", device="validator"))
    values: dict[str, Any] = {}
    now = 0.0
    while now < 60.0:
        now = line.next_at
        machine.world.run_to(machine.world.start + now)
        for said in line.tick(now):
            if said.side in sides:
                values |= {each.point: each.value for each in device.hear(said.side, said.data, now, now)}
        device.tick(now, now)
    return values, device, line


@pytest.mark.parametrize("sides", [("device",), ("device", "host")], ids=["one wire", "two wires"])
def test_listening_beside_another_master(sides: tuple[str, ...]) -> None:
    values, device, _ = listened(*sides)
    assert values["cashAcceptor.device"] == "online"
    assert values["cashAcceptor.accepted"] > 0
    assert device.frames > 100
    assert device.identity == ""
    for header, name in ((246, b"SIM"), (244, b"VALIDATOR"), (241, b"4111111111111111")):
        device.hear(sides[-1], sim.frame(40, header), 100.0, 100.0)
        device.hear("device", sim.frame(1, 0, name, 40), 100.0, 100.0)
    assert device.identity == "SIM VALIDATOR (number)"
    assert device.counters()["garbageBytes"] == 0


def test_a_frame_that_stops_in_the_middle_is_over_after_a_pause() -> None:
    device = Listening(Context("v", "atm-1", "gw-1", lambda: 0.0), Settings(port="/dev/ttyUSB0", device="validator"))
    ask, answer = cctalk.encode(40, 232), cctalk.encode(1, 0, b"\x27", src=40)
    device.hear("device", b"\x01\xf0" + ask, 0.0, 0.0)
    device.tick(0.05, 0.05)
    assert device.counters()["garbageBytes"] == 0
    device.tick(0.07, 0.07)
    assert device.counters()["garbageBytes"] == 2
    for _ in range(2):
        values = {each.point: each.value for each in device.hear("device", answer + ask, 0.4, 0.4)}
    assert values["cashAcceptor.device"] == "hardwareError"
    device.hear("device", b"\x01", 1.0, 1.0)
    device.begin()
    assert device.counters()["garbageBytes"] == 3


@pytest.mark.parametrize("check", ["sum", "crc16"])
def test_nothing_that_does_something_may_be_sent(check: Any) -> None:
    for device, unit, requests in (("hopper", 3, {163, 166, 168, 217}), ("validator", 40, {159, 232})):
        driver = Asking("h", settings(device, check=check))
        requests |= {241, 244, 246}
        assert not requests & sim.CHANGING
        for header in range(256):
            assert driver.may_send(cctalk.encode(unit, header, check=check)) == (header in requests)
            assert not driver.may_send(cctalk.encode(unit, header, b"\xa5", check=check))
            assert not driver.may_send(cctalk.encode(unit + 1, header, check=check))
            assert not driver.may_send(cctalk.encode(0, header, check=check))
        assert not driver.may_send(cctalk.encode(unit, 241, check=check) + cctalk.encode(unit, 167, check=check))


def test_one_byte_in_a_hundred_corrupted(wrong: Any) -> None:
    """10,000 exchanges under a sum of eight bits, with every change read twice."""
    rng = random.Random(9)
    till = sim.Till()
    wire = sim.Wire(till, echo=False)
    line = Wired([Asking("h", settings("hopper"))], [wire], lambda data: wrong(data, rng), lambda data: wrong(data, rng))
    right = {
        "cashDispenser.device": "online",
        "storage.unitHopper.replenishmentStatus": "high",
        "storage.unitHopper.presented": 12_000,
    }
    gave = [each for each in line.until(10_000) if each.machine == "atm-1"]
    off = [each for each in gave if each.value != right[each.point]]
    assert len(gave) > 5_000
    assert len(off) <= 2
    assert wire.harmed == []


class Echo:
    """A wire with nobody else on it."""

    def on_bytes(self, data: bytes, now: float) -> list[tuple[float, bytes]]:
        del now
        return [(0.0, data)]


@pytest.mark.parametrize("twins", [[], [Echo()]], ids=["nothing comes", "only our own words come"])
def test_a_silent_device(twins: list[Echo]) -> None:
    line = Wired([Asking("h", settings("hopper"))], twins)
    values = line.run(5)
    assert values["gateway.source.device0"] == "silent"
    assert values["cashDispenser.device"] == "powerOff"
    assert line.members[0].counts["garbageBytes"] == 0


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        ({"address": 1}, "^address: expected 2 to 255"),
        ({"service": "hopper"}, "^service: no service is called 'hopper'"),
        ({"unit": "hopper"}, "^unit: 'hopper' is no storage unit"),
        ({"host_port": "/dev/ttyUSB1"}, "^host_port: whoever asks"),
        ({"every": 0.1}, "^every:"),
    ],
)
def test_mistakes_name_the_key(more: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        settings("hopper", **more)
