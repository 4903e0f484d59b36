"""Compression: what zlib itself makes and reads, where it pays, and bytes that would unpack for ever."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.encode import BY_MEDIA_TYPE, MAX_BYTES, Undecodable, write
from agent.encode.deflate import deflate, inflate
from tests.agent.envelopes import alarm, summary


def test_it_is_the_zlib_format() -> None:
    payload, written = write("json", [summary(position) for position in range(1, 11)], compress=True)
    assert written is BY_MEDIA_TYPE["application/json; coding=deflate"]
    assert payload[:1] == b"\x78"  # a window of 32 KiB, method 8 (RFC 1950, 2.2)
    assert zlib.decompress(payload).startswith(b'{"gateway":"gw-1"')
    assert len(payload) < len(zlib.decompress(payload)) / 5


def test_what_does_not_pay_goes_as_it_is() -> None:
    assert deflate(b"x" * 200) is None  # short
    assert deflate(bytes(range(256)) * 2) is not None
    assert deflate(bytes(range(256))) is None  # nothing in it comes twice
    _, written = write("cbor", [alarm(1)], compress=False)
    assert written is BY_MEDIA_TYPE["application/cbor"]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zlib.compress(b"\x00" * (50 * MAX_BYTES))
    with pytest.raises(Undecodable, match="more than the"):
        inflate(bomb)


@pytest.mark.parametrize("payload", [b"", b"x", b"\x78\x9c", zlib.compress(b"a")[:-1], zlib.compress(b"a") + b"b"])
def test_what_is_not_compressed(payload: bytes) -> None:
    with pytest.raises(Undecodable):
        inflate(payload)


@given(st.binary(max_size=2000))
def test_what_went_in_comes_out(payload: bytes) -> None:
    small = deflate(payload)
    assert inflate(zlib.compress(payload)) == payload
    assert small is None or inflate(small) == payload
