"""The pipeline of one machine: Readings and times in, Summaries and Alarms out. Pure: the same input gives the same output.

    Reading ──> clean ──> judge (rules) ──────> windows, scores
                  │          ^                        │
                  └─> visits, cash, service, outlook ─┘ machine.*, model.NAME.score

Readings that the pipeline makes itself (a stale point, a visit, the machine's service, a score) are judged, summed up and sent
like those of a source. Every stage has its own next moment (`due`), and each thing happens at its own: how often `tick` is
called, and how the stream is cut, changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from math import inf
from typing import Any, Protocol

from msgspec import structs

from agent.analysis.risk import DayOfDemand, Forecast
from agent.records import Body, EventClass, Reading, Severity, Value
from agent.stages import Documents
from agent.stages.calendar import Plan, Visit
from agent.stages.cash import Cash, Cassette
from agent.stages.clean import Clean, CleanSettings
from agent.stages.judge import Judge
from agent.stages.outlook import Outlook
from agent.stages.quick import Quick, quick
from agent.stages.rules import Condition, Rule
from agent.stages.score import Scores, Scoring
from agent.stages.service import Service
from agent.stages.visits import Visits
from agent.stages.windows import Windows

PAUSE = 120.0  # s without any Reading or tick: the process was suspended, and nobody observed
LATEST = 1e11  # s since the epoch: no clock that is right shows the year 5138
GAP = 31 * 86_400.0  # s without a word in a recorded session that are lived through; a longer gap is passed over
BACK = 5.0  # s that a tick may lie before the newest one; beyond it the clock was set
TABLES = ("windows", "alarms", "cash", "visits", "demand", "scores", "learned")  # what is known again after a restart

_NEW: Any = object()  # is no value


class Forwarded(StrEnum):
    """Which single Readings go to the platform beside the Summaries."""

    NONE = "none"
    CHANGES = "changes"
    ALL = "all"


@dataclass(frozen=True)
class PipelineSettings:
    """What one machine's pipeline is made of."""

    machine: str
    window: float = 60.0
    readings: Forwarded = Forwarded.NONE
    clean: CleanSettings = field(default_factory=CleanSettings)
    rules: tuple[Rule, ...] = ()
    plan: Plan = field(default_factory=Plan)
    cassettes: Mapping[str, Cassette] = field(default_factory=dict)
    scorings: tuple[Scoring, ...] = ()
    bins: Mapping[str, int] = field(default_factory=dict)
    """Units that only take notes, and what a note in them is worth at most, in minor units."""
    insured_limit: int | None = None
    """Minor units; an exposure of more than this is an Alarm."""


class _Deriving(Protocol):
    """A stage that concludes something about the machine, as Readings."""

    due: float

    def wants(self, point: str) -> bool: ...
    def feed(self, reading: Reading) -> None: ...
    def tick(self, now: float) -> list[Reading]: ...
    def shift(self, by: float) -> None: ...


