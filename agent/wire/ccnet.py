"""CCNET, the line of CashCode's note acceptors: 9600 baud, 8N1. The machine's controller polls, the acceptor answers.

    02 | address (03: note acceptor) | length of the whole frame | data | CRC-16/KERMIT over all before it, low byte first

The first byte of the data is a command or a state. Both directions look alike, and share codes: 41 asks for the table of
notes, and says that the drop cassette is full. Who spoke is told by turn, never by the frame.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from agent.wire.crc import kermit
from agent.wire.scan import Framing, Scanner

SYNC, BILL_VALIDATOR = 0x02, 0x03
SHORTEST, LONGEST = 6, 250  # bytes of a frame: with one byte of data; the length 00 of longer ones belongs to downloads


class State(IntEnum):
    """What the acceptor says it is doing; the data that follows, if any, in parentheses."""

    POWER_UP = 0x10
    POWER_UP_BILL_IN_VALIDATOR = 0x11
    POWER_UP_BILL_IN_STACKER = 0x12
    INITIALIZE = 0x13
    IDLING = 0x14
    ACCEPTING = 0x15
    STACKING = 0x17
    RETURNING = 0x18
    DISABLED = 0x19
    HOLDING = 0x1A
    BUSY = 0x1B
    REJECTING = 0x1C  # (reason, 60 and above)
    DROP_CASSETTE_FULL = 0x41
    DROP_CASSETTE_OUT_OF_POSITION = 0x42
    VALIDATOR_JAMMED = 0x43
    DROP_CASSETTE_JAMMED = 0x44
    CHEATED = 0x45
    PAUSE = 0x46
    FAILURE = 0x47  # (Failure)
    ESCROW = 0x80  # (type of note)
    STACKED = 0x81  # (type of note)
    RETURNED = 0x82  # (type of note)


class Failure(IntEnum):
    """What is broken, after FAILURE."""

    STACK_MOTOR = 0x50
    TRANSPORT_SPEED = 0x51
    TRANSPORT = 0x52
    ALIGNING = 0x53
    INITIAL_CASSETTE_STATUS = 0x54
    OPTIC = 0x55
    MAGNETIC = 0x56
    CAPACITANCE = 0x5F


class Command(IntEnum):
    """What the controller says. The agent reads these on the line and sends none."""

    ACK = 0x00
    RESET = 0x30
    GET_STATUS = 0x31
    POLL = 0x33
    ENABLE = 0x34
    STACK = 0x35
    RETURN = 0x36
    IDENTIFICATION = 0x37
    BILL_TABLE = 0x41
    NAK = 0xFF


class Frame(NamedTuple):
    """One frame of either direction; `code` is the first byte of its data, which a reply with bare data has none of."""

    code: int
    data: bytes = b""


def encode(frame: Frame) -> bytes:
    """The bytes of a frame on the line. Raises ValueError when it would be longer than its length can say."""
    size = SHORTEST + len(frame.data)
    if size > LONGEST:
        raise ValueError(f"a frame of {size} bytes is longer than {LONGEST}")
    said = bytes((SYNC, BILL_VALIDATOR, size, frame.code)) + frame.data
    return said + kermit(said).to_bytes(2, "little")


def decoder() -> Scanner[Frame]:
    """Takes the frames of both directions out of one stream."""
    return Scanner(Framing(bytes((SYNC, BILL_VALIDATOR)), 3, _length, _read))


def _length(head: bytes) -> int:
    return head[2] if SHORTEST <= head[2] <= LONGEST else 0


def _read(line: bytes) -> Frame | None:
    return None if kermit(line) else Frame(line[3], line[4:-2])  # a message with its own CRC behind it leaves no remainder
