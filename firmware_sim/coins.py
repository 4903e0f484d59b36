"""A coin hopper beside the note acceptor: who puts notes in gets change, it runs empty, it jams. It speaks no protocol.

It is there once somebody asks for it, and then for all who do, as the acceptor is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_sim.agenda import Script
from firmware_sim.deposits import acceptor

if TYPE_CHECKING:
    from firmware_sim.site import Site

COIN_S = 0.2  # from one coin to the next


@dataclass(frozen=True, slots=True)
class CoinHabits:
    """How it is used, and how often it fails."""

    change: tuple[int, int] = (0, 7)  # coins after a deposit
    filled: int = 400
    low: int = 50  # below it the lower sensor is free
    high: int = 390  # above it the upper one is covered
    jams_per_coin: float = 1 / 20_000
    response_h: tuple[float, float] = (0.5, 3.0)  # until somebody comes for an empty hopper or a jam


class CoinHopper:
    """The state of one hopper."""

    def __init__(self, site: Site, habits: CoinHabits | None = None) -> None:
        self.habits = habits or CoinHabits()
        self.jammed = False
        self.short = False  # the last change ran out of coins
        self._site = site
        self._rng = site.stream("hopper")
        self.coins = self._rng.randrange(self.habits.low, self.habits.filled)
        self.paid = self._rng.randrange(5_000, 50_000)  # coins, ever
        acceptor(site).change = self._pay

    @property
    def powered(self) -> bool:
        """It hangs on the same supply as the PC."""
        return self._site.power.supplied

    def _pay(self) -> None:
        """A deposit is over: its change goes out, coin by coin, while the next customer may already be there."""
        if not self.jammed:
            self._site.play(self._change(self._rng.randint(*self.habits.change)))

    def _change(self, coins: int) -> Script:
        self.short = self.short and self.coins == 0
        for _ in range(coins):
            yield COIN_S
            if self.jammed or not self.powered:
                return
            if self.coins == 0:
                self.short = True
                self._break_down("hopperEmpty")
                return
            if self._rng.random() < self.habits.jams_per_coin:
                self.jammed = True
                self._break_down("hopperJam")
                return
            self.coins -= 1
            self.paid += 1

    def _break_down(self, what: str) -> None:
        if what not in self._site.breakdowns:
            self._site.break_down(what)
            self._site.play(self._service())

    def _service(self) -> Script:
        """Somebody comes, clears it and fills it."""
        yield self._rng.uniform(*self.habits.response_h) * 3600.0
        self.coins, self.short, self.jammed = self.habits.filled, False, False
        for what in ("hopperEmpty", "hopperJam"):
            self._site.mend(what)


def hopper(site: Site, habits: CoinHabits | None = None) -> CoinHopper:
    """The machine's coin hopper, fitted when it is first asked for, and the acceptor with it."""
    if site.hopper is None:
        site.hopper = CoinHopper(site, habits)
    return site.hopper
