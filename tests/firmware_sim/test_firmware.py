"""The board's program against docs/board-link.md: it is spoken to and listened to through the gateway's own codec."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.board import CRC_BYTES, HEADER, MAX_DATA, Decoder, Frame, FrameType, Key, boot_of, encode, values_of
from agent.wire.board_points import POINTS
from firmware_sim.board import Board
from firmware_sim.firmware import HEARTBEAT, QUEUE, RESEND_FIRST, RESEND_LIMIT, WINDOW, Firmware, Out, Pace, split
from firmware_sim.lines import LINES, line
from firmware_sim.world import World

Quiet = Callable[..., World]
DOOR = 1


class Bench:
    """A firmware and an ear; line time begins at 0 and is the world's, `speed` times as fast."""

    def __init__(self, world: World, speed: float = 1.0) -> None:
        self.world = world
        self.pace = Pace(world.now, anchor=0.0, speed=speed)
        self.board = Board(world, self.pace.period)
        self.firmware = Firmware(self.board, self.pace)
        self.decoder = Decoder()
        self.now = 0.0
        self.raw: list[Out] = []

    def hear(self, out: list[Out]) -> list[Frame]:
        self.raw += out
        return [frame for one in out for frame in self.decoder.feed(one.data)]

    def run(self, seconds: float) -> list[tuple[float, Frame]]:
        """Everything said in the next `seconds`, each at its line time."""
        end, heard = self.now + seconds, []
        while (at := max(self.firmware.next_at, self.now)) <= end:
            heard += [(at, frame) for frame in self.hear(self.firmware.tick(at))]
            self.now = at
        self.now = end
        return heard

    def say(self, kind: FrameType, seq: int = 0, **payload: int) -> list[Frame]:
        frame = Frame(kind, seq, 0, {Key[name.upper()]: value for name, value in payload.items()})
        return self.hear(self.firmware.on_bytes(encode(frame), self.now))

    def ack(self, frame: Frame) -> list[Frame]:
        return self.say(FrameType.ACK, frame.seq, boot=self.board.boot)

    def door(self, times: int, every: float = 0.2) -> None:
        """The door opens and closes, `times` edges from now on."""
        housing = self.world.site.housing
        for number in range(times):
            word = "locked" if number % 2 else "open"
            self.world.site.agenda.put(self.world.now + every * (number + 1), lambda word=word: setattr(housing, "cabinet", word))


@pytest.fixture
def bench(quiet: Quiet) -> Bench:
    return Bench(quiet())


def of(kind: FrameType, heard: list[tuple[float, Frame]]) -> list[tuple[float, Frame]]:
    return [(at, frame) for at, frame in heard if frame.type is kind]


def test_it_introduces_itself_before_anything_else(bench: Bench) -> None:
    heard = bench.run(0.5)
    (_, hello), (_, reading) = heard
    assert hello.type is FrameType.HELLO
    assert hello.seq == 0
    assert hello.payload[Key.BOOT] == bench.board.boot
    assert hello.payload[Key.SERIAL] == "SIM-00000001"
    assert hello.payload[Key.HEARTBEAT] == 5
    assert [POINTS[code] for code in hello.payload[Key.POINTS]] == [  # type: ignore[attr-defined]
        name for code, name in sorted(POINTS.items()) if name in bench.world.fitted
    ]
    assert reading.type is FrameType.READING
    assert reading.seq == 1


def test_readings_carry_every_fitted_point_once_a_second(bench: Bench) -> None:
    readings = of(FrameType.READING, bench.run(10))
    assert [at for at, _ in readings] == list(range(11))
    for at, frame in readings:
        assert frame.uptime == at * 1000
        values = values_of(frame)
        assert values is not None
        assert {POINTS[code] for code in values} == bench.world.fitted
        assert list(values) == sorted(values)


def test_heartbeats_come_every_five_seconds_whatever_else_is_said(bench: Bench) -> None:
    beats = of(FrameType.HEARTBEAT, bench.run(30))
    assert [at for at, _ in beats] == [5, 10, 15, 20, 25, 30]
    assert {(frame.payload[Key.PENDING], frame.payload[Key.DROPPED]) for _, frame in beats} == {(0, 0)}


def test_two_counters(bench: Bench) -> None:
    bench.door(3)
    heard = bench.run(20)
    others = [frame.seq for _, frame in heard if frame.type is not FrameType.EVENT]
    assert others == list(range(len(others)))
    assert {frame.seq for _, frame in of(FrameType.EVENT, heard)} == {0, 1, 2}


def test_a_hello_of_the_gateway_is_answered(bench: Bench) -> None:
    bench.run(3.3)
    (hello,) = bench.say(FrameType.HELLO)
    assert hello.type is FrameType.HELLO
    assert hello.uptime == 3_300


