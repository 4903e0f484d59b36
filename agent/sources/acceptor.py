"""What note acceptors have in common: their conditions as points, counts of notes, and who spoke on a wire that carries both.

An acceptor is only ever listened to. None of its protocols has a question that changes nothing: a poll enables it (EBDS), or has
to be followed by an acknowledgement, which takes the note off its mind (ID-003, CCNET).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from agent.records import Reading, Value
from agent.settings import Name
from agent.sources import Context
from agent.sources.tap import Side, TapSettings
from agent.sources.values import Values
from agent.vocabulary import UNIT_ID
from agent.wire.scan import Scanner

F = TypeVar("F")

PAUSE = 0.06  # s; an answer comes within 20 ms of its question, and the next question 100 ms later
STILL = 0.08  # s without a byte after which a frame that was begun is over


@dataclass(frozen=True, kw_only=True)
class AcceptorSettings(TapSettings):
    """A note acceptor that is listened to."""

    unit: Name = "unit1"
    """The storage unit that its notes go into."""
    joined: bool = False
    """The wire carries the controller's words too, as one that is tied to both outputs does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not UNIT_ID.fullmatch(self.unit):
            raise ValueError(f"unit: expected a storage unit such as unit1, got {self.unit!r}")
        if self.joined and self.host_port:
            raise ValueError("joined: one wire carries both directions, or host_port hears the controller; not both")


class Condition(Enum):
    """How an acceptor is. Several may hold at once where the protocol tells them apart."""

    WORKING = "working"
    STARTING = "starting"
    FULL = "full"  # the stacker
    MISSING = "missing"  # the stacker is out, or open
    JAMMED = "jammed"
    HELD_UP = "heldUp"  # by a person: a second note while the first is still looked at
    CHEATED = "cheated"  # a string, or a note pulled back
    FAILED = "failed"


_DEVICE = {
    Condition.FAILED: "hardwareError",
    Condition.JAMMED: "hardwareError",
    Condition.CHEATED: "potentialFraud",
    Condition.STARTING: "starting",
    Condition.HELD_UP: "userError",
}
"""The worst first: a device has one state."""
_STOPS = {Condition.FAILED, Condition.JAMMED, Condition.FULL, Condition.MISSING}
_ERRORS: dict[Condition, dict[str, Value]] = {
    Condition.FAILED: {"cashAcceptor.error.eventId": "hardware", "cashAcceptor.error.action": "maintenance"},
    Condition.JAMMED: {"cashAcceptor.error.eventId": "hardware", "cashAcceptor.error.action": "clear"},
    Condition.CHEATED: {"cashAcceptor.error.eventId": "fraudAttempt", "cashAcceptor.error.action": "suspend"},
}
AWAY = {"missing": "noDevice", "silent": "powerOff"}
"""Of a line that is not there nothing is known about the device; one that does not speak has no power, as far as can be heard."""


def points(conditions: frozenset[Condition], unit: str) -> dict[str, Value]:
    """What the conditions mean: device, storage unit, and whether notes can be taken."""
    device = next((word for condition, word in _DEVICE.items() if condition in conditions), "online")
    if device == "starting":
        return {"cashAcceptor.device": device}  # of its stacker it says nothing yet
    missing = Condition.MISSING in conditions
    return {
        "cashAcceptor.device": device,
        f"storage.{unit}.status": "missing" if missing else "ok",
        f"storage.{unit}.replenishmentStatus": None if missing else "full" if Condition.FULL in conditions else "ok",
        "cashManagement.acceptor": "stop" if conditions & _STOPS else "ok",
    }


