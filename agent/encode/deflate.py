"""Compression of a batch: the content coding "deflate", which is the zlib format (RFC 9110, section 8.4.1.2; RFC 1950).

A batch repeats its names, so it shrinks to a third and less; one short record hardly does. It is done where it pays.
"""

from __future__ import annotations

import zlib

from agent.encode.batch import MAX_BYTES, Undecodable

WORTH = 256  # bytes of a payload that may be worth it; what is shorter fits into one packet of any line
GAIN = 0.9  # of its length at most, or it goes as it is: unpacking costs the other end something too
LEVEL = 6  # zlib's own middle: beyond it a batch shrinks by a hundredth and costs twice the time


def deflate(payload: bytes) -> bytes | None:
    """The payload compressed, None when that does not pay."""
    if len(payload) < WORTH:
        return None
    small = zlib.compress(payload, LEVEL)
    return small if len(small) <= len(payload) * GAIN else None


def inflate(payload: bytes) -> bytes:
    """The payload again, never more than a batch may have. Raises Undecodable, whatever the bytes are."""
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(payload, MAX_BYTES + 1)
    except zlib.error:
        raise Undecodable("it is not in the zlib format, which its coding says") from None
    if len(found) > MAX_BYTES:
        raise Undecodable(f"it would unpack to more than the {MAX_BYTES} bytes that a batch may have")
    if not unpacking.eof or unpacking.unused_data:
        raise Undecodable("its compressed data end too early, or go on behind the end")
    return found
