"""A serial line bit by bit: what a receiver makes of bytes when its settings are not those of the sender.

A pseudo terminal passes every byte whatever the two ends have set, so that a wrong speed could never be seen on it. Here the
bits are drawn as the sender times them and sampled as the receiver does, in the middle of each bit.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Literal, NamedTuple, TypeAlias

Parity: TypeAlias = Literal["none", "even", "odd", "mark", "space"]


class Shape(NamedTuple):
    """How bytes travel."""

    baud: int
    data_bits: int = 8
    parity: Parity = "none"
    stop_bits: int = 1

    def __str__(self) -> str:
        return f"{self.baud} {self.data_bits}{self.parity[0].upper()}{self.stop_bits}"


def heard(data: bytes, sender: Shape, receiver: Shape) -> bytes:
    """What arrives at the receiver. A byte with a wrong parity or without a stop bit arrives as 00, as from a Linux driver."""
    if sender == receiver:
        return data
    bits = [bit for byte in data for bit in _framed(byte, sender)]
    ratio = sender.baud / receiver.baud  # of the sender's bits in one of the receiver's
    arrived = bytearray()
    at = 0.0
    while (start := _falling(bits, at)) is not None:
        byte, intact, at = _sampled(bits, start, ratio, receiver)
        arrived.append(byte if intact else 0)
    return bytes(arrived)


def _framed(byte: int, shape: Shape) -> list[int]:
    data = [byte >> bit & 1 for bit in range(shape.data_bits)]
    return [0, *data, *_parity(data, shape.parity), *(1,) * shape.stop_bits]


def _parity(data: list[int], parity: Parity) -> list[int]:
    ones = sum(data) & 1
    return {"none": [], "even": [ones], "odd": [1 - ones], "mark": [1], "space": [0]}[parity]


def _level(bits: list[int], at: float) -> int:
    return bits[int(at)] if at < len(bits) else 1  # an idle line


def _falling(bits: list[int], at: float) -> float | None:
    """Where the next start bit begins, after `at`, in bits of the sender."""
    index = int(at)
    while at > 0.0 and index < len(bits) and bits[index] == 0:  # low since the last byte: a start is a fall from high
        index += 1
    while index < len(bits) and bits[index] == 1:
        index += 1
    return float(index) if index < len(bits) else None


def _sampled(bits: list[int], start: float, ratio: float, shape: Shape) -> tuple[int, bool, float]:
    """The byte that begins at `start`, whether it is intact, and where the search for the next begins."""

    def sample(number: float) -> int:
        return _level(bits, start + (number + 0.5) * ratio)

    data = [sample(1 + number) for number in range(shape.data_bits)]
    stop = 1 + shape.data_bits
    intact = True
    if shape.parity != "none":
        intact = [sample(stop)] == _parity(data, shape.parity)
        stop += 1
    intact = intact and sample(stop) == 1
    byte = sum(bit << number for number, bit in enumerate(data))
    return byte, intact, start + (stop + 0.5) * ratio


TCGETS2 = 0x802C542A  # speed as a number, whatever it is
TERMIOS2 = struct.Struct("4I20B2I")
CMSPAR = 0o10000000000


def shape_of(descriptor: int) -> Shape:
    """How the other end of a pseudo terminal has set its line.

    A pseudo terminal keeps the speed and the stop bits, and forgets parity and word length. The agent therefore sets INPCK for
    a parity and ISTRIP for seven bits; other programs may do the same.
    """
    flags = TERMIOS2.unpack(fcntl.ioctl(descriptor, TCGETS2, bytes(TERMIOS2.size)))
    iflag, cflag = flags[0], flags[2]
    odd, stick = bool(cflag & termios.PARODD), bool(cflag & CMSPAR)
    parity: Parity = "none"
    if iflag & termios.INPCK:
        parity = ("mark" if odd else "space") if stick else ("odd" if odd else "even")
    return Shape(flags[-1], 7 if iflag & termios.ISTRIP else 8, parity, 2 if cflag & termios.CSTOPB else 1)
