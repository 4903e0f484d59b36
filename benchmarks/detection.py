"""How well the shipped rules tell attacks and faults from ordinary life, on simulated machines.

    python -m benchmarks.detection [--json] [--seeds N] [--first-seed N] [--months N] [--sample S] [--set KEY=VALUE] [--only NAME]

Every attack and fault scenario is lived through once a seed, each time by another machine at another place (`--same-machine`: by
the default one), sampled every `--sample` seconds and at every event. Then so many months of ordinary life: customers, visits,
replenishments, brown-outs, road works, cleaning, glare, rain, fumes, blows next door, software updates, and what else befalls a
machine that nobody attacks.

    detected    an alarm of class SECURITY that names the attack's class, within its time scale (SCALE), counted from
                the first moment at which anything of it could be observed
    false       an alarm of severity 2 or more that nothing true explains (EXPLAINED), outside planned work; also a hold-up
                device that somebody used by mistake, which no agent can tell
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple

from agent.config import shipped_rules
from agent.records import Alarm, EventClass
from benchmarks.figures import Figure
from benchmarks.machines import Lived, lived, machine, ordinary
from firmware_sim.truth import Kind, Label

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
MONTH = 30 * DAY

# the upper end of each attack's time scale, seconds: within it somebody can still be sent
SCALE = {
    "SKIMMING": DAY,
    "CASH_TRAPPING": 10 * MINUTE,
    "BLACK_BOX": 15 * MINUTE,
    "X1": 300.0,
    "B2": 30 * MINUTE,
    "RIP_OUT": 3 * MINUTE,
}
ATTACKS = {
    "skimming_overlay": "SKIMMING",
    "cash_trap": "CASH_TRAPPING",
    "black_box": "BLACK_BOX",
    "gas_attack": "X1",
    "drilling": "B2",
    "ram_raid": "RIP_OUT",
}


class Told(NamedTuple):
    """Which rules tell a fault, how soon after the first evidence they must, and how long it must last to be told."""

    rules: frozenset[str]
    within: float
    least: float = 0.0


# what each fault scenario is about, and the rule that tells it
FAULTS: dict[str, tuple[str, Told]] = {
    "cash_out_weekend": ("cashOut", Told(frozenset({"dispenserStop"}), 5 * MINUTE)),
    "slow_jam_degradation": ("wornTransport", Told(frozenset({"rejects"}), 6 * DAY)),
    "replenishment": ("manipulated", Told(frozenset({"cassetteManipulated"}), MINUTE)),
    "receipt_out": ("paperOut", Told(frozenset({"paperOut"}), MINUTE)),
    "ups_battery_worn": ("upsBatteryWorn", Told(frozenset({"batteryWorn"}), 4 * DAY)),
    "overheating": ("fanFailed", Told(frozenset({"fanFailed", "overTemperature"}), 6 * HOUR)),
    "sensor_stuck": ("sensorStuck", Told(frozenset({"sensorStuck"}), 4 * HOUR)),
    "cable_cut": ("cableCut", Told(frozenset({"cableCut"}), MINUTE)),
    "flood_of_events": ("contactChatter", Told(frozenset({"contactChatter"}), MINUTE)),
}
SETTINGS = {"replenishment": {"exchange": "no"}}  # with an exchange nothing is wrong
QUIET = ("technician_visit", "replenishment_planned", "clock_step")  # nothing of these is to be told
NOT_OBSERVABLE = "clock_step: the board link stamps readings on arrival, so a jump of the board's own counter is in no reading"

# faults of ordinary months, and when they count as told
ORDINARY = {
    "mainsFailure": Told(frozenset({"mainsFailure"}), 2 * MINUTE, 20.0),
    "linkDown": Told(frozenset({"hostDown"}), 3 * MINUTE, 2 * MINUTE),
    "pcHang": Told(frozenset({"pcDown", "hostDown"}), 10 * MINUTE, 5 * MINUTE),
    "noteJam": Told(frozenset({"noteJam"}), 2 * MINUTE),
    "cardJam": Told(frozenset({"cardJam"}), 2 * MINUTE),
    "paperOut": Told(frozenset({"paperOut"}), 2 * MINUTE),
    "paperJam": Told(frozenset({"paperOut"}), 2 * MINUTE),
    "rejectFull": Told(frozenset({"dispenserStop"}), 2 * MINUTE),
    "shutterStuck": Told(frozenset({"shutterStuck"}), 2 * MINUTE),
    "cashOut": Told(frozenset({"dispenserStop"}), 2 * MINUTE),
}
# rule -> the truths that explain it. A rule that is not named is explained by an attack alone.
_DOWN = frozenset(
    {
        "noteJam",
        "cardJam",
        "rejectFull",
        "manipulated",
        "shutterStuck",
        "damaged",
        "cashOut",
        "linkDown",
        "pcHang",
        "mainsFailure",
        "softwareUpdate",
    }
)
EXPLAINED: dict[str, frozenset[str]] = {
    "mainsFailure": frozenset({"mainsFailure"}),
    "batteryLow": frozenset({"mainsFailure"}),
    "batteryWorn": frozenset({"upsBatteryWorn"}),
    "hostDown": frozenset({"linkDown", "pcHang", "mainsFailure", "softwareUpdate"}),
    "pcDown": frozenset({"pcHang", "mainsFailure", "softwareUpdate"}),
    "deviceError": frozenset({"noteJam", "cardJam", "damaged"}),
    "deviceOff": frozenset({"mainsFailure", "pcHang", "damaged"}),
    "outOfService": _DOWN,
    "dispenserStop": frozenset({"cashOut", "rejectFull", "manipulated", "damaged"}),
    "noteJam": frozenset({"noteJam"}),
    "cardJam": frozenset({"cardJam"}),
    "paperOut": frozenset({"paperOut", "paperJam"}),
    "shutterStuck": frozenset({"shutterStuck"}),
    "cassetteManipulated": frozenset({"manipulated"}),
    "readerDirty": frozenset({"dirtyReader"}),
    "readErrors": frozenset({"dirtyReader"}),
    "rejects": frozenset({"wornTransport"}),
    "overTemperature": frozenset({"overTemperature", "fanFailed"}),
    "fanFailed": frozenset({"fanFailed"}),
    "sensorStuck": frozenset({"sensorStuck"}),
    "contactChatter": frozenset({"contactChatter"}),
    "cableCut": frozenset({"cableCut"}),
    "gasTrace": frozenset({"paint", "exhaust"}),
    "quiet": frozenset({"nobodyCame"}),
}
REPEATS = frozenset({"cassetteEmpty", "binFull", "underTemperature"})  # say again what the machine counts or measures rightly
VISIT = 20 * MINUTE  # s that a visit lasts at most in which a fault may be made
TAIL = 5 * MINUTE  # after its end, a truth still explains what it left behind


class Job(NamedTuple):
    """One life to be lived: a scenario's name (empty: a month of ordinary life), its seed, and how."""

    scenario: str
    seed: int
    sample: float
    randomised: bool
    settings: tuple[tuple[str, str], ...] = ()


