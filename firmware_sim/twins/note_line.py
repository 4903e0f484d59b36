"""What the twins of note acceptors share: how an acceptor looks from its line, and the controller that polls it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from firmware_sim.deposits import NoteAcceptor

Look: TypeAlias = Literal[
    "off", "starting", "idling", "accepting", "escrow", "stacking", "stacked", "returning", "rejecting",
    "full", "open", "jamInAcceptor", "jamInStacker", "cheated", "failure",
]  # fmt: skip

EVERY = 0.2  # s between two polls of a controller
ANSWER = 0.012  # s from the end of a question to the answer: some bytes at 9600 baud


class Face:
    """An acceptor as its line shows it: a note that went into the stacker is told until the controller has heard of it."""

    def __init__(self, acceptor: NoteAcceptor) -> None:
        self.acceptor = acceptor
        self._told = acceptor.accepted

    @property
    def untold(self) -> int:
        """Notes in the stacker that the controller has not heard of."""
        return self.acceptor.accepted - self._told

    def heard(self) -> None:
        """The controller knows of the oldest of them."""
        self._told = min(self._told + 1, self.acceptor.accepted)

    def look(self) -> Look:
        """What it shows now."""
        acceptor = self.acceptor
        if not acceptor.powered:
            return "off"
        if acceptor.starting:
            return "starting"
        if self.untold:
            return "stacked"
        if not acceptor.seated:
            return "open"
        if acceptor.trouble:
            return acceptor.trouble
        return "full" if acceptor.full else acceptor.doing


class Poller:
    """A controller that asks again and again. `next_at` is line time."""

    def __init__(self) -> None:
        self.next_at = 0.0

    def due(self, now: float) -> bool:
        """Whether to ask now; the next time is then set."""
        if now < self.next_at:
            return False
        self.next_at = now + EVERY
        return True