def test_an_event_is_sent_again_the_same_until_its_ack(bench: Bench) -> None:
    bench.door(1, every=1.25)
    heard = of(FrameType.EVENT, bench.run(30))
    first = heard[0][0]
    assert first == pytest.approx(1.30)  # the edge, and 50 ms to believe it
    waits = [round(at - first, 3) for at, _ in heard]
    assert waits[:6] == [0, 0.5, 1.5, 3.5, 7.5, 12.5]
    assert RESEND_FIRST == 0.5
    assert max(after - before for before, after in pairwise(waits)) == RESEND_LIMIT
    assert len({out.data for out in bench.raw if out.type is FrameType.EVENT}) == 1
    assert heard[0][1].uptime == 1_250
    assert heard[0][1].payload == {Key.BOOT: bench.board.boot, Key.VALUES: {DOOR: "open"}}
    bench.ack(heard[0][1])
    assert of(FrameType.EVENT, bench.run(30)) == []
    assert bench.firmware.pending == 0


def test_only_its_own_ack_settles_an_event(bench: Bench) -> None:
    bench.door(1)
    bench.run(1)
    bench.say(FrameType.ACK, 7, boot=bench.board.boot)
    bench.say(FrameType.ACK, 0, boot=bench.board.boot ^ 1)
    bench.say(FrameType.ACK, 0)
    assert bench.firmware.pending == 1
    bench.say(FrameType.ACK, 0, boot=bench.board.boot)
    bench.say(FrameType.ACK, 0, boot=bench.board.boot)  # a second copy was answered too
    assert bench.firmware.pending == 0


def test_after_a_hello_unsettled_events_come_at_once(bench: Bench) -> None:
    bench.door(2)
    bench.run(21.6)
    answers = bench.say(FrameType.HELLO)
    assert [(frame.type.name, frame.seq) for frame in answers] == [("HELLO", answers[0].seq), ("EVENT", 0), ("EVENT", 1)]
    again = of(FrameType.EVENT, bench.run(0.6))
    assert [round(at, 3) for at, _ in again] == [22.1, 22.1]  # their waiting begins anew


def test_eight_are_on_the_line_and_no_more(bench: Bench) -> None:
    bench.door(20)
    heard = of(FrameType.EVENT, bench.run(10))
    assert {frame.seq for _, frame in heard} == set(range(WINDOW))
    assert bench.firmware.pending == 20
    assert [frame.seq for frame in bench.ack(heard[2][1])] == [8]
    assert [frame.seq for frame in bench.ack(heard[0][1])] == [9]


def test_too_many_events_cost_the_oldest_waiting_and_are_counted(bench: Bench) -> None:
    bench.door(400)
    heard = bench.run(120)
    assert bench.firmware.pending == WINDOW + QUEUE
    assert bench.firmware.dropped == 400 - WINDOW - QUEUE
    _, beat = of(FrameType.HEARTBEAT, heard)[-1]
    assert beat.payload == {Key.BOOT: bench.board.boot, Key.PENDING: 264, Key.DROPPED: 136}
    settled = []
    while bench.firmware.pending:
        waiting = [frame for _, frame in of(FrameType.EVENT, bench.run(5.1))]
        for frame in {frame.seq: frame for frame in waiting}.values():
            settled.append(frame.seq)
            bench.ack(frame)
    assert sorted(settled) == [*range(8), *range(8 + 136, 400)]  # the gap in seq shows what is missing


def test_a_board_that_lost_power_starts_anew(bench: Bench) -> None:
    bench.door(3)
    bench.run(5.5)
    first = bench.board.boot
    wiring, agenda = bench.world.site.board, bench.world.site.agenda
    wiring.lose_power()
    agenda.put(bench.pace.world(bench.now) + 20, lambda: wiring.power_up(bench.world.now))
    assert bench.run(19.9) == []
    assert bench.say(FrameType.HELLO) == []
    heard = bench.run(6)
    assert [frame.type.name for _, frame in heard[:2]] == ["HELLO", "READING"]
    assert [(frame.seq, frame.uptime) for _, frame in heard[:2]] == [(0, 0), (1, 0)]
    assert {boot_of(frame) for _, frame in heard} == {bench.board.boot}
    assert bench.board.boot != first
    assert of(FrameType.EVENT, heard) == []  # what was not acknowledged went with the memory
    bench.door(2)  # it is open since the third edge, so that only one changes anything
    assert {frame.seq for _, frame in of(FrameType.EVENT, bench.run(1))} == {0}


