"""A note acceptor beside the dispenser: who puts notes in, what becomes of them, and what goes wrong. It speaks no protocol.

It is there once somebody asks for it, and then for all who do: the twins of several protocols are wires to the same acceptor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal, TypeAlias

from firmware_sim.agenda import Script
from firmware_sim.truth import Kind

if TYPE_CHECKING:
    from firmware_sim.site import Site

Doing: TypeAlias = Literal["idling", "accepting", "escrow", "stacking", "returning", "rejecting"]
Trouble: TypeAlias = Literal["", "jamInAcceptor", "jamInStacker", "cheated", "failure"]

START_S = 4.0  # from power to the first note
ESCROW_S = 10.0  # a note that nobody decides about is given back
LABELS = {"jamInAcceptor": "acceptorJam", "jamInStacker": "acceptorJam", "failure": "acceptorFailure"}


@dataclass(frozen=True, slots=True)
class Habits:
    """How it is used, and how often it fails."""

    deposits_per_day: float = 60.0
    notes: tuple[int, int] = (1, 8)  # of a deposit
    denominations: int = 4
    capacity: int = 600  # notes in the stacker
    rejects_per_note: float = 0.04
    jams_per_note: float = 1 / 3_000
    cheats_per_note: float = 1 / 20_000
    failures_per_note: float = 1 / 30_000
    response_h: tuple[float, float] = (1.0, 4.0)  # until somebody comes for a full stacker or a jam


class NoteAcceptor:
    """The state of one acceptor. The controller at its line says what becomes of a note in escrow."""

    def __init__(self, site: Site, habits: Habits | None = None) -> None:
        self.habits = habits or Habits()
        self.doing: Doing = "idling"
        self.trouble: Trouble = ""
        self.denomination = 0  # of the note inside, from 1
        self.reason = 0  # of the last rejection, from 0
        self.stacked = 0  # notes in the stacker
        self.seated = True  # the stacker is where it belongs
        self.accepted = self.rejected = self.returned = 0  # notes since the beginning
        self.change: Callable[[], None] | None = None  # told when a deposit is over: who gives coins back, if anybody does
        self._site = site
        self._rng = site.stream("acceptor")
        self._order = ""  # of the controller: stack or return
        self.stacked = self._rng.randrange(self.habits.capacity // 2)
        site.play(self._customers(self._rng))

    @property
    def powered(self) -> bool:
        """It hangs on the same supply as the PC."""
        return self._site.power.supplied

    @property
    def starting(self) -> bool:
        """The machine starts, and it with it."""
        return self.powered and self._site.computer.starting

    @property
    def full(self) -> bool:
        """No note has room any more."""
        return self.stacked >= self.habits.capacity

    def stack(self) -> None:
        """The controller takes the note in escrow."""
        self._order = "stack"

    def give_back(self) -> None:
        """The controller does not want it."""
        self._order = "return"

    def _customers(self, rng: Random) -> Script:
        while True:
            yield rng.expovariate(self.habits.deposits_per_day / 86_400.0)
            before = self.accepted
            for _ in range(rng.randint(*self.habits.notes)):
                if not self._ready():
                    break
                yield from self._note(rng)
            if self.change is not None and self.accepted > before:
                self.change()
            if self.trouble or self.full:
                yield from self._service(rng)

    def _ready(self) -> bool:
        return self.powered and not self.starting and not self.trouble and not self.full and self.seated

    def _note(self, rng: Random) -> Script:
        self.doing, self.denomination = "accepting", rng.randint(1, self.habits.denominations)
        yield 1.2
        chance = rng.random()
        if chance < self.habits.rejects_per_note:
            self.doing, self.reason = "rejecting", rng.randrange(10)
            self.rejected += 1
            yield 1.0
        elif self._goes_wrong(rng):
            return
        else:
            yield from self._escrow()
        self.doing = "idling"
        yield 0.8

    def _goes_wrong(self, rng: Random) -> bool:
        habits = self.habits
        for rate, trouble in (
            (habits.jams_per_note / 2, "jamInAcceptor"),
            (habits.jams_per_note / 2, "jamInStacker"),
            (habits.cheats_per_note, "cheated"),
            (habits.failures_per_note, "failure"),
        ):
            if rng.random() < rate:
                self.break_down(trouble)  # type: ignore[arg-type]  # each is a Trouble
                return True
        return False

    def _escrow(self) -> Script:
        self.doing, self._order = "escrow", ""
        waited = 0.0
        while not self._order and waited < ESCROW_S:
            yield 0.2
            waited += 0.2
        if self._order == "stack":
            self.doing = "stacking"
            yield 1.0
            self.stacked += 1
            self.accepted += 1
            self._site.truth.note(self._site.now, "deposited", self.denomination)
            if self.full:
                self._site.break_down("acceptorFull")
        else:
            self.doing = "returning"
            yield 1.0
            self.returned += 1

    def break_down(self, trouble: Trouble) -> None:
        """It is in trouble from now on; an attempt to cheat is over by itself after a while."""
        self.trouble, self.doing = trouble, "idling"
        if trouble == "cheated":
            self._site.play(self._cheated())
        elif trouble:
            self._site.break_down(LABELS[trouble])

    def _cheated(self) -> Script:
        truth = self._site.truth
        number = truth.begin(Kind.DISTURBANCE, "acceptorCheated", self._site.now)
        truth.see(number, self._site.now)
        yield 60.0
        self.trouble = ""
        truth.end(number, self._site.now)

    def _service(self, rng: Random) -> Script:
        """Somebody comes, takes the stacker out, empties it and clears what is stuck."""
        if self.trouble == "cheated":
            return
        yield rng.uniform(*self.habits.response_h) * 3600.0
        self.seated = False
        yield 90.0
        self.seated, self.stacked, self.trouble = True, 0, ""
        for label in ("acceptorFull", *LABELS.values()):
            self._site.mend(label)


def acceptor(site: Site, habits: Habits | None = None) -> NoteAcceptor:
    """The machine's note acceptor, fitted when it is first asked for."""
    if site.acceptor is None:
        site.acceptor = NoteAcceptor(site, habits)
    return site.acceptor
