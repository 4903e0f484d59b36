"""ID-003, the line of JCM's note acceptors: 9600 baud, 8E1. The machine's controller asks, the acceptor answers.

    FC | length of the whole frame | code | data | CRC-16/KERMIT over all before it, low byte first

Both directions look alike, and share codes: 43 is "return the note" from the controller and "stacker full" from the acceptor. Who
spoke is told by turn, never by the frame.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from agent.wire.crc import kermit
from agent.wire.scan import Framing, Scanner

SYNC = 0xFC
SHORTEST, LONGEST = 5, 255  # bytes of a frame: without data; as much as the length can say


class Status(IntEnum):
    """What the acceptor says it is doing; the data that follows, if any, in parentheses."""

    IDLING = 0x11
    ACCEPTING = 0x12
    ESCROW = 0x13  # (denomination 61 to 68, 6F: bar code)
    STACKING = 0x14
    VEND_VALID = 0x15
    STACKED = 0x16
    REJECTING = 0x17  # (reason)
    RETURNING = 0x18
    HOLDING = 0x19
    DISABLED = 0x1A
    INITIALIZE = 0x1B
    POWER_UP = 0x40
    POWER_UP_BILL_IN_ACCEPTOR = 0x41
    POWER_UP_BILL_IN_STACKER = 0x42
    STACKER_FULL = 0x43
    STACKER_OPEN = 0x44
    JAM_IN_ACCEPTOR = 0x45
    JAM_IN_STACKER = 0x46
    PAUSE = 0x47
    CHEATED = 0x48
    FAILURE = 0x49  # (code)
    COMM_ERROR = 0x4A
    INVALID_COMMAND = 0x4B


class Command(IntEnum):
    """What the controller says. The agent reads these on the line and sends none."""

    STATUS_REQUEST = 0x11
    RESET = 0x40
    STACK_1 = 0x41
    STACK_2 = 0x42
    RETURN = 0x43
    HOLD = 0x44
    WAIT = 0x45
    ACK = 0x50
    GET_DENOMINATIONS = 0x80
    GET_SECURITY = 0x81
    GET_INHIBIT = 0x83
    GET_DIRECTION = 0x84
    GET_OPTIONS = 0x85
    VERSION = 0x88
    BOOT_VERSION = 0x89
    CURRENCY = 0x8A
    DENOMINATIONS = 0xC0
    SECURITY = 0xC1
    COMM_MODE = 0xC2
    INHIBIT = 0xC3
    DIRECTION = 0xC4
    OPTIONS = 0xC5


class Reject(IntEnum):
    """Why a note was given back."""

    INSERTION = 0x71
    MAGNETIC = 0x72
    BILL_REMAINING_IN_HEAD = 0x73
    COMPENSATION = 0x74
    CONVEYING = 0x75
    DENOMINATION = 0x76
    PHOTO_PATTERN_1 = 0x77
    PHOTO_LEVEL = 0x78
    INHIBIT = 0x79
    OPERATION = 0x7B
    BILL_REMAINING_IN_STACKER = 0x7C
    LENGTH = 0x7D
    PHOTO_PATTERN_2 = 0x7E
    TRUE_BILL_FEATURE = 0x7F


class Frame(NamedTuple):
    """One frame of either direction."""

    code: int
    data: bytes = b""


def encode(frame: Frame) -> bytes:
    """The bytes of a frame on the line. Raises ValueError when it would be longer than its length can say."""
    size = SHORTEST + len(frame.data)
    if size > LONGEST:
        raise ValueError(f"a frame of {size} bytes is longer than {LONGEST}")
    said = bytes((SYNC, size, frame.code)) + frame.data
    return said + kermit(said).to_bytes(2, "little")


def decoder() -> Scanner[Frame]:
    """Takes the frames of both directions out of one stream."""
    return Scanner(Framing(bytes((SYNC,)), 2, _length, _read))


def _length(head: bytes) -> int:
    return head[1] if head[1] >= SHORTEST else 0


def _read(line: bytes) -> Frame | None:
    return None if kermit(line) else Frame(line[2], line[3:-2])  # a message with its own CRC behind it leaves no remainder
