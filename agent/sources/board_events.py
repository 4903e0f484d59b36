"""EVENTs of the board link: when each happened, which came before, and which may be acknowledged (docs/board-link.md, 5 and 6).

The board's clock counts milliseconds since its start (u32), and EVENTs are numbered (u16); both wrap. `at` is seconds since the
epoch, `mono` seconds of the loop's clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agent.records import Quality
from agent.sources import Given, Position
from agent.sources.board_values import BoardValues
from agent.wire.board import Frame

REMEMBERED = 1024  # EVENTs of one life of a board that are told from new ones
UNSETTLED_LIMIT = 64  # EVENTs that may wait for the disk; a board sends 8 at most before the first is acknowledged
UNSETTLED_WAIT = 30.0  # s; an EVENT that comes again and is still not on disk then is given again: the disk has refused it
UNDATED_LIMIT = 16  # EVENTs that wait for the board's clock; beyond it they are left to be sent again
UNDATED_WAIT = 2.0  # s; a board says something every second, and an EVENT must not wait for one that does not
APART = 10.0  # s by which the two clocks may come apart between two frames before somebody is told
WRAP = 2**32  # ms
SEQ_WRAP, SEQ_HALF = 0x10000, 0x8000

log = logging.getLogger(__name__)


class Seen:
    """Which EVENTs of one life of a board have come: the newest, and those of the 1,023 before it that have not."""

    def __init__(self, newest: int = 0, span: int = 0, missing: tuple[int, ...] = ()) -> None:
        self._newest = newest
        self._span = min(span, REMEMBERED)  # numbers up to the newest that are known about
        self._mask = (1 << self._span) - 1  # bit n stands for the number n before the newest
        for seq in missing:
            self._mask &= ~(1 << ((newest - seq) % SEQ_WRAP))

    def __contains__(self, seq: int) -> bool:
        back = (self._newest - seq) % SEQ_WRAP
        return back < self._span and bool(self._mask >> back & 1)

    def add(self, seq: int) -> None:
        """It has come now."""
        ahead, back = (seq - self._newest) % SEQ_WRAP, (self._newest - seq) % SEQ_WRAP
        if self._span and back < REMEMBERED:
            self._mask |= 1 << back
            self._span = max(self._span, back + 1)
        elif self._span and ahead < SEQ_HALF:
            self._newest = seq
            self._span = min(self._span + ahead, REMEMBERED)
            self._mask = (self._mask << ahead | 1) & ((1 << REMEMBERED) - 1)
        else:  # the first, or the first after more than half of the numbers went by
            self._newest, self._span, self._mask = seq, 1, 1

    def as_position(self) -> dict[str, Any]:
        """For `Position`: short, since few are ever missing."""
        missing = []
        gaps = ~self._mask & ((1 << self._span) - 1)
        while gaps:
            back = gaps.bit_length() - 1
            missing.append((self._newest - back) % SEQ_WRAP)
            gaps ^= 1 << back
        return {"newest": self._newest, "span": self._span, "missing": missing}


class Events:
    """The EVENTs of one board, over its restarts."""

    def __init__(
        self, source: str, values: BoardValues, send_ack: Callable[[int, int], object], position: Position | None
    ) -> None:
        self._source = source
        self._values = values
        self._send_ack = send_ack
        self._boot: int | None = None
        self._clock: tuple[int, float] | None = None  # the board's newest uptime, and when it came
        self._undated: list[_Undated] = []
        self._unsettled: dict[int, float] = {}  # given and not on disk yet: seq -> mono
        self._seen_boot, self._seen = _restored(position)

    def meet(self, boot: int) -> tuple[bool, list[Given]]:
        """The board has this boot id. Whether the agent knew it in a life before, and the EVENTs that still waited."""
        given = list(self._give_undated())
        self._boot = boot
        self._clock = None
        self._unsettled.clear()
        if boot == self._seen_boot:
            return True, given
        self._seen_boot, self._seen = boot, Seen()
        return False, given

    def tell_time(self, uptime: int, at: float) -> list[Given]:
        """A frame that was not kept waiting shows the board's clock. Gives the EVENTs that waited for it."""
        if self._clock is not None:
            before, then = self._clock
            apart = _difference(uptime, before) / 1000 - (at - then)
            if abs(apart) > APART:
                log.info("source %s: the board's clock and this one have come apart: one of them was set", self._source)
        self._clock = (uptime, at)
        return list(self._give_undated()) if self._undated else []

    def receive(self, frame: Frame, at: float, mono: float) -> Iterator[Given]:
        """An EVENT, for the first time or again."""
        if self._clock is not None:
            yield from self._give(frame, self._moment(frame, at), mono)
        elif len(self._undated) < UNDATED_LIMIT and all(frame.seq != held.frame.seq for held in self._undated):
            self._undated.append(_Undated(frame, at, mono))

    def overdue(self, mono: float) -> Iterator[Given]:
        """EVENTs that have waited for the board's clock for too long."""
        if self._undated and mono - self._undated[0].mono >= UNDATED_WAIT:
            yield from self._give_undated()

    def acknowledge(self, position: Position) -> None:
        """What was given with this position is on disk. An ACK that gets lost is sent again when its EVENT comes again."""
        boot, seq = position["boot"], position["seq"]
        if boot == self._boot and self._unsettled.pop(seq, None) is not None:
            self._send_ack(seq, boot)

    def _moment(self, frame: Frame, at: float) -> float:
        """As long before or after the board's newest uptime as its own says, and never later than now."""
        if self._clock is None:
            return at
        uptime, then = self._clock
        return min(at, then + _difference(frame.uptime, uptime) / 1000)

    def _give_undated(self) -> Iterator[Given]:
        undated, self._undated = self._undated, []
        for frame, at, mono in undated:
            if self._clock is not None:
                yield from self._give(frame, self._moment(frame, at), mono)
            else:  # it happened when it came, or before
                yield from self._give(frame, at, mono, Quality.UNCERTAIN, "undated")

    def _give(self, frame: Frame, at: float, mono: float, quality: Quality = Quality.GOOD, reason: str = "") -> Iterator[Given]:
        assert self._boot is not None
        seq = frame.seq
        if seq in self._unsettled:
            if mono - self._unsettled[seq] < UNSETTLED_WAIT:
                return
        elif seq in self._seen:
            self._send_ack(seq, self._boot)  # it is on disk, and the board has not heard so
            return
        elif len(self._unsettled) >= UNSETTLED_LIMIT:
            return  # the disk is far behind; the board sends it again
        self._seen.add(seq)
        self._unsettled[seq] = mono
        position = {"boot": self._boot, "seq": seq, **self._seen.as_position()}
        yield Given(self._values.readings(frame, at, quality, reason), position)


class _Undated(NamedTuple):
    """An EVENT that came before the board's clock was known, and the times of its arrival."""

    frame: Frame
    at: float
    mono: float


def _difference(later: int, earlier: int) -> int:
    """Milliseconds between two uptimes of a clock that wraps; negative when `later` was earlier."""
    return (later - earlier + WRAP // 2) % WRAP - WRAP // 2


def _restored(position: Position | None) -> tuple[int | None, Seen]:
    """Boot id and EVENTs of the last position that reached the disk; nothing when there is none that makes sense."""
    if position is None:
        return None, Seen()
    try:
        boot, newest, span = (int(position[key]) for key in ("boot", "newest", "span"))
        missing = tuple(int(seq) for seq in position["missing"])
    except (KeyError, TypeError, ValueError):
        log.warning("what was kept about a board's events makes no sense: those that it sends again will come twice")
        return None, Seen()
    return boot, Seen(newest % SEQ_WRAP, max(span, 0), missing)
