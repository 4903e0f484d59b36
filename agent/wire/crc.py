"""Cyclic redundancy checks of the serial protocols. Check values over "123456789" stand in tests/golden."""

from __future__ import annotations

from binascii import crc_hqx


def xmodem(data: bytes) -> int:
    """CRC-16/XMODEM: polynomial 1021, start 0, neither reflected nor inverted. Check value 31C3."""
    return crc_hqx(data, 0)


def ccitt_false(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 1021, start FFFF, neither reflected nor inverted. Check value 29B1."""
    return crc_hqx(data, 0xFFFF)


def kermit(data: bytes) -> int:
    """CRC-16/KERMIT: polynomial 1021 reflected (8408), start 0. Check value 2189. Note acceptors send its low byte first."""
    reflected = crc_hqx(data.translate(_REVERSED), 0)
    return _REVERSED[reflected & 0xFF] << 8 | _REVERSED[reflected >> 8]


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in the other order: the reflected polynomial is the plain one over reversed bits."""
