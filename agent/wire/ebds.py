"""EBDS, the line of MEI's and CPI's note acceptors: 9600 baud, 7 data bits, even parity. Bit 7 of a byte is never used.

    02 | length of the whole frame | type << 4 | device << 1 | ack | data | 03 | XOR of length to the last of the data

The controller's omnibus command (type 1) is poll, configuration and order at once, and its changing `ack` bit acknowledges
the last reply: it can only be listened to. The acceptor's omnibus reply (type 2) says everything in six bytes of flags. The
type tells who spoke.

An XOR is a weak check: of frames with several wrong bytes one in 128 passes. Who uses a reply looks whether it makes sense,
and waits for the same again.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from functools import reduce
from operator import xor
from typing import NamedTuple

from agent.wire.scan import Framing, Scanner

STX, ETX = 0x02, 0x03
OVERHEAD = 5  # bytes of a frame beside its data
LONGEST = 64  # bytes of a frame; none that the specification of the omnibus knows has more


class FrameType(IntEnum):
    """Who speaks, and of what."""

    COMMAND = 1  # omnibus, from the controller
    REPLY = 2  # omnibus, from the acceptor
    CALIBRATE = 4
    DOWNLOAD = 5
    AUXILIARY = 6  # serial number, audit
    EXTENDED = 7


DATA = {FrameType.COMMAND: 3, FrameType.REPLY: 6}
"""Bytes of data of the frames whose length is fixed. One that says another length is no frame: it would swallow the next."""


class Reply(IntFlag):
    """The flags of an omnibus reply: bytes 0 to 3 of its data, seven bits each, byte 0 lowest.

    None of the first seven: out of service.
    """

    IDLING = 1 << 0
    ACCEPTING = 1 << 1
    ESCROWED = 1 << 2
    STACKING = 1 << 3
    STACKED = 1 << 4
    RETURNING = 1 << 5
    RETURNED = 1 << 6
    CHEATED = 1 << 7
    REJECTED = 1 << 8
    JAMMED = 1 << 9
    STACKER_FULL = 1 << 10
    CASSETTE_ATTACHED = 1 << 11
    PAUSED = 1 << 12
    CALIBRATING = 1 << 13
    POWER_UP = 1 << 14
    INVALID_COMMAND = 1 << 15
    FAILURE = 1 << 16
    NOTE_VALUE = 0b111 << 17
    TRANSPORT_OPEN = 1 << 20
    STALLED = 1 << 21
    FLASH_DOWNLOAD = 1 << 22
    PRE_STACK = 1 << 23
    RAW_BARCODE = 1 << 24
    CAPABILITIES = 1 << 25
    DISABLED = 1 << 26


ACTIVITY = Reply(0x7F)  # byte 0: what it is doing


class Frame(NamedTuple):
    """One frame. `ack` alternates with each new message; the same again is the same message again."""

    type: FrameType
    ack: int
    data: bytes
    device: int = 0


def encode(frame: Frame) -> bytes:
    """The bytes of a frame on the line. Raises ValueError for data that seven bits, or the frame's type, do not carry."""
    size = OVERHEAD + len(frame.data)
    if size > LONGEST or any(byte > 0x7F for byte in frame.data):
        raise ValueError(f"the data of a frame is at most {LONGEST - OVERHEAD} bytes of seven bits")
    if len(frame.data) != DATA.get(frame.type, len(frame.data)):
        raise ValueError(f"the data of {frame.type.name} is {DATA[frame.type]} bytes, not {len(frame.data)}")
    said = bytes((size, frame.type << 4 | frame.device << 1 | frame.ack)) + frame.data
    return bytes((STX,)) + said + bytes((ETX, reduce(xor, said)))


def decoder() -> Scanner[Frame]:
    """Takes the frames of both directions out of one stream."""
    return Scanner(Framing(bytes((STX,)), 3, _length, _read))


def _length(head: bytes) -> int:
    size, type_ = head[1], head[2] >> 4
    if not OVERHEAD <= size <= LONGEST or type_ not in _TYPES:
        return 0
    return size if size - OVERHEAD == DATA.get(_TYPES[type_], size - OVERHEAD) else 0


_TYPES = {int(each): each for each in FrameType}


def _read(line: bytes) -> Frame | None:
    if line[-2] != ETX or not line.isascii() or reduce(xor, line[1:-2]) != line[-1]:
        return None
    return Frame(_TYPES[line[2] >> 4], line[2] & 1, line[3:-2], line[2] >> 1 & 0b111)


def flags(data: bytes) -> Reply:
    """The flags of an omnibus reply's data."""
    return Reply(data[0] | data[1] << 7 | data[2] << 14 | data[3] << 21)


EXTENDED_REPLIES = {0x01: 35, 0x02: 25}
"""What an acceptor answers in the place of an omnibus reply, where its controller wants bar codes or notes by currency and value.

Subtype -> bytes of data: the subtype, the six of an omnibus reply, then what is extended. A command has others.
"""


def reply_in(frame: Frame) -> Frame | None:
    """The omnibus reply that a frame is, or that it begins with; None when the acceptor did not say it."""
    if frame.type is FrameType.REPLY:
        return frame
    if frame.type is FrameType.EXTENDED and EXTENDED_REPLIES.get(frame.data[0] if frame.data else -1) == len(frame.data):
        return Frame(FrameType.REPLY, frame.ack, frame.data[1:7], frame.device)
    return None


def reply(flags_: Reply, model: int = 0x54, revision: int = 0x15) -> bytes:
    """The data of an omnibus reply."""
    return bytes((flags_ >> shift) & 0x7F for shift in (0, 7, 14, 21)) + bytes((model, revision))


def note_value(flags_: Reply) -> int:
    """Which of the seven values the note in question has; 0: none is known."""
    return (flags_ & Reply.NOTE_VALUE) >> 17
