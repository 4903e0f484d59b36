"""The board link: what a sensor board and the gateway say to each other. The specification is docs/board-link.md.

    frame on the line   COBS( version u8 | type u8 | seq u16 | uptime u32 | payload | crc u16 ) 00
    payload             one CBOR map with integer keys

Numbers are big endian. Both directions use the same frame; the gateway only ever sends HELLO and ACK.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TypeAlias

import cbor2
from msgspec import Struct

from agent.wire import cobs, crc

VERSION = 1
MAX_DATA = 1024  # bytes of a frame before COBS: header, payload, CRC; what a small board can hold twice
MAX_ENCODED = MAX_DATA + MAX_DATA // 254 + 1
HEADER = struct.Struct(">BBHI")
CRC_BYTES = 2
MAX_DEPTH = 3  # a payload is a map that may hold one map or one list
MAX_WORD = 64  # characters of a text value

Scalar: TypeAlias = int | float | str | None


class FrameType(IntEnum):
    """The kind of a frame. READING, EVENT and HEARTBEAT come from the board alone, ACK from the gateway alone."""

    HELLO = 1
    READING = 2
    EVENT = 3
    HEARTBEAT = 4
    ACK = 5


class Key(IntEnum):
    """Keys of the payload map."""

    BOOT = 1  # u32, random, new at each start of the board
    VALUES = 2  # map: point code -> number, word or null
    FIRMWARE = 3  # text
    SERIAL = 4  # text
    POINTS = 5  # list of the point codes that are fitted
    HEARTBEAT = 6  # seconds between two heartbeats
    PENDING = 7  # events that wait for their ACK
    DROPPED = 8  # events that the board had to give up since it started


class Frame(Struct, frozen=True):
    """One frame. `seq` counts EVENTs on their own and all other frames of the board together; `uptime` is in milliseconds."""

    type: FrameType
    seq: int
    uptime: int
    payload: dict[int, object]


def encode(frame: Frame) -> bytes:
    """The bytes of a frame on the line, with the closing zero. Raises ValueError when it would be longer than allowed."""
    head = HEADER.pack(VERSION, frame.type, frame.seq & 0xFFFF, frame.uptime & 0xFFFFFFFF)
    data = head + cbor2.dumps(frame.payload)
    if len(data) + CRC_BYTES > MAX_DATA:
        raise ValueError(f"a frame of {len(data) + CRC_BYTES} bytes is longer than {MAX_DATA}")
    return cobs.encode(data + crc.ccitt_false(data).to_bytes(CRC_BYTES, "big")) + b"\0"


class Decoder:
    """Frames out of a stream of bytes, whatever the chunks. Counts what it skips; holds at most one frame's bytes."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._overlong = False
        self.frames = 0
        self.crc_errors = 0
        self.garbage_bytes = 0  # bytes that belonged to no frame: noise, half frames, frames beyond the bound
        self.unknown = 0  # intact frames of another version or type, or whose payload is not what the specification says

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes."""
        *blocks, rest = chunk.split(b"\0")
        if blocks and self._overlong:
            self._overlong = False
            self.garbage_bytes += len(blocks.pop(0)) + 1
        elif blocks and self._held:
            blocks[0] = bytes(self._held) + blocks[0]
            self._held.clear()
        frames = [frame for block in blocks if block and (frame := self._frame(block)) is not None]
        self.frames += len(frames)
        self._hold(rest)
        return frames

    def _hold(self, rest: bytes) -> None:
        if self._overlong or len(self._held) + len(rest) > MAX_ENCODED:
            self._overlong = True  # the next zero ends it; until then nothing of it is kept
            self.garbage_bytes += len(self._held) + len(rest)
            self._held.clear()
        else:
            self._held += rest

    def _frame(self, block: bytes) -> Frame | None:
        data = cobs.decode(block) if len(block) <= MAX_ENCODED else None
        if data is None or len(data) < HEADER.size + CRC_BYTES:
            self.garbage_bytes += len(block) + 1
            return None
        if crc.ccitt_false(data) != 0:  # a message followed by its own CRC leaves no remainder
            self.crc_errors += 1
            return None
        version, number, seq, uptime = HEADER.unpack_from(data)
        type_, payload = _TYPES.get(number), _payload(data[HEADER.size : -CRC_BYTES])
        if version != VERSION or type_ is None or payload is None:
            self.unknown += 1
            return None
        return Frame(type_, seq, uptime, payload)


_TYPES = {int(each): each for each in FrameType}


def _payload(data: bytes) -> dict[int, object] | None:
    try:
        payload = cbor2.loads(data, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False)
    except cbor2.CBORDecodeError:
        return None
    if not isinstance(payload, dict):
        return None
    for key in payload:
        if type(key) is not int:  # a bool is none
            return None
    return payload


_BOOT = int(Key.BOOT)


def boot_of(frame: Frame) -> int | None:
    """The board's boot id, when the payload carries a usable one."""
    boot = frame.payload.get(_BOOT)
    return boot if type(boot) is int and 0 <= boot < 2**32 else None


def values_of(frame: Frame) -> dict[int, Scalar] | None:
    """Point code -> value of a READING or EVENT; None when the payload is not such a map."""
    values = frame.payload.get(Key.VALUES)
    if not isinstance(values, dict):
        return None
    for code, value in values.items():
        if type(code) is not int or not (value is None or type(value) in (int, float, str)):
            return None
        if type(value) is str and len(value) > MAX_WORD:
            return None
    return values


def text_of(frame: Frame, key: Key) -> str:
    """A text of the payload, cut to a bound and without control characters; empty when there is none."""
    text = frame.payload.get(key)
    return "".join(filter(str.isprintable, text[:MAX_WORD])) if isinstance(text, str) else ""
