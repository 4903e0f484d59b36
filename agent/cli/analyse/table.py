"""A report for people who read a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from rich.console import Console
from rich.table import Table

from agent.analysis.past import Episode
from agent.analysis.report import Report
from agent.cli.analyse.money import amount
from agent.cli.span import shown
from agent.cli.terminal import plain

HOUR = 3_600.0
ALARMS_SHOWN = 40


def show(report: Report) -> None:
    """Print it."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(plain(report.machine).append(f"  {shown(report.span.start)} to {shown(report.span.end)} UTC"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for name, text in _lines(report):
        table.add_row(plain(name), plain(text))
    console.print(table)
    alarms = [each for each in report.episodes if each.severity > 1 or each.planned]
    if alarms:
        console.print()
        console.print(_alarms(alarms[-ALARMS_SHOWN:]))
    if len(alarms) > ALARMS_SHOWN:
        console.print(f"and {len(alarms) - ALARMS_SHOWN} before them; --json tells all")


def _lines(report: Report) -> Iterator[tuple[str, str]]:
    yield "observed", f"{hours(report.observed)} in {len(report.windows)} windows"
    yield from _service(report)
    counts = report.traffic
    success = "" if counts.success_percent is None else f", {counts.success_percent:.1f} % of all attempts"
    yield "transactions", f"{counts.transactions:,.0f} completed, {counts.failed:,.0f} failed{success}"
    rates = (
        ("notes rejected of 1,000 picked", counts.rejects_per_1000_notes),
        ("retracts in 1,000 transactions", counts.retracts_per_1000),
        ("cards captured in 1,000 transactions", counts.captures_per_1000),
    )
    told = [f"{value:.2f} {name}" for name, value in rates if value is not None]
    yield "rates", "; ".join(told) or "none: nothing was counted"
    yield from _cash(report)
    yield from _outlook(report)


def _service(report: Report) -> Iterator[tuple[str, str]]:
    found = report.availability
    percent = "no agreed time" if found.percent is None else f"{found.percent:.3f} % of {hours(found.agreed)} agreed"
    yield "availability", f"{percent}; planned work counts as {report.planned}"
    causes = ", ".join(f"{cause} {hours(spent)}" for cause, spent in sorted(found.by_cause.items(), key=lambda item: -item[1]))
    yield "down", f"{hours(found.down)}" + (f": {causes}" if causes else "")
    if report.unknown:
        yield "not known", f"{hours(report.unknown)}: neither agreed time nor downtime"
    yield "degraded", hours(report.degraded)
    own = report.reliability
    times = (("MTBF", own.mtbf_h, "h"), ("MTTR", own.mttr_h, "h"), ("MCBF", own.mcbf, "notes"), ("MCBI", own.mcbi, "notes"))
    told = ", ".join(f"{name} {value:,.1f} {unit}" for name, value, unit in times if value is not None)
    stops = f"{counted(own.failures, 'failure')}, {counted(own.interruptions, 'interruption')}"
    yield "reliability", stops + (f"; {told}" if told else "")
    for point, words in report.states.items():
        yield point, ", ".join(f"{word} {hours(spent)}" for word, spent in sorted(words.items(), key=lambda item: -item[1]))


def _cash(report: Report) -> Iterator[tuple[str, str]]:
    money = report.money
    told = partial(amount, currency=money.currency)
    if money.last is None:
        yield "cash", "not known: no cassettes are configured, or their counts were never heard"
        return
    units = ", ".join(f"{unit} {count}" for unit, count in sorted(money.units.items()))
    yield "cash", f"{told(money.first)} to {told(money.last)} {money.currency}; notes at the end: {units}"
    yield "lowest, highest", f"{told(money.lowest)}, {told(money.highest)} {money.currency}"
    yield "paid out", f"{told(money.paid_out)} {money.currency}"
    for each in report.replenishments:
        before, after = sum(each.before.values()), sum(each.after.values())
        missing = "counting difference not known" if each.difference is None else f"counting difference {each.difference} notes"
        yield "replenished", f"{shown(each.at)}: {before} notes, then {after}; {missing}"


def _outlook(report: Report) -> Iterator[tuple[str, str]]:
    own, currency = report.outlook, report.money.currency
    told = partial(amount, currency=currency)
    yield "next load", f"in {own.days:.1f} days ({own.until})"
    yield "demand known", f"{own.days_known} days, {own.days_censored} of them censored: customers could not be served all day"
    yield "foretold by", own.foretold_by
    risk = own.risk
    if risk is None:
        yield "cash risk", "not known: it needs the cash and some weeks of days on which customers were served"
    else:
        yield "P(cash-out)", f"{100 * risk.probability_of_cash_out:.1f} %"
        yield "cash at risk", f"{told(risk.cash_at_risk)} {currency} at {100 * risk.level:g} %"
        yield "unmet, idle", f"{told(risk.expected_unmet)} and {told(risk.idle)} {currency} are to be expected"
        mean = "" if risk.days_to_empty is None else f"{risk.days_to_empty:.1f} days at the mean demand"
        half = "" if own.lasts is None else f", {own.lasts:.1f} at the median"
        least = "" if own.lasts_at_least is None else f", {own.lasts_at_least:.1f} in one case of twenty"
        yield "days to empty", mean + half + least or "nothing is asked for"
    if own.first_empty is not None:
        unit, days = own.first_empty
        yield "empty first", f"{unit}, in {days:.1f} days at its mean"
    if own.exposure is not None:
        limit = own.insured_limit
        verdict = "" if limit is None else f", {'MORE' if own.exposure > limit else 'not more'} than is insured: {told(limit)}"
        yield "exposure", f"{told(own.exposure)} {currency}{verdict}"


def _alarms(episodes: list[Episode]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("raised (UTC)", "for", "rule", "severity", "attack", "text"):
        table.add_column(column, overflow="fold")
    for each in episodes:
        lasted = "open" if each.end is None else hours(each.end - each.raised)
        rule = each.rule + (f" (and {each.repeats} more)" if each.repeats else "") + (", planned" if each.planned else "")
        cells = (shown(each.raised), lasted, rule, f"{each.severity:d} {each.class_}", each.attack or "", each.text)
        table.add_row(*map(plain, cells))
    return table


def counted(number: int, what: str) -> str:
    """So many of them."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def hours(seconds: float) -> str:
    """A length of time, as exact as people want it."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
