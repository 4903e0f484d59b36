"""`atm-agent analyse`: what happened on one machine in a span of time, and what may happen next. Reads only.

Of several machines it tells what each of them faces, and what all of them may lose together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agent.analysis.measures import PlannedTime
from agent.analysis.report import Report
from agent.cli.analyse import reports
from agent.cli.span import add_span, add_store
from agent.config.scalars import duration
from agent.errors import EXIT_OK, AgentError

if TYPE_CHECKING:
    from agent.analysis.fleet import Event, FleetLoss

PICTURES = (".png", ".svg", ".pdf")
SIGMA, LARGEST_SIGMA = 0.8, 10.0  # the first is an assumption: paydays and gangs come to many machines at once


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "analyse",
        help="what happened on a machine in a span of time, and what may happen next",
        description="Tell transactions, cash, states, faults, availability and cash risk of a machine from what the store holds "
        "of it. Opening hours, planned visits and the insured limit come from the configuration; without it the machine is "
        "taken to be open always. Of several machines tell what all of them may lose together (CreditRisk+).",
    )
    add_store(parser)
    add_span(parser, several=True)
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
        default=reports.SHIPPED,
        metavar="FILE.onnx",
        help="a cash_demand model, which foretells the demand (default: the one of this release); none: the past alone",
    )
    parser.add_argument("--demand-sha256", metavar="HEX", help="of a model that did not come with the agent")
    parser.add_argument(
        "--plot", type=_picture, metavar="FILE.png", help="draw one machine's cash, states, alarms and scores; needs matplotlib"
    )
    _add_losses(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _add_losses(parser: argparse.ArgumentParser) -> None:
    losses = parser.add_argument_group("what several machines may lose together")
    losses.add_argument(
        "--attacks-per-year", type=_positive, metavar="N", help="attacks that are expected on a machine: adds what they may cost"
    )
    losses.add_argument(
        "--exposures",
        type=Path,
        metavar="FILE.csv",
        help="events and losses from a table instead of the store: a machine a line, columns machine, events (expected in the "
        "horizon) and loss (of one, in minor units)",
    )
    losses.add_argument(
        "--sigma",
        type=_deviation,
        default=SIGMA,
        metavar="S",
        help="deviation of the factor that moves all machines together; 0: they fail independently (default: %(default)s)",
    )
    losses.add_argument(
        "--loss-unit", type=_positive, metavar="AMOUNT", help="step of the loss, in minor units (default: 1/1000 of the largest)"
    )


def _duration(text: str) -> float:
    try:
        found = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not found > 0:
        raise argparse.ArgumentTypeError(f"expected more than 0s, got {text}")
    return found


def _picture(text: str) -> Path:
    if Path(text).suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"expected a name that ends in {', '.join(PICTURES)}, got {text}")
    return Path(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


def _deviation(text: str) -> float:
    found = _number(text)
    if not 0.0 <= found <= LARGEST_SIGMA:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {LARGEST_SIGMA:g}, got {text}")
    return found


def _positive(text: str) -> float:
    found = _number(text)
    if not 0.0 < found < inf:
        raise argparse.ArgumentTypeError(f"expected a number of more than 0, got {text}")
    return found


def run(args: argparse.Namespace) -> int:
    """Analyse."""
    if not args.start < args.end:
        raise AgentError("--to must be later than --from")
    found = reports.made(args) if args.exposures is None else []
    if len(found) == 1 and args.attacks_per_year is None:
        return _tell(found[0], args)
    return _tell_fleet(found, _losses(found, args), args)


def _losses(found: Sequence[Report], args: argparse.Namespace) -> list[FleetLoss]:
    from agent.analysis.fleet import ATTACK, CASH_OUT, GIVEN, attacks, cash_outs  # loads numpy
    from agent.cli.analyse import exposures

    if args.exposures is not None:
        return [_loss(args, GIVEN, exposures.read(args.exposures), [])]
    losses = [_loss(args, CASH_OUT, *cash_outs(found))]
    if args.attacks_per_year is not None:
        losses.append(_loss(args, ATTACK, *attacks(found, args.attacks_per_year)))
    return losses


def _loss(args: argparse.Namespace, event: str, events: Sequence[Event], left_out: Sequence[str]) -> FleetLoss:
    from agent.analysis.fleet import fleet_loss

    try:
        return fleet_loss(event, events, args.sigma, args.loss_unit, left_out)
    except ValueError as error:
        raise AgentError(f"{event}: {error}") from error


def _tell(found: Report, args: argparse.Namespace) -> int:
    if args.plot is not None:
        from agent.cli.analyse.picture import draw

        draw(found, args.plot)
    if args.json:
        _print(found.as_builtins())
    else:
        from agent.cli.analyse.table import show

        show(found)
    return EXIT_OK


def _tell_fleet(found: Sequence[Report], losses: Sequence[FleetLoss], args: argparse.Namespace) -> int:
    if args.plot is not None:
        raise AgentError("--plot draws one machine; name it with --machine, and leave --attacks-per-year and --exposures out")
    currencies = sorted({each.money.currency for each in found if each.money.currency})
    if len(currencies) > 1:
        raise AgentError(f"the machines hold {' and '.join(currencies)}, which have no sum; name those of one with --machine")
    currency = currencies[0] if currencies else ""
    if args.json:
        fleet = {"currency": currency, "losses": [asdict(each) for each in losses]}
        _print({"machines": [each.as_builtins() for each in found], "fleet": fleet})
    else:
        from agent.cli.analyse.fleet_table import show

        show(found, losses, currency)
    return EXIT_OK


def _print(document: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
