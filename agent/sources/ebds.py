"""MEI and CPI note acceptors on their EBDS line, which the machine's own controller masters. Listened to, never written to.

The type of a frame tells who spoke, so that one wire may carry both. An XOR guards a frame, which is little: a reply must make
sense (one activity, a model that does not change), and a change of condition counts once two replies have said so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.records import Reading
from agent.sources import Context
from agent.sources.acceptor import Acceptor, AcceptorSettings, Condition, Wires
from agent.sources.ports import Parity
from agent.sources.tap import Side, TapSource
from agent.wire import ebds
from agent.wire.ebds import Frame, Reply


@dataclass(frozen=True, kw_only=True)
class Settings(AcceptorSettings):
    """An acceptor: 9600 7E1 unless told otherwise."""

    baud: int = 9600
    parity: Parity = "even"
    data_bits: Literal[5, 6, 7, 8] = 7


CONDITIONS = {
    Reply.CHEATED: Condition.CHEATED,
    Reply.JAMMED: Condition.JAMMED,
    Reply.STACKER_FULL: Condition.FULL,
    Reply.PAUSED: Condition.HELD_UP,
    Reply.CALIBRATING: Condition.STARTING,
    Reply.POWER_UP: Condition.STARTING,
    Reply.FAILURE: Condition.FAILED,
    Reply.STALLED: Condition.JAMMED,
    Reply.FLASH_DOWNLOAD: Condition.STARTING,
}
MOVING = (Reply.ACCEPTING, Reply.ESCROWED, Reply.STACKING, Reply.RETURNING)
"""A note is in one place at a time."""
ON_THE_WAY = Reply.ACCEPTING | Reply.ESCROWED | Reply.STACKING
LASTING = Reply(sum(CONDITIONS)) | Reply.CASSETTE_ATTACHED | Reply.ESCROWED
"""What counts, flag by flag, once it was said twice. What else a note does passes too quickly for that."""


def conditions(flags: Reply) -> frozenset[Condition]:
    """What a reply's flags say of the acceptor."""
    found = {condition for flag, condition in CONDITIONS.items() if flags & flag}
    if not flags & Reply.CASSETTE_ATTACHED:
        found.add(Condition.MISSING)
    return frozenset(found or {Condition.WORKING})


class Validator:
    """One acceptor. See `Heard` for when its methods are called."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.frames = 0
        self.nonsense = 0  # frames whose XOR was right and that made no sense
        self._acceptor = Acceptor(context, settings.unit)
        self._wires = Wires(ebds.decoder(), lambda frame: ebds.reply_in(frame) is not None)
        self._forget()

    def _forget(self) -> None:
        self._last: Frame | None = None
        self._model: bytes | None = None
        self._named: bytes | None = None  # the model that the last reply named
        self._lasting: Reply | None = None  # of the last reply
        self._counting: Reply | None = None  # what was said twice
        self._note = False  # a note is inside

    @property
    def identity(self) -> str:
        """The model and the revision that each of its replies names."""
        return f"model {self._model[0]:02X}, revision {self._model[1]:02X}" if self._model else ""

    def begin(self) -> None:
        """A new life of the line."""
        self._wires.begin()
        self._forget()

    def hear(self, side: Side, chunk: bytes, at: float, mono: float) -> Sequence[Reading]:
        """What the acceptor says."""
        return self._heard(self._wires.answers(side, chunk, mono), at, mono)

    def tick(self, at: float, mono: float) -> Sequence[Reading]:
        """What stood behind noise."""
        return self._heard(self._wires.tick(mono), at, mono)

    def _heard(self, frames: Sequence[Frame], at: float, mono: float) -> list[Reading]:
        replies = filter(None, map(ebds.reply_in, frames))
        return [reading for frame in replies for reading in self._reply(frame, at, mono)]

    def _reply(self, frame: Frame, at: float, mono: float) -> list[Reading]:
        flags = ebds.flags(frame.data)
        if not self._makes_sense(frame, flags):
            return []
        self.frames += 1
        repeated, self._last = frame == self._last, frame  # one that was lost between leaves the ack bit as it was
        readings: list[Reading] = []
        before, self._lasting = self._lasting, flags & LASTING
        if before is not None:
            agreed = ~(before ^ flags) & LASTING
            self._counting = flags & agreed | (before if self._counting is None else self._counting) & ~agreed
            readings += self._acceptor.is_now(conditions(self._counting), at, mono, bool(self._counting & Reply.ESCROWED))
        return readings + self._notes(flags, at, mono, repeated=repeated)

    def _makes_sense(self, frame: Frame, flags: Reply) -> bool:
        before, self._named = self._named, frame.data[4:]
        if self._named == before:
            self._model = before
        if self._model is None:
            return False  # the first reply: the next one tells
        sense = self._named == self._model and frame.device == 0 and sum(1 for flag in MOVING if flags & flag) <= 1
        self.nonsense += not sense
        return sense

    def _notes(self, flags: Reply, at: float, mono: float, *, repeated: bool) -> list[Reading]:
        """A note that was on its way is in the stacker, or was given back."""
        readings: list[Reading] = []
        if flags & Reply.STACKED and self._note and not repeated:
            readings += self._acceptor.accepted(at, mono)
        elif flags & Reply.REJECTED and self._note:
            readings += self._acceptor.rejected(at, mono)
        self._note = bool(flags & ON_THE_WAY) or (self._note and not flags & (Reply.STACKED | Reply.RETURNED | Reply.REJECTED))
        return readings

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """Nothing is heard of it."""
        self._forget()
        return self._acceptor.away(word, at)

    def counters(self) -> Mapping[str, float]:
        """Of the line."""
        return {**self._wires.counters(), "unknown": self.nonsense + self._acceptor.values.unknown}


def open_source(context: Context, settings: Settings) -> TapSource:
    """An acceptor as configured. Touches no hardware."""
    return TapSource(context, settings, Validator(context, settings))