def live(job: Job) -> tuple[Job, Lived]:
    """Live it."""
    rules = shipped_rules()
    if not job.scenario:
        world, end = ordinary(job.seed, MONTH / DAY)
        return job, lived(world, rules, sample=job.sample, until=end)
    scenario = job.scenario.removesuffix("_planned")
    settings = {**(SETTINGS.get(job.scenario, {})), **dict(job.settings)}
    return job, lived(machine(scenario, job.seed, randomised=job.randomised, settings=settings), rules, sample=job.sample)


# Judging ----------------------------------------------------------------------------------------------------------------------


def raised(life: Lived) -> Iterator[Alarm]:
    """Alarms that somebody is woken by."""
    return (alarm for alarm in life.alarms if not alarm.cleared and not alarm.planned and alarm.severity >= 2)


def delay(life: Lived, label: Label, told: Callable[[Alarm], bool], early: float = 0.0) -> float | None:
    """Seconds from the first evidence to the first such alarm; None when there was none. It may come `early` seconds too soon:
    the world calls a cassette manipulated once the visit that did it is over."""
    seen = label.seen if label.seen is not None else label.start
    times = [alarm.at - seen for alarm in raised(life) if alarm.at >= label.start - early and told(alarm)]
    return max(0.0, min(times)) if times else None


