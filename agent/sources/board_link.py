"""The gateway's end of the board link as a state machine: bytes and times in, Readings out. No I/O, no clock.

Every method is handed the time twice: `at`, seconds since the epoch, is what Readings are stamped with and may step; `mono`,
seconds of the loop's clock, measures silence and never does. The specification is docs/board-link.md.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping

from agent.records import Reading
from agent.sources import Context, Given, Position
from agent.sources.board_events import SEQ_HALF, SEQ_WRAP, Events
from agent.sources.board_values import BoardValues
from agent.sources.health import Health
from agent.wire.board import Decoder, Frame, FrameType, Key, boot_of, encode, text_of

HELLO_EVERY = 10.0  # s, until the board has introduced itself, and while it is silent (docs/board-link.md, 7)
HELLO_LEAST = 1.0  # s between two, however often a board seems to start
NOTHING_HEARD = "nothing comes from the board: check its power, the cable, and that TX and RX are crossed"
NOTHING_UNDERSTOOD = (
    "bytes come, but no intact frame: check speed and character of the line (here {line}), its ground, and the firmware"
)
HELLO = b"\0" + encode(Frame(FrameType.HELLO, 0, 0, {}))  # the zero ends whatever noise stood on the line before
_LONG_NUMBER = re.compile(r"\d{13,}")  # as long as a card's; nothing of a line may bring one into a log

log = logging.getLogger(__name__)


def ack(seq: int, boot: int) -> bytes:
    """The acknowledgement of one EVENT, as it goes over the line."""
    return b"\0" + encode(Frame(FrameType.ACK, seq, 0, {Key.BOOT: boot}))


def may_send(data: bytes) -> bool:
    """The allow-list of this driver: a HELLO or the ACK of an EVENT, whole, and not one byte more."""
    if data == HELLO:
        return True
    frames = Decoder().feed(data)
    if len(frames) != 1 or frames[0].type is not FrameType.ACK:
        return False
    boot = boot_of(frames[0])
    return boot is not None and data == ack(frames[0].seq, boot)


class BoardLink:
    """One board behind one line, over its restarts and those of the line."""

    def __init__(
        self,
        context: Context,
        values: BoardValues,
        send: Callable[[bytes], object],
        silent_after: float,
        line: str = "115200 8N1",
        position: Position | None = None,
    ) -> None:
        self._name = context.name
        self._values = values
        self._send = send
        self._silent_after = silent_after
        self._line = line
        self._decoder = Decoder()
        self._health = Health(context, self._counters)
        self._reconnects = self._lost = self._unusable = 0
        self._events = Events(context.name, values, lambda seq, boot: send(ack(seq, boot)), position)
        self.identity = ""
        self._trip: float | None = None  # s from a HELLO to its answer
        self._boot: int | None = None
        self._introduced = False
        self._seq: int | None = None  # of the last frame that was no EVENT
        self._dropped: int | None = None  # EVENTs that the board had given up at its last HEARTBEAT
        self._open = False
        self._heard = self._asked = float("-inf")
        self._unread = 0  # bytes since the last frame of the board

    # What happens on the line -----------------------------------------------------------------------------------------------

    def opened(self, again: int, at: float, mono: float) -> list[Given]:
        """The line is open, for the nth time after the first. Asks the board who it is."""
        self._open = True
        self._reconnects = again
        self._heard = mono
        self._unread = 0
        self._introduced = False
        self._ask(mono, every=0.0)
        return self.tick(at, mono)

    def lost(self, word: str, why: str, at: float, mono: float) -> list[Given]:
        """The line cannot be opened, or is gone. What the board had begun to say is over."""
        given = self._frames(b"\0", at, mono) if self._open else []
        self._open = False
        self._health.turn(word, why)
        return given + self.tick(at, mono)

    def received(self, chunk: bytes, at: float, mono: float) -> list[Given]:
        """Whatever arrived; empty when nothing did."""
        given = self._frames(chunk, at, mono) if chunk else []
        return given + self.tick(at, mono)

    def tick(self, at: float, mono: float) -> list[Given]:
        """To be called every second or so: silence, and what the source says about itself."""
        given = list(self._events.overdue(mono))
        silent = mono - self._heard >= self._silent_after
        if self._open and silent:
            self._health.turn("silent", (NOTHING_UNDERSTOOD if self._unread else NOTHING_HEARD).format(line=self._line))
        if self._open and (silent or not self._introduced):
            self._ask(mono, HELLO_EVERY)
        readings = self._health.due(at, mono)
        if readings:
            given.append(Given(readings))
        return given

    def acknowledge(self, position: Position) -> None:
        """Tell the board that the EVENT of this position is on disk."""
        self._events.acknowledge(position)

    # Frames -----------------------------------------------------------------------------------------------------------------

    def _frames(self, chunk: bytes, at: float, mono: float) -> list[Given]:
        """What the frames of a chunk give: all Readings that need no acknowledgement together, EVENTs one by one between."""
        self._unread += len(chunk)
        given: list[Given] = []
        readings: list[Reading] = []
        for frame in self._decoder.feed(chunk):
            boot, type_ = boot_of(frame), frame.type
            if boot is None or type_ is FrameType.ACK:
                self._unusable += 1  # off the specification, or our own words as an echo
                continue
            self._unread = 0
            first = self._meet(boot, type_, mono) if boot != self._boot else []
            if type_ is FrameType.EVENT:
                first += self._events.receive(frame, at, mono)
            else:
                self._count(frame.seq)
                first += self._events.tell_time(frame.uptime, at)
            if first:
                given += [Given(readings), *first] if readings else first
                readings = []
            if type_ is FrameType.READING:
                readings += self._values.readings(frame, at)
            elif type_ is not FrameType.EVENT:
                self._about_itself(frame, mono)
        if readings:
            given.append(Given(readings))
        if not self._unread:
            self._heard = mono
            self._health.turn("ok")
        return given

    def _meet(self, boot: int, type_: FrameType, mono: float) -> list[Given]:
        """The board has started, or the agent has."""
        if self._boot is not None:
            log.info("source %s: the board has started anew", self._name)
        self._boot = boot
        self._seq = None
        self._introduced = False
        known, given = self._events.meet(boot)
        self._dropped = None if known else 0  # None: the agent's life before has counted them
        if type_ is not FrameType.HELLO:
            self._ask(mono, HELLO_LEAST)
        return given

    def _count(self, seq: int) -> None:
        """A frame that is sent once shows whether one before it was lost."""
        if self._seq is not None:
            gap = (seq - self._seq - 1) % SEQ_WRAP
            self._lost += gap if gap < SEQ_HALF else 0  # the other half stands for a frame that came twice
        self._seq = seq

    def _about_itself(self, frame: Frame, mono: float) -> None:
        if frame.type is FrameType.HEARTBEAT:
            self._heartbeat(frame)
        elif not self._introduced:
            self._introduce(frame, mono)

    def _introduce(self, frame: Frame, mono: float) -> None:
        self._introduced = True
        name, firmware = (_LONG_NUMBER.sub("(number)", text_of(frame, key)) for key in (Key.SERIAL, Key.FIRMWARE))
        self.identity = f"board {name or 'without a name'}, firmware {firmware or 'unknown'}"
        self._trip = round(mono - self._asked, 4)
        log.info("source %s: %s", self._name, self.identity)

    def _heartbeat(self, frame: Frame) -> None:
        dropped = frame.payload.get(Key.DROPPED)
        if type(dropped) is not int or not 0 <= dropped < 2**32:
            return
        if self._dropped is not None and dropped > self._dropped:
            self._lost += dropped - self._dropped
            log.warning("source %s: the board gave up events that nobody acknowledged in time", self._name)
        self._dropped = dropped

    # What the source says and asks ------------------------------------------------------------------------------------------

    def _ask(self, mono: float, every: float) -> None:
        if mono - self._asked >= every:
            self._asked = mono
            self._send(HELLO)

    def _counters(self) -> Mapping[str, float]:
        trip = {} if self._trip is None else {"roundTrip": self._trip}
        return trip | {
            "frames": self._decoder.frames,
            "crcErrors": self._decoder.crc_errors,
            "garbageBytes": self._decoder.garbage_bytes,
            "unknown": self._decoder.unknown + self._values.unknown + self._unusable,
            "lost": self._lost,
            "reconnects": self._reconnects,
        }