class Acceptor:
    """One acceptor as it was heard so far."""

    def __init__(self, context: Context, unit: str) -> None:
        self.values = Values(context)
        self._unit = unit
        self._said: dict[str, Value] = {}
        self._accepted = self._rejected = 0  # notes since the start of the agent
        self._conditions: frozenset[Condition] = frozenset()

    def is_now(self, conditions: frozenset[Condition], at: float, mono: float, escrow: bool | None = None) -> list[Reading]:
        """It told its condition, and whether a note waits in it; None: that it did not tell."""
        begun = conditions - self._conditions
        self._conditions = conditions
        self._said |= points(conditions, self._unit)
        if escrow is not None:
            self._said["cashAcceptor.intermediateStacker"] = "notEmpty" if escrow else "empty"
        errors = [reading for condition in _ERRORS if condition in begun for reading in self._error(condition, at)]
        return errors + self.values.news(self._said | self._counts(), at, mono)

    def accepted(self, at: float, mono: float) -> list[Reading]:
        """A note has gone into the stacker."""
        self._accepted += 1
        return self.values.news(self._counts(), at, mono)

    def rejected(self, at: float, mono: float) -> list[Reading]:
        """A note was given back because it was none, or none that is taken."""
        self._rejected += 1
        return self.values.news(self._counts(), at, mono)

    def away(self, word: str, at: float) -> list[Reading]:
        """The source cannot hear it."""
        self._conditions = frozenset()
        self._said.clear()
        self.values.forget()
        return self.values.readings({"cashAcceptor.device": AWAY.get(word)}, at)

    def _error(self, condition: Condition, at: float) -> list[Reading]:
        return self.values.readings(_ERRORS[condition], at)

    def _counts(self) -> dict[str, Value]:
        return {
            f"storage.{self._unit}.deposited": self._accepted,
            "cashAcceptor.accepted": self._accepted,
            "cashAcceptor.rejected": self._rejected,
        }


class Wires(Generic[F]):
    """What the acceptor answered, out of what came from both sides. `mono` is seconds of the loop's clock.

    `speaker` tells whether a frame is the acceptor's, or None where the frame does not; without it all are.
    """

    def __init__(self, scanner: Scanner[F], speaker: Callable[[F], bool | None] | None = None) -> None:
        self._scanner = scanner
        self._speaker = speaker
        self._turn = Turn()
        self._came = float("-inf")
        self._garbage = 0

    def answers(self, side: Side, chunk: bytes, mono: float) -> list[F]:
        """Of what came; what the controller says on a wire of its own is not needed."""
        if side == "host" or not chunk:
            return []
        late = self._scanner.quiet() if mono - self._came > STILL else []
        self._came = mono
        return self._of_acceptor(late + self._scanner.feed(chunk), mono)

    def tick(self, mono: float) -> list[F]:
        """What stood behind a false start, once the wire is still."""
        return self._of_acceptor(self._scanner.quiet(), mono) if mono - self._came > STILL else []

    def _of_acceptor(self, frames: list[F], mono: float) -> list[F]:
        if self._speaker is None:
            return frames
        if self._scanner.garbage_bytes != self._garbage:  # whose turn it is, nobody knows
            self._garbage = self._scanner.garbage_bytes
            self._turn.lose()
        return [frame for frame in frames if self._turn.is_answer(mono, self._speaker(frame))]

    def begin(self) -> None:
        """The line was opened again: what was begun is over."""
        self._scanner.quiet()

    def counters(self) -> Mapping[str, float]:
        """As `Heard.counters`."""
        return {"crcErrors": self._scanner.crc_errors, "garbageBytes": self._scanner.garbage_bytes}


class Turn:
    """Who speaks on a wire that carries both: the controller asks, the acceptor answers, and then there is a pause."""

    def __init__(self) -> None:
        self._asked: bool | None = None  # None: something was lost, until the next pause nobody knows
        self._at = float("-inf")

    def lose(self) -> None:
        """A frame may have been lost."""
        self._asked = None

    def is_answer(self, mono: float, certain: bool | None = None) -> bool:
        """Whether the next frame is the acceptor's; `certain` where the frame itself tells."""
        after_pause = mono - self._at > PAUSE
        self._at = mono
        if certain is None and self._asked is None and not after_pause:
            return False
        answer = certain if certain is not None else bool(self._asked) and not after_pause
        self._asked = not answer
        return answer
