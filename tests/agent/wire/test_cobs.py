"""COBS against vectors of the paper and of an independent computation, and its properties."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import cobs

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "board_link.json").read_text())
PUBLISHED = [("00", "0101"), ("11220033", "0311220233"), ("1122330400", "051122330401"), ("11000000", "0211010101")]
# zeros are rare by chance alone, and long runs without one are where the length bytes change
data = st.lists(st.one_of(st.just(0), st.integers(1, 255), st.sampled_from([253, 254, 255, 508])), max_size=12).map(
    lambda parts: b"".join(b"\0" if part == 0 else b"\x7f" * part for part in parts)
)


@pytest.mark.parametrize(("plain", "encoded"), [*PUBLISHED, *map(tuple, GOLDEN["cobs"])])
def test_vectors_both_ways(plain: str, encoded: str) -> None:
    assert cobs.encode(bytes.fromhex(plain)).hex() == encoded
    assert cobs.decode(bytes.fromhex(encoded)) == bytes.fromhex(plain)


@pytest.mark.parametrize("length", [254, 255, 256])
def test_runs_without_a_zero(length: int) -> None:
    plain = b"\x55" * length
    encoded = cobs.encode(plain)
    assert encoded[0] == 0xFF
    assert len(encoded) == length + 1 + (length > 254)
    assert cobs.decode(encoded) == plain


@given(data)
def test_round_trip_without_zeros_and_with_bounded_overhead(plain: bytes) -> None:
    encoded = cobs.encode(plain)
    assert 0 not in encoded
    assert len(encoded) <= len(plain) + len(plain) // 254 + 1
    assert cobs.decode(encoded) == plain


@given(data)
def test_one_encoding_for_one_text(plain: bytes) -> None:
    """What decodes to the same data is the same block, but for the closing 01 that some encoders put after a full block."""
    encoded = cobs.encode(plain)
    if len(plain) >= 254 and 0 not in plain[-254:] and encoded[-255] == 0xFF:
        assert cobs.decode(encoded + b"\x01") == plain


@given(st.binary(max_size=600))
def test_any_bytes_give_data_or_nothing(block: bytes) -> None:
    plain = cobs.decode(block)
    if plain is not None:
        assert len(plain) < len(block)
        assert 0 not in block


@pytest.mark.parametrize("block", ["", "00", "0100", "05", "0511", "ff", "02", "0311"])
def test_what_is_no_cobs(block: str) -> None:
    assert cobs.decode(bytes.fromhex(block)) is None
