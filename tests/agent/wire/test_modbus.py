"""Modbus RTU, against the vendors' examples."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import modbus
from agent.wire.frames import BadFrame
from agent.wire.modbus import Refusal, Registers

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "modbus.json").read_text())
ANSWER = GOLDEN["answers"][0]


@pytest.mark.parametrize("one", GOLDEN["requests"], ids=lambda one: one["name"])
def test_golden_requests(one: dict[str, Any]) -> None:
    frame = bytes.fromhex(one["frame"])
    assert modbus.request(one["unit"], one["function"], one["address"], one["count"]) == frame
    assert modbus.is_read(frame)


@pytest.mark.parametrize("one", GOLDEN["answers"] + GOLDEN["refusals"], ids=lambda one: one["frame"])
def test_golden_answers(one: dict[str, Any]) -> None:
    read, frame = modbus.reader(bytes.fromhex(one["to"])), bytes.fromhex(one["frame"])
    expected = Registers(bytes.fromhex(one["data"])) if "data" in one else Refusal(one["code"])
    assert read(frame) == expected
    assert read(b"\x00\xff" + frame) == read(bytes.fromhex(one["to"])[:1] + frame) == expected  # noise, and a torn echo
    assert all(read(frame[:size]) is None for size in range(len(frame)))


def test_the_words_for_a_refusal() -> None:
    assert str(Refusal(2)) == "illegal address"
    assert str(Refusal(99)) == "exception 99"


def test_every_flipped_bit_is_found() -> None:
    read, frame = modbus.reader(bytes.fromhex(ANSWER["to"])), bytes.fromhex(ANSWER["frame"])
    for bit in range(8 * len(frame)):
        spoilt = bytearray(frame)
        spoilt[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            read(bytes(spoilt))


def test_an_answer_to_another_request_is_none() -> None:
    read = modbus.reader(modbus.request(1, 4, 0, 4))
    assert read(bytes.fromhex(ANSWER["frame"])) is None
    assert modbus.reader(modbus.request(2, 4, 1, 2))(bytes.fromhex(ANSWER["frame"])[:-1]) is None
    with pytest.raises(BadFrame):
        modbus.reader(modbus.request(2, 4, 1, 2))(bytes.fromhex(ANSWER["frame"]))


@pytest.mark.parametrize(
    "wrong",
    [(0, 4, 0, 1), (248, 4, 0, 1), (1, 6, 0, 1), (1, 16, 0, 1), (1, 5, 0, 1), (1, 4, 0, 0), (1, 4, 0, 126), (1, 4, 65535, 2)],
)
def test_only_reads_can_be_made(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="nothing that can be read"):
        modbus.request(*wrong)


@given(st.binary(min_size=6, max_size=6))
def test_only_reads_are_reads(head: bytes) -> None:
    from firmware_sim.twins.modbus import crc

    frame = head + crc(head)
    address, count = int.from_bytes(head[2:4], "big"), int.from_bytes(head[4:6], "big")
    reads = head[1] in (3, 4) and 1 <= head[0] <= 247 and 1 <= count <= 125 and address + count <= 0x10000
    assert modbus.is_read(frame) == reads
    assert not modbus.is_read(frame + b"\0")


@given(st.binary(max_size=300))
def test_nothing_raises_anything_else(data: bytes) -> None:
    with suppress(BadFrame):
        modbus.reader(bytes.fromhex(ANSWER["to"]))(data)