def names(attack: str) -> Callable[[Alarm], bool]:
    """Alarms that name this attack."""
    return lambda alarm: alarm.class_ is EventClass.SECURITY and alarm.attack == attack


def is_false(alarm: Alarm, life: Lived) -> bool:
    """Whether nothing true explains an alarm."""
    if alarm.rule in REPEATS:
        return False
    explained = EXPLAINED.get(alarm.rule, frozenset())
    return not any(
        (label.kind is Kind.ATTACK or label.name in explained)
        and label.start - 10.0 <= alarm.at <= (label.end or life.end) + TAIL
        for label in life.truth
    )


# Measuring --------------------------------------------------------------------------------------------------------------------


def share(name: str, hits: Sequence[bool], reference: str, goal: str = "") -> Figure:
    """The share of lives in which something held."""
    value = sum(hits) / len(hits) if hits else 0.0
    return Figure(name, round(value, 4), "share", reference, goal, _holds(value, goal), len(hits), (value, value))


def times(name: str, delays: Sequence[float], reference: str) -> Figure:
    """The median of delays, with the shortest and the longest."""
    spread = (round(min(delays), 1), round(max(delays), 1)) if delays else (0.0, 0.0)
    return Figure(name, round(median(delays), 1) if delays else 0.0, "s", reference, "", True, len(delays), spread)


def _holds(value: float, goal: str) -> bool:
    if not goal:
        return True
    sign, limit = goal.split()
    return value >= float(limit) if sign == ">=" else value <= float(limit)


def attack_figures(lives: dict[str, list[Lived]]) -> Iterator[Figure]:
    """Attacks: each scenario, and all together."""
    every: list[bool] = []
    for scenario, attack in ATTACKS.items():
        delays = [
            delay(life, label, names(attack))
            for life in lives.get(scenario, ())
            for label in life.truth
            if label.attack == attack and label.seen is not None
        ]
        if not delays:
            continue
        hits = [found is not None and found <= SCALE[attack] for found in delays]
        every += hits
        yield share(f"{scenario}_detected", hits, f"{attack} named within {SCALE[attack]:g} s")
        yield times(f"{scenario}_time_to_alarm", [found for found in delays if found is not None], "first observable evidence")
    if every:
        yield share("attacks_detected", every, "their time scales", ">= 0.99")


def fault_figures(lives: dict[str, list[Lived]]) -> Iterator[Figure]:
    """Faults: each scenario, as far as it came to pass."""
    for scenario, (name, told) in FAULTS.items():
        delays = [
            delay(life, label, lambda alarm, told=told: alarm.rule in told.rules, VISIT)  # type: ignore[misc]
            for life in lives.get(scenario, ())
            for label in life.truth
            if label.name == name and label.seen is not None
        ]
        if not delays:
            continue
        rules = " or ".join(sorted(told.rules))
        yield share(
            f"{scenario}_told",
            [found is not None and found <= told.within for found in delays],
            f"{rules} within {told.within:g} s",
        )
        yield times(f"{scenario}_time_to_alarm", [found for found in delays if found is not None], "first observable evidence")


def visit_figures(lives: dict[str, list[Lived]]) -> Iterator[Figure]:
    """What is to be told of planned work: nothing, and never an attack."""
    boxes, visits = lives.get("black_box", []), lives.get("technician_visit", [])
    if boxes and visits:
        told = [
            any(names("BLACK_BOX")(alarm) for alarm in raised(box))
            and not any(alarm.class_ is EventClass.SECURITY for alarm in raised(visit))
            for box, visit in zip(boxes, visits, strict=False)
        ]
        yield share("black_box_told_from_technician_visit", told, "the same seed", ">= 1")
    for scenario in QUIET:
        if scenario in lives:
            quiet = [not any(is_false(alarm, life) for alarm in raised(life)) for life in lives[scenario]]
            yield share(f"{scenario}_without_false_alarm", quiet, "planned work or nothing to be told")


