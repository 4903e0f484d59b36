"""Cyclic redundancy checks of the serial protocols. Check values over "123456789" stand in tests/golden."""

from __future__ import annotations

from binascii import crc_hqx


def xmodem(data: bytes) -> int:
    """CRC-16/XMODEM: polynomial 1021, start 0, neither reflected nor inverted. Check value 31C3."""
    return crc_hqx(data, 0)


def ccitt_false(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 1021, start FFFF, neither reflected nor inverted. Check value 29B1."""
    return crc_hqx(data, 0xFFFF)
