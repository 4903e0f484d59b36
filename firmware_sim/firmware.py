"""The program of the sensor board: docs/board-link.md as a pure state machine. Bytes and the time in, bytes out.

`now` is line time, seconds of the real clock: timers of the protocol run on it. The world runs on its own time; `Pace` joins
the two, so that a week can be seen in minutes while a lost frame is still resent after half a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import cbor2

from agent.records import Value
from agent.wire.board import CRC_BYTES, HEADER, MAX_DATA, Decoder, Frame, FrameType, Key, boot_of, encode
from agent.wire.board_points import POINTS
from firmware_sim.board import PERIOD, Board, Edge

FIRMWARE = "sim 1.0"
HEARTBEAT = 5.0  # s of line time
ANSWER_DELAY = 0.005  # s that the board takes to answer a HELLO
RESEND_FIRST, RESEND_LIMIT = 0.5, 5.0  # s; a gateway answers after its disk has, and a disk can take a second
WINDOW = 8  # EVENTs on the line without an ACK
QUEUE = 256  # EVENTs that wait for their turn; the oldest goes first when there are more
SHORTEST_PERIOD = 0.1  # s of line time between two samples
CODES = {name: code for code, name in POINTS.items()}
ROOM = MAX_DATA - HEADER.size - CRC_BYTES - 16  # for values; boot id, keys and map heads take up to 16 bytes


@dataclass(frozen=True, slots=True)
class Pace:
    """The world showed `start` when the real clock showed `anchor`, and runs `speed` times as fast. Seconds since the epoch."""

    start: float
    anchor: float
    speed: float = 1.0

    def world(self, real: float) -> float:
        """World time at the real time `real`."""
        return self.start + (real - self.anchor) * self.speed

    def real(self, world: float) -> float:
        """Real time at the world time `world`."""
        return self.anchor + (world - self.start) / self.speed

    @property
    def period(self) -> float:
        """World seconds between two samples: at least one of the world, and never so short that the line overflows."""
        return max(PERIOD, SHORTEST_PERIOD * self.speed)


class Out(NamedTuple):
    """Bytes for the line, `delay` seconds from now. Everything but an EVENT may be lost without being sent again."""

    delay: float
    data: bytes
    type: FrameType


@dataclass(slots=True)
class _Sent:
    data: bytes
    wait: float
    again_at: float


class Firmware:
    """One end of the board link. Call `tick` at `next_at` or later, and `on_bytes` with whatever the gateway sent."""

    def __init__(self, board: Board, pace: Pace) -> None:
        self._board = board
        self._pace = pace
        self._decoder = Decoder()
        self._start()

    def _start(self) -> None:
        self._starts = self._board.starts
        self._event_seq = 0
        self._other_seq = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._sent: dict[int, _Sent] = {}
        self._dropped = 0
        self._heartbeat_at: float | None = None  # None: HELLO is still to be said

    @property
    def pending(self) -> int:
        """EVENTs that are not acknowledged yet."""
        return len(self._waiting) + len(self._sent)

    @property
    def dropped(self) -> int:
        """EVENTs that were given up since the board started."""
        return self._dropped

    @property
    def next_at(self) -> float:
        """Line time of the next `tick` that has something to do."""
        real = self._pace.real(self._board.next_at)
        if not self._board.on:
            return real
        if self._heartbeat_at is None:
            return self._pace.real(self._board.world.now)
        resend = min((sent.again_at for sent in self._sent.values()), default=inf)
        return min(real, resend, self._heartbeat_at)

    def tick(self, now: float) -> list[Out]:
        """Let the world go on to `now`; everything that the board has to say by then."""
        return list(self._tick(now))

    def _tick(self, now: float) -> Iterator[Out]:
        board = self._board
        for item in board.run_to(max(self._pace.world(now), board.world.now)):
            if board.starts != self._starts:
                self._start()
            if self._heartbeat_at is None:
                yield self._hello(now)
            codes = dict(sorted((CODES[name], value) for name, value in item.values.items()))
            if isinstance(item, Edge):
                for part in split(codes):
                    self._queue(item.uptime, part)
            else:
                for part in split(codes):
                    yield self._other(FrameType.READING, item.uptime, {Key.VALUES: part})
        if not board.on:
            self._waiting.clear()
            self._sent.clear()
            return
        yield from self._timers(now)

    def _timers(self, now: float) -> Iterator[Out]:
        if self._heartbeat_at is None:
            yield self._hello(now)
        assert self._heartbeat_at is not None
        for sent in self._sent.values():
            if now >= sent.again_at:
                sent.wait = min(2 * sent.wait, RESEND_LIMIT)
                sent.again_at = now + sent.wait
                yield Out(0.0, sent.data, FrameType.EVENT)
        yield from self._fill_window(now)
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT
            counts: dict[int, object] = {Key.PENDING: self.pending, Key.DROPPED: self._dropped}
            yield self._other(FrameType.HEARTBEAT, self._uptime(), counts)

    def on_bytes(self, data: bytes, now: float) -> list[Out]:
        """What the gateway sent. Answers, together with everything that `tick` would give at `now`."""
        out = self.tick(now)
        if not self._board.on:
            return out
        for frame in self._decoder.feed(data):
            if frame.type is FrameType.HELLO:
                out.append(self._hello(now)._replace(delay=ANSWER_DELAY))
                for sent in self._sent.values():  # the gateway may just have started: it knows none of them
                    sent.wait, sent.again_at = RESEND_FIRST, now + RESEND_FIRST
                    out.append(Out(ANSWER_DELAY, sent.data, FrameType.EVENT))
            elif frame.type is FrameType.ACK and boot_of(frame) == self._board.boot:
                self._sent.pop(frame.seq, None)
                out.extend(self._fill_window(now))
        return out

    def _fill_window(self, now: float) -> Iterator[Out]:
        while self._waiting and len(self._sent) < WINDOW:
            seq, data = self._waiting.popleft()
            self._sent[seq] = _Sent(data, RESEND_FIRST, now + RESEND_FIRST)
            yield Out(0.0, data, FrameType.EVENT)

    def _queue(self, uptime: int, values: Mapping[int, Value]) -> None:
        frame = Frame(FrameType.EVENT, self._event_seq, uptime, {Key.BOOT: self._board.boot, Key.VALUES: values})
        self._waiting.append((self._event_seq, on_line(frame)))
        self._event_seq = (self._event_seq + 1) & 0xFFFF
        if len(self._waiting) > QUEUE:
            self._waiting.popleft()
            self._dropped += 1

    def _hello(self, now: float) -> Out:
        if self._heartbeat_at is None:
            self._heartbeat_at = now + HEARTBEAT
        payload: dict[int, object] = {
            Key.FIRMWARE: FIRMWARE,
            Key.SERIAL: f"SIM-{self._board.world.seed:08d}",
            Key.POINTS: sorted(CODES[name] for name in self._board.world.fitted),
            Key.HEARTBEAT: round(HEARTBEAT),
        }
        return self._other(FrameType.HELLO, self._uptime(), payload)

    def _other(self, kind: FrameType, uptime: int, payload: Mapping[int, object]) -> Out:
        frame = Frame(kind, self._other_seq, uptime, {Key.BOOT: self._board.boot, **payload})
        self._other_seq = (self._other_seq + 1) & 0xFFFF
        return Out(0.0, on_line(frame), kind)

    def _uptime(self) -> int:
        return self._board.uptime(self._board.world.now)


def on_line(frame: Frame) -> bytes:
    """A frame with a zero before it, so that noise on the idle line ends there and does not take the frame with it."""
    return b"\0" + encode(frame)


def split(values: Mapping[int, Value]) -> Iterator[dict[int, Value]]:
    """Parts of `values`, in order, each of which fits into one frame."""
    part: dict[int, Value] = {}
    room = ROOM
    for code, value in values.items():
        size = len(cbor2.dumps(code)) + len(cbor2.dumps(value))
        if size > room and part:
            yield part
            part, room = {}, ROOM
        part[code] = value
        room -= size
    if part:
        yield part
