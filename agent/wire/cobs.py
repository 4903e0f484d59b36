"""Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): bytes without zeros, so that a zero can end a frame.

Each block starts with its length + 1; a length byte below FF stands for a zero at the block's end, FF for 254 bytes without
one; the last block's zero is not part of the data. Kept here because the package on PyPI has no aarch64 wheel.
"""

from __future__ import annotations


def encode(data: bytes) -> bytes:
    """`data` without its zeros: one byte more, and one for each 254 bytes. The closing zero is not added."""
    blocks = bytearray()
    runs = data.split(b"\0")
    for index, run in enumerate(runs):
        full, rest = divmod(len(run), 254)
        for start in range(0, full * 254, 254):
            blocks.append(0xFF)
            blocks += run[start : start + 254]
        # a full block that ends the data needs nothing after it; one that a zero follows does
        if rest or not full or index < len(runs) - 1:
            blocks.append(rest + 1)
            blocks += run[full * 254 :]
    return bytes(blocks)


def decode(block: bytes) -> bytes | None:
    """The data of one encoded block (without the closing zero); None when it is no COBS."""
    size = len(block)
    if size == 0 or 0 in block:
        return None
    data = bytearray(block)
    at = code = block[0]
    full = []  # places of the length bytes after which no zero stands: those that follow a block of 254
    if 0xFF in block:
        while at < size:
            if code == 0xFF:
                full.append(at)
            data[at] = 0
            code = block[at]
            at += code
    else:
        while at < size:
            data[at] = 0
            at += block[at]
    if at != size:
        return None
    for place in reversed(full):
        del data[place]
    return bytes(data[1:])
