"""ccTalk, against the packets of its documents."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import cctalk, crc
from agent.wire.cctalk import Decoder, Frame, Refused
from agent.wire.frames import BadFrame

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "cctalk.json").read_text())
FRAMES = {one["name"]: one for one in GOLDEN["frames"]}


def of(one: dict[str, Any]) -> Frame:
    return Frame(one["dst"], one["src"], one["header"], bytes.fromhex(one["data"]))


@pytest.mark.parametrize("one", GOLDEN["frames"], ids=lambda one: one["name"])
def test_golden_frames_both_ways(one: dict[str, Any]) -> None:
    frame, line = of(one), bytes.fromhex(one["frame"])
    assert cctalk.encode(frame.dst, frame.header, frame.data, frame.src or 1, one["check"]) == line
    assert list(Decoder(one["check"]).feed(line)) == [frame]
    assert [each for byte in line for each in Decoder(one["check"]).feed(bytes((byte,)))] == []


def test_the_check_value_of_the_crc() -> None:
    assert crc.xmodem(b"123456789") == 0x31C3


@pytest.mark.parametrize("one", GOLDEN["counters"], ids=str)
def test_events_between_two_counters(one: dict[str, int]) -> None:
    assert cctalk.events_since(one["last"], one["counter"]) == one["new"]


def test_an_answer() -> None:
    read, frame = cctalk.reader(3, "sum", 4), bytes.fromhex(FRAMES["event 1, 5 remaining"]["frame"])
    assert read(frame) == Frame(1, 3, 0, b"\x01\x05\x00\x00")
    assert all(read(frame[:size]) is None for size in range(len(frame)))
    assert read(cctalk.encode(1, cctalk.NAK, src=3)) == Refused(cctalk.NAK)
    assert read(cctalk.encode(1, cctalk.BUSY, src=3)) == Refused(cctalk.BUSY)


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        (cctalk.encode(1, 0, b"1234", src=4), "unknown"),  # of another
        (cctalk.encode(3, 0, b"1234", src=3), "unknown"),  # to another
        (cctalk.encode(1, 0, b"123", src=3), "unknown"),  # of another length
        (cctalk.encode(1, 9, b"1234", src=3), "unknown"),
        (b"\x01\x00\x03\x00\xfd", "crcErrors"),
    ],
)
def test_what_is_no_answer(frame: bytes, counter: str) -> None:
    with pytest.raises(BadFrame) as bad:
        cctalk.reader(3, "sum", 4)(frame)
    assert bad.value.counter == counter


@settings(max_examples=30)
@given(st.binary(max_size=8), st.sampled_from(GOLDEN["frames"]), st.data())
def test_noise_costs_no_frame_once_the_line_has_paused(noise: bytes, one: dict[str, Any], draw: st.DataObject) -> None:
    decoder, stream = Decoder(one["check"]), noise + bytes.fromhex(one["frame"])
    while stream:
        size = draw.draw(st.integers(1, len(stream)))
        list(decoder.feed(stream[:size]))
        stream = stream[size:]
    list(decoder.pause())  # what the noise made of it, if anything, is over
    got = list(decoder.feed(bytes.fromhex(one["frame"])))
    assert got == [of(one)]
    assert decoder.held == b""


@given(st.binary(max_size=600))
def test_nothing_raises_anything_else_and_memory_is_bounded(data: bytes) -> None:
    for check in ("sum", "crc16"):
        decoder = Decoder(check)
        list(decoder.feed(data))
        assert len(decoder.held) <= 257
        with suppress(BadFrame):
            cctalk.reader(3, check)(data)
    cctalk.hopper_flags(data)


def test_flags() -> None:
    assert cctalk.hopper_flags(b"\x42\x00\x10") == {"payoutTimeout", "powerUp", "encrypted"}
    assert cctalk.hopper_flags(b"") == frozenset()
