"""The MDB adapter's lines, their codec and their driver."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sources import Context
from agent.sources.mdb import Adapter, Settings
from agent.vocabulary import fault, point
from agent.wire.mdbstuff import is_passed_over, said
from firmware_sim.coins import hopper
from firmware_sim.deposits import Habits, acceptor
from firmware_sim.twins import mdb as sim
from firmware_sim.world import World

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "mdb.json").read_text())
CONTEXT = Context("mdb", "atm-1", "gw-1", lambda: 0.0)


def driver(**settings: Any) -> Adapter:
    return Adapter(CONTEXT, Settings(port="/dev/ttyUSB0", **settings))


def hear(device: Adapter, *lines: str, mono: float = 0.0) -> dict[str, Any]:
    return {each.point: each.value for each in device.hear("device", sim.said(*lines), mono, mono)}


@pytest.mark.parametrize("one", GOLDEN["lines"], ids=lambda one: one["line"])
def test_golden_lines(one: dict[str, Any]) -> None:
    device, topic, fields = one["says"]
    assert said(one["line"].encode()) == (device, topic, tuple(fields))
    assert not is_passed_over(one["line"].encode())


def test_lines_that_are_none_and_lines_that_nobody_looks_at() -> None:
    assert [said(line.encode()) for line in GOLDEN["refused"]] == [None] * len(GOLDEN["refused"])
    assert all(is_passed_over(line.encode()) for line in GOLDEN["passed_over"])


def test_card_readers_are_passed_over_and_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    device = driver()
    assert hear(device, *GOLDEN["passed_over"]) == {}
    assert "4111" not in caplog.text
    assert device.counters() == {"garbageBytes": 0, "unknown": 0}


def test_notes() -> None:
    device = driver()
    hear(device, "BV*STACKER*10*0", "BV*STACKER*10*0")
    values = hear(device, "BV*BILLACTION*4*500.00*ESCROW")
    assert values["cashAcceptor.intermediateStacker"] == "notEmpty"
    values = hear(device, "BV*BILLACTION*4*500.00*STACKER", "BV*STACKER*11*0")
    assert values == {"cashAcceptor.accepted": 1, "cashAcceptor.intermediateStacker": "empty", "storage.unitCashbox.count": 11}
    values = hear(device, "BV*STATUS*REJECT", "BV*BILLACTION*1*10.00*DISREJECT", "BV*ATTEMPTS*3")
    assert values == {"cashAcceptor.rejected": 5}
    assert hear(device, "BV*BILLACTION*1*10.00*RETURN") == {}


def test_a_full_cashbox_and_one_that_is_taken_out() -> None:
    device = driver(cashbox="unit5")
    assert hear(device, "BV*STACKER*300*1") == {}
    assert hear(device, "BV*STACKER*300*1") == {
        "storage.unit5.count": 300,
        "storage.unit5.replenishmentStatus": "full",
        "storage.unit5.status": "ok",
    }
    assert hear(device, "BV*STATUS*CBOXOUT") == {"storage.unit5.status": "missing", "storage.unit5.replenishmentStatus": None}
    assert hear(device, "BV*STACKER*0*0", "BV*STACKER*0*0")["storage.unit5.status"] == "ok"


@pytest.mark.parametrize(
    ("line", "point_", "word", "action"),
    [
        ("BV*STATUS*JAM", "cashAcceptor.device", "hardwareError", "clear"),
        ("BV*STATUS*BADMOTOR", "cashAcceptor.device", "hardwareError", "maintenance"),
        ("BV*STATUS*FISHING", "cashAcceptor.device", "potentialFraud", "maintenance"),
        ("CH1*STATUS*DISPJAM", "cashDispenser.device", "hardwareError", "clear"),
        ("CC*STATUS*TUBEJAM", "cashDispenser.device", "hardwareError", "clear"),
        ("CC*STATUS*FISHING", "cashDispenser.device", "potentialFraud", "maintenance"),
        ("SYS*DEVONLINE*BV", "cashAcceptor.device", "online", None),
        ("SYS*DEVLOST*CC", "cashDispenser.device", "powerOff", None),
        ("BV*DISPSTATUS*JAM", "cashAcceptor.device", "hardwareError", "clear"),
    ],
)
def test_states(line: str, point_: str, word: str, action: str | None) -> None:
    values = hear(driver(), line)
    assert values[point_] == word
    assert values.get(point_.replace("device", "error.action")) == action


def test_coins() -> None:
    device = driver()
    lines = ("CC*TUBE*4*1.00*31*0", "CC*TUBE*5*2.00*0*0", "CH1*FILL*5.00*15*0", "CH1*FILL*2.00*5*0")
    hear(device, *lines)
    hear(device, *lines)
    values = hear(device, *lines, *lines, mono=100.0)
    assert values["storage.unitTube4.count"] == 31
    assert values["storage.unitTube5.replenishmentStatus"] == "empty"
    assert values["storage.unitHopper1.count"] == 20


@pytest.mark.parametrize(("tube", "full"), [(1, "1"), (4, "8"), (16, "-32768")])
def test_a_full_tube_is_told_by_the_bit_of_its_place(tube: int, full: str) -> None:
    line = f"CC*TUBE*{tube}*1.00*80*{full}"
    assert hear(driver(), line, line)[f"storage.unitTube{tube}.replenishmentStatus"] == "full"
    assert hear(driver(), *[line.replace(f"*80*{full}", "*80*x")] * 2) == {}


def test_the_recyclers_other_states_and_what_tells_nothing_are_known() -> None:
    device = driver()
    hear(device, "BV*DISPSTATUS*PAYOUTBUSY", "CC*TUBERR", "BV*DPC*OK", "BV*RECYCLECFG*FAIL", "BV*CFG*1*1985*1.00*2*44*1")
    assert hear(device, "BV*STACKER*250*0", "BV*STACKER*250*0")["storage.unitCashbox.count"] == 250
    assert device.counters() == {"garbageBytes": 0, "unknown": 0}


def test_a_level_that_nobody_expects_counts_once_it_was_said_twice() -> None:
    device = driver()
    hear(device, "BV*STACKER*10*0", "BV*STACKER*10*0")
    assert hear(device, "BV*STACKER*90*0") == {}
    assert hear(device, "BV*STACKER*10*0") == {}
    assert hear(device, "BV*STACKER*90*0") == {}
    assert hear(device, "BV*STACKER*90*0")["storage.unitCashbox.count"] == 90


def test_what_nobody_knows_is_counted() -> None:
    device = driver()
    hear(device, "BV*STATUS*SINGING", "BV*NEWS*1", "BV*STACKER*x*0", "CC*TUBE*99*1.00*3*0", "hello")
    assert device.counters() == {"garbageBytes": 7, "unknown": 4}
    device.hear("device", b"BV*ST", 0.0, 0.0)
    device.begin()
    assert hear(device, "BV*STATUS*JAM")["cashAcceptor.device"] == "hardwareError"


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([one["line"].encode() + b"\r\n" for one in GOLDEN["lines"]])),
        max_size=10,
    )
)
def test_nothing_raises_and_everything_is_of_the_vocabulary(chunks: list[bytes]) -> None:
    device = driver()
    for chunk in chunks:
        for reading in device.hear("device", chunk, 0.0, 0.0):
            entry = point(reading.point)
            assert entry is not None
            assert fault(entry, reading.value) is None


class Bus:
    """An adapter's bus in a machine whose customers are in a hurry."""

    def __init__(self) -> None:
        self.world = World(seed=3)
        self.notes = acceptor(self.world.site, Habits(deposits_per_day=4000.0))
        self.coins = hopper(self.world.site)
        self.adapter = sim.Adapter(self.notes, self.coins)

    def report(self) -> tuple[float, bytes]:
        """What the adapter says next, and when."""
        while True:
            at = self.adapter.next_at
            self.world.run_to(self.world.start + at)
            for _, data in self.adapter.tick(at):
                return at, data


