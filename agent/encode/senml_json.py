"""A batch as SenML in JSON (RFC 8428, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.encode import senml
from agent.encode.batch import Undecodable, check_size, complaint
from agent.records import Envelope

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[senml.Record]).decode


def encode(envelopes: Sequence[Envelope]) -> bytes:
    """One batch. Raises ValueError when the envelopes are not of one gateway, epoch and lane."""
    return _encode(senml.records(envelopes))


def decode(payload: bytes) -> list[Envelope]:
    """The envelopes of a batch. Raises Undecodable, whatever the bytes are."""
    check_size(payload)
    try:
        return senml.envelopes(_decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(complaint(error)) from None
