"""What goes over the line: batches of envelopes as bytes, and back. Used by the uplinks and by the platform's end.

How they are written (an `Encoding`) is apart from how they travel: MQTT names it by a media type, CoAP by a content format.
docs/encodings/ has a page for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Literal, NamedTuple, TypeAlias

from agent.encode.batch import MAX_BYTES, MAX_ENVELOPES, Undecodable
from agent.encode.deflate import deflate, inflate
from agent.records import Envelope

__all__ = ["BY_CONTENT_FORMAT", "BY_MEDIA_TYPE", "ENCODINGS", "MAX_BYTES", "MAX_ENVELOPES", "Encoding", "EncodingName"]
__all__ += ["Undecodable", "sniffed", "write"]

EncodingName: TypeAlias = Literal["json", "cbor", "senml+json", "senml+cbor"]
CODING = "; coding=deflate"


class Encoding(NamedTuple):
    """One way to write a batch. `decode` raises Undecodable for anything that is not one."""

    media_type: str
    content_format: int | None  # CoAP Content-Formats, RFC 7252, section 12.3; None where there is none
    is_text: bool  # UTF-8
    encode: Callable[[Sequence[Envelope]], bytes]
    decode: Callable[[bytes], list[Envelope]]


def _written_by(module: str, media_type: str, content_format: int, *, is_text: bool) -> Encoding:
    """What a module of this package writes. It is loaded with its first batch: a gateway uses one of them, two at most."""

    def encode(envelopes: Sequence[Envelope]) -> bytes:
        payload: bytes = import_module(module).encode(envelopes)
        return payload

    def decode(payload: bytes) -> list[Envelope]:
        envelopes: list[Envelope] = import_module(module).decode(payload)
        return envelopes

    return Encoding(media_type, content_format, is_text, encode, decode)


ENCODINGS = {
    "json": _written_by("agent.encode.json", "application/json", 50, is_text=True),
    "cbor": _written_by("agent.encode.cbor", "application/cbor", 60, is_text=False),
    "senml+json": _written_by("agent.encode.senml_json", "application/senml+json", 110, is_text=True),
    "senml+cbor": _written_by("agent.encode.senml_cbor", "application/senml+cbor", 112, is_text=False),
}
_FORMATS = {"json": 11050, "cbor": 11060}  # with the coding deflate, as IANA has them; SenML has none


def _deflated(name: str, plain: Encoding) -> Encoding:
    def encode(envelopes: Sequence[Envelope]) -> bytes:
        payload = plain.encode(envelopes)
        return deflate(payload) or payload

    def decode(payload: bytes) -> list[Envelope]:
        return plain.decode(inflate(payload))

    return Encoding(plain.media_type + CODING, _FORMATS.get(name), False, encode, decode)


DEFLATED = {name: _deflated(name, plain) for name, plain in ENCODINGS.items()}
BY_MEDIA_TYPE = {each.media_type: each for each in (*ENCODINGS.values(), *DEFLATED.values())}
BY_CONTENT_FORMAT = {each.content_format: each for each in BY_MEDIA_TYPE.values() if each.content_format is not None}


def write(name: EncodingName, envelopes: Sequence[Envelope], *, compress: bool) -> tuple[bytes, Encoding]:
    """One batch as bytes, compressed if that is wanted and pays, and what they are written in."""
    plain = ENCODINGS[name]
    payload = plain.encode(envelopes)
    small = deflate(payload) if compress else None
    return (payload, plain) if small is None else (small, DEFLATED[name])


def sniffed(payload: bytes) -> Encoding:
    """What a batch is written in by its first bytes, for a line that does not say it."""
    found = DEFLATED if payload[:1] == b"\x78" else ENCODINGS  # zlib's first byte, and no batch's (RFC 1950, 2.2)
    if found is DEFLATED:
        try:
            payload = inflate(payload)
        except Undecodable:
            return DEFLATED["json"]  # it will say so itself
    return found[_named_by(payload.lstrip(b" \t\r\n")[:1])]


def _named_by(first: bytes) -> EncodingName:
    if first in (b"{", b""):
        return "json"
    if first == b"[":
        return "senml+json"
    return "senml+cbor" if 0x80 <= first[0] <= 0x9F else "cbor"  # major type 4, an array (RFC 8949, 3.1)
