"""Modbus RTU, as far as an observer needs it: reading registers. Frames and their CRC are pymodbus's.

    request    unit u8 | function u8 | address u16 | count u16 | CRC-16/MODBUS, low byte first
    answer     unit | function | bytes u8 | registers, big endian | CRC          or  unit | function + 80 | code | CRC

Source: Modbus application protocol 1.1b3 and Modbus over serial line 1.02.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from agent.wire.frames import BadFrame

HOLDING, INPUT = 3, 4  # functions that read; all others write, or do something
READS = frozenset({HOLDING, INPUT})
REQUEST_SIZE = 8
COUNT_LIMIT = 125  # registers in one answer
UNITS = range(1, 248)
ERROR = 0x80
CODES = {1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", 5: "acknowledge", 6: "busy"}

_framer = FramerRTU(DecodePDU(False))


class Registers(NamedTuple):
    """What was read, two bytes a register, as they came."""

    data: bytes


class Refusal(NamedTuple):
    """The device answers with an exception."""

    code: int

    def __str__(self) -> str:
        return CODES.get(self.code, f"exception {self.code}")


def request(unit: int, function: int, address: int, count: int) -> bytes:
    """A request to read registers. Raises ValueError for what is none."""
    if function not in READS or unit not in UNITS or not 0 < count <= COUNT_LIMIT or not 0 <= address <= 0x10000 - count:
        raise ValueError(f"unit {unit}, function {function}, {count} registers from {address}: nothing that can be read")
    kind = ReadInputRegistersRequest if function == INPUT else ReadHoldingRegistersRequest
    return _framer.buildFrame(kind(address=address, count=count, dev_id=unit))


def is_read(data: bytes) -> bool:
    """Whether this is one whole request to read registers."""
    if len(data) != REQUEST_SIZE or data[1] not in READS:
        return False
    address, count = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
    try:
        return request(data[0], data[1], address, count) == data
    except ValueError:
        return False


def reader(asked: bytes) -> Callable[[bytes], Registers | Refusal | None]:
    """Takes the answer to that request out of what came. Bytes before it are noise, or the tail of another's."""
    unit, function, size = asked[0], asked[1], 2 * int.from_bytes(asked[4:6], "big")
    good, refused = bytes((unit, function, size)), bytes((unit, function | ERROR))

    def read(heard: bytes) -> Registers | Refusal | None:
        wrong = False
        for head, length in ((good, size + 5), (refused, 5)):
            at = heard.find(head)
            while at >= 0:
                frame = heard[at : at + length]
                if len(frame) == length and _intact(frame):
                    return Registers(frame[3:-2]) if head == good else Refusal(frame[2])
                wrong |= len(frame) == length
                at = heard.find(head, at + 1)
        if len(heard) < size + 5:
            return None  # a refusal is shorter, but nothing else of ours is
        raise BadFrame("crcErrors") if wrong else BadFrame("garbageBytes", len(heard))

    return read


def _intact(frame: bytes) -> bool:
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))
