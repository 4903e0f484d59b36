"""What the model of a cash machine learns from: simulated machines that live, wear and break, watched as a gateway watches them.

Each world is warmed up for a week, so that features of a week know their whole span; then something may begin to wear. A row is
taken every few hours while nothing is broken; its label says whether within the next days a fault begins that a technician must
come for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random

import numpy as np
from numpy.typing import NDArray

from agent.records import Reading
from agent.stages.features import Features, parse
from firmware_sim.params import Parameters
from firmware_sim.replay import replay
from firmware_sim.scenarios import change, find
from firmware_sim.truth import Label
from firmware_sim.visits import CALLS_TECHNICIAN
from firmware_sim.world import World
from models.forest import Derived, Floats

DAY = 86_400.0
HORIZON = 3.0  # days
EVERY = 6 * 3600.0  # s between two rows
SAMPLE = 1800.0  # s between two samples of the simulated board; words come at their edges, counters grow all the same
WARM = 7.0  # days
WATCHED = 14.0  # days after that, from which rows are taken

FEATURES = (
    "delta(cashDispenser.picks,86400s)",
    "delta(cashDispenser.picks,604800s)",
    "delta(cashDispenser.pickFailures,604800s)",
    *(f"delta(storage.unit{unit}.rejected,{span}s)" for span in (86_400, 604_800) for unit in (1, 2, 3, 4)),
    "last(storage.unitReject.count,86400s)",
    "delta(transaction.count,604800s)",
    "delta(transaction.failed,604800s)",
    "delta(cardReader.readErrors,86400s)",
    "delta(cardReader.readErrors,604800s)",
    "mean(cardReader.insertionTime_s,86400s)",
    "ago(cashDispenser.device=hardwareError|userError,604800s)",
    "ago(cardReader.media=jammed,604800s)",
    "ago(printer.device=hardwareError|userError,604800s)",
    "ago(printer.paper.upper=low|out|jammed,604800s)",
    "changes(powerManagement.powerInStatus,604800s)",
    "mean(powerManagement.batteryVoltage_v,86400s)",
    "mean(powerManagement.batteryVoltage_v,604800s)",
    "mean(environment.temperature_c,14400s)",
    "mean(environment.temperature_c,604800s)",
    "max(motion.rms_ms2,604800s)",
)
_REJECTED = tuple(f"delta(storage.unit{unit}.rejected,{{}}s)" for unit in (1, 2, 3, 4))


_VOLTAGE, _TEMPERATURE = "mean(powerManagement.batteryVoltage_v,{}s)", "mean(environment.temperature_c,{}s)"


def _sum(span: int, name: str) -> tuple[Derived, ...]:
    one, two, three, four = (text.format(span) for text in _REJECTED)
    return (
        Derived(f"{name} of 1 and 2", one, "plus", two),
        Derived(f"{name} of 3 and 4", three, "plus", four),
        Derived(name, f"{name} of 1 and 2", "plus", f"{name} of 3 and 4"),
        Derived(f"{name} per pick", name, "per", f"delta(cashDispenser.picks,{span}s)"),
    )


DERIVED = (
    *_sum(86_400, "rejects of a day"),
    *_sum(604_800, "rejects of a week"),
    Derived("growth of rejects", "rejects of a day per pick", "minus", "rejects of a week per pick"),
    Derived("failures per pick", "delta(cashDispenser.pickFailures,604800s)", "per", "delta(cashDispenser.picks,604800s)"),
    Derived("read errors per card", "delta(cardReader.readErrors,604800s)", "per", "delta(transaction.count,604800s)"),
    Derived("fall of the battery", _VOLTAGE.format(86_400), "minus", _VOLTAGE.format(604_800)),
    Derived("warming", _TEMPERATURE.format(14_400), "minus", _TEMPERATURE.format(604_800)),
)


class Group(StrEnum):
    """What a world is for; each has seeds of its own, so no machine is met twice."""

    TRAIN = "train"
    REPORT = "report"


# what wears: scenario -> its settings, each drawn between the two (on a logarithmic scale), and the label that it ends in
WEAR: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "slow_jam_degradation": {"days": (3.0, 10.0), "worst": (4.0, 16.0)},
    "ups_battery_worn": {"days": (3.0, 10.0), "loss_v": (0.8, 2.4), "health": (0.04, 0.25)},
    "overheating": {"rise": (15.0, 38.0), "hours": (2.0, 10.0)},
}
LIFE = "life"
KINDS = (LIFE, "slow_jam_degradation", LIFE, "ups_battery_worn", LIFE, "slow_jam_degradation", "ups_battery_worn", "overheating")
_FIRST_SEED = {Group.TRAIN: 5_000_000, Group.REPORT: 6_000_000}


@dataclass(frozen=True)
class Lived:
    """One watched machine. `faults` names what a visit was needed for within the horizon of each row, empty where nothing."""

    number: int
    kind: str
    at: NDArray[np.float64]
    rows: Floats
    faults: tuple[str, ...]
    visits: int
    """Faults that needed one while it was watched."""

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Whether a visit was needed within the horizon."""
        return np.array([bool(fault) for fault in self.faults], bool)


