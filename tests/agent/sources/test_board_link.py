"""The gateway's end of the board link, fed with frames and times. Seconds of `mono` start at 0."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Quality, Reading
from agent.sources import Context, Given, Position
from agent.sources.board_events import REMEMBERED, UNDATED_LIMIT, UNSETTLED_LIMIT, Seen
from agent.sources.board_link import HELLO, BoardLink, ack, may_send
from agent.sources.board_values import BoardValues
from agent.wire.board import Decoder, Frame, FrameType, Key, encode

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "board_link.json").read_text())
WALL = 1_750_000_000.0  # the wall clock at mono 0
BOOT, OTHER = 0xA1B2C3D4, 0x01020304


class Bench:
    """A link with a hand on its line and its clock."""

    def __init__(self, position: Position | None = None, silent_after: float = 15.0) -> None:
        self.sent = bytearray()
        self.mono = 0.0
        self.link = self.restarted(position, silent_after)
        self.seq = 0
        self.events = 0

    def restarted(self, position: Position | None, silent_after: float = 15.0) -> BoardLink:
        context = Context("board", "atm-1", "gateway-1", lambda: WALL + self.mono)
        values = BoardValues("board", "atm-1", {})
        self.link = BoardLink(context, values, self.send, silent_after, position=position)
        return self.link

    def send(self, data: bytes) -> None:
        assert may_send(data)
        self.sent += data

    def heard(self) -> list[Frame]:
        frames = list(Decoder().feed(bytes(self.sent)))
        self.sent.clear()
        return frames

    def acked(self) -> list[int]:
        return [frame.seq for frame in self.heard() if frame.type is FrameType.ACK]

    @property
    def at(self) -> float:
        return WALL + self.mono

    def open(self, again: int = 0) -> list[Given]:
        return self.link.opened(again, self.at, self.mono)

    def lose(self, word: str = "missing") -> list[Given]:
        return self.link.lost(word, "the cable is out", self.at, self.mono)

    def wait(self, seconds: float) -> list[Given]:
        self.mono += seconds
        return self.link.tick(self.at, self.mono)

    def feed(self, data: bytes) -> list[Given]:
        return self.link.received(data, self.at, self.mono)

    def frame(self, type_: FrameType, seq: int, uptime: int, payload: dict[int, object], boot: int = BOOT) -> list[Given]:
        return self.feed(encode(Frame(type_, seq, uptime, {Key.BOOT: boot, **payload})))

    def reading(self, values: dict[int, object], uptime: int = 0, boot: int = BOOT, seq: int | None = None) -> list[Given]:
        if seq is not None:
            self.seq = seq
        self.seq += 1
        return self.frame(FrameType.READING, self.seq - 1, uptime, {Key.VALUES: values}, boot)

    def event(self, seq: int, values: dict[int, object], uptime: int = 0, boot: int = BOOT) -> list[Given]:
        return self.frame(FrameType.EVENT, seq, uptime, {Key.VALUES: values}, boot)

    def counters(self) -> dict[str, float]:
        """The counters as they are said when ten seconds have gone by."""
        return {
            reading.point.rpartition(".")[2]: reading.value
            for given in self.wait(10.0)
            for reading in given.readings
            if reading.point.startswith("gateway.line.board.")
        }


def of_machine(given: list[Given]) -> list[Reading]:
    return [reading for each in given for reading in each.readings if reading.machine == "atm-1"]


def states(given: list[Given]) -> list[object]:
    return [reading.value for each in given for reading in each.readings if reading.point == "gateway.source.board"]


# Frames of the specification --------------------------------------------------------------------------------------------------


def test_frames_of_the_specification():
    line = {frame["name"]: bytes.fromhex(frame["line"]) for frame in GOLDEN["frames"]}
    bench = Bench()
    bench.open()
    assert bytes(bench.sent) == b"\0" + line["gateway HELLO"]
    bench.sent.clear()
    assert of_machine(bench.feed(line["board HELLO"])) == []
    assert [(reading.point, reading.value) for reading in of_machine(bench.feed(line["READING"]))] == [
        ("auxiliaries.cabinetDoor", "closed"),
        ("environment.temperature_c", 21.5),
        ("cardReader.insertionTime_s", None),
        ("cashDispenser.presents", 169658),
    ]
    given = [each for each in bench.feed(line["EVENT"]) if each.position]
    assert [(reading.point, reading.value) for reading in of_machine(given)] == [("auxiliaries.cabinetDoor", "open")]
    assert given[0].position == {"boot": BOOT, "seq": 7, "newest": 7, "span": 1, "missing": []}
    assert not bench.sent
    bench.link.acknowledge(given[0].position)
    assert bytes(bench.sent) == b"\0" + line["ACK"]
    bench.feed(line["HEARTBEAT"])
    assert bench.counters() == {
        "frames": 4,
        "crcErrors": 0,
        "garbageBytes": 0,
        "unknown": 0,
        "lost": 0,
        "reconnects": 0,
        "roundTrip": 0.0,
    }


# READING ----------------------------------------------------------------------------------------------------------------------


def test_a_reading_is_given_at_once_with_the_gateways_time():
    bench = Bench()
    bench.open()
    bench.mono = 3.25
    given = bench.reading({1: "closed", 25: 20.0}, uptime=99_000)
    assert given[0] == Given(
        [
            Reading("atm-1", "auxiliaries.cabinetDoor", "closed", WALL + 3.25),
            Reading("atm-1", "environment.temperature_c", 20.0, WALL + 3.25),
        ]
    )


def test_gaps_in_the_sequence_are_lost_frames_over_the_wrap_too():
    bench = Bench()
    bench.open()
    for seq in (65533, 65534, 2, 3, 3, 6):  # 65535, 0, 1 and 4, 5 are missing; 3 came twice
        bench.reading({}, seq=seq)
    assert bench.counters()["lost"] == 5


def test_another_life_of_the_board_counts_anew():
    bench = Bench()
    bench.open()
    bench.reading({}, seq=500)
    bench.reading({}, seq=0, boot=OTHER)
    bench.reading({}, seq=1, boot=OTHER)
    bench.reading({}, seq=900, boot=7)
    assert bench.counters()["lost"] == 0


def test_frames_that_were_missed_while_the_line_was_away_are_lost_too():
    bench = Bench()
    bench.open()
    bench.reading({}, seq=10)
    bench.lose()
    bench.open(again=1)
    bench.reading({}, seq=20)
    counters = bench.counters()
    assert counters["lost"] == 9
    assert counters["reconnects"] == 1


# EVENT ------------------------------------------------------------------------------------------------------------------------


def test_an_event_is_acknowledged_only_when_it_is_on_disk():
    bench = Bench()
    bench.open()
    bench.reading({}, uptime=1000)
    bench.heard()
    position = bench.event(0, {1: "open"}, uptime=1000)[0].position
    bench.wait(60.0)
    assert bench.acked() == []
    bench.link.acknowledge(position)
    assert bench.acked() == [0]
    bench.link.acknowledge(position)
    assert bench.acked() == []


def test_each_event_is_acknowledged_by_itself():
    """A disk may refuse one and take the next."""
    bench = Bench()
    bench.open()
    bench.reading({})
    positions = [bench.event(seq, {1: "open"})[0].position for seq in (65534, 65535, 0, 1)]
    bench.heard()
    for index in (0, 2, 3):
        bench.link.acknowledge(positions[index])
    assert bench.acked() == [65534, 0, 1]


def test_an_event_that_the_disk_refused_is_given_again():
    bench = Bench()
    bench.open()
    bench.reading({})
    bench.event(5, {1: "open"}, uptime=0)
    bench.heard()
    bench.wait(29.0)
    assert of_machine(bench.event(5, {1: "open"}, uptime=0)) == []
    bench.wait(2.0)
    again = [each for each in bench.event(5, {1: "open"}, uptime=0) if each.position]
    assert of_machine(again) == [Reading("atm-1", "auxiliaries.cabinetDoor", "open", WALL)]
    assert bench.acked() == []
    bench.link.acknowledge(again[0].position)
    assert bench.acked() == [5]


def test_an_event_that_is_sent_again_is_given_once():
    bench = Bench()
    bench.open()
    bench.reading({})
    bench.heard()
    position = bench.event(5, {1: "open"})[0].position
    assert bench.event(5, {1: "open"}) == []
    assert bench.acked() == []  # not on disk yet
    bench.link.acknowledge(position)
    bench.heard()  # and the ACK is lost
    assert bench.event(5, {1: "open"}) == []
    assert bench.acked() == [5]


def test_after_a_restart_of_the_agent_what_was_on_disk_is_acknowledged_and_the_rest_given():
    bench = Bench()
    bench.open()
    bench.reading({})
    kept = bench.event(0, {1: "open"})[0].position
    bench.event(1, {2: "open"})  # given, and the agent is killed before the disk had it
    bench.restarted(json.loads(json.dumps(kept)))
    bench.heard()
    bench.open()
    bench.reading({})
    assert bench.event(0, {1: "open"}) == []
    assert bench.acked() == [0]
    assert of_machine(bench.event(1, {2: "open"}))[0].point == "auxiliaries.safeDoor"


def test_the_same_number_in_another_life_of_the_board_is_another_event():
    bench = Bench()
    bench.open()
    bench.reading({})
    old = bench.event(0, {1: "open"})[0].position
    bench.reading({}, boot=OTHER)
    new = bench.event(0, {1: "open"}, boot=OTHER)[0].position
    assert (new["boot"], new["seq"], new["span"]) == (OTHER, 0, 1)
    bench.heard()
    bench.link.acknowledge(old)
    assert bench.acked() == []  # that board has forgotten it
    bench.link.acknowledge(new)
    assert bench.acked() == [0]


@pytest.mark.parametrize(
    "position",
    [
        {},
        {"boot": BOOT},
        {"boot": BOOT, "newest": 5, "span": 5, "missing": None},
        {"boot": BOOT, "newest": 5, "span": "many", "missing": []},
        {"boot": BOOT, "newest": 5, "span": 5, "missing": ["x"]},
        {"boot": BOOT, "newest": 5, "span": -5, "missing": []},
    ],
)
def test_a_position_that_makes_no_sense_is_none(position):
    bench = Bench(position)
    bench.open()
    bench.reading({})
    assert of_machine(bench.event(1, {1: "open"}))


def test_an_event_with_unusable_values_is_acknowledged_all_the_same():
    """It would be sent for ever and stand in the way of those behind it."""
    bench = Bench()
    bench.open()
    bench.reading({})
    bench.heard()
    given = [each for each in bench.frame(FrameType.EVENT, 3, 0, {Key.VALUES: "nonsense"}) if each.position]
    assert of_machine(given) == []
    bench.link.acknowledge(given[0].position)
    assert bench.acked() == [3]


def test_a_disk_that_is_far_behind_is_not_given_more_events_than_are_remembered():
    bench = Bench()
    bench.open()
    bench.reading({})
    positions = [each.position for seq in range(100) for each in bench.event(seq, {1: "open"}) if each.position]
    assert len(positions) == UNSETTLED_LIMIT
    bench.heard()
    for position in positions:
        bench.link.acknowledge(position)
    assert bench.acked() == list(range(UNSETTLED_LIMIT))
    assert of_machine(bench.event(UNSETTLED_LIMIT, {1: "open"}))


# When an EVENT happened -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("newest", "edge", "since", "age"),
    [
        (10_000, 10_000, 0.0, 0.0),
        (10_000, 6_500, 0.0, 3.5),  # sent again
        (10_000, 6_500, 2.0, 5.5),  # and nothing else was heard for two seconds
        (10_000, 10_400, 1.0, 0.6),  # it happened after the newest frame
        (10_000, 99_000, 1.0, 0.0),  # never later than now
        (500, 2**32 - 1_500, 0.0, 2.0),  # the uptime has wrapped in between
        (2**32 - 100, 300, 1.0, 0.6),
    ],
)
def test_the_time_of_an_event_is_now_minus_its_age(newest, edge, since, age):
    bench = Bench()
    bench.open()
    bench.reading({}, uptime=newest)
    bench.mono += since
    reading = of_machine(bench.event(0, {1: "open"}, uptime=edge))[0]
    assert bench.at - reading.at == pytest.approx(age, abs=1e-3)
    assert reading.quality is Quality.GOOD


def test_an_event_of_a_board_that_was_not_heard_yet_waits_for_its_clock():
    bench = Bench()
    bench.open()
    bench.heard()
    bench.mono = 5.0
    assert of_machine(bench.event(0, {1: "open"}, uptime=400_000)) == []
    assert [frame.type for frame in bench.heard()] == [FrameType.HELLO]
    given = bench.frame(FrameType.HELLO, 0, 640_000, {})
    reading = of_machine(given)[0]
    assert bench.at - reading.at == pytest.approx(240.0)
    assert given[0].position["seq"] == 0


def test_an_event_does_not_wait_for_a_clock_that_never_comes():
    bench = Bench()
    bench.open()
    assert of_machine(bench.event(0, {1: "open"}, uptime=400_000)) == []
    assert of_machine(bench.event(0, {1: "open"}, uptime=400_000)) == []
    came = bench.at
    assert of_machine(bench.wait(1.9)) == []
    assert of_machine(bench.wait(0.2)) == [
        Reading("atm-1", "auxiliaries.cabinetDoor", "open", came, Quality.UNCERTAIN, "undated")
    ]


def test_an_event_that_waits_is_given_when_the_board_starts_anew_or_the_cable_is_cut():
    bench = Bench()
    bench.open()
    bench.event(0, {1: "open"})
    given = bench.reading({}, boot=OTHER)
    assert of_machine(given)[0].reason == "undated"
    assert given[0].position["boot"] == BOOT

    bench = Bench()
    bench.open()
    bench.event(0, {1: "open"})
    bench.lose()
    assert of_machine(bench.wait(2.1))[0].point == "auxiliaries.cabinetDoor"


def test_few_events_wait_for_a_clock():
    bench = Bench()
    bench.open()
    for seq in range(40):
        for _ in range(3):  # each is sent again while it waits
            bench.event(seq, {1: "open"})
    assert len(of_machine(bench.reading({}))) == UNDATED_LIMIT


# HELLO ------------------------------------------------------------------------------------------------------------------------


def asked(bench: Bench) -> int:
    """How often the board was asked who it is."""
    return sum(frame.type is FrameType.HELLO for frame in bench.heard())


def test_a_board_is_asked_at_the_opening_and_until_it_has_answered():
    bench = Bench()
    bench.open()
    assert asked(bench) == 1
    for _ in range(25):
        bench.wait(1.0)
        bench.reading({})
    assert asked(bench) == 1 + 2  # at the first frame, whose boot id is news, and every ten seconds
    bench.frame(FrameType.HELLO, 99, 0, {})
    for _ in range(25):
        bench.wait(1.0)
        bench.reading({})
    assert asked(bench) == 0
    bench.lose()
    bench.wait(30.0)
    assert asked(bench) == 0  # nobody would hear it
    bench.open(again=1)
    assert asked(bench) == 1
    bench.wait(10.0)
    assert asked(bench) == 1  # another board may be behind the line now


def test_a_board_that_started_anew_is_asked_unless_it_says_hello_itself():
    bench = Bench()
    bench.open()
    bench.frame(FrameType.HELLO, 0, 0, {})
    bench.mono = 20.0
    bench.heard()
    bench.reading({}, boot=OTHER)
    assert asked(bench) == 1
    bench.mono = 40.0
    bench.frame(FrameType.HELLO, 0, 0, {}, boot=7)
    assert asked(bench) == 0


def test_a_board_that_starts_again_and_again_is_asked_once_a_second():
    bench = Bench()
    bench.open()
    for step in range(100):
        bench.mono = step / 10
        bench.reading({}, boot=step + 1)
    assert asked(bench) <= 10


def test_our_own_words_as_an_echo_are_no_board():
    bench = Bench()
    bench.open()
    echo = bytes(bench.sent) + ack(3, BOOT)
    bench.sent.clear()
    for _ in range(50):
        assert states(bench.feed(echo)) == []
    assert bench.heard() == []
    assert bench.counters()["unknown"] == 100


def test_who_the_board_is_stands_in_the_log_but_no_long_number(caplog):
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.open()
    bench.frame(FrameType.HELLO, 0, 0, {Key.SERIAL: "4111111111111111", Key.FIRMWARE: "1.2\n\x1b[31m"})
    assert "board (number), firmware 1.2[31m" in caplog.text
    assert "4111" not in caplog.text


def test_events_that_the_board_gave_up_are_lost_and_counted_once():
    bench = Bench()
    bench.open()
    bench.frame(FrameType.HEARTBEAT, 0, 0, {Key.PENDING: 0, Key.DROPPED: 2})
    assert bench.counters()["lost"] == 2
    bench.frame(FrameType.HEARTBEAT, 1, 0, {Key.PENDING: 0, Key.DROPPED: 5})
    bench.frame(FrameType.HEARTBEAT, 2, 0, {Key.PENDING: 0, Key.DROPPED: "many"})
    assert bench.counters()["lost"] == 5
    position = bench.event(0, {1: "open"})[0].position
    bench.restarted(position)  # the agent; the board goes on
    bench.open()
    bench.frame(FrameType.HEARTBEAT, 3, 0, {Key.PENDING: 0, Key.DROPPED: 5})
    assert bench.counters()["lost"] == 0


# State of the source ----------------------------------------------------------------------------------------------------------


def test_a_source_is_ok_when_a_frame_has_come_not_when_a_port_is_open():
    bench = Bench()
    assert states(bench.open()) == []
    assert states(bench.feed(b"noise\0")) == []
    assert states(bench.reading({})) == ["ok"]


def test_silence_is_said_after_its_time_and_asked_about_and_ends_with_a_frame(caplog):
    bench = Bench(silent_after=15.0)
    bench.open()
    bench.heard()
    assert states(bench.wait(14.9)) == []
    assert states(bench.wait(0.1)) == ["silent"]
    assert "TX and RX" in caplog.text
    assert asked(bench) == 1
    for _ in range(40):
        assert states(bench.wait(1.0)) == []
    assert asked(bench) == 4
    assert states(bench.reading({})) == ["ok"]


def test_silence_with_bytes_points_at_the_settings_of_the_line(caplog):
    bench = Bench()
    bench.open()
    bench.reading({})
    bench.wait(10.0)
    bench.feed(b"\xfe\x81" * 40)
    assert states(bench.wait(5.0)) == ["silent"]
    assert "115200 8N1" in caplog.text


@pytest.mark.parametrize("word", ["missing", "denied", "busy", "broken"])
def test_the_state_of_a_lost_line_is_said_at_once_and_every_minute(word, caplog):
    bench = Bench()
    assert states(bench.lose(word)) == [word]
    assert "the cable is out" in caplog.text
    said = []
    for _ in range(119):
        bench.mono += 1.0
        said += states(bench.lose(word))
    assert said == [word]
    assert len(caplog.records) == 1


def test_a_lost_line_is_not_silent():
    bench = Bench()
    bench.open()
    bench.reading({})
    bench.lose()
    assert states(bench.wait(16.0)) == []
    bench.open(again=1)
    assert states(bench.wait(14.0)) == []
    assert states(bench.wait(1.1)) == ["silent"]


def test_a_clock_that_is_set_does_not_make_silence():
    bench = Bench()
    bench.open()
    bench.reading({})
    assert states(bench.link.tick(WALL + 86_400.0, 1.0)) == []
    assert states(bench.link.tick(WALL - 86_400.0, 2.0)) == []


def test_half_a_frame_before_an_unplug_does_not_spoil_the_first_after_it():
    bench = Bench()
    bench.open()
    bench.feed(encode(Frame(FrameType.READING, 0, 0, {Key.BOOT: BOOT, Key.VALUES: {25: 20.0}}))[:9])
    bench.lose()
    bench.open(again=1)
    assert of_machine(bench.reading({25: 20.0}))
    counters = bench.counters()
    assert counters["frames"] == 1
    assert counters["garbageBytes"] + counters["crcErrors"] > 0


def test_a_frame_whose_last_byte_was_cut_off_by_an_unplug_is_given():
    bench = Bench()
    bench.open()
    bench.reading({})
    bench.feed(encode(Frame(FrameType.EVENT, 0, 0, {Key.BOOT: BOOT, Key.VALUES: {1: "open"}}))[:-1])
    assert of_machine(bench.lose())[0].point == "auxiliaries.cabinetDoor"


def test_counters_are_said_every_ten_seconds_and_at_each_change_of_state():
    bench = Bench()
    bench.open()
    bench.reading({})
    times = []
    for _ in range(100):
        given = bench.wait(1.0)
        if any(reading.point == "gateway.line.board.frames" for each in given for reading in each.readings):
            times.append(bench.mono)
        bench.reading({})
    assert times == [10.0 * n for n in range(1, 11)]
    assert any(reading.point == "gateway.line.board.reconnects" for each in bench.lose() for reading in each.readings)


# Rule 1: an observer ----------------------------------------------------------------------------------------------------------


def test_the_allow_list_is_hello_and_ack_and_nothing_else():
    assert may_send(HELLO)
    assert may_send(ack(65535, 2**32 - 1))
    hello, good = bytes(HELLO), ack(7, BOOT)
    refused = [
        b"", b"\0", hello + hello, hello[:-1], good + b"\0", good + good, good[1:], b"\0" + good, b"x" + good, good[:-2] + b"\0",
        b"\0" + encode(Frame(FrameType.HELLO, 0, 0, {Key.FIRMWARE: "evil"})),
        b"\0" + encode(Frame(FrameType.HELLO, 1, 0, {})),
        b"\0" + encode(Frame(FrameType.ACK, 7, 1, {Key.BOOT: BOOT})),
        b"\0" + encode(Frame(FrameType.ACK, 7, 0, {})),
        b"\0" + encode(Frame(FrameType.ACK, 7, 0, {Key.BOOT: BOOT, Key.VALUES: {1: "open"}})),
        b"\0" + encode(Frame(FrameType.ACK, 7, 0, {Key.BOOT: "x"})),
    ]  # fmt: skip
    refused += [
        b"\0" + encode(Frame(type_, 0, 0, payload))
        for type_ in (FrameType.READING, FrameType.EVENT, FrameType.HEARTBEAT)
        for payload in ({}, {Key.BOOT: BOOT}, {Key.BOOT: BOOT, Key.VALUES: {1: "open"}})
    ]
    assert [data for data in refused if may_send(data)] == []


@given(st.binary(max_size=80))
def test_no_other_bytes_are_allowed(data):
    frames = list(Decoder().feed(data))
    assert not may_send(data) or [frame.type for frame in frames] in ([FrameType.HELLO], [FrameType.ACK])


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=8), st.binary(max_size=4)
)
frames = st.builds(
    Frame,
    st.sampled_from(FrameType),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.dictionaries(
        st.integers(0, 10), st.one_of(scalars, st.dictionaries(st.integers(0, 200), scalars, max_size=4)), max_size=4
    ).flatmap(lambda rest: st.one_of(st.just(rest), st.sampled_from([1, 2]).map(lambda boot: {**rest, 1: boot}))),
)
steps = st.one_of(frames.map(encode), st.binary(max_size=40), st.sampled_from(["open", "lose", "wait", "acknowledge", "restart"]))


@given(st.lists(steps, max_size=30))
def test_whatever_a_board_says_nothing_but_hello_and_ack_ever_leaves(said):
    bench = Bench()
    waiting: list[Position] = []
    on_disk: set[tuple[int, int]] = set()
    logging.disable(logging.CRITICAL)
    try:
        for step in said:
            given = bench.feed(step) if isinstance(step, bytes) else []
            if step == "open":
                given = bench.open()
            elif step == "lose":
                given = bench.lose()
            elif step == "wait":
                given = bench.wait(3.0)
            elif step == "restart":
                last = waiting[-1] if waiting else None
                on_disk |= {(position["boot"], position["seq"]) for position in waiting}
                waiting.clear()
                bench.restarted(last)
            elif step == "acknowledge" and waiting:
                for position in waiting:
                    on_disk.add((position["boot"], position["seq"]))
                    bench.link.acknowledge(position)
                waiting.clear()
            waiting += [each.position for each in given if each.position]
            for frame in bench.heard():  # each was on the allow-list when it was sent
                assert frame.type in (FrameType.HELLO, FrameType.ACK)
                assert frame.type is FrameType.HELLO or (frame.payload[Key.BOOT], frame.seq) in on_disk
    finally:
        logging.disable(logging.NOTSET)


events = st.lists(st.tuples(st.integers(0, 7), st.booleans(), st.booleans()), max_size=60)


@given(events, st.integers(0, 65535))
def test_each_event_is_given_exactly_once_whatever_is_sent_again_and_whichever_acks_get_lost(script, first):
    """A board with a window of eight that sends again at random; the agent's disk lags at random."""
    bench = Bench()
    bench.open()
    bench.reading({})
    bench.heard()
    base = first
    given: list[int] = []
    waiting: list[Position] = []
    for offset, settle, ack_arrives in script:
        seq = (base + offset) & 0xFFFF
        for each in bench.event(seq, {1: "open"}):
            if each.position:
                given.append(seq)
                waiting.append(each.position)
        if settle:
            for position in waiting:
                bench.link.acknowledge(position)
            waiting.clear()
        acked = bench.acked()
        if ack_arrives and base & 0xFFFF in acked:
            base += 1
    assert len(given) == len(set(given))
    for position in waiting:
        bench.link.acknowledge(position)
    bench.heard()
    for seq in given:
        assert bench.event(seq, {1: "open"}) == []
    assert bench.acked() == given  # the disk has caught up, so that each is acknowledged when it comes again


@given(st.lists(st.integers(0, 0xFFFF) | st.integers(65_500, 66_600).map(lambda seq: seq & 0xFFFF), max_size=60))
def test_the_events_that_are_remembered(seqs):
    """Against a plain description: a number is known if it came, and fewer than 1,024 numbers before the newest."""
    seen, came, newest = Seen(), set(), None
    for seq in seqs:
        assert (seq in seen) == (seq in came)
        seen.add(seq)
        if newest is not None and (newest - seq) % 65536 < REMEMBERED:
            came.add(seq)
        elif newest is None or (seq - newest) % 65536 < 32768:
            newest = seq
            came = {each for each in came if (newest - each) % 65536 < REMEMBERED} | {seq}
        else:
            newest, came = seq, {seq}
        position = json.loads(json.dumps(seen.as_position()))
        assert len(position["missing"]) < REMEMBERED
        kept = Seen(position["newest"], position["span"], tuple(position["missing"]))
        assert all(each in kept for each in came)
        assert not any(each in kept for each in range(newest - 1100, newest + 100) if each & 0xFFFF not in came)
