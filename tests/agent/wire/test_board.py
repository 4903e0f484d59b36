"""The board link's codec, both ways, against frames that were computed from the page alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.wire import board
from agent.wire.board import Decoder, Frame, FrameType, Key

GOLDEN: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parents[2] / "golden" / "board_link.json").read_text())
LINES = [bytes.fromhex(one["line"]) for one in GOLDEN["frames"]]


def keyed(value: object) -> object:
    """JSON has only text as keys; the link has only whole numbers."""
    return {int(key): keyed(one) for key, one in value.items()} if isinstance(value, dict) else value


def frame_of(golden: dict[str, Any]) -> Frame:
    payload = keyed(golden["payload"])
    assert isinstance(payload, dict)
    return Frame(FrameType(golden["type"]), golden["seq"], golden["uptime"], payload)


FRAMES = [frame_of(one) for one in GOLDEN["frames"]]
names = st.text("aZ09 °€", max_size=6)
scalars = st.one_of(st.none(), st.integers(-(2**31), 2**32), st.floats(allow_nan=False, allow_infinity=False), names)
payloads = st.dictionaries(
    st.integers(1, 30), st.one_of(scalars, st.dictionaries(st.integers(0, 2000), scalars, max_size=6)), max_size=5
)
frames = st.builds(Frame, st.sampled_from(FrameType), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), payloads)


@pytest.mark.parametrize("golden", GOLDEN["frames"], ids=lambda one: one["name"])
def test_golden_frames_both_ways(golden: dict[str, Any]) -> None:
    frame = frame_of(golden)
    assert board.encode(frame).hex() == golden["line"]
    assert list(Decoder().feed(bytes.fromhex(golden["line"]))) == [frame]


@pytest.mark.parametrize("golden", GOLDEN["other_forms"], ids=lambda one: one["name"])
def test_other_forms_of_the_same_are_read(golden: dict[str, Any]) -> None:
    (frame,) = Decoder().feed(bytes.fromhex(golden["line"]))
    assert frame.seq == golden["seq"]
    assert frame.payload == keyed(golden["payload"])
    assert board.boot_of(frame) == 0xA1B2C3D4
    assert board.values_of(frame) == keyed(golden["payload"]["2"])


@pytest.mark.parametrize("golden", GOLDEN["refused"], ids=lambda one: one["name"])
def test_what_is_no_frame_is_counted_and_skipped(golden: dict[str, Any]) -> None:
    decoder = Decoder()
    assert list(decoder.feed(bytes.fromhex(golden["line"]) + LINES[3])) == [FRAMES[3]]
    counters = {name: getattr(decoder, name) for name in ("crc_errors", "garbage_bytes", "unknown")}
    assert counters == {"crc_errors": 0, "garbage_bytes": 0, "unknown": 0} | {golden["counter"]: golden["grows"]}
    assert decoder.frames == 1


@given(st.lists(frames, max_size=4), st.data())
def test_any_chunking_gives_the_same_frames(sent: list[Frame], draw: st.DataObject) -> None:
    line = b"".join(map(board.encode, sent))
    decoder, got = Decoder(), []
    while line:
        size = draw.draw(st.integers(1, len(line)))
        got += decoder.feed(line[:size])
        line = line[size:]
    assert got == sent
    assert (decoder.frames, decoder.crc_errors, decoder.garbage_bytes, decoder.unknown) == (len(sent), 0, 0, 0)


def test_byte_by_byte() -> None:
    decoder = Decoder()
    got = [frame for line in LINES for byte in line for frame in decoder.feed(bytes((byte,)))]
    assert got == FRAMES


@given(st.lists(st.binary(max_size=60), max_size=5), st.sampled_from(range(len(LINES))))
@example([b"\x05\x01\x02"], 0)
@example([b"\xff" * 60] * 40, 3)
def test_noise_that_ends_with_a_zero_costs_no_frame(noise: list[bytes], which: int) -> None:
    decoder = Decoder()
    got = [frame for part in noise for frame in decoder.feed(part + b"\0" + LINES[which])]
    assert [frame for frame in got if frame == FRAMES[which]] == [FRAMES[which]] * len(noise)


@given(st.binary(max_size=200), st.integers(0, len(LINES) - 1))
def test_noise_glued_to_a_frame_costs_at_most_that_frame(noise: bytes, which: int) -> None:
    decoder = Decoder()
    list(decoder.feed(noise + LINES[which]))
    assert list(decoder.feed(LINES[2])) == [FRAMES[2]]


def test_what_is_skipped_is_counted_to_the_byte() -> None:
    decoder = Decoder()
    noise = b"\x02\x55\x55\x55"  # no COBS
    assert list(decoder.feed(noise + b"\0")) == []
    assert decoder.garbage_bytes == 5
    assert list(decoder.feed(b"\0\0\0")) == []  # an idle line of zeros is nothing at all
    assert decoder.garbage_bytes == 5


@pytest.mark.parametrize("chunk", [1, 7, 1000, 5000])
def test_the_buffer_is_bounded(chunk: int) -> None:
    """A line that babbles without a zero is skipped, counted, and holds no memory."""
    decoder, sent = Decoder(), 0
    while sent < 20_000:
        assert list(decoder.feed(b"\x41" * chunk)) == []
        assert len(decoder._held) <= board.MAX_ENCODED
        sent += chunk
    assert list(decoder.feed(b"\0" + LINES[0])) == [FRAMES[0]]
    assert decoder.garbage_bytes == sent + 1


@pytest.mark.parametrize("size", [254, 255, 256])
def test_payloads_around_a_full_block(size: int) -> None:
    frame = Frame(FrameType.READING, 0x0101, 0x01010101, {Key.FIRMWARE: "x" * size})
    assert list(Decoder().feed(board.encode(frame))) == [frame]


def test_the_longest_frame_passes_and_one_byte_more_does_not() -> None:
    overhead = len(bytes.fromhex(GOLDEN["frames"][0]["data"])) + 4  # map, key, and the head of a text of 256 and more
    longest = Frame(FrameType.READING, 1, 1, {Key.FIRMWARE: "x" * (board.MAX_DATA - overhead)})
    assert list(Decoder().feed(board.encode(longest))) == [longest]
    with pytest.raises(ValueError, match="1025 bytes is longer than 1024"):
        board.encode(replace(longest, payload={Key.FIRMWARE: "x" * (board.MAX_DATA - overhead + 1)}))


@given(st.binary(max_size=3000))
def test_random_bytes_never_raise(data: bytes) -> None:
    decoder = Decoder()
    for frame in decoder.feed(data):
        board.boot_of(frame)
        board.values_of(frame)
        board.text_of(frame, Key.SERIAL)


@pytest.mark.parametrize("boot", [None, -1, 2**32, "1", 1.0, True, [1]])
def test_a_boot_id_is_a_whole_number_of_32_bits(boot: object) -> None:
    assert board.boot_of(Frame(FrameType.EVENT, 0, 0, {Key.BOOT: boot})) is None


@pytest.mark.parametrize("values", [None, [], 1, {1: [2]}, {1: True}, {"a": 1}, {1: "x" * 65}, {1: b"bytes"}])
def test_values_are_a_flat_map_of_numbers_and_words(values: object) -> None:
    assert board.values_of(Frame(FrameType.EVENT, 0, 0, {Key.VALUES: values})) is None


def test_a_text_is_cut_and_cleaned() -> None:
    frame = Frame(FrameType.HELLO, 0, 0, {Key.SERIAL: "A\x1b[31m\n" + "x" * 100, Key.FIRMWARE: 7})
    assert board.text_of(frame, Key.SERIAL) == "A[31m" + "x" * 57
    assert board.text_of(frame, Key.FIRMWARE) == ""


def test_the_bits_of_seq_and_uptime_beyond_their_width_are_cut() -> None:
    (frame,) = Decoder().feed(board.encode(Frame(FrameType.READING, 65536 + 5, 2**32 + 9, {})))
    assert (frame.seq, frame.uptime) == (5, 9)