class Pipeline:
    """See the module. `feed` in the order of arrival, `tick` about once a second; neither ever blocks."""

    def __init__(self, settings: PipelineSettings) -> None:
        self.machine = settings.machine
        rules = settings.rules if settings.insured_limit is None else (*settings.rules, _insured(settings.insured_limit))
        self._clean = Clean(settings.machine, settings.clean)
        self._judge = Judge(settings.machine, rules, settings.plan.zone)
        self._windows = Windows(settings.machine, settings.window)
        self._visits = Visits(settings.machine, settings.plan)
        self._cash = Cash(settings.machine, settings.cassettes, settings.bins)
        self._outlook = Outlook(settings.machine, settings.plan)
        self._deriving: tuple[_Deriving, ...] = (
            self._visits,
            self._cash,
            Service(settings.machine, settings.cassettes),
            self._outlook,
        )
        self._wanted: dict[str, tuple[_Deriving, ...]] = {}  # by point, who derives from it
        self._quick: dict[str, Quick | None] = {}  # by point; None: its Readings go the whole way
        self._scores = {scoring.name: Scores(settings.machine, scoring) for scoring in settings.scorings}
        self._saved_scores: dict[str, dict[str, Any]] = {}  # of models that are not attached yet
        self._forgotten: Documents = {}  # of models that were detached
        self._derived: dict[str, Value] = {}
        self._forwarded = settings.readings
        self._sent: dict[str, Value] = {}
        self._now = -inf  # the newest moment of a Reading or a tick
        self._due = -inf  # when a stage other than the judge has something to do

    def feed(self, reading: Reading) -> list[Body]:
        """What one Reading of this machine brings about."""
        out: list[Body] = []
        point, at = reading.point, reading.at
        way = self._quick.get(point)
        if way is not None and self._now <= at < self._due and at < self._judge.due and way.takes(reading):
            self._now = at
            self._windows.dirty.add(point)
            if self._scores:
                self._show_scores(reading)
            return out
        if not 0.0 <= at < LATEST:
            if self._now == -inf:
                return out  # nobody knows what time it is
            at = self._now
            reading = structs.replace(reading, at=at, quality=reading.quality.doubted, reason="noTime")
        if at >= self._due or at >= self._judge.due:
            self._advance(at, out)
        elif at > self._now:
            self._now = at
        cleaned = self._clean.feed(reading)
        if cleaned is not None:
            if self._clean.news and self._wanted.get(point, _NEW):
                self._conclude(cleaned)
            self._take(cleaned, out)
            way = self._quick.get(point, _NEW)
            if way is not None:
                way = self._way(point) if way is _NEW else way
                self._quick[point] = way.after(cleaned) if way is not None else None
        return out

    def _way(self, point: str) -> Quick | None:
        """The quick way of a point's Readings."""
        if self._forwarded is Forwarded.ALL:
            return None
        heard, watch, summed = self._clean.track(point), self._judge.watch(point), self._windows.track(point)
        numbers = self._forwarded is Forwarded.NONE and not any(stage.wants(point) for stage in self._deriving)
        return quick(heard, watch, summed, numbers=numbers)

    def tick(self, now: float) -> list[Body]:
        """What the passing of time brings about."""
        out: list[Body] = []
        if now < self._now - BACK:
            out += self.clock_set(now - self._now)
        self._advance(now, out)
        return out

    def _conclude(self, reading: Reading, maker: _Deriving | None = None) -> None:
        """Show a Reading to the stages that derive something from its point, but not to the one that made it."""
        wanted = self._wanted.get(reading.point)
        if wanted is None:
            wanted = self._wanted[reading.point] = tuple(stage for stage in self._deriving if stage.wants(reading.point))
        for stage in wanted:
            if stage is not maker:
                stage.feed(reading)
                self._due = min(self._due, stage.due)

    def _take(self, reading: Reading, out: list[Body]) -> None:
        """Take a Reading that was cleaned, or that a stage has made."""
        alarms = self._judge.feed(reading)
        if alarms:
            out += alarms
        self._windows.feed(reading)
        if self._scores:
            self._show_scores(reading)
        if self._forwarded is not Forwarded.NONE and self._is_forwarded(reading):
            out.append(reading)

    def _show_scores(self, reading: Reading) -> None:
        for scores in self._scores.values():
            scores.feed(reading)

    def _is_forwarded(self, reading: Reading) -> bool:
        if self._forwarded is Forwarded.ALL:
            return True
        if self._sent.get(reading.point, self) == reading.value:
            return False
        self._sent[reading.point] = reading.value
        return True

    # Time ---------------------------------------------------------------------------------------------------------------

    def _advance(self, now: float, out: list[Body]) -> None:
        """Let everything up to `now` happen, each thing at its own moment."""
        if now > self._now + PAUSE:
            self._resume(now, out)
        while (due := min(self._due, self._judge.due)) <= now:
            self._happen(max(due, self._now), out)
        self._now = max(self._now, now)

    def _resume(self, now: float, out: list[Body]) -> None:
        """Nobody observed until `now`. That time belongs to no window, and makes nothing silent, late or long."""
        if self._now > -inf:
            out += self._windows.advance(self._now)
            self._shift(now - self._now)
        out += self._windows.begin(now)
        for scores in self._scores.values():
            scores.due = now
        self._now = self._due = now

    def _happen(self, now: float, out: list[Body]) -> None:
        """Everything that is due at `now`. A window ends before what happens at its end."""
        if now >= self._windows.end:
            self._close_windows(now, out)
        if now >= self._clean.due:
            for reading in self._clean.tick(now):
                self._quick.pop(reading.point, None)
                self._conclude(reading)
                self._take(reading, out)
        for stage in self._deriving:
            if now >= stage.due:
                for reading in stage.tick(now):
                    self._derive(reading, out, stage)
        if self._judge.due <= now:
            out += self._judge.tick(now)
        for scores in self._scores.values():
            if now >= scores.due:
                self._score(scores, now, out)
        self._due = self._next_due()

    def _next_due(self) -> float:
        dues = [self._windows.end, self._clean.due, *(stage.due for stage in self._deriving)]
        return min(*dues, *(scores.due for scores in self._scores.values()))

    def _derive(self, reading: Reading, out: list[Body], maker: _Deriving | None = None) -> None:
        """Take a Reading that a stage has made."""
        if reading.point == "machine.visit":
            out += self._judge.visit(reading.at, planned=reading.value == "planned")
        self._derived[reading.point] = reading.value
        self._quick.pop(reading.point, None)
        self._conclude(reading, maker)
        self._take(reading, out)

    def _score(self, scores: Scores, now: float, out: list[Body]) -> None:
        reading, alarm = scores.tick(now, planned=self._visits.planned)
        if reading is not None:
            self._derive(reading, out)
        if alarm is not None:
            out.append(alarm)

    def _close_windows(self, now: float, out: list[Body]) -> None:
        self._windows.cash = self._cash.position()
        self._windows.scores = {
            name: round(scores.latest, 6) for name, scores in self._scores.items() if scores.latest is not None
        }
        out += self._windows.advance(now)

    def clock_set(self, by: float) -> list[Body]:
        """The clock was set by so many seconds (forward when positive). What was remembered goes on in the new time; the window
        that was open is closed as far as it was seen."""
        if self._now == -inf:
            return []
        self._windows.advance(self._now)
        closed: list[Body] = [*self._windows.shift(by)]
        self._shift(by)
        for scores in self._scores.values():
            scores.shift(by)
        self._now += by
        self._due = self._next_due()
        return closed

    def _shift(self, by: float) -> None:
        self._clean.shift(by)
        self._judge.shift(by)
        for stage in self._deriving:
            stage.shift(by)

    # Restart ------------------------------------------------------------------------------------------------------------

    def changed(self, points: Collection[str] | None = None) -> dict[str, Documents]:
        """What has changed since the last call and must be known again after a restart, by table; of all points or of some."""
        self._windows.advance(self._now)  # closes none: it takes the time over
        scores, self._forgotten = self._forgotten, {}
        for each in self._scores.values():
            scores.update(each.changed())
        tables = {
            "windows": self._windows.changed(points),
            "alarms": self._judge.changed(),
            "cash": self._cash.changed(),
            "visits": self._visits.changed(),
            "demand": self._outlook.changed() if points is None else {},
            "scores": scores,
            "learned": self._judge.learned() if points is None else {},
        }
        return {f"{table} {self.machine}": documents for table, documents in tables.items()}

    @property
    def tables(self) -> Sequence[str]:
        """Names of the tables that `restore` wants."""
        return tuple(f"{table} {self.machine}" for table in TABLES)

    def restore(self, tables: Mapping[str, Mapping[str, dict[str, Any]]], now: float) -> list[Body]:
        """Go on where an earlier run ended; called once, before the first Reading. A window that has ended is returned."""
        windows, alarms, cash, visits, demand, scores, learned = (dict(tables.get(name, {})) for name in self.tables)
        out: list[Body] = [*self._windows.restore(windows, now)]
        self._clean.expect([point for point in self._windows.points if not _MADE_HERE.fullmatch(point)], now)
        self._cash.restore(dict(cash))
        self._visits.restore(visits, now)
        self._outlook.restore(demand)
        out += self._judge.restore(dict(alarms), dict(learned), now)
        self._saved_scores = scores
        for each in self._scores.values():
            each.restore(scores)
        self._now = now
        self._due = -inf
        return out

    def succeed(self, earlier: Pipeline) -> list[Body]:
        """Take over what an earlier pipeline of the same machine has heard, when settings change in a running agent.

        Called once, after `restore`. Its windows have been restored: nothing is counted in them again.
        """
        out: list[Body] = []
        for reading in earlier._clean.known():
            cleaned = self._clean.feed(reading)
            if cleaned is not None:
                self._conclude(cleaned)
                out += self._judge.feed(cleaned)
        return out

    def attach(self, scoring: Scoring) -> None:
        """Ask a model from now on. Models come when they have been proved, which rules do not wait for.

        One that takes the place of another of its name takes over its open alarm, and what it has learned of this machine.
        """
        before = self._scores.get(scoring.name)
        scores = self._scores[scoring.name] = Scores(self.machine, scoring)
        scores.restore(self._saved_scores if before is None else before.documents())
        self._saved_scores = {key: each for key, each in self._saved_scores.items() if not scores.owns(key)}
        self._due = -inf

    def detach(self, name: str) -> list[Body]:
        """Ask a model no more. An alarm of it that is open ends, and what it has learned is forgotten."""
        scores = self._scores.pop(name, None)
        if scores is None:
            return []
        self._forgotten |= dict.fromkeys(scores.documents())
        alarm = scores.end(self._now)
        return [alarm] if alarm is not None else []

    def announce(self, visit: Visit) -> None:
        """Somebody is expected at the machine. What follows from it comes with the next tick."""
        self._visits.announce(visit)
        self._due = -inf

    def withdraw(self, now: float) -> None:
        """Whoever was announced for `now` is not expected any more."""
        self._visits.withdraw(now)
        self._due = -inf

    def asks_demand(self) -> tuple[Sequence[DayOfDemand], date] | None:
        """Days of demand that are known and the first one ahead, when nobody has foretold from there; None when nobody need."""
        return self._outlook.asks(self._now) if self._now > -inf else None

    def foretell(self, first: date, forecast: Forecast | None) -> None:
        """What is foretold of the demand of the days from `first` on; None: no more than the past does."""
        self._outlook.foretell(first, forecast)
        self._due = -inf

    def values(self) -> dict[str, Value]:
        """The newest value of every point, for people to look at."""
        return {**self._clean.values(), **self._derived}

    def since(self) -> dict[str, float]:
        """When the newest value of every point that was heard began."""
        return self._clean.since()


def replayed(pipeline: Pipeline, moments: Iterable[Sequence[Reading]], step: float = 60.0) -> Iterator[Body]:
    """Everything that a pipeline makes of a recorded session (`agent.stages.session.read`). Time passes in steps of `step`
    seconds where the session says nothing, and ends with it; Readings of other machines are passed over."""
    now: float | None = None
    for readings in moments:
        for reading in readings:
            if reading.machine != pipeline.machine:
                continue
            while now is not None and now + step < reading.at <= now + GAP:
                now += step
                yield from pipeline.tick(now)
            now = reading.at if now is None else max(now, reading.at)
            yield from pipeline.feed(reading)
    if now is not None:
        yield from pipeline.tick(now)


# points that the pipeline makes, or may make: they say something when it is news, and are never silent
_MADE_HERE = re.compile(r"(machine|model)\..*|cashManagement\.dispenser|storage\.\w+\.replenishmentStatus")


def _insured(limit: int) -> Rule:
    return Rule(
        "overInsured",
        (Condition("machine.exposure", above=limit),),
        EventClass.THRESHOLD,
        Severity.WARNING,
        f"More cash is in the machine than is insured: {{value}} of {limit} minor units.",
    )
