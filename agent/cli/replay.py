"""`atm-agent replay FILE`: a recorded session through the pipeline, with the rules of today or with others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from agent import config
from agent.cli.span import shown
from agent.config.settings import Settings
from agent.errors import EXIT_OK, AgentError, ConfigError
from agent.pipeline import Pipeline, PipelineSettings, replayed
from agent.records import Alarm, Body, Reading, Summary
from agent.stages import session
from agent.stages.rules import Rule


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "replay",
        help="run a recorded session through the pipeline and print what it raises",
        description="Run a recorded session through the pipeline and print its alarms. The session is JSON lines, as "
        "`agent.stages.session` tells; what `atm-agent history --json` prints of single readings is one too.",
    )
    parser.add_argument("file", metavar="FILE", help="the session; - is standard input")
    parser.add_argument("--machine", metavar="M", help="which machine of the session (default: the first that is configured)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="take calendar, cassettes, limits and rules from it")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="judge by these rules instead: a file with `rules: [...]`")
    parser.add_argument("--summaries", action="store_true", help="print windows too")
    parser.add_argument("--json", action="store_true", help="each record as a line of JSON")


def run(args: argparse.Namespace) -> int:
    """Replay."""
    moments = _moments(args.file)
    first = next(moments, None)
    name = "standard input" if args.file == "-" else args.file
    if first is None:
        raise AgentError(f"{name}: holds no reading; record one, or export readings with atm-agent history --json")
    settings = config.load(args.config) if args.config is not None else None
    skipped, machine = [first], args.machine or _meant(first, settings)
    while machine is None and (following := next(moments, None)) is not None:
        skipped.append(following)
        machine = _meant(following, settings)
    machine = machine or first[0].machine
    pipeline = Pipeline(_settings(machine, settings, args))
    heard: set[str] = set()
    found = replayed(pipeline, _noted(chain(skipped, moments), heard))
    wanted = (body for body in found if isinstance(body, Alarm) or (args.summaries and isinstance(body, Summary)))
    (_lines if args.json else _table)(wanted)
    if machine not in heard:
        raise AgentError(f"{name}: says nothing of {machine}; it tells of {', '.join(sorted(heard))}")
    return EXIT_OK


def _meant(readings: Sequence[Reading], settings: Settings | None) -> str | None:
    """The first that is configured; without a configuration the first that says more than a gateway says of itself."""
    if settings is not None:
        known = {each.id for each in settings.machines}
        return next((each.machine for each in readings if each.machine in known), None)
    return next((each.machine for each in readings if not each.point.startswith("gateway.")), None)


def _noted(moments: Iterable[list[Reading]], heard: set[str]) -> Iterator[list[Reading]]:
    """The same moments; `heard` learns which machines they tell of."""
    for readings in moments:
        heard.update(reading.machine for reading in readings)
        yield readings


def _moments(name: str) -> Iterator[list[Reading]]:
    if name == "-":
        yield from session.read(sys.stdin.buffer, "standard input")
        return
    try:
        with open(name, "rb") as file:
            yield from session.read(file, name)
    except OSError as error:
        raise AgentError(f"{name}: {error.strerror}; name a session that this user may read") from error


def _settings(machine: str, settings: Settings | None, args: argparse.Namespace) -> PipelineSettings:
    rules = _rules(args.rules, settings)
    if settings is None:
        return PipelineSettings(machine, rules=tuple(rules))
    chosen = next((each for each in settings.machines if each.id == machine), None)
    if chosen is None:
        known = ", ".join(each.id for each in settings.machines)
        raise ConfigError([f"{args.config}: no machine {machine!r} is configured; known are {known}; choose with --machine"])
    return PipelineSettings(
        machine,
        window=settings.forward.summaries,
        clean=settings.clean,
        rules=tuple(rules),
        plan=chosen.plan(),
        cassettes=chosen.cassettes,
        bins=chosen.bins,
        insured_limit=chosen.insured_limit,
    )


def _rules(path: Path | None, settings: Settings | None) -> Sequence[Rule]:
    if path is not None:
        return config.read_rules(path)
    return config.rules(settings.rules) if settings is not None else config.shipped_rules()


def _lines(bodies: Iterable[Body]) -> None:
    for body in bodies:
        sys.stdout.write(msgspec.json.encode(body).decode() + "\n")


def _table(bodies: Iterable[Body]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for column in ("at", "", "rule", "severity", "attack", "text"):
        table.add_column(column, overflow="fold")
    for body in bodies:
        if isinstance(body, Alarm):
            word = "cleared" if body.cleared else "planned" if body.planned else "raised"
            times = f" ({body.repeats} more)" if body.repeats else ""
            table.add_row(
                shown(body.at), word, body.rule + times, f"{body.severity:d} {body.class_}", body.attack or "", body.text
            )
        elif isinstance(body, Summary):
            text = f"{sum(point.n for point in body.points.values())} readings of {len(body.points)} points"
            table.add_row(shown(body.end), "window", "", "", "", f"{text}, observed {body.observed:.0%}")
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table if table.row_count else "no alarms")
