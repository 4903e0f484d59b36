"""Puloon LCDM-1000 and LCDM-2000 note dispensers, as far as an observer needs them: what the dispenser answers.

    command    EOT ID STX CMD data ETX BCC        BCC: XOR of EOT to ETX
    response   SOH ID STX CMD data ETX BCC        BCC: XOR of SOH to ETX

The host sends a command, the device ACK and the response, the host ACK. Sources: Interface Specification LCDM-1000T V3.3T
(2005-09); for the LCDM-2000 its published drivers. Commands that move notes are not here: nothing could send them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from operator import xor
from typing import NamedTuple

from agent.wire.frames import BadFrame

SOH, STX, ETX, EOT, ACK, NCK, ID = 0x01, 0x02, 0x03, 0x04, 0x06, 0x15, 0x50
PURGE, UPPER, STATUS, ROM, LOWER, BOTH, TEST_UPPER, TEST_LOWER = 0x44, 0x45, 0x46, 0x47, 0x55, 0x56, 0x76, 0x77

DISPENSES = frozenset({UPPER, LOWER, BOTH, TEST_UPPER, TEST_LOWER})

# bytes of data in the response to each command
SIZES = {PURGE: 1, UPPER: 8, STATUS: 4, ROM: 8, LOWER: 8, BOTH: 15, TEST_UPPER: 8, TEST_LOWER: 8}
OVERHEAD = 6  # bytes of a response beside its data


def _command(command: int) -> bytes:
    body = bytes((EOT, ID, STX, command, ETX))
    return body + bytes((reduce(xor, body),))


ASK_STATUS, ASK_ROM = _command(STATUS), _command(ROM)
ACKNOWLEDGE = bytes((ACK,))
REQUESTS = frozenset({ASK_STATUS, ASK_ROM, ACKNOWLEDGE})  # that move nothing and change nothing


class Response(NamedTuple):
    """What the device answered to a command."""

    command: int
    data: bytes


def _whole(frame: bytes) -> Response | None:
    if reduce(xor, frame) != 0 or frame[-2] != ETX:
        return None
    return Response(frame[3], frame[4:-2])


def reader(command: int) -> Callable[[bytes], Response | None]:
    """Takes the response to that command out of what came; the ACK before it, and noise, are passed over."""
    head, length = bytes((SOH, ID, STX, command)), SIZES[command] + OVERHEAD

    def read(heard: bytes) -> Response | None:
        start = heard.find(head)
        if start < 0 or len(heard) < start + length:
            if len(heard) > 4 * length:
                raise BadFrame("garbageBytes", len(heard))
            return None
        response = _whole(heard[start : start + length])
        if response is None:
            raise BadFrame("crcErrors")
        return response

    return read


class Decoder:
    """Responses out of the stream that a device sends, whatever the chunks. Holds at most one frame's bytes."""

    def __init__(self) -> None:
        self.held = b""
        self.frames = self.crc_errors = self.garbage_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[Response]:
        """Each response that `chunk` completes. ACK and NCK between them are no garbage."""
        stream, at = self.held + chunk, 0
        while at < len(stream):
            size = _size(stream[at : at + 4])
            if size is None:
                self.garbage_bytes += stream[at] not in (ACK, NCK)
                at += 1
                continue
            if len(stream) < at + size:
                break
            response = _whole(stream[at : at + size])
            if response is None:
                self.crc_errors += 1
                at += 1
                continue
            self.frames += 1
            at += size
            yield response
        self.held = stream[at:]


def _size(head: bytes) -> int | None:
    """The length of the response that begins so, 1 or more while that is not known yet; None when none does."""
    if not head.startswith(bytes((SOH, ID, STX))[: len(head)]):
        return None
    if len(head) < 4:
        return len(head) + 1
    return SIZES[head[3]] + OVERHEAD if head[3] in SIZES else None


