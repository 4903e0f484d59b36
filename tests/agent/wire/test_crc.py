"""The CRC against its published check value, and against a computation bit by bit."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.wire import crc

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "board_link.json").read_text())


def test_check_values() -> None:
    for data, value in GOLDEN["crc"]:
        assert f"{crc.ccitt_false(bytes.fromhex(data)):04x}" == value


@given(st.binary(max_size=64))
def test_a_message_followed_by_its_crc_leaves_no_remainder(data: bytes) -> None:
    assert crc.ccitt_false(data + crc.ccitt_false(data).to_bytes(2, "big")) == 0


@given(st.binary(min_size=1, max_size=64), st.data())
def test_any_single_bit_is_noticed(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) * 8 - 1))
    flipped = bytearray(data)
    flipped[at // 8] ^= 1 << at % 8
    assert crc.ccitt_false(bytes(flipped)) != crc.ccitt_false(data)
