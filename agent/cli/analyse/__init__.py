"""`atm-agent analyse`: what happened on one machine in a span of time, and what may happen next. Reads only."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from agent import config
from agent.analysis.holidays import COUNTRIES, Holidays
from agent.analysis.measures import PlannedTime
from agent.analysis.report import Asked, Oracle, report
from agent.analysis.spans import Span
from agent.cli.span import CONFIG, add_span, add_store, store_of
from agent.config.scalars import duration
from agent.config.settings import MachineSettings
from agent.errors import EXIT_OK, AgentError, ConfigError, ModelRefused
from agent.records import Body
from agent.stages.calendar import Plan
from agent.store import ALARMS, SUMMARIES
from agent.store.history import Span as Stretch
from agent.store.history import history

SHIPPED = Path(__file__).parents[3] / "models" / "cash_demand" / "cash_demand.onnx"
NO_MODEL = Path("none")
DEMAND_BUDGET = 5.0  # s; the whole forecast of a machine, asked once


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "analyse",
        help="what happened on a machine in a span of time, and what may happen next",
        description="Tell transactions, cash, states, faults, availability and cash risk of a machine from what the store holds "
        "of it. Opening hours, planned visits and the insured limit come from the configuration; without it the machine is "
        "taken to be open always.",
    )
    add_store(parser)
    add_span(parser)
    parser.add_argument(
        "--planned",
        choices=[str(each) for each in PlannedTime],
        default="excluded",
        help="what planned work counts as: no agreed time, downtime, or uptime (default: %(default)s)",
    )
    parser.add_argument(
        "--until-replenishment",
        dest="horizon",
        type=_duration,
        metavar="DURATION",
        help="time until the next replenishment (default: the next planned visit, or 3d)",
    )
    parser.add_argument(
        "--demand-model",
        type=Path,
        default=SHIPPED,
        metavar="FILE.onnx",
        help="a cash_demand model, which foretells the demand (default: the one of this release); none: the past alone",
    )
    parser.add_argument("--demand-sha256", metavar="HEX", help="of a model that did not come with the agent")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw cash, states, alarms and scores; needs matplotlib")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _duration(text: str) -> float:
    try:
        found = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not found > 0:
        raise argparse.ArgumentTypeError(f"expected more than 0s, got {text}")
    return found


def run(args: argparse.Namespace) -> int:
    """Analyse."""
    if args.machine is None:
        raise AgentError("name the machine with --machine; atm-agent history shows whose records the store holds")
    if not args.start < args.end:
        raise AgentError("--to must be later than --from")
    machine = _machine(args)
    plan = machine.plan() if machine is not None else Plan()
    limit = machine.insured_limit if machine is not None else None
    asked = Asked(args.machine, Span(args.start, args.end), plan, PlannedTime(args.planned), args.horizon, limit)
    bodies = (_body(each) for each in history(store_of(args), Stretch(machine=args.machine), (ALARMS, SUMMARIES)))
    found = report(bodies, asked, _oracle(args, machine.location.country if machine is not None else ""))
    if not found.windows:
        raise AgentError(f"the store holds no windows of {args.machine} in this span; atm-agent history shows what it holds")
    if args.plot is not None:
        from agent.cli.analyse.picture import draw

        draw(found, args.plot)
    if args.json:
        sys.stdout.write(msgspec.json.encode(found.as_builtins()).decode() + "\n")
    else:
        from agent.cli.analyse.table import show

        show(found)
    return EXIT_OK


def _oracle(args: argparse.Namespace, country: str) -> Oracle | None:
    """The model that foretells the demand. One that is refused is told, and the past foretells."""
    if args.demand_model == NO_MODEL:
        return None
    from agent.scoring import prove_demand

    try:
        model = asyncio.run(prove_demand(args.demand_model, args.demand_sha256, DEMAND_BUDGET))
    except ModelRefused as error:
        sys.stderr.write(f"{error}; the past alone foretells the demand\n")
        return None
    holidays = Holidays(country if country in COUNTRIES else "")
    return Oracle(model.id, lambda past, first: model.forecast(past, first, holidays))


def _body(envelope: Any) -> Body:
    body: Body = envelope.body
    return body


def _machine(args: argparse.Namespace) -> MachineSettings | None:
    """The machine's settings; None where there is no configuration, or it is not asked."""
    if args.store is not None and args.config == CONFIG and not args.config.exists():
        return None
    settings = config.load(args.config)
    found = next((each for each in settings.machines if each.id == args.machine), None)
    if found is None and args.machine != settings.gateway.id:
        known = ", ".join(each.id for each in settings.machines)
        raise ConfigError([f"{args.config}: no machine {args.machine!r} is configured; known are {known}"])
    return found
