"""ccTalk: coin hoppers and note validators on one wire. Both kinds of check; frames out of a stream, or the answer to a request.

    8-bit check    dst | len | src | header | data 0..252 | check      all bytes sum to 0 modulo 256
    16-bit check   dst | len | crc low | header | data | crc high      CRC-16/XMODEM over dst, len, header, data

Sources: the Kotlin library ccTalk of Kosta-Git (packet tests), header and event tables of ccTalk-HLA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from agent.wire import crc
from agent.wire.frames import BadFrame

Check: TypeAlias = Literal["sum", "crc16"]

HOST = 1
OVERHEAD = 5  # bytes of a frame beside its data
DATA_LIMIT = 252
ACK, NAK, BUSY = 0, 5, 6  # headers of an answer; one with data has header 0 too

# headers of requests; these carry no data and change nothing
MANUFACTURER, PRODUCT, SOFTWARE = 246, 244, 241
SELF_CHECK, LEVELS, DISPENSED, STATUS, TEST, BILL_EVENTS = 232, 217, 168, 166, 163, 159


class Frame(NamedTuple):
    """One frame. With a 16-bit check nobody says who sent it: `src` is None."""

    dst: int
    src: int | None
    header: int
    data: bytes = b""


class Refused(NamedTuple):
    """The device answered NAK, or BUSY."""

    header: int


def encode(dst: int, header: int, data: bytes = b"", src: int = HOST, check: Check = "sum") -> bytes:
    """The bytes of a frame. Raises ValueError when the data is longer than allowed."""
    if len(data) > DATA_LIMIT:
        raise ValueError(f"{len(data)} bytes are more than the {DATA_LIMIT} of a ccTalk frame")
    if check == "sum":
        body = bytes((dst, len(data), src, header)) + data
        return body + bytes((-sum(body) % 256,))
    number = crc.xmodem(bytes((dst, len(data), header)) + data)
    return bytes((dst, len(data), number & 0xFF, header)) + data + bytes((number >> 8,))


def _whole(frame: bytes, check: Check) -> Frame | None:
    """A frame of the right length, when its check is right."""
    dst, size, src, header = frame[:4]
    data = frame[4:-1]
    if check == "sum":
        return Frame(dst, src, header, data) if sum(frame) % 256 == 0 else None
    number = crc.xmodem(bytes((dst, size, header)) + data)
    return Frame(dst, None, header, data) if (src, frame[-1]) == (number & 0xFF, number >> 8) else None


def reader(unit: int, check: Check, size: int | None = None) -> Callable[[bytes], Frame | Refused | None]:
    """Takes the answer of `unit` out of what came; `size`: bytes of data that it must have."""

    def read(heard: bytes) -> Frame | Refused | None:
        if len(heard) < 2 or len(heard) < heard[1] + OVERHEAD:
            return None
        length = heard[1] + OVERHEAD
        frame = _whole(heard[:length], check)
        if frame is None:
            raise BadFrame("crcErrors")
        if frame.dst != HOST or frame.src not in (unit, None):
            raise BadFrame("unknown")
        if frame.header in (NAK, BUSY):
            return Refused(frame.header)
        if frame.header != ACK or (size is not None and len(frame.data) != size):
            raise BadFrame("unknown")
        return frame

    return read


class Decoder:
    """Frames of both directions out of a stream of bytes, whatever the chunks. Holds at most one frame's bytes."""

    def __init__(self, check: Check) -> None:
        self._check: Check = check
        self.held = b""
        self.frames = 0
        self.garbage_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Each frame that `chunk` completes. A byte that begins none is skipped and counted."""
        stream, at = self.held + chunk, 0
        while len(stream) - at >= 2 and len(stream) - at >= (length := stream[at + 1] + OVERHEAD):
            frame = _whole(stream[at : at + length], self._check)
            if frame is None:
                self.garbage_bytes += 1
                at += 1
            else:
                self.frames += 1
                at += length
                yield frame
        self.held = stream[at:]

    def pause(self) -> Iterator[Frame]:
        """Nothing came for longer than a frame may pause: what waits for its end never gets it."""
        while self.held:
            self.garbage_bytes += 1
            self.held = self.held[1:]
            yield from self.feed(b"")


_TEST = (
    ("maxCurrent", "payoutTimeout", "motorReversed", "optoBlocked", "optoShort", "optoBlockedPayout", "powerUp", "disabled"),
    ("optoShortPayout", "singleCoin", "useOther", "fingerMismatch", "reverseLimit", "coilFault", "writePower", "pinMode"),
    ("powerDown", "unknownCoin", "pinWrong", "cipherWrong", "encrypted"),
)  # fmt: skip


def hopper_flags(data: bytes) -> frozenset[str]:
    """The flags that a hopper's `TEST` answers with: one to three registers."""
    pairs = zip(data, _TEST, strict=False)
    return frozenset(name for byte, names in pairs for bit, name in enumerate(names) if byte >> bit & 1)


class BillEvents(NamedTuple):
    """The last five events, the newest first, and the number of the newest: 0 after a reset, then 1 to 255 for ever."""

    counter: int
    events: tuple[tuple[int, int], ...]


def bill_events(data: bytes) -> BillEvents:
    """Of eleven bytes: the counter and five pairs."""
    return BillEvents(data[0], tuple(zip(data[1::2], data[2::2], strict=True)))


def events_since(last: int, counter: int) -> int:
    """How many events happened between two counters; after 255 comes 1."""
    if counter in (0, last):
        return 0
    return counter if last == 0 else (counter - last) % 255
