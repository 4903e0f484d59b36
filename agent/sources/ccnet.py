"""CashCode note acceptors on their CCNET line, which the machine's own controller masters. Listened to, never written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.records import Reading
from agent.sources import Context
from agent.sources.acceptor import Acceptor, AcceptorSettings, Condition, Wires
from agent.sources.exchange import spoken
from agent.sources.tap import Side, TapSource
from agent.wire import ccnet
from agent.wire.ccnet import Command, Frame, State


@dataclass(frozen=True, kw_only=True)
class Settings(AcceptorSettings):
    """An acceptor: 9600 8N1 unless told otherwise."""

    baud: int = 9600


CONDITIONS = {
    State.POWER_UP: Condition.STARTING,
    State.POWER_UP_BILL_IN_VALIDATOR: Condition.STARTING,
    State.POWER_UP_BILL_IN_STACKER: Condition.STARTING,
    State.INITIALIZE: Condition.STARTING,
    State.DROP_CASSETTE_FULL: Condition.FULL,
    State.DROP_CASSETTE_OUT_OF_POSITION: Condition.MISSING,
    State.VALIDATOR_JAMMED: Condition.JAMMED,
    State.DROP_CASSETTE_JAMMED: Condition.JAMMED,
    State.CHEATED: Condition.CHEATED,
    State.PAUSE: Condition.HELD_UP,
    State.FAILURE: Condition.FAILED,
}
"""Every other state is that of an acceptor at work."""
ESCROW = {State.ESCROW, State.HOLDING}
ANSWERS = frozenset(map(int, State)) - frozenset(map(int, Command))
QUESTIONS = frozenset(map(int, Command)) - frozenset(map(int, State)) - {Command.ACK, Command.NAK}
"""Codes that only one of the two has. 41 is told by turn, and counts once two answers say the same."""
IDENTIFICATION, NAMES = 33, 26  # bytes behind the first: part number 15, serial number 12, asset number 7
LONGEST_STATE = 1  # bytes of data behind a state; what is longer is an answer of bare data: identification, table of notes


class Validator:
    """One acceptor. See `Heard` for when its methods are called."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.frames = 0
        self.identity = ""  # as its controller has asked for it
        self._unknown = 0
        self._acceptor = Acceptor(context, settings.unit)
        self._joined = settings.joined
        self._wires = Wires(ccnet.decoder(), _speaker if settings.joined else None)
        self._last: Frame | None = None

    def begin(self) -> None:
        """A new life of the line."""
        self._wires.begin()
        self._last = None

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
        if len(frame.data) == IDENTIFICATION:
            self.identity = spoken(bytes((frame.code,)) + frame.data[:NAMES])
        if frame.code in (Command.ACK, Command.NAK) or len(frame.data) > LONGEST_STATE:
            return []
        before, self._last = self._last, frame
        if frame.code not in _STATES:
            self._unknown += 1
            return []
        state = State(frame.code)
        if self._joined and state not in ANSWERS and frame != before:
            return []
        condition = CONDITIONS.get(state, Condition.WORKING)
        readings = self._acceptor.is_now(frozenset({condition}), at, mono, state in ESCROW)
        if before is None or before.code != state:
            if state is State.STACKED:
                readings += self._acceptor.accepted(at, mono)
            elif state is State.REJECTING:
                readings += self._acceptor.rejected(at, mono)
        return readings

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """Nothing is heard of it."""
        return self._acceptor.away(word, at)

    def counters(self) -> Mapping[str, float]:
        """Of the line."""
        return {**self._wires.counters(), "unknown": self._unknown + self._acceptor.values.unknown}


_STATES = frozenset(map(int, State))
_SPEAKER = dict.fromkeys(ANSWERS, True) | dict.fromkeys(QUESTIONS, False)


def _speaker(frame: Frame) -> bool | None:
    return None if len(frame.data) > LONGEST_STATE else _SPEAKER.get(frame.code)


def open_source(context: Context, settings: Settings) -> TapSource:
    """An acceptor as configured. Touches no hardware."""
    return TapSource(context, settings, Validator(context, settings))
