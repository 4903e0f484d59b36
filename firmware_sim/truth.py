"""What really happened: labels for tests and training, and a journal to count against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, NamedTuple


class Kind(StrEnum):
    """What a label is about."""

    ATTACK = "attack"
    FAULT = "fault"
    VISIT = "visit"
    DISTURBANCE = "disturbance"


@dataclass(frozen=True, slots=True)
class Label:
    """Something true about the machine from `start` to `end` (seconds since the epoch; None: not over yet).

    `seen` is when the first evidence of it could be observed, None as long as nothing could. `attack` is the attack's class
    (EAST): BLACK_BOX, X1, B2, RIP_OUT, SKIMMING, CASH_TRAPPING; empty for everything else.
    """

    kind: Kind
    name: str
    attack: str
    start: float
    end: float | None = None
    seen: float | None = None


class Change(NamedTuple):
    """A label began, was first seen or ended at `at`."""

    what: Literal["begin", "seen", "end"]
    at: float
    label: Label


class Entry(NamedTuple):
    """One line of the journal: what happened, and how much of it (minor units, notes or 1)."""

    at: float
    what: str
    amount: int


class Truth:
    """Labels in the order of their beginning. A label is known by its number."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self.changes: list[Change] = []
        self.journal: list[Entry] = []

    def begin(self, kind: Kind, name: str, at: float, attack: str = "") -> int:
        """Begin a label; its number is what `see` and `end` want."""
        self.labels.append(Label(kind, name, attack, at))
        self.changes.append(Change("begin", at, self.labels[-1]))
        return len(self.labels) - 1

    def see(self, number: int, at: float) -> None:
        """The first evidence can be observed now; later calls change nothing."""
        if self.labels[number].seen is None:
            self.labels[number] = replace(self.labels[number], seen=at)
            self.changes.append(Change("seen", at, self.labels[number]))

    def end(self, number: int, at: float) -> None:
        """It is over; later calls change nothing."""
        if self.labels[number].end is None:
            self.labels[number] = replace(self.labels[number], end=at)
            self.changes.append(Change("end", at, self.labels[number]))

    def note(self, at: float, what: str, amount: int = 1) -> None:
        """Add a line to the journal."""
        self.journal.append(Entry(at, what, amount))
