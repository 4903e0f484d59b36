"""The simulated world: one machine, its customers, and what happens to both. Pure and seeded; it is stepped from outside.

The course does not depend on how it is stepped: `step(60)` equals sixty times `step(1)`. Whatever happens, happens at its own
moment from a queue; whatever wavers is a closed form of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from agent.records import Value
from agent.wire.board_points import POINTS
from firmware_sim import demand as demands
from firmware_sim import mishaps, points
from firmware_sim.agenda import tick_of
from firmware_sim.climate import DAY
from firmware_sim.customers import Customers
from firmware_sim.demand import Demand
from firmware_sim.params import Parameters
from firmware_sim.scenarios import Setting, change, find
from firmware_sim.site import Site, Visit
from firmware_sim.truth import Change, Entry, Label
from firmware_sim.visits import Visits

FITTED = frozenset(POINTS.values())


class World:
    """One machine at one place, from `start` on.

    `settings` changes the scenario's settings and single parameters by name; texts are read as `--set` reads them. Raises
    SettingError for a scenario, setting or value that does not exist, and for a start without a time zone.
    """

    def __init__(
        self,
        scenario: str = "normal_week",
        seed: int = 1,
        demand: Demand | None = None,
        *,
        parameters: Parameters | None = None,
        settings: Mapping[str, str | Setting] | None = None,
        start: datetime | None = None,
    ) -> None:
        self.scenario = find(scenario)
        self.seed = seed
        chosen, params = change(self.scenario, parameters or Parameters(), settings or {})
        begin = start or self.scenario.start
        if begin.tzinfo is None:
            raise ValueError(f"{begin.isoformat()} has no time zone; write {begin.isoformat()}+00:00")
        self.start = tick_of(begin.timestamp())
        self.end = self.start + self.scenario.days * DAY  # what the scenario has to tell is over; the world goes on
        self.site = Site(params, seed, self.start)
        Customers(self.site, demand or demands.shipped())
        Visits(self.site)
        mishaps.start_all(self.site)
        self._state: object = None  # of the site when it said …
        self._words: dict[str, Value] = {}  # … these words
        self.scenario.begin(self.site, chosen)

    @property
    def now(self) -> float:
        """Seconds since the epoch, UTC, to the millisecond."""
        return self.site.now

    @property
    def next_at(self) -> float:
        """When the next thing happens. Until then no word changes."""
        return self.site.agenda.next_at

    def step(self, dt: float) -> None:
        """Let `dt` seconds pass, in whole milliseconds. Raises ValueError when negative."""
        self.run_to(self.now + dt)

    def run_to(self, at: float) -> None:
        """Let everything up to `at` happen. Raises ValueError when that is past."""
        self.site.agenda.run_to(at)

    @property
    def fitted(self) -> frozenset[str]:
        """The points that this machine has."""
        return FITTED - NOT_THERE - self.site.params.not_fitted

    def words(self) -> dict[str, Value]:
        """Every fitted point that says words, as it truly is now; nobody may change them."""
        state = points.state(self.site)
        if state != self._state:  # most that happens changes no word
            self._state, self._words = state, self._only_fitted(points.words(self.site))
        return self._words

    def numbers(self) -> dict[str, Value]:
        """Every fitted point that is a number, as it truly is now."""
        return self._only_fitted(points.numbers(self.site))

    def points(self) -> dict[str, Value]:
        """Every fitted point as it truly is now. None: asked and not usable. Absent: not fitted."""
        return self.words() | self.numbers()

    def _only_fitted(self, values: dict[str, Value]) -> dict[str, Value]:
        for name in self.site.params.not_fitted:
            values.pop(name, None)
        return values

    @property
    def truth(self) -> Sequence[Label]:
        """What was really going on, in the order of beginning."""
        return self.site.truth.labels

    @property
    def changes(self) -> Sequence[Change]:
        """How the labels came about: begun, first seen, ended."""
        return self.site.truth.changes

    @property
    def journal(self) -> Sequence[Entry]:
        """What happened: customers, transactions, presents; amounts in minor units."""
        return self.site.truth.journal

    @property
    def plan(self) -> Sequence[Visit]:
        """Visits that the operator's calendar announces."""
        return self.site.plan


NOT_THERE = frozenset({"storage.unitReject.presented", "storage.unitReject.accuracy"})  # a bin pays nothing out
