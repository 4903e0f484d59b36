"""One world watched as a gateway would: its Readings go through the very pipeline that runs on the gateway.

A month at one sample a second would take an hour. So the board samples once a second only while the housing is shaken or an
attack is near, and every `CALM` seconds otherwise; words come at their edges all the same, and no shaking goes unheard. Sparing,
where weeks of ordinary life are looked through, it samples every `LEISURE` seconds and says only what is news, and the model is
asked every `LEISURE` seconds, the shortest span of a feature, until it begins to suspect. Then less than an alarm must count as
one: what was highest between two questions is lower at the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from agent.pipeline import Pipeline, PipelineSettings
from agent.records import Alarm, Body, Reading, Value
from agent.stages.calendar import Plan
from agent.stages.features import Feature
from agent.stages.rules import Rule, fits
from agent.stages.score import Score, Scores, Scoring
from firmware_sim.agenda import tick_of
from firmware_sim.board import Board, Edge, Sample
from firmware_sim.truth import Kind as LabelKind
from firmware_sim.truth import Label
from firmware_sim.world import World
from models.attack_risk.worlds import Plot

MACHINE = "ATM-SIM"
CALM = 20.0  # s between two samples, and between two ticks, while nothing happens
LEISURE = 60.0  # s between two samples where nothing is scripted; from 120 s on the pipeline believes that its process paused
NOISE = 0.05  # of a measured value, absolute and as a share; a change below is no news
AGAIN = 120.0  # s after which a value that has not changed is said again, so that its point is not taken for silent
SUSPECTS = 0.02  # of a score, and it is asked as often as it wants; a twenty-fifth of what it would alarm at
LOUD = 0.5  # m/s²: what customers do to the housing stays below
RINGING = 3.0  # s of close sampling after a shock
LIVELY = 60.0  # s after anything has happened in which the model is asked as often as it wants
BEFORE = 300.0  # s before the scripted moment from which the board samples once a second
HISTORY = 1_800.0  # s before the scripted moment from which models are asked; until then they only listen
AFTERMATH = 900.0  # s after the last repair during which an attack's traces are still in the features


class Close(Board):
    """A board that samples once a second when it matters."""

    def __init__(self, world: World, period: float, always_from: float) -> None:
        self._always_from = always_from
        self._loud_until = 0.0
        super().__init__(world, period)

    def _sample(self, now: float) -> Sample:
        sample = super()._sample(now)
        near = now >= self._always_from or now < self._loud_until
        self._sample_at = tick_of(now + (1.0 if near else self.period))
        return sample

    def _act(self, now: float) -> Iterator[Edge | Sample]:
        if self.world.site.motion.peak_since(now - 1.0) > LOUD:
            self._loud_until = now + RINGING
            self._sample_at = min(self._sample_at, tick_of(max(now, self._sampled_at + 1.0)))
        yield from super()._act(now)


@dataclass(frozen=True)
class Announced(Plan):
    """The operator's calendar, as the world fills it."""

    world: World | None = None

    def visit_planned(self, at: float) -> bool:
        """Whether somebody is expected."""
        return self.world is not None and any(visit.start <= at < visit.end for visit in self.world.plan)


@dataclass
class Watched:
    """What was seen of one world."""

    plot: Plot
    labels: Sequence[Label]
    days: float
    """Of the world that were watched."""
    times: NDArray[np.float64]
    rows: NDArray[np.float32]
    """The features at these times; empty unless they were recorded."""
    alarms: list[Alarm] = field(default_factory=list)

    @property
    def attack(self) -> Label | None:
        """The attack, when there was one that could be seen."""
        return next((each for each in self.labels if each.kind is LabelKind.ATTACK and each.seen is not None), None)

    def calm_again(self) -> float:
        """When the traces of the attack are gone: it is over, and what it broke has been repaired. Infinity: never."""
        attack = self.attack
        assert attack is not None
        over = attack.end if attack.end is not None else inf
        after = [each for each in self.labels if each.start >= attack.start and each.name in ("damaged", "technician")]
        return max([over, *(each.end if each.end is not None else inf for each in after)]) + AFTERMATH


class Sparing(Pipeline):
    """A pipeline that asks its models seldom while nothing happens: without news a score only falls."""

    step = CALM
    silent_until = 0.0
    asked_at = 0.0
    suspicious_until = 0.0

    def _score(self, scores: Scores, now: float, out: list[Body]) -> None:
        if now % self.step or now < self.silent_until:
            scores.due = now - now % self.step + self.step
            return
        self.asked_at = now
        super()._score(scores, now, out)
        if scores.latest is not None and scores.latest >= SUSPECTS:
            self.suspicious_until = now + LIVELY