def month_figures(months: Sequence[Lived]) -> Iterator[Figure]:
    """Ordinary life: false alarms, by rule, and the faults that happened in it."""
    if not months:
        return
    false = [[alarm.rule for alarm in raised(life) if is_false(alarm, life)] for life in months]
    counts = [float(len(each)) for each in false]
    rate = sum(counts) / len(months)
    yield Figure(
        "false_alarms_per_machine_month", round(rate, 4), "1/month", f"{len(months)} ordinary machine-months", "<= 0.1",
        rate <= 0.1, len(months), (min(counts), max(counts)),
    )  # fmt: skip
    for rule, count in Counter(rule for each in false for rule in each).most_common():
        yield Figure(
            f"false_{rule}", round(count / len(months), 4), "1/month", "of these", "", True, len(months), (0.0, float(count))
        )
    notices = sum(alarm.severity == 1 and not alarm.cleared for life in months for alarm in life.alarms) / len(months)
    yield Figure(
        "notices_per_machine_month",
        round(notices, 2),
        "1/month",
        "severity 1, planned work among them",
        "",
        True,
        len(months),
        (0.0, 0.0),
    )
    for name, told in ORDINARY.items():
        delays = [
            delay(life, label, lambda alarm, told=told: alarm.rule in told.rules)  # type: ignore[misc]
            for life in months
            for label in life.truth
            if label.name == name
            and (label.end or life.end) - label.start >= max(told.least, 1.0)
            and label.start < life.end - told.within
        ]
        if delays:
            hits = [found is not None and found <= told.within for found in delays]
            yield share(f"ordinary_{name}_told", hits, f"{' or '.join(sorted(told.rules))} within {told.within:g} s")


def jobs(args: argparse.Namespace) -> list[Job]:
    """Everything that is to be lived, the longest first."""
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    settings = tuple(tuple(each.partition("=")[::2]) for each in args.set)
    names_ = [name for name in (*FAULTS, *ATTACKS, *QUIET) if not args.only or name in args.only]
    months = [] if args.only and "months" not in args.only else range(args.first_seed, args.first_seed + args.months)
    return [
        *(Job("", seed, args.sample, randomised=True) for seed in months),
        *(Job(name, seed, args.sample, not args.same_machine, settings) for name in names_ for seed in seeds),
    ]


def measure(args: argparse.Namespace) -> list[Figure]:
    """Live everything, on all cores, and judge it."""
    lives: defaultdict[str, list[Lived]] = defaultdict(list)
    with get_context("fork").Pool(args.processes or len(os.sched_getaffinity(0))) as pool:
        todo = jobs(args)
        for done, (job, life) in enumerate(pool.imap(live, todo), start=1):
            lives[job.scenario].append(life)
            if done % 20 == 0 or done == len(todo):
                print(f"{done} of {len(todo)} lives", file=sys.stderr, flush=True)
    months = lives.pop("", [])
    return [*attack_figures(lives), *visit_figures(lives), *month_figures(months), *fault_figures(lives)]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="seeds of each scenario (default: 20)")
    parser.add_argument("--first-seed", type=int, default=10_001, metavar="N", help="default: 10001")
    parser.add_argument("--months", type=int, default=30, metavar="N", help="months of ordinary life (default: 30)")
    parser.add_argument("--sample", type=float, default=60.0, metavar="S", help="seconds between full samples (default: 60)")
    parser.add_argument("--same-machine", action="store_true", help="the default machine in every scenario")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the scenarios, with --only")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="one scenario, or months; may be given again")
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="default: one a core")
    args = parser.parse_args()
    figures = measure(args)
    if args.json:
        print(json.dumps({"benchmark": "detection", "figures": [asdict(each) for each in figures]}))
        return
    width = max(len(each.name) for each in figures)
    for each in figures:
        verdict = "" if not each.goal else f"goal {each.goal}: " + ("holds" if each.holds else "MISSED")
        spread = f"{each.spread[0]:g} to {each.spread[1]:g}" if each.unit == "s" else ""
        print(f"{each.name:{width}}  {each.value:>8g} {each.unit:8} {verdict:20} n={each.rounds:<4} {spread:18} {each.reference}")
    print(f"not measured: {NOT_OBSERVABLE}")


if __name__ == "__main__":
    main()