def live(group: Group, number: int) -> Lived:
    """Machine `number` of a group: the same whenever it is asked for."""
    seed = _FIRST_SEED[group] + number
    rng = Random(f"fault/{seed}")
    parameters = Parameters().randomised(rng)
    start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(365))
    world = World("normal_week", seed, parameters=parameters, start=start)
    kind = KINDS[number % len(KINDS)]
    wear_from = WARM + rng.uniform(0.0, WATCHED / 2)
    watch = _Watch(world)
    watch.run_to(world.start + wear_from * DAY)
    if kind != LIFE:
        _begin(world, kind, rng)
    watch.run_to(world.start + (WARM + WATCHED) * DAY)
    world.run_to(world.start + (WARM + WATCHED + HORIZON) * DAY)
    return watch.labelled(number, kind)


def _begin(world: World, kind: str, rng: Random) -> None:
    """Let something begin to wear, at the next occasion that its scenario has."""
    drawn = {name: low * (high / low) ** rng.random() for name, (low, high) in WEAR[kind].items()}
    settings, _ = change(find(kind), world.site.params, drawn)
    find(kind).begin(world.site, settings)


class _Watch:
    """The features of a machine, and when they were taken."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._wanted = [parse(text) for text in FEATURES]
        self._points = {feature.point for feature in self._wanted}
        self._features = Features(self._wanted)
        self._at: list[float] = []
        self._rows: list[list[float]] = []

    def run_to(self, until: float) -> None:
        """Watch up to `until`."""
        world = self._world
        for at, values in replay(world, SAMPLE, until):
            for name in self._points & values.keys():
                self._features.feed(Reading("ATM-SIM", name, values[name], at))
            if at >= world.start + WARM * DAY and (not self._at or at >= self._at[-1] + EVERY):
                self._at.append(at)
                self._rows.append(self._features.values(self._wanted, at))

    def labelled(self, number: int, kind: str) -> Lived:
        """The rows at which nothing was broken, with what came."""
        truth = [label for label in self._world.truth if label.name in CALLS_TECHNICIAN]
        whole = [row for row, at in enumerate(self._at) if not any(_open(label, at) for label in truth)]
        at, rows = np.array(self._at)[whole], np.array(self._rows, np.float32)[whole]
        watched = sum(label.start >= self._world.start + WARM * DAY for label in truth)
        return Lived(number, kind, at, rows, tuple(_next(truth, moment) for moment in at), watched)


def _open(label: Label, at: float) -> bool:
    return label.start <= at and (label.end is None or at <= label.end)


def _next(truth: Sequence[Label], at: float) -> str:
    """The fault that begins next within the horizon."""
    coming = [label for label in truth if at < label.start <= at + HORIZON * DAY]
    return min(coming, key=lambda label: label.start).name if coming else ""
