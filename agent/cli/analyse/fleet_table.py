"""Several machines for people who read a terminal: a line each, and what all of them may lose together."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import Console
from rich.table import Table

from agent.analysis.fleet import ATTACK, CASH_OUT, FleetLoss
from agent.analysis.past import security
from agent.analysis.report import Report
from agent.cli.analyse.money import amount
from agent.cli.analyse.table import hours

GIVEN = "the events given"
SAID = {CASH_OUT: "cash-outs until the next load", ATTACK: "attacks within a year"}


def show(reports: Sequence[Report], losses: Sequence[FleetLoss], currency: str) -> None:
    """Print them."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    if reports:
        console.print(_machines(reports, currency))
        console.print()
    for each in losses:
        for line in _loss(each, currency):
            console.print(line)


def _machines(reports: Sequence[Report], currency: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("machine")
    for column in (
        "observed",
        "available",
        "security alarms",
        f"cash {currency}".strip(),
        "next load",
        "P(cash-out)",
        "unmet",
        "lasts",
    ):
        table.add_column(column, justify="right")
    for each in reports:
        own = each.outlook
        percent = each.availability.percent
        table.add_row(
            each.machine,
            hours(each.observed),
            "?" if percent is None else f"{percent:.2f} %",
            str(len(security(each.episodes))),
            amount(each.money.last, currency),
            f"{own.days:.1f} d",
            "?" if own.risk is None else f"{100 * own.risk.probability_of_cash_out:.1f} %",
            "?" if own.risk is None else amount(own.risk.expected_unmet, currency),
            "?" if own.risk is None or own.risk.days_to_empty is None else f"{own.risk.days_to_empty:.1f} d",
        )
    return table


def _loss(found: FleetLoss, currency: str) -> Iterator[str]:
    if not found.events and found.left_out:
        yield f"[bold]Loss by {SAID.get(found.event, GIVEN)}[/bold] is not known of any machine"
        return
    told = partial(amount, currency=currency)
    together = "independent" if found.sigma == 0.0 else f"common factor {found.sigma:g}"
    yield f"[bold]Loss of {len(found.events)} machines by {SAID.get(found.event, GIVEN)}[/bold], {together}"
    none = f"none {100 * found.no_loss:.1f} %"
    yield f"  expected {told(found.expected)} {currency}, deviation {told(found.deviation)}, {none}".replace(" ,", ",")
    for tail in found.tails:
        at_risk = f"value at risk {told(tail.value_at_risk)} {currency}".rstrip()
        yield f"  at {100 * tail.level:g} %: {at_risk}, expected shortfall {told(tail.expected_shortfall)}"
    if found.left_out:
        yield f"  left out, for their risk is not known: {', '.join(found.left_out)}"
