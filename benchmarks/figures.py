"""The form of a benchmark: figures with their goals, measured against a reference in the same run, as a table or as JSON.

    python -m benchmarks.NAME [--json]

With --json the last line of standard output is one object; the exit status is 0 whether the goals hold or not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number. `goal` is ">= x" or "<= x"; without one the figure is for information."""

    name: str
    value: float
    unit: str
    reference: str
    goal: str
    holds: bool
    rounds: int
    spread: tuple[float, float]
    """The lowest and the highest round."""


def figure(name: str, rounds: Sequence[float], unit: str, reference: str, goal: str = "") -> Figure:
    """The median of some rounds."""
    value = statistics.median(rounds)
    return Figure(name, _rounded(value), unit, reference, goal, _holds(value, goal), len(rounds),
                  (_rounded(min(rounds)), _rounded(max(rounds))))  # fmt: skip


def _holds(value: float, goal: str) -> bool:
    if not goal:
        return True
    sign, limit = goal.split()
    return value >= float(limit) if sign == ">=" else value <= float(limit)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def interleaved(subjects: Mapping[str, Callable[[], None]], rounds: int, blocks: int, size: int) -> dict[str, list[float]]:
    """Seconds a call of each subject, a number a round.

    A round is `blocks` turns of `size` calls of each subject, one subject after the other, and the next turn the other way
    round: what the machine does meanwhile meets all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    turns = itertools.cycle((-1, 1))
    for _ in range(rounds):
        spent = dict.fromkeys(subjects, 0.0)
        for _ in range(blocks):
            for name in list(subjects)[:: next(turns)]:
                call = subjects[name]
                begun = time.perf_counter()
                for _ in range(size):
                    call()
                spent[name] += time.perf_counter() - begun
        for name, total in spent.items():
            seconds[name].append(total / blocks / size)
    return seconds


def go_first(tell: Callable[[str], None]) -> None:
    """Run before everything else that wants a processor, where that is allowed (root).

    Otherwise a call that waits for a disk of 0.2 ms is charged with the turn of whoever came between, on a machine that is
    not idle, and all subjects look alike.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        tell("only root may run before other processes; on a machine that is not idle the ratios tend to 1")


def ratios(reference: Sequence[float], own: Sequence[float]) -> list[float]:
    """How many times faster than the reference, round by round, from seconds."""
    return [theirs / ours for theirs, ours in zip(reference, own, strict=True)]


def main(benchmark: str, measure: Callable[[Callable[[str], None]], list[Figure]], about: str) -> None:
    """The command line of a benchmark. `measure` is given a function that tells people what is going on."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{benchmark}", description=about)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    args = parser.parse_args()
    figures = measure(lambda text: print(text, file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps({"benchmark": benchmark, "figures": [asdict(each) for each in figures]}))
        return
    width = max((len(each.name) for each in figures), default=0)
    for each in figures:
        verdict = "" if not each.goal else f"goal {each.goal}: " + ("holds" if each.holds else "MISSED")
        spread = f"{each.spread[0]:g} to {each.spread[1]:g} in {each.rounds} rounds"
        print(f"{each.name:{width}}  {each.value:>9g} {each.unit:6}  {verdict:22}  {spread:32}  against {each.reference}")
