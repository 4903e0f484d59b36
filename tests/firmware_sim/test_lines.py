"""Bad lines are bad in the way they say, repeatably, and keep the order of what they let through."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from firmware_sim.lines import LINES, Line, line
from firmware_sim.outbox import Outbox

FRAME = bytes(range(1, 200)) + b"\0"


def through(one: Line, seconds: int = 300) -> list[tuple[float, bytes]]:
    """A frame a second; what arrives, by the time of arrival."""
    arrived = [(now + delay, part) for now in range(seconds) for delay, part in one.carry(FRAME, float(now))]
    assert [at for at, _ in arrived] == sorted(at for at, _ in arrived)  # nothing overtakes
    return arrived


@pytest.mark.parametrize("name", sorted(LINES))
def test_a_line_repeats_itself_with_its_seed(name: str) -> None:
    assert through(line(name, Random(3))) == through(line(name, Random(3)))


@pytest.mark.parametrize("name", ["clean", "byte_at_a_time", "stalling"])
def test_these_lose_nothing(name: str) -> None:
    assert b"".join(part for _, part in through(line(name, Random(3)))) == FRAME * 300


def test_lossy_loses_and_flips() -> None:
    arrived = b"".join(part for _, part in through(line("lossy", Random(3)), 1_000))
    sent = len(FRAME) * 1_000
    assert 0 < sent - len(arrived) < 4 * sent / 4_000
    assert arrived.replace(FRAME, b"")  # frames that are not what was sent


def test_byte_at_a_time() -> None:
    assert {len(part) for _, part in through(line("byte_at_a_time", Random(3)), 5)} == {1}


def test_babbling_adds_and_takes_nothing_away() -> None:
    arrived = b"".join(part for _, part in through(line("babbling", Random(3))))
    assert arrived.count(FRAME) == 300
    assert len(arrived) > 300 * len(FRAME)


def test_stalling_holds_back_and_lets_go_at_once() -> None:
    arrived = through(line("stalling", Random(3)))
    late = [at for at, _ in arrived if at != int(at)]
    assert late
    assert len(set(late)) < len(late)  # several frames at the same moment


def test_cut_goes_dead_and_comes_back() -> None:
    times = [int(at) for at, _ in through(line("cut", Random(3)))]
    gaps = [after - before for before, after in pairwise(times) if after - before > 1]
    assert gaps
    assert all(3 <= gap <= 21 for gap in gaps)


def test_an_unknown_line_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown line 'losy'; did you mean 'lossy'"):
        line("losy", Random(1))


def test_the_outbox_is_bounded_and_drops_readings_first() -> None:
    box = Outbox(limit=1_000)
    box.put(b"event", droppable=False)
    for number in range(1_000):
        box.put(b"%04d" % number, droppable=True)
    assert len(box) <= 1_000
    assert box.first() == b"event"
    box.sent(2)
    assert box.first() == b"ent"  # half a frame is always finished
    for _ in range(300):
        box.put(b"EVENT", droppable=False)
    assert len(box) <= 1_000
    assert box.dropped > 1_000


def test_nothing_is_not_a_chunk() -> None:
    box = Outbox()
    box.put(b"", droppable=True)
    box.put(b"x", droppable=True)
    assert box.first() == b"x"
