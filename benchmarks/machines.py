"""Simulated machines, lived through by the agent's pipeline: for measurements, and for the tests of the rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import overload

from agent.pipeline import Pipeline, PipelineSettings
from agent.records import Alarm, Body, Reading
from agent.stages.calendar import Plan, Visit
from agent.stages.cash import Cassette
from agent.stages.rules import Rule
from firmware_sim.params import Parameters
from firmware_sim.replay import replay
from firmware_sim.truth import Label
from firmware_sim.world import World

MACHINE = "atm-1"
STEP = 60.0  # s between two ticks while the board says nothing
WINDOW = 900.0  # s
DAY = 86_400.0
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


class Announced(Sequence[Visit]):
    """The visits that the operator's calendar knows by now; it grows while the world goes on."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __len__(self) -> int:
        return len(self._world.plan)

    @overload
    def __getitem__(self, index: int) -> Visit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Visit]: ...
    def __getitem__(self, index: int | slice) -> Visit | Sequence[Visit]:
        plan = [Visit(visit.start, visit.end, visit.what) for visit in self._world.plan]
        return plan[index]


@dataclass(frozen=True)
class Lived:
    """What was really going on, and what the agent said to it."""

    start: float
    end: float
    truth: Sequence[Label]
    alarms: Sequence[Alarm]


def pipeline_of(world: World, rules: Sequence[Rule], *, announced: bool = True) -> Pipeline:
    """A pipeline that knows of a machine what its operator would have configured."""
    cassettes = {
        f"unit{number}": Cassette(load.denomination, "EUR", load.capacity)
        for number, load in enumerate(world.site.params.cassettes, start=1)
    }
    plan = Plan(visits=Announced(world) if announced else ())
    return Pipeline(PipelineSettings(MACHINE, window=WINDOW, rules=tuple(rules), plan=plan, cassettes=cassettes))


def bodies(world: World, pipeline: Pipeline, sample: float, until: float) -> Iterator[Body]:
    """Everything that the pipeline makes of what the board of `world` tells up to `until`."""
    now = world.now
    for at, values in replay(world, sample, until):
        while now + STEP < at:
            now += STEP
            yield from pipeline.tick(now)
        if at > now:
            now = at
            yield from pipeline.tick(now)
        for point, value in values.items():
            yield from pipeline.feed(Reading(MACHINE, point, value, at))
    while now < until:
        now = min(now + STEP, until)
        yield from pipeline.tick(now)


def lived(
    world: World, rules: Sequence[Rule], *, sample: float = 60.0, until: float | None = None, announced: bool = True
) -> Lived:
    """Let a machine live until `until`, or as long as its scenario lasts."""
    start, end = world.now, world.end if until is None else until
    pipeline = pipeline_of(world, rules, announced=announced)
    alarms = [body for body in bodies(world, pipeline, sample, end) if isinstance(body, Alarm)]
    return Lived(start, end, tuple(world.truth), alarms)


def machine(scenario: str, seed: int, *, randomised: bool = True, settings: Mapping[str, str] | None = None) -> World:
    """A machine in a scenario; `randomised`: another one at another place for each seed."""
    rng = Random(f"machine/{scenario}/{seed}")
    parameters = Parameters().randomised(rng) if randomised else Parameters()
    return World(scenario, seed, parameters=parameters, settings=settings)


def ordinary(seed: int, days: float) -> tuple[World, float]:
    """A machine whose life nothing disturbs but what disturbs every machine, from some day of some year, and its end."""
    rng = Random(f"ordinary/{seed}")
    start = FIRST_DAY + timedelta(days=rng.randrange(700))
    world = World("normal_week", seed, parameters=replace(Parameters().randomised(rng)), start=start)
    return world, world.start + days * DAY
