"""JCM note acceptors on their ID-003 line, which the machine's own controller masters. Listened to, never written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.records import Reading
from agent.sources import Context
from agent.sources.acceptor import Acceptor, AcceptorSettings, Condition, Wires
from agent.sources.exchange import spoken
from agent.sources.ports import Parity
from agent.sources.tap import Side, TapSource
from agent.wire import id003
from agent.wire.id003 import Frame, Status


@dataclass(frozen=True, kw_only=True)
class Settings(AcceptorSettings):
    """An acceptor: 9600 8E1 unless told otherwise."""

    baud: int = 9600
    parity: Parity = "even"
    data_bits: Literal[5, 6, 7, 8] = 8


CONDITIONS = {
    Status.POWER_UP: Condition.STARTING,
    Status.POWER_UP_BILL_IN_ACCEPTOR: Condition.STARTING,
    Status.POWER_UP_BILL_IN_STACKER: Condition.STARTING,
    Status.INITIALIZE: Condition.STARTING,
    Status.STACKER_FULL: Condition.FULL,
    Status.STACKER_OPEN: Condition.MISSING,
    Status.JAM_IN_ACCEPTOR: Condition.JAMMED,
    Status.JAM_IN_STACKER: Condition.JAMMED,
    Status.PAUSE: Condition.HELD_UP,
    Status.CHEATED: Condition.CHEATED,
    Status.FAILURE: Condition.FAILED,
}
"""Every other status is that of an acceptor at work."""
NO_STATUS = {Status.COMM_ERROR, Status.INVALID_COMMAND}  # answers to what the controller said, not states
ESCROW = {Status.ESCROW, Status.HOLDING}
ANSWERS = frozenset(Status) - frozenset(map(int, id003.Command))
"""Codes that only the acceptor has. The others are told by turn, and count once two answers say the same."""
CREDITS = {Status.VEND_VALID, Status.STACKED}
"""A note is in the stacker, and then that this was heard; one of the two may get lost."""


class Validator:
    """One acceptor. See `Heard` for when its methods are called."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.frames = 0
        self.identity = ""  # as its controller has asked for it
        self._unknown = 0
        self._acceptor = Acceptor(context, settings.unit)
        self._joined = settings.joined
        self._wires = Wires(id003.decoder(), _speaker if settings.joined else None)
        self._last: Frame | None = None
        self._status: Status | None = None  # the last that was told

    def begin(self) -> None:
        """A new life of the line."""
        self._wires.begin()
        self._last = self._status = None

    def hear(self, side: Side, chunk: bytes, at: float, mono: float) -> Sequence[Reading]:
        """What the acceptor says."""
        return self._heard(self._wires.answers(side, chunk, mono), at, mono)

    def tick(self, at: float, mono: float) -> Sequence[Reading]:
        """What stood behind noise."""
        return self._heard(self._wires.tick(mono), at, mono)

    def _heard(self, frames: Sequence[Frame], at: float, mono: float) -> list[Reading]:
        return [reading for frame in frames for reading in self._answer(frame, at, mono)]

    def _answer(self, frame: Frame, at: float, mono: float) -> list[Reading]:
        self.frames += 1
        before, self._last = self._last, frame
        if frame.code not in _STATUS or frame.code in NO_STATUS:
            self._unknown += frame.code not in _KNOWN
            if frame.code == id003.Command.VERSION and frame.data:
                self.identity = spoken(frame.data)
            return []
        status = Status(frame.code)
        if self._joined and status not in ANSWERS and frame != before:
            return []  # an order of the controller has the same code: that a turn was missed shows at the next answer
        condition = CONDITIONS.get(status, Condition.WORKING)
        readings = self._acceptor.is_now(frozenset({condition}), at, mono, status in ESCROW)
        last, self._status = self._status, status
        if status in CREDITS and last not in (Status.VEND_VALID, status):
            readings += self._acceptor.accepted(at, mono)
        elif status is Status.REJECTING and last is not status:
            readings += self._acceptor.rejected(at, mono)
        return readings

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """Nothing is heard of it."""
        return self._acceptor.away(word, at)

    def counters(self) -> Mapping[str, float]:
        """Of the line."""
        return {**self._wires.counters(), "unknown": self._unknown + self._acceptor.values.unknown}


_STATUS = frozenset(map(int, Status))
_KNOWN = _STATUS | frozenset(map(int, id003.Command))


def _speaker(frame: Frame) -> bool | None:
    return True if frame.code in ANSWERS else None


def open_source(context: Context, settings: Settings) -> TapSource:
    """An acceptor as configured. Touches no hardware."""
    return TapSource(context, settings, Validator(context, settings))
