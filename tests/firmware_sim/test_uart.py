"""What is heard over a line whose two ends are not set alike."""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.opening import _mark
from agent.sources.ports import LineSettings
from firmware_sim.uart import Shape, heard, shape_of

Q1 = b"(226.0 195.0 226.0 014 49.0 27.5 30.0 00001000\r"
SHAPES = [Shape(2_400), Shape(9_600, 8, "even"), Shape(9_600, 7, "even"), Shape(9_600, 8, "odd"), Shape(115_200)]


@given(st.binary(max_size=50), st.sampled_from(SHAPES))
def test_the_same_settings_pass_every_byte(data: bytes, shape: Shape) -> None:
    assert heard(data, shape, shape) == data


@pytest.mark.parametrize(
    "other", [Shape(1_200), Shape(4_800), Shape(9_600), Shape(2_400, 7), Shape(2_400, 8, "even"), Shape(2_400, 7, "odd")], ids=str
)
def test_other_settings_pass_garbage(other: Shape) -> None:
    assert Q1 not in heard(Q1, Shape(2_400), other)
    assert Q1 not in heard(Q1, other, Shape(2_400))


def test_a_second_stop_bit_is_only_a_pause() -> None:
    assert heard(Q1, Shape(2_400, 8, "none", 2), Shape(2_400)) == Q1


def test_half_a_percent_of_speed_does_no_harm() -> None:
    assert heard(Q1, Shape(2_400), Shape(2_412)) == Q1


@given(st.binary(max_size=60), st.sampled_from(SHAPES), st.sampled_from(SHAPES))
def test_it_ends_and_stays_within_bounds(data: bytes, sender: Shape, receiver: Shape) -> None:
    assert len(heard(data, sender, receiver)) <= len(data) * 12 * max(1, receiver.baud // sender.baud)


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, slave
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    "shape", [*SHAPES, Shape(2_400, 8, "mark", 2), Shape(2_400, 8, "space"), Shape(2_400, 7, "odd", 2)], ids=str
)
def test_the_other_end_of_a_pseudo_terminal_sees_what_the_agent_has_set(pty: tuple[int, int], shape: Shape) -> None:
    master, slave = pty
    settings = LineSettings(
        port="/dev/pts/0", baud=shape.baud, data_bits=shape.data_bits, parity=shape.parity, stop_bits=shape.stop_bits
    )
    attributes = termios.tcgetattr(slave)
    attributes[4] = attributes[5] = getattr(termios, f"B{shape.baud}")
    if shape.stop_bits == 2:
        attributes[2] |= termios.CSTOPB
    _mark(attributes, settings)
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    assert shape_of(master) == shape
