"""The LCDM codec, against the frames of its specification."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import lcdm
from agent.wire.frames import BadFrame
from agent.wire.lcdm import Decoder, Dispensed, Response
from firmware_sim.twins.lcdm import framed

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "lcdm.json").read_text())


def test_golden_requests_and_nothing_else() -> None:
    requests = {bytes.fromhex(each) for each in GOLDEN["requests"].values()}
    assert requests == lcdm.REQUESTS
    assert not requests & {bytes.fromhex(each) for each in GOLDEN["commands_that_move_notes"]}


@pytest.mark.parametrize("one", GOLDEN["responses"], ids=lambda one: one["name"])
def test_golden_responses(one: dict[str, Any]) -> None:
    frame, response = bytes.fromhex(one["frame"]), Response(one["command"], bytes.fromhex(one["data"]))
    assert framed(1, one["command"], bytes.fromhex(one["data"])) == frame  # the twin's, too
    read = lcdm.reader(one["command"])
    assert read(b"\x06" + frame) == read(b"\xff\x15\x06" + frame) == response
    assert all(read(frame[:size]) is None for size in range(len(frame)))
    decoder = Decoder()
    assert [each for byte in b"\x06" + frame + b"\x15" + frame for each in decoder.feed(bytes((byte,)))] == [response] * 2
    assert (decoder.garbage_bytes, decoder.crc_errors, decoder.held) == (0, 0, b"")


def test_every_flipped_bit_is_found() -> None:
    frame = bytes.fromhex(GOLDEN["responses"][1]["frame"])
    for bit in range(8 * len(frame)):
        spoilt = bytearray(frame)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert list(Decoder().feed(bytes(spoilt))) == []
        with suppress(BadFrame):
            assert lcdm.reader(lcdm.STATUS)(bytes(spoilt)) is None


@pytest.mark.parametrize("one", GOLDEN["dispensed"], ids=lambda one: one["data"])
def test_golden_dispenses(one: dict[str, Any]) -> None:
    found = lcdm.dispensed(Response(one["command"], bytes.fromhex(one["data"])))
    assert found == (None if one["error"] is None else (one["error"], tuple(Dispensed(*part) for part in one["parts"])))


@pytest.mark.parametrize("one", GOLDEN["sensors"], ids=lambda one: f"{one['model']} {one['data']}")
def test_golden_sensors_differ_by_model(one: dict[str, Any]) -> None:
    found = lcdm.status(bytes.fromhex(one["data"]), one["model"])
    assert found is not None
    for key in ("upper_low", "upper_missing", "lower_low", "tray_missing", "exit", "path"):
        assert getattr(found, key) == one[key], key


@pytest.mark.parametrize("data", ["31308080", "30ff8080", "30300080"])
def test_a_status_that_breaks_its_form(data: str) -> None:
    assert lcdm.status(bytes.fromhex(data), 1000) is None


@pytest.mark.parametrize(("data", "model"), GOLDEN["models"])
def test_golden_models(data: str, model: int | None) -> None:
    assert lcdm.model_of(bytes.fromhex(data)) == model


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_nothing_raises_anything_else_and_memory_is_bounded(data: bytes) -> None:
    decoder = Decoder()
    for response in decoder.feed(data):
        if response.command in (lcdm.UPPER, lcdm.BOTH):
            lcdm.dispensed(response)
    assert len(decoder.held) < 21
    with suppress(BadFrame):
        lcdm.reader(lcdm.STATUS)(data)


@settings(max_examples=60)
@given(st.binary(max_size=30))
def test_after_noise_a_frame_is_lost_at_most_once(noise: bytes) -> None:
    decoder, frame = Decoder(), bytes.fromhex(GOLDEN["responses"][1]["frame"])
    list(decoder.feed(noise + frame))
    got = list(decoder.feed(frame + frame))
    assert len(got) >= 1
    assert got[-1] == Response(70, bytes.fromhex("3030c080"))
