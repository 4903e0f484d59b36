"""The codecs of note acceptors, both ways, against frames that were computed from the documents alone."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import ccnet, crc, ebds, id003
from agent.wire.ebds import FrameType, Reply
from agent.wire.scan import Scanner

GOLDEN: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parents[2] / "golden" / "acceptors.json").read_text())
CODECS: dict[str, Any] = {"id003": id003, "ccnet": ccnet, "ebds": ebds}
CASES = [
    pytest.param(protocol, golden, id=f"{protocol} {golden['name']}") for protocol, frames in GOLDEN.items() for golden in frames
]
ALL = pytest.mark.parametrize("protocol", CODECS)


def frame_of(protocol: str, golden: dict[str, Any]) -> Any:
    data = bytes.fromhex(golden["data"])
    if protocol == "ebds":
        return ebds.Frame(FrameType(golden["type"]), golden["ack"], data)
    return CODECS[protocol].Frame(golden["code"], data)


def lines_of(protocol: str) -> list[bytes]:
    return [bytes.fromhex(golden["line"]) for golden in GOLDEN[protocol]]


def frames_of(protocol: str) -> list[Any]:
    return [frame_of(protocol, golden) for golden in GOLDEN[protocol]]


@pytest.mark.parametrize(("protocol", "golden"), CASES)
def test_golden_frames_both_ways(protocol, golden):
    frame = frame_of(protocol, golden)
    assert CODECS[protocol].encode(frame).hex() == golden["line"]
    assert CODECS[protocol].decoder().feed(bytes.fromhex(golden["line"])) == [frame]


def test_the_check_value_of_kermit():
    assert crc.kermit(b"123456789") == 0x2189


sevens = st.binary(max_size=40).map(lambda data: bytes(byte & 0x7F for byte in data))
MADE: dict[str, st.SearchStrategy[Any]] = {
    "id003": st.builds(id003.Frame, st.integers(0, 255), st.binary(max_size=250)),
    "ccnet": st.builds(ccnet.Frame, st.integers(0, 255), st.binary(max_size=244)),
    "ebds": st.one_of(
        st.builds(
            ebds.Frame, st.sampled_from([FrameType.AUXILIARY, FrameType.EXTENDED]), st.integers(0, 1), sevens, st.integers(0, 7)
        ),
        st.builds(
            lambda ack, flags: ebds.Frame(FrameType.REPLY, ack, ebds.reply(Reply(flags))),
            st.integers(0, 1),
            st.integers(0, 2**28 - 1),
        ),
    ),
}


@ALL
@given(data=st.data())
def test_any_chunking_gives_the_same_frames(protocol, data):
    sent = data.draw(st.lists(MADE[protocol], max_size=5))
    line = b"".join(map(CODECS[protocol].encode, sent))
    decoder, got = CODECS[protocol].decoder(), []
    while line:
        size = data.draw(st.integers(1, len(line)))
        got += decoder.feed(line[:size])
        line = line[size:]
    assert got == sent
    assert (decoder.frames, decoder.crc_errors, decoder.garbage_bytes) == (len(sent), 0, 0)


@ALL
@given(data=st.data())
@settings(max_examples=25)
def test_noise_gives_what_a_search_from_every_byte_gives(protocol, data):
    """An own, plain search for frames finds the same, in whatever chunks the noise comes."""
    piece = st.one_of(
        st.binary(max_size=12), st.sampled_from(lines_of(protocol)), st.sampled_from(lines_of(protocol)).map(lambda one: one[:-2])
    )
    stream = b"".join(data.draw(st.lists(piece, max_size=12)))
    decoder, got, rest = CODECS[protocol].decoder(), [], stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        got += decoder.feed(rest[:size])
        rest = rest[size:]
    got += decoder.quiet()
    assert got == plainly(protocol, stream)
    spoken = sum(len(CODECS[protocol].encode(frame)) for frame in got)
    assert decoder.garbage_bytes == len(stream) - spoken
    assert decoder.quiet() == []


def plainly(protocol: str, stream: bytes) -> list[Any]:
    codec, found, at = CODECS[protocol], [], 0
    while at < len(stream):
        for end in range(at + 1, min(len(stream), at + 260) + 1):
            read = codec.decoder().feed(stream[at:end])
            if read and codec.encode(read[0]) == stream[at:end]:
                found += read
                at = end
                break
        else:
            at += 1
    return found


@ALL
def test_a_frame_behind_a_false_start_comes_with_the_next_pause(protocol):
    line, frame = lines_of(protocol)[2], frames_of(protocol)[2]
    decoder = CODECS[protocol].decoder()
    start = {"id003": b"\xfc\xfc", "ccnet": b"\x02\x03\xf0", "ebds": b"\x02\x40\x60"}[protocol]
    assert decoder.feed(start + line) + decoder.quiet() == [frame]
    assert decoder.garbage_bytes == len(start)
    assert decoder.feed(line) == [frame]


@ALL
def test_a_frame_with_a_wrong_byte_is_none(protocol):
    """Every byte, every other value: what is given is never another frame of the same place."""
    for line in lines_of(protocol):
        for place in range(len(line)):
            for change in (1, 2, 4, 8, 16, 32, 64, 128, 0x7F, 0xFF):
                spoilt = bytearray(line)
                spoilt[place] ^= change
                decoder = CODECS[protocol].decoder()
                assert decoder.feed(bytes(spoilt)) + decoder.quiet() == [], (line.hex(), place, change)
                assert decoder.garbage_bytes == len(line)


@ALL
@pytest.mark.parametrize("noise", ["random", "starts", "zeros", "frames that never end"])
def test_memory_and_time_are_bounded(protocol, noise):
    rng = random.Random(5)
    size = 200_000
    start = CODECS[protocol].encode(frames_of(protocol)[0])[:2]
    stream = {
        "random": rng.randbytes(size),
        "starts": start[:1] * size,
        "zeros": bytes(size),
        "frames that never end": (start + b"\x3f\x60") * (size // 4),
    }[noise]
    decoder: Scanner[Any] = CODECS[protocol].decoder()
    began = time.process_time()
    for at in range(0, len(stream), 500):
        decoder.feed(stream[at : at + 500])
        assert len(decoder._held) <= 255
    decoder.quiet()
    took = time.process_time() - began
    plain = _plain_pass(stream)
    assert took < 400 * plain
    assert decoder.feed(lines_of(protocol)[0])[-1:] == frames_of(protocol)[:1]


def _plain_pass(stream: bytes) -> float:
    """CPU seconds of looking at each byte once, in the same Python."""
    began = time.process_time()
    for _ in range(3):
        sum(1 for byte in stream if byte == 7)
    return time.process_time() - began


@pytest.mark.parametrize(("codec", "frame"), [(id003, id003.Frame(1, bytes(251))), (ccnet, ccnet.Frame(1, bytes(245)))])
def test_what_a_length_cannot_say_is_refused(codec, frame):
    with pytest.raises(ValueError, match="longer than"):
        codec.encode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        ebds.Frame(FrameType.REPLY, 0, b"\x80" * 6),
        ebds.Frame(FrameType.AUXILIARY, 0, bytes(60)),
        ebds.Frame(FrameType.REPLY, 0, b""),
    ],
)
def test_what_ebds_does_not_carry_is_refused(frame):
    with pytest.raises(ValueError, match="the data of"):
        ebds.encode(frame)


@given(st.integers(0, 2**28 - 1))
def test_flags_both_ways(number):
    assert ebds.flags(ebds.reply(Reply(number))) == number
    assert ebds.note_value(Reply(number)) == number >> 17 & 7


def test_flags_of_the_published_replies():
    idle, full = (bytes.fromhex(each["data"]) for each in GOLDEN["ebds"][2:4])
    assert ebds.flags(idle) == Reply.IDLING | Reply.CASSETTE_ATTACHED
    assert ebds.flags(full) == Reply.IDLING | Reply.CASSETTE_ATTACHED | Reply.STACKER_FULL


def _everything(codec: Callable[[], Scanner[Any]], chunks: list[bytes]) -> None:
    decoder = codec()
    for chunk in chunks:
        decoder.feed(chunk)
        decoder.quiet()


@ALL
@given(chunks=st.lists(st.binary(max_size=300), max_size=8))
def test_no_bytes_raise_anything(protocol, chunks):
    _everything(CODECS[protocol].decoder, chunks)
