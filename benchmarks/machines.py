"""Simulated machines, lived through by the agent's pipeline: for measurements, and for the tests of the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from firmware_sim.truth import Kind, Label
from firmware_sim.world import World

MACHINE = "atm-1"
STEP = 60.0  # s between two ticks while the board says nothing
WINDOW = 3_600.0  # s; alarms do not depend on it
DAY = 86_400.0
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


class Announced(Sequence[Visit]):
    """The visits that the operator's calendar knows by now; it grows while the world goes on."""

    def __init__(self, world: World) -> None:
        self._plan = world.plan
        self._visits: list[Visit] = []

    def _known(self) -> list[Visit]:
        self._visits += [Visit(each.start, each.end, each.what) for each in self._plan[len(self._visits) :]]
        return self._visits

    def __len__(self) -> int:
        return len(self._plan)

    def __iter__(self) -> Iterator[Visit]:
        return iter(self._known())

    @overload
    def __getitem__(self, index: int) -> Visit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Visit]: ...
    def __getitem__(self, index: int | slice) -> Visit | Sequence[Visit]:
        return self._known()[index]


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


def lived(
    world: World, rules: Sequence[Rule], *, sample: float = 60.0, until: float | None = None, announced: bool = True
) -> Lived:
    """Let a machine live until `until`, or as long as its scenario lasts."""
    start, end = world.now, world.end if until is None else until
    pipeline = pipeline_of(world, rules, announced=announced)
    feed, machine_id = pipeline.feed, MACHINE  # a month of this loop says three million Readings
    alarms: list[Alarm] = []
    now = start
    for at, values in replay(world, sample, end):
        if at > now + STEP:  # what is said lets time pass by itself
            alarms += alarms_until(at, now, pipeline)
        now = max(now, at)
        for point, value in values.items():
            told = feed(Reading(machine_id, point, value, at))
            if told:
                alarms += only_alarms(told)
    alarms += alarms_until(end, now, pipeline)
    return Lived(start, end, (*world.truth, *days_without_customers(world, start, end)), alarms)


def days_without_customers(world: World, start: float, end: float) -> Iterator[Label]:
    """Whole days on which nobody came: the demand is a real machine's, and on some days that one could not be reached."""
    came = {entry.at // DAY for entry in world.journal if entry.what == "customer"}
    for day in range(int(-(-start // DAY)), int(end // DAY)):
        if day not in came:
            yield Label(Kind.DISTURBANCE, "nobodyCame", "", day * DAY, (day + 1) * DAY, day * DAY)


def alarms_until(end: float, now: float, pipeline: Pipeline) -> Iterator[Alarm]:
    """What the passing of time brings about, looked at every minute."""
    while now < end:
        now = min(now + STEP, end)
        yield from only_alarms(pipeline.tick(now))


def only_alarms(told: Iterable[Body]) -> Iterator[Alarm]:
    """Without windows."""
    return (body for body in told if isinstance(body, Alarm))


def machine(scenario: str, seed: int, *, randomised: bool = True, settings: Mapping[str, str] | None = None) -> World:
    """A machine in a scenario; `randomised`: another one at another place for each seed."""
    rng = Random(f"machine/{scenario}/{seed}")
    parameters = Parameters().randomised(rng) if randomised else Parameters()
    return World(scenario, seed, parameters=parameters, settings=settings)


def ordinary(seed: int, days: float) -> tuple[World, float]:
    """A machine that nobody attacks, at a place that knows all that may be mistaken for it, from some day of some year, and its
    end."""
    rng = Random(f"ordinary/{seed}")
    start = FIRST_DAY + timedelta(days=rng.randrange(700))
    world = World("normal_week", seed, parameters=Parameters().randomised(rng).exposed(), start=start)
    return world, world.start + days * DAY
