"""What goes over the line: batches of envelopes as bytes, and back. Used by the uplinks and by the platform's end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.encode import cbor, json
from agent.encode.batch import MAX_BYTES, MAX_ENVELOPES, Undecodable
from agent.records import Envelope

__all__ = ["ENCODINGS", "MAX_BYTES", "MAX_ENVELOPES", "Encoding", "Undecodable"]


class Encoding(NamedTuple):
    """One way to write a batch. `decode` raises Undecodable for anything that is not one."""

    media_type: str
    content_format: int  # CoAP Content-Formats, RFC 7252, section 12.3
    encode: Callable[[Sequence[Envelope]], bytes]
    decode: Callable[[bytes], list[Envelope]]


ENCODINGS = {
    "json": Encoding("application/json", 50, json.encode, json.decode),
    "cbor": Encoding("application/cbor", 60, cbor.encode, cbor.decode),
}