def test_seq_and_uptime_wrap(quiet: Quiet) -> None:
    bench = Bench(quiet())
    bench.run(0.1)
    bench.world.site.board.clock_error_s = 2**32 / 1000 - 2
    bench.firmware._event_seq = bench.firmware._other_seq = 65_534
    bench.door(4, every=1.0)
    heard = bench.run(5)
    assert [frame.seq for _, frame in of(FrameType.READING, heard)] == [65_534, 65_535, 0, 1, 2]
    assert [frame.uptime for _, frame in of(FrameType.READING, heard)] == [2**32 - 1000, 0, 1000, 2000, 3000]
    assert {frame.seq for _, frame in of(FrameType.EVENT, heard)} == {65_534, 65_535, 0, 1}
    for seq in (65_534, 65_535, 0, 1):
        bench.say(FrameType.ACK, seq, boot=bench.board.boot)
    assert bench.firmware.pending == 0


def test_a_fast_world_does_not_flood_the_line(quiet: Quiet) -> None:
    bench = Bench(quiet(), speed=600.0)
    heard = bench.run(10)
    assert len(of(FrameType.READING, heard)) == 101  # ten a second of line time
    assert len(of(FrameType.HEARTBEAT, heard)) == 2  # as ever: the gateway's patience is real
    assert [frame.uptime for _, frame in of(FrameType.READING, heard)][:3] == [0, 60_000, 120_000]


def test_resends_run_on_line_time(quiet: Quiet) -> None:
    bench = Bench(quiet(), speed=60.0)
    bench.door(1, every=60.0)
    times = [at for at, _ in of(FrameType.EVENT, bench.run(8))]
    assert [round(at - times[0], 2) for at in times] == [0, 0.5, 1.5, 3.5]


values = st.dictionaries(
    st.integers(0, 2**16), st.one_of(st.none(), st.integers(0, 2**40), st.floats(allow_nan=False), st.text("abcö", max_size=64)),
    max_size=120,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(values)
def test_a_long_reading_is_split_and_nothing_is_lost(sent: dict[int, float | str | None]) -> None:
    parts = list(split(sent))
    assert [item for part in parts for item in part.items()] == list(sent.items())
    for part in parts:
        data = HEADER.size + CRC_BYTES + len(cbor2.dumps({Key.BOOT: 2**32 - 1, Key.VALUES: part}))
        assert data <= MAX_DATA
    assert len(parts) <= 1 or sum(len(cbor2.dumps(part)) for part in parts) > 900 * (len(parts) - 1)


def test_noise_from_the_gateway_does_no_harm(bench: Bench) -> None:
    bench.door(1)
    rng = Random(5)
    for _ in range(200):
        bench.hear(bench.firmware.on_bytes(rng.randbytes(rng.randrange(1, 200)), bench.now))
        bench.run(0.05)
    assert bench.firmware.pending == 1
    bench.hear(bench.firmware.on_bytes(b"\0", bench.now))
    bench.say(FrameType.ACK, 0, boot=bench.board.boot)
    assert bench.firmware.pending == 0


@pytest.mark.parametrize("name", sorted(LINES))
def test_every_event_arrives_over_every_line(quiet: Quiet, name: str) -> None:
    """A gateway that answers what it understands; each direction has its own bad line. Forty edges, none lost, none invented."""
    bench = Bench(quiet())
    to_gateway, to_board = line(name, Random(1)), line(name, Random(2))
    gateway, got, order = Decoder(), {}, 0
    under_way: list[tuple[float, int, bool, bytes]] = []
    bench.door(40, every=1.5)
    while bench.now < 180 and (len(got) < 40 or bench.firmware.pending):
        due = min(bench.firmware.next_at, *(one[0] for one in under_way), bench.now + 1.0)
        bench.now = max(bench.now, due)
        said = bench.firmware.tick(bench.now)
        for one in sorted(one for one in under_way if one[0] <= bench.now):
            under_way.remove(one)
            if one[2]:
                said += bench.firmware.on_bytes(one[3], bench.now)
                continue
            for frame in gateway.feed(one[3]):
                if frame.type is FrameType.EVENT:
                    got[frame.seq] = frame
                    ack = b"\0" + encode(Frame(FrameType.ACK, frame.seq, 0, {Key.BOOT: boot_of(frame)}))
                    for delay, part in to_board.carry(ack, bench.now):
                        under_way.append((bench.now + delay, order := order + 1, True, part))
        for out in said:
            for delay, part in to_gateway.carry(out.data, bench.now):
                under_way.append((bench.now + delay, order := order + 1, False, part))
    assert sorted(got) == list(range(40))
    assert bench.firmware.pending == 0
    uptimes = [got[seq].uptime for seq in range(40)]
    assert uptimes == [1_500 * (seq + 1) for seq in range(40)]
    assert [got[seq].payload[Key.VALUES] for seq in range(2)] == [{DOOR: "open"}, {DOOR: "locked"}]
    if name in ("clean", "byte_at_a_time"):
        assert (gateway.crc_errors, gateway.garbage_bytes) == (0, 0)
    assert HEARTBEAT == 5.0
