"""A batch as JSON (RFC 8259)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.encode.batch import Batch, Undecodable, check_size, complaint, pack, unpack
from agent.records import Envelope

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Batch).decode


def encode(envelopes: Sequence[Envelope]) -> bytes:
    """One batch. Raises ValueError when the envelopes are not of one gateway, epoch and lane."""
    return _encode(pack(envelopes))


def decode(payload: bytes) -> list[Envelope]:
    """The envelopes of a batch. Raises Undecodable, whatever the bytes are."""
    check_size(payload)
    try:
        return unpack(_decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(complaint(error)) from None