RANGE = range(0x30, 0x80)
"""Of an error byte. Later firmware has more of them than the table below."""
ERRORS = {
    0x30: "good", 0x31: "normal stop", 0x32: "pickup error", 0x33: "jam at CHK1,2", 0x34: "overflow bill",
    0x35: "jam at EXIT or EJT", 0x36: "jam at DIV", 0x37: "undefined command", 0x38: "upper bill end",
    0x3A: "counting error CHK3,4-DIV", 0x3B: "note request error", 0x3C: "counting error DIV-EJT",
    0x3D: "counting error EJT-EXIT", 0x3F: "reject tray not recognized", 0x40: "lower bill end", 0x41: "motor stop",
    0x42: "jam at DIV", 0x43: "timeout DIV-EJT", 0x44: "over reject", 0x45: "upper cassette not recognized",
    0x46: "lower cassette not recognized", 0x47: "dispensing timeout", 0x48: "jam at EJT",
    0x49: "diverter solenoid or SOL sensor", 0x4A: "SOL sensor", 0x4B: "counting error CHK-DIV", 0x4C: "jam at CHK3,4",
    0x4E: "purge error (jam at DIV)", 0x4F: "bill at a sensor of another cassette", 0x50: "timeout CHK-DIV",
}  # fmt: skip


class Status(NamedTuple):
    """What STATUS says. What a model has no sensor for is None."""

    error: int
    path: bool  # something covers a sensor between cassette and exit
    exit: bool  # something covers the sensor at the exit
    upper_low: bool
    upper_missing: bool | None
    lower_low: bool | None
    lower_missing: bool | None
    tray_missing: bool | None


def status(data: bytes, model: int | None) -> Status | None:
    """The four bytes of STATUS of an LCDM-`model` (1000, 2000, None: not known, then the second register is not read).

    None when they break the form: the first byte is 30, bit 7 of the first register is set, the error is of their range.
    """
    first, error, s0, s1 = data
    if first != 0x30 or error not in RANGE or not s0 & 0x80:
        return None
    exit_, low = bool(s0 & 0x20), bool(s0 & 0x40)
    if model == 1000:
        return Status(error, bool(s0 & 0x1F), exit_, low, bool(s1 & 2), None, None, bool(s1 & 1))
    if model == 2000:
        path = bool(s0 & 0x1F or s1 & 0x18)
        return Status(error, path, exit_, low, bool(s1 & 2), bool(s1 & 0x20), bool(s1 & 4), bool(s1 & 0x40))
    return Status(error, bool(s0 & 0x1F), exit_, low, None, None, None, None)


def model_of(data: bytes) -> int | None:
    """The model behind the eight bytes of ROM: O16T is an LCDM-1000, T20T an LCDM-2000."""
    if len(data) != 8 or not data[1:3].isdigit() or data[3:4] != b"T":
        return None
    return {0x4F: 1000, 0x54: 2000}.get(data[0])


class Dispensed(NamedTuple):
    """What one cassette gave in one dispense: notes past the check sensor, out at the exit, into the reject tray."""

    lower: bool
    checked: int
    exited: int
    rejected: int
    low: bool


def dispensed(response: Response) -> tuple[int, tuple[Dispensed, ...]] | None:
    """The error and the counts of a dispense; None when it is none, or breaks its form."""
    command, data = response
    if command not in DISPENSES:
        return None
    if command == BOTH:
        error = data[8]
        found = [(False, data[0:4] + data[11:13], data[9]), (True, data[4:8] + data[13:15], data[10])]
    else:
        error = data[4]
        found = [(command in (LOWER, TEST_LOWER), data[0:4] + data[6:8], data[5])]
    if error not in RANGE or not all(digits.isdigit() for _, digits, _ in found):
        return None
    parts = tuple(
        Dispensed(lower, int(digits[0:2]), int(digits[2:4]), int(digits[4:6]), near == 0x31) for lower, digits, near in found
    )
    if any(each.exited > each.checked for each in parts):
        return None
    return error, parts
