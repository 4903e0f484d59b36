"""Note acceptors on a line that their controller masters: heard through noise, and never spoken to. In virtual time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from agent.records import Reading
from agent.sources import SOURCES, Context, ccnet, ebds, id003
from agent.sources.acceptor import AcceptorSettings, Condition, points
from agent.sources.line import Line, Tap
from agent.sources.tap import TapSource
from agent.vocabulary import fault, point
from agent.wire import ccnet as ccnet_wire
from agent.wire import id003 as id003_wire
from firmware_sim.conversation import Conversation
from firmware_sim.deposits import Habits, acceptor
from firmware_sim.twins import controller, twin
from firmware_sim.twins.note_line import EVERY
from firmware_sim.world import World

DRIVERS: dict[str, Any] = {"id003": id003, "ccnet": ccnet, "ebds": ebds}
IDLE = Habits(deposits_per_day=1e-3)
BUSY = Habits(deposits_per_day=4000.0, capacity=100_000)
CONDITIONS = {
    "starting": Condition.STARTING,
    "full": Condition.FULL,
    "open": Condition.MISSING,
    "jamInAcceptor": Condition.JAMMED,
    "jamInStacker": Condition.JAMMED,
    "cheated": Condition.CHEATED,
    "failure": Condition.FAILED,
}
NOW = 1_750_000_000.0

ALL = pytest.mark.parametrize("kind", DRIVERS)
WIRES = pytest.mark.parametrize("joined", [False, True], ids=["own wire", "joined"])


class Bench:
    """A machine with an acceptor, its controller, and one who listens; time is stepped by hand."""

    def __init__(self, kind: str, joined: bool = False, seed: int = 1, habits: Habits = BUSY) -> None:
        self.world = World(seed=seed)
        self.acceptor = acceptor(self.world.site, habits)
        self.twin: Any = twin(kind, self.world)
        self.face = self.twin._face
        self.line = Conversation(self.twin, controller(kind, self.world))
        settings = DRIVERS[kind].Settings(port="/dev/ttyUSB0", joined=joined)
        self.driver = DRIVERS[kind].Validator(Context("notes", "atm-1", "gw-1", lambda: NOW), settings)
        self.driver.begin()
        self.joined = joined
        self.rng = random.Random(seed)
        self.spoil: Callable[[bytes], bytes] = bytes
        self.now = 0.0
        self.start = self.world.now
        self.exchanges = 0
        self.expected: deque[dict[str, Any]] = deque(maxlen=16)  # what was true at the last polls
        self.shown: dict[str, Any] = {}
        self.readings: list[Reading] = []

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.line.next_at, end)
            self.world.run_to(max(self.world.now, self.start + self.now))
            self._hear(self.line.tick(self.now))

    def _hear(self, said: list[Any]) -> None:
        self._take(self.driver.tick(NOW, self.now))
        for one in said:
            self.exchanges += one.side == "device"
            if one.side == "device" or self.joined:
                self.expected.append(self.truth())
                self._take(self.driver.hear("device", self.spoil(one.data), NOW, self.now))

    def _take(self, readings: Any) -> None:
        for reading in readings:
            self.readings.append(reading)
            self.shown[reading.point] = reading.value

    def truth(self) -> dict[str, Any]:
        """What ought to be shown."""
        look = self.face.look()
        return points(frozenset({CONDITIONS.get(look, Condition.WORKING)}), "unit1")

    def settle(self, **state: Any) -> None:
        """Put the acceptor into a state."""
        self.acceptor.trouble = state.get("trouble", "")
        self.acceptor.seated = state.get("seated", True)
        self.acceptor.stacked = 100_000 if state.get("full") else 0


@ALL
@WIRES
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"trouble": "jamInAcceptor"},
        {"trouble": "jamInStacker"},
        {"trouble": "cheated"},
        {"trouble": "failure"},
        {"seated": False},
        {"full": True},
    ],
    ids=str,
)
def test_every_condition_is_told_within_three_polls(kind, joined, state):
    bench = Bench(kind, joined, habits=IDLE)
    bench.run(60 * EVERY)
    bench.settle(**state)
    bench.run(3.5 * EVERY)
    expected = bench.truth()
    assert {name: bench.shown[name] for name in expected} == expected


@ALL
@WIRES
def test_notes_are_counted(kind, joined):
    bench = Bench(kind, joined)
    bench.run(300.0)
    assert bench.acceptor.accepted > 10
    assert abs(bench.shown["storage.unit1.deposited"] - bench.acceptor.accepted) <= 1  # the last may be under way
    assert abs(bench.shown["cashAcceptor.rejected"] - bench.acceptor.rejected) <= 1
    counters = bench.driver.counters()
    assert (counters["crcErrors"], counters["garbageBytes"], counters["unknown"]) == (0, 0, 0)


def test_a_note_that_ebds_tells_by_currency_and_value_is_counted():
    """Type 7, subtype 02: the six bytes of an omnibus reply, then index, "EUR", 010, +, 00 and the rest. XORs by hand."""
    idle = "02 0B {0} 01 10 00 00 54 15 03 {1}"
    note = "02 1E {0} 02 {2} 10 00 00 54 15 02 45 55 52 30 31 30 2B 30 30 00 41 41 41 41 00 00 00 03 {1}"
    heard = [
        idle.format("20", "7B"), idle.format("21", "7A"), idle.format("20", "7B"),
        "02 0B 21 02 10 00 00 54 15 03 79",  # accepting
        note.format("70", "63", "04"), note.format("71", "62", "04"),  # in escrow
        note.format("70", "77", "10"),  # stacked
        note.format("70", "77", "10"),  # the same again: its acknowledgement was lost
        idle.format("21", "7A"),
    ]  # fmt: skip
    driver = ebds.Validator(Context("notes", "atm-1", "gw-1", lambda: NOW), ebds.Settings(port="/dev/ttyUSB0", joined=True))
    driver.begin()
    shown: dict[str, Any] = {}
    for number, line in enumerate(heard):
        question = bytes.fromhex("02 0A 70 02 7F 1C 10 01 03 0A" if number % 2 else "02 08 10 7F 1C 10 03 6B")
        for said in (question, bytes.fromhex(line)):
            for reading in driver.hear("device", said, NOW, number * 0.2):
                shown[reading.point] = reading.value
        if number == 5:
            assert shown["cashAcceptor.intermediateStacker"] == "notEmpty"
    assert (shown["cashAcceptor.accepted"], shown["cashAcceptor.intermediateStacker"]) == (1, "empty")
    assert driver.counters()["crcErrors"] == 0


@ALL
@WIRES
def test_a_world_in_a_hurry_loses_no_note(kind, joined):
    """At sixty times the speed many notes are stacked between two polls; each is told."""
    bench = Bench(kind, joined)
    bench.start = bench.world.now
    for _ in range(200):
        bench.world.step(12.0)
        bench.start = bench.world.now - bench.now
        bench.run(EVERY)
    bench.run(bench.face.untold * 4 * EVERY + 2.0)
    assert abs(bench.shown["storage.unit1.deposited"] - bench.acceptor.accepted) <= 1


@ALL
@WIRES
def test_a_percent_of_wrong_bytes_shows_no_wrong_state(kind, joined, wrong):
    """10,000 exchanges, the acceptor's state changing all the time; on a joined wire the half."""
    exchanges = 5_000 if joined else 10_000
    bench = Bench(kind, joined, seed=7)
    bench.run(20 * EVERY)
    bench.spoil = lambda data: wrong(data, bench.rng)
    states = [{}, {"trouble": "jamInStacker"}, {}, {"full": True}, {}, {"seated": False}, {"trouble": "failure"}]
    never = []
    for number in range(exchanges // 50):
        bench.settle(**states[number % len(states)])
        for _ in range(50):
            bench.readings.clear()
            bench.run(EVERY)
            never += [
                reading
                for reading in bench.readings
                if reading.point in bench.expected[0]
                and all(reading.value != then.get(reading.point, "?") for then in bench.expected)
            ]
    counters = bench.driver.counters()
    assert bench.exchanges >= exchanges
    assert counters["crcErrors"] > 50
    assert never == []
    bench.spoil = bytes
    bench.settle(trouble="cheated")
    bench.run(3.5 * EVERY)
    assert bench.shown["cashAcceptor.device"] == "potentialFraud"


@ALL
@WIRES
def test_notes_are_counted_through_a_percent_of_wrong_bytes(kind, joined, wrong):
    """None that was not there; one whose only frame was spoilt is missed."""
    bench = Bench(kind, joined, seed=8)
    bench.spoil = lambda data: wrong(data, bench.rng)
    bench.run(450.0)
    assert bench.acceptor.accepted > 20
    assert 0.8 * bench.acceptor.accepted - 1 <= bench.shown["storage.unit1.deposited"] <= bench.acceptor.accepted


@ALL
def test_an_acceptor_without_power_is_silent(kind):
    bench = Bench(kind)
    bench.run(10.0)
    bench.world.site.power.mains = False
    bench.world.site.power.supplied = False
    bench.run(EVERY)
    frames = bench.driver.frames
    bench.run(10.0)
    assert bench.driver.frames == frames
    assert [(each.point, each.value) for each in bench.driver.away("silent", NOW)] == [("cashAcceptor.device", "powerOff")]
    assert [each.value for each in bench.driver.away("denied", NOW)] == [None]


@ALL
@WIRES
def test_every_reading_is_one_of_the_vocabulary(kind, joined):
    bench = Bench(kind, joined)
    bench.run(100.0)
    for trouble in ("jamInAcceptor", "cheated", "failure"):
        bench.settle(trouble=trouble)
        bench.run(2.0)
    for reading in bench.readings:
        entry = point(reading.point)
        assert entry is not None
        assert fault(entry, reading.value) is None


def test_errors_are_told_when_they_begin():
    bench = Bench("id003")
    bench.run(5.0)
    for trouble, words in (
        ("jamInStacker", ["hardware", "clear"]),
        ("failure", ["hardware", "maintenance"]),
        ("cheated", ["fraudAttempt", "suspend"]),
    ):
        bench.readings.clear()
        bench.settle(trouble=trouble)
        bench.run(5.0)
        assert [each.value for each in bench.readings if ".error." in each.point] == words


@ALL
def test_nothing_can_be_written(kind):
    """The source of an acceptor holds taps alone, and a tap has no way to write."""
    module = DRIVERS[kind]
    source = module.open_source(
        Context("notes", "atm-1", "gw-1", lambda: NOW), module.Settings(port="/dev/ttyUSB0", host_port="/dev/ttyUSB1")
    )
    assert type(source) is TapSource
    assert [type(tap) for tap in source._taps.values()] == [Tap, Tap]
    assert not hasattr(Tap, "write")
    assert issubclass(Line, Tap)
    assert SOURCES[kind] == module.__name__


@pytest.mark.parametrize(
    ("word", "more"),
    [
        ("unit", {"unit": "cassette1"}),
        ("joined", {"joined": True, "host_port": "/dev/ttyUSB1"}),
        ("silent_after", {"silent_after": 0.0}),
    ],
)
def test_settings_that_make_no_sense(word, more):
    with pytest.raises(ValueError, match=f"^{word}: "):
        AcceptorSettings(port="/dev/ttyUSB0", **more)


def _heard(kind: str, joined: bool, *lines: tuple[float, bytes]) -> dict[str, Any]:
    driver = DRIVERS[kind].Validator(
        Context("notes", "atm-1", "gw-1", lambda: NOW), DRIVERS[kind].Settings(port="/dev/ttyUSB0", joined=joined)
    )
    shown = {}
    for mono, line in lines:
        shown |= {reading.point: reading.value for reading in driver.hear("device", line, NOW, mono)}
    return shown


def test_an_order_of_the_controller_is_no_state_of_the_acceptor():
    """43 gives a note back, or says that the stacker is full; only the turn tells."""
    ask, back = (id003_wire.encode(id003_wire.Frame(code)) for code in (0x11, 0x43))
    escrow = id003_wire.encode(id003_wire.Frame(0x13, b"\x61"))
    said = _heard("id003", True, (0.0, ask + escrow), (0.2, back + back), (0.4, back + ask), (0.6, ask + escrow))
    assert said["storage.unit1.replenishmentStatus"] == "ok"
    said = _heard("id003", True, (0.0, ask + back), (0.2, ask + back), (0.4, ask + back))
    assert said["storage.unit1.replenishmentStatus"] == "full"
    table, poll = (ccnet_wire.encode(ccnet_wire.Frame(code)) for code in (0x41, 0x33))
    said = _heard("ccnet", True, (0.0, poll + table), (0.2, table + ccnet_wire.encode(ccnet_wire.Frame(1, bytes(119)))))
    assert "storage.unit1.replenishmentStatus" not in said
    said = _heard("ccnet", True, (0.0, poll + table), (0.2, poll + table))
    assert said["storage.unit1.replenishmentStatus"] == "full"


def test_who_an_acceptor_is_can_be_overheard():
    device = id003.Validator(Context("notes", "atm-1", "gw-1", lambda: NOW), id003.Settings(port="/dev/ttyUSB0"))
    device.hear("device", id003_wire.encode(id003_wire.Frame(0x88, b"ID3 V1.2")), NOW, 0.0)
    assert device.identity == "ID3 V1.2"
    other = ccnet.Validator(Context("notes", "atm-1", "gw-1", lambda: NOW), ccnet.Settings(port="/dev/ttyUSB0"))
    other.hear("device", ccnet_wire.encode(ccnet_wire.Frame(0x53, b"M-RU1357      21KC20003001" + bytes(7))), NOW, 0.0)
    assert other.identity == "SM-RU1357 21KC20003001"


def test_an_acceptor_that_does_not_know_its_stacker_yet_says_so():
    said = _heard("id003", False, (0.0, id003_wire.encode(id003_wire.Frame(0x1B))))
    assert said["cashAcceptor.device"] == "starting"
    assert "storage.unit1.status" not in said
