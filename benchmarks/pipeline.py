"""What the pipeline costs: a Reading through clean, rules and windows, against a loop that only sums up; and its memory.

    python -m benchmarks.pipeline [--json]

One machine with 20 analogue points, each read once a second and never twice the same: nothing is spared because it is no news.
The shipped rules judge, windows of 60 s are made. The reference is a bare loop over the very same Readings that keeps n, min,
max, sum and sum of squares of each point. The stages are timed by themselves too; what is left is the pipeline around them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, cycle, islice
from random import Random
from typing import Any

from agent.config import shipped_rules
from agent.pipeline import Pipeline, PipelineSettings
from agent.records import Reading
from agent.selfwatch import resident_memory
from agent.stages.clean import Clean, CleanSettings
from agent.stages.judge import Judge
from agent.stages.windows import Windows
from benchmarks import figures
from benchmarks.figures import Figure, figure

MACHINE = "atm-1"
START = 1_760_000_040.0  # a whole minute
WINDOW = 60.0
ROUNDS = 7
SECONDS = 1_000  # of the machine's life, a round
MEMORY_READINGS = 10_000_000
SETTLED = 1_000_000  # readings after which everything that is kept has its size
MIB = 1024.0 * 1024.0
GROWTH_GOAL = "<= 1"  # MiB over nine million readings
# point: middle and deviation of its noise. Half of them are looked at by several rules, as on a real machine.
POINTS = {
    "environment.temperature_c": (25.0, 0.05),
    "environment.humidity_pct": (50.0, 0.2),
    "motion.tilt_deg": (0.3, 0.02),
    "motion.rms_ms2": (0.02, 0.002),
    "motion.peak_ms2": (0.1, 0.02),
    "motion.drill_band_ms2": (0.02, 0.003),
    "motion.grind_band_ms2": (0.02, 0.003),
    "powerManagement.inputVoltage_v": (230.0, 1.0),
    "powerManagement.outputVoltage_v": (230.0, 0.5),
    "powerManagement.batteryVoltage_v": (27.4, 0.02),
    "powerManagement.load_pct": (30.0, 0.5),
    "powerManagement.temperature_c": (30.0, 0.05),
    "energy.voltage_v": (230.0, 1.0),
    "energy.current_a": (2.0, 0.1),
    "energy.active_power_w": (400.0, 10.0),
    "energy.frequency_hz": (50.0, 0.01),
    "position.lat": (52.5, 1e-6),
    "position.lon": (13.4, 1e-6),
    "position.hdop": (1.1, 0.1),
    "cardReader.insertionTime_s": (0.9, 0.05),
}


def said(seconds: int, seed: int = 1) -> list[Reading]:
    """What the sensors say in so many seconds."""
    rng = Random(seed)
    return [
        Reading(MACHINE, point, rng.gauss(middle, deviation), START + second)
        for second in range(seconds)
        for point, (middle, deviation) in POINTS.items()
    ]


def bare(readings: Sequence[Reading]) -> None:
    """The reference: n, min, max, sum and sum of squares of each point."""
    sums: dict[str, list[Any]] = {}
    for reading in readings:
        value: Any = reading.value
        own = sums.get(reading.point)
        if own is None:
            sums[reading.point] = [1, value, value, value, value * value]
            continue
        own[0] += 1
        if value < own[1]:
            own[1] = value
        if value > own[2]:
            own[2] = value
        own[3] += value
        own[4] += value * value


def made() -> Pipeline:
    """The pipeline that is measured."""
    return Pipeline(PipelineSettings(MACHINE, window=WINDOW, rules=shipped_rules()))


def piped(pipeline: Pipeline, readings: Sequence[Reading]) -> None:
    """Every Reading through the whole pipeline; time passes with them."""
    feed = pipeline.feed
    for reading in readings:
        feed(reading)


def cleaned(readings: Sequence[Reading]) -> None:
    """Cleaning alone."""
    stage = Clean(MACHINE, CleanSettings())
    for reading in readings:
        stage.feed(reading)


def judged(judge: Judge, readings: Sequence[Reading]) -> None:
    """Rules alone."""
    for reading in readings:
        if reading.at >= judge.due:
            judge.tick(reading.at)
        judge.feed(reading)


def summed(readings: Sequence[Reading]) -> None:
    """Windows alone."""
    stage = Windows(MACHINE, WINDOW)
    stage.begin(START)
    for reading in readings:
        if reading.at >= stage.end:
            stage.advance(reading.at)
        stage.feed(reading)


def costs(readings: Sequence[Reading]) -> Iterator[Figure]:
    """Microseconds a Reading, of everything and of each stage, round by round beside the reference."""
    rules = shipped_rules()
    subjects: dict[str, Callable[[], Callable[[], None]]] = {  # what is made before the clock runs
        "bare_loop": lambda: partial(bare, readings),
        "reading": lambda: partial(piped, made(), readings),
        "clean": lambda: partial(cleaned, readings),
        "rules": lambda: partial(judged, Judge(MACHINE, rules), readings),
        "windows": lambda: partial(summed, readings),
    }
    spent: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(ROUNDS):
        for name in list(subjects)[:: 1 if number % 2 else -1]:
            work = subjects[name]()
            gc.collect()
            begun = time.process_time()
            work()
            spent[name].append((time.process_time() - begun) / len(readings))
    ratios = [own / reference for own, reference in zip(spent["reading"], spent["bare_loop"], strict=True)]
    yield figure("reading_vs_bare_loop", ratios, "ratio", "n, min, max, sum, sum of squares of the same readings", "<= 40")
    for name, seconds in spent.items():
        yield figure(f"{name}_us", [1e6 * each for each in seconds], "us", "processor time a reading")


def memory(tell: Callable[[str], None]) -> Iterator[Figure]:
    """How much more the process holds after ten million Readings than after the first million."""
    values = {point: cycle([reading.value for reading in said(61) if reading.point == point]) for point in POINTS}
    pipeline, done = made(), 0
    sizes: list[float] = []
    stream = (Reading(MACHINE, point, next(mine), START + second) for second in count() for point, mine in values.items())
    while done < MEMORY_READINGS:
        for reading in islice(stream, SETTLED):
            pipeline.feed(reading)
        done += SETTLED
        gc.collect()
        sizes.append(resident_memory() / MIB)
        tell(f"{done // SETTLED} of {MEMORY_READINGS // SETTLED} million readings, {sizes[-1]:.1f} MiB")
    growth = [size - sizes[0] for size in sizes[1:]]
    yield Figure(
        "memory_growth", round(growth[-1], 3), "MiB", f"{MEMORY_READINGS:,} readings, after the first {SETTLED:,}", GROWTH_GOAL,
        growth[-1] <= 1.0, len(growth), (round(min(growth), 3), round(max(growth), 3)),
    )  # fmt: skip
    yield figure("resident_memory", sizes, "MiB", "the whole process, this benchmark's own lists among it")


def measure(tell: Callable[[str], None]) -> list[Figure]:
    """Costs first, memory after them."""
    tell(f"{ROUNDS} rounds of {SECONDS * len(POINTS):,} readings")
    found = list(costs(said(SECONDS)))
    return [*found, *memory(tell)]


if __name__ == "__main__":
    figures.main("pipeline", measure, (__doc__ or "").partition("\n")[0])