def test_the_twin_is_heard_and_nothing_is_said_to_it() -> None:
    bus, device, counts = Bus(), driver(), []
    for _ in range(1_000):
        at, data = bus.report()
        readings = device.hear("device", data, at, at)
        counts += [(each.value, bus.notes.stacked) for each in readings if each.point == "storage.unitCashbox.count"]
    assert device.counters() == {"garbageBytes": 0, "unknown": 0}
    assert len(counts) > 50
    assert all(value == truth for value, truth in counts)
    assert bus.adapter.harmed == []
    assert device.identity == "BV SIM VALIDATOR, CC SIM CHANGER"
    assert device._bus._accepted == bus.notes.accepted


def test_what_breaks_in_the_world_shows_on_the_line() -> None:
    bus, device, shown = Bus(), driver(), {}

    def told(point_: str, value: object) -> bool:
        until = bus.adapter.next_at + 70.0
        while shown.get(point_, "?") != value and bus.adapter.next_at < until:
            at, data = bus.report()
            shown.update((each.point, each.value) for each in device.hear("device", data, at, at))
        return shown.get(point_, "?") == value

    assert told("storage.unitCashbox.status", "ok")
    for trouble, word in (("jamInAcceptor", "hardwareError"), ("", "online"), ("cheated", "potentialFraud"), ("", "online")):
        bus.notes.trouble = trouble  # type: ignore[assignment]  # each is a Trouble
        assert told("cashAcceptor.device", word)
    bus.notes.seated = False
    assert told("storage.unitCashbox.status", "missing")
    bus.notes.seated, bus.notes.stacked = True, bus.notes.habits.capacity
    assert told("storage.unitCashbox.replenishmentStatus", "full")
    bus.coins.jammed = True
    assert told("cashDispenser.device", "hardwareError")
    bus.coins.jammed, bus.coins.coins = False, 0
    assert told("cashDispenser.device", "online")
    assert told("storage.unitTube4.replenishmentStatus", "empty")


def test_one_byte_in_a_hundred_corrupted(wrong: Any) -> None:
    """10,000 reports without any check: the count of the cashbox."""
    rng, device, counts = random.Random(4), driver(), []
    notes = 40
    for at in range(10_000):
        if at % 6:
            notes = notes + 1 if notes < 290 else 0
            lines = [f"BV*BILLACTION*2*20.00*{route}" for route in ("ESCROW", "STACKER")]
        else:
            lines = [f"BV*STACKER*{notes}*0", "CC*TUBE*4*1.00*31*0"] * 2
        readings = device.hear("device", wrong(sim.said(*lines), rng), float(at), float(at))
        counts += [(each.value, notes) for each in readings if each.point == "storage.unitCashbox.count"]
    off = [(value, truth) for value, truth in counts if value != truth]
    assert len(counts) > 1_000
    assert len(off) <= 0.005 * len(counts)