def watch(plot: Plot, rules: Sequence[Rule], scorings: Sequence[Scoring], *, sparing: bool = False) -> Watched:
    """Let a world go its way and note what rules and models make of it."""
    return _Watch(plot, rules, scorings, sparing=sparing).run()


def record(plot: Plot, features: Sequence[Feature], every: float) -> Watched:
    """The features of a world every `every` seconds of liveliness, as a model of the gateway would be given them."""
    rows: list[list[float]] = []
    times: list[float] = []

    def note(row: Sequence[float]) -> Score | None:
        rows.append(list(row))
        times.append(gateway.asked_at)
        return None

    gateway = _Watch(plot, (), [Scoring("recorder", tuple(features), note, 1.0, every)], sparing=plot.lives)
    watched = gateway.run()
    return replace(watched, times=np.asarray(times), rows=np.asarray(rows, dtype=np.float32).reshape(-1, len(features)))


class _Watch:
    """The gateway at one machine."""

    def __init__(self, plot: Plot, rules: Sequence[Rule], scorings: Sequence[Scoring], *, sparing: bool) -> None:
        self._plot = plot
        self._sparing = sparing
        self._world = plot.world()
        self._every = min((each.every for each in scorings), default=CALM)
        self._period = LEISURE if sparing else CALM
        self._said: dict[str, Value] = {}
        self._again = 0.0
        plan = Announced(world=self._world if plot.calendar_known else None)
        self._pipeline = Sparing(PipelineSettings(MACHINE, 3600.0, rules=tuple(rules), plan=plan, scorings=tuple(scorings)))
        named = {feature.point for scoring in scorings for feature in scoring.features}
        patterns = {each.point for rule in rules for each in (*rule.when, *rule.unless)}
        self._points = {name for name in self._world.fitted if name in named or any(fits(each, name) for each in patterns)}
        self._lively_until = self._heard = 0.0
        self._alarms: list[Alarm] = []

    @property
    def asked_at(self) -> float:
        """When the model was asked last."""
        return self._pipeline.asked_at

    def run(self) -> Watched:
        """To the end of the plot."""
        plot, world = self._plot, self._world
        begun, moment = world.now, plot.moment.timestamp()
        board = Close(world, self._period, moment - BEFORE if plot.near else inf)
        self._pipeline.silent_until = moment - HISTORY
        until = moment + plot.hours * 3600.0
        while world.now < until and not self._over():
            if plot.broken_loop and world.now >= moment:
                world.site.board.cut.add(plot.broken_loop)
            for item in board.run_to(min(until, world.now + self._period)):
                self._hear(item)
            self._note(self._pipeline.tick(world.now))
        days = (world.now - begun) / 86_400.0
        return Watched(plot, list(world.truth), days, np.empty(0), np.empty((0, 0), dtype=np.float32), self._alarms)

    def _over(self) -> bool:
        """Nothing more is to be learnt: the attack ended a quarter of an hour ago."""
        attack = next((each for each in self._world.truth if each.kind is LabelKind.ATTACK), None)
        return attack is not None and attack.end is not None and self._world.now > attack.end + AFTERMATH

    def _hear(self, item: Edge | Sample) -> None:
        now = self._world.now
        if not self._sparing and (isinstance(item, Edge) or now - self._heard < CALM - 1.0):
            self._lively_until = now + LIVELY
        if isinstance(item, Sample):
            self._heard = now
        bodies = self._pipeline.tick(now)
        self._pipeline.step = self._every if now < max(self._lively_until, self._pipeline.suspicious_until) else self._period
        for name, value in self._news(item).items():
            bodies += self._pipeline.feed(Reading(MACHINE, name, value, item.at))
        self._note(bodies)

    def _news(self, item: Edge | Sample) -> dict[str, Value]:
        """What a gateway is told; sparing, only what has changed, and everything now and then."""
        values = {name: value for name, value in item.values.items() if name in self._points}
        if not self._sparing:
            return values
        if isinstance(item, Sample) and item.at >= self._again:
            self._again = item.at + AGAIN
            return values
        news = {name: value for name, value in values.items() if _moved(self._said.get(name), value)}
        self._said.update(news)
        return news

    def _note(self, bodies: Sequence[Body]) -> None:
        self._alarms += [body for body in bodies if isinstance(body, Alarm)]


def _moved(said: Value, value: Value) -> bool:
    """Whether a value is news: a measured one when it has moved by more than a sensor's noise."""
    if isinstance(value, float) and isinstance(said, float):
        return abs(value - said) > NOISE + NOISE * abs(said)
    return value != said
