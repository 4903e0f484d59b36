"""The anomaly score on simulated machines: a fortnight to learn, a fortnight of ordinary life, and troubles that nobody scripted
a rule for. What counts for an operator is false alarms per machine and month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np

from agent.records import Reading
from agent.scoring.baseline import Baseline, Floats, Pace, Run, learn
from agent.stages.features import Features, parse
from firmware_sim.params import Parameters
from firmware_sim.replay import replay
from firmware_sim.truth import Label
from firmware_sim.world import World
from models.anomaly.evaluate import THRESHOLD, stream
from models.anomaly.measures import spans

FEATURES = (  # what is watched at a cash machine unless the configuration says otherwise
    "mean(environment.temperature_c,300s)",
    "mean(environment.humidity_pct,300s)",
    "mean(powerManagement.inputVoltage_v,300s)",
    "mean(powerManagement.batteryVoltage_v,300s)",
    "mean(energy.active_power_w,300s)",
    "max(motion.tilt_deg,300s)",
    "mean(motion.rms_ms2,300s)",
    "mean(cardReader.insertionTime_s,3600s)",
    "delta(cardReader.readErrors,3600s)",
    "delta(cashDispenser.pickFailures,3600s)",
    "delta(storage.unitReject.rejected,3600s)",
    "delta(transaction.count,3600s)",
)
EVERY = 300.0  # s between two rows
SAMPLE = 60.0  # s between two samples of the simulated board
LEARNED = 14  # days
LIVED = 14
DAY = 86_400.0
WINDOW = round(LEARNED * DAY / EVERY)  # rows
LIKELY = (round(DAY / EVERY),)  # rows of a day
WARM = round(3600.0 / EVERY)  # rows until the longest feature knows its whole span
TROUBLES = (
    "overheating",
    "ups_battery_worn",
    "slow_jam_degradation",
    "skimming_overlay",
    "drilling",
)
AFTER = 6 * 3600.0  # s after the end of something that an alarm may still be about it


@dataclass(frozen=True)
class Life:
    """A fortnight in which nothing was scripted."""

    machine: int
    alarms: int
    unexplained: int
    """Without a fault, a visit or a disturbance at that time."""
    days: float


@dataclass(frozen=True)
class Trouble:
    """A scripted one on a machine that had been learned."""

    machine: int
    scenario: str
    after_s: float | None
    """From its beginning to the alarm; None: not found."""
    drivers: tuple[str, ...]


def machine(number: int) -> tuple[Parameters, datetime]:
    """A machine and the day it is commissioned: the same whenever it is drawn."""
    rng = Random(f"anomaly/{number}")
    parameters = Parameters().randomised(rng)
    return parameters, datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(300))


def rows_of(world: World, until: float) -> tuple[int, Floats]:
    """The first step, and a row of FEATURES at every step up to `until` (seconds since the epoch)."""
    wanted = [parse(text) for text in FEATURES]
    features, points = Features(wanted), {feature.point for feature in wanted}
    first = int(world.now // EVERY) + 1
    rows: list[list[float]] = []
    for at, values in replay(world, SAMPLE, until):
        while at >= (first + len(rows)) * EVERY:
            rows.append(features.values(wanted, (first + len(rows)) * EVERY))
        for name in points & values.keys():
            features.feed(Reading("ATM-SIM", name, values[name], at))
    return first, np.array(rows)


def life(number: int) -> tuple[World, int, Floats]:
    """The ordinary life of a machine: its world, the first step, the rows to learn from and those behind."""
    parameters, start = machine(number)
    world = World("normal_week", number, parameters=parameters, start=start)
    return (world, *rows_of(world, world.start + (LEARNED + LIVED) * DAY))


def live(run: Run, number: int, pace: Pace) -> tuple[Baseline, Life]:
    """Learn a machine and score its ordinary fortnight after that."""
    world, first, rows = life(number)
    baseline = learn(rows[:WINDOW], FEATURES, first, pace, LIKELY)
    scores, _ = stream(run, baseline, rows[WINDOW:], first + WINDOW)
    alarms = [(first + WINDOW + begin) * EVERY for begin, _ in spans(scores >= THRESHOLD)]
    unexplained = sum(not any(_about(label, at) for label in world.truth) for at in alarms)
    return baseline, Life(number, len(alarms), unexplained, len(scores) * EVERY / DAY)


def suffer(run: Run, baseline: Baseline, number: int, scenario: str) -> Trouble:
    """Score one trouble on the machine that was learned, right after the commissioning. An alarm that is on before the trouble
    begins does not count."""
    parameters, start = machine(number)
    world = World(scenario, number, parameters=parameters, start=start + timedelta(days=LEARNED))
    first, rows = rows_of(world, world.end)
    first, rows = first + WARM, rows[WARM:]
    label = next((each for each in world.truth if _scripted(each, scenario)), None)
    scores, contributions = stream(run, baseline, rows, first)
    if label is None:
        return Trouble(number, scenario, None, ())
    until = (label.end or world.end) + AFTER
    begins = [row for row, _ in spans(scores >= THRESHOLD) if label.start <= (first + row) * EVERY <= until]
    if not begins:
        return Trouble(number, scenario, None, ())
    strongest = np.argsort(-contributions[begins[0]])[:3]
    return Trouble(number, scenario, (first + begins[0]) * EVERY - label.start, tuple(FEATURES[at] for at in strongest))


_LABELS = {
    "overheating": "fanFailed",
    "ups_battery_worn": "upsBatteryWorn",
    "slow_jam_degradation": "wornTransport",
}


def _scripted(label: Label, scenario: str) -> bool:
    return bool(label.attack) if scenario not in _LABELS else label.name == _LABELS[scenario]


def _about(label: Label, at: float) -> bool:
    return label.start <= at <= (label.end if label.end is not None else at) + AFTER


def per_month(lives: Sequence[Life]) -> tuple[float, float]:
    """Alarms, and alarms without a cause, per machine and 30 days."""
    days = sum(each.days for each in lives)
    return 30 * sum(each.alarms for each in lives) / days, 30 * sum(each.unexplained for each in lives) / days
