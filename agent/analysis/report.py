"""What happened on one machine in a span of time, and what may happen next: everything that is made of its records, as values.

Times are seconds since the epoch, durations seconds, amounts integer minor units of the cassettes' currency. A value that the
records do not tell is None: it is never taken for 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, tzinfo
from itertools import pairwise
from typing import Any, Protocol

from agent.analysis.measures import (
    Availability,
    Outage,
    PlannedTime,
    Reliability,
    Traffic,
    availability,
    days_of_demand,
    outages_of,
    reliability,
    traffic,
)
from agent.analysis.past import Episode, Past, Replenishment, Seen
from agent.analysis.risk import (
    DAY,
    HORIZON,
    CashRisk,
    DayOfDemand,
    Forecast,
    cash_risk,
    first_empty,
    history_forecast,
    lasts_until,
)
from agent.analysis.spans import Span, common, seconds, without
from agent.records import Alarm, Body, Summary

PAST = "the past alone"
CAUTIOUS = 0.95  # the level of cash-at-risk, and of the days that the cash lasts at least


class Calendar(Protocol):
    """When a machine is open and visited (`agent.stages.calendar.Plan` is one)."""

    @property
    def zone(self) -> tzinfo:
        """The machine's time zone."""

    def open_spans(self, start: float, end: float) -> Sequence[tuple[float, float]]:
        """The opening hours between two moments, in order."""

    def next_visit(self, after: float) -> float | None:
        """When somebody is expected next; None when nobody is."""


@dataclass(frozen=True)
class Asked:
    """What is asked of the records, and how it is to be counted."""

    machine: str
    span: Span
    plan: Calendar
    planned: PlannedTime = PlannedTime.EXCLUDED
    horizon: float | None = None
    """Seconds until the next replenishment; without it, the next visit of the plan."""
    insured_limit: int | None = None


@dataclass(frozen=True)
class Money:
    """The cash of a span. `paid_out` is what left the cassettes, loads left out."""

    currency: str
    first: int | None
    last: int | None
    lowest: int | None
    highest: int | None
    paid_out: int
    units: dict[str, int]
    """Notes by unit at the end."""


@dataclass(frozen=True)
class Outlook:
    """What may happen after the span; `days` until the next replenishment, and what said so."""

    days: float
    until: str
    risk: CashRisk | None
    """None while the cash is not known or the past is too short."""
    lasts: float | None
    """Days until the cash is gone if demand is what half of all times exceed …"""
    lasts_at_least: float | None
    """… and what one time in twenty exceeds; None when it lasts longer than can be foretold."""
    first_empty: tuple[str, float] | None
    """The cassette that is empty first, and in how many days if it goes on paying out as it did while customers were served."""
    exposure: int | None
    """What a thief would find, in cassettes and in the bins that are configured, at the span's end."""
    insured_limit: int | None
    days_known: int
    """Days of demand that the records hold, and how many of them are no observation, for customers could not be served."""
    days_censored: int
    foretold_by: str
    """The model that foretells the demand, or the past."""


@dataclass(frozen=True)
class Oracle:
    """A model of demand: `foretell` takes the days that are known and the first one ahead; None when it does not know."""

    name: str
    foretell: Callable[[Sequence[DayOfDemand], date], Forecast | None]


@dataclass(frozen=True)
class Report:
    """Everything; `as_builtins` makes JSON of it."""

    machine: str
    span: Span
    observed: float
    windows: Sequence[Seen]
    traffic: Traffic
    money: Money
    replenishments: Sequence[Replenishment]
    states: dict[str, dict[str, float]]
    episodes: Sequence[Episode]
    outages: Sequence[Outage]
    availability: Availability
    planned: PlannedTime
    unknown: float
    """Seconds in which nobody knew whether customers were served: they are neither agreed time nor downtime."""
    degraded: float
    reliability: Reliability
    out_of_cash: float
    """Seconds of agreed time without service because there was no cash."""
    outlook: Outlook
    demand: Sequence[DayOfDemand]

    def as_builtins(self) -> dict[str, Any]:
        """As a JSON object; windows are left out, they are in the history."""
        alarms = [
            {name: value for name, value in each._asdict().items() if name != "severity"} | {"severity": int(each.severity)}
            for each in self.episodes
        ]
        rates = ("success_percent", "rejects_per_1000_notes", "retracts_per_1000", "captures_per_1000")
        agreed = self.availability.agreed
        return {
            "machine": self.machine,
            "from": self.span.start,
            "to": self.span.end,
            "observed_s": round(self.observed, 3),
            "transactions": asdict(self.traffic) | {name: getattr(self.traffic, name) for name in rates},
            "cash": asdict(self.money),
            "replenishments": [asdict(each) | {"difference": each.difference} for each in self.replenishments],
            "states": self.states,
            "availability": {
                "percent": self.availability.percent,
                "agreed_s": agreed,
                "down_s": self.availability.down,
                "degraded_s": self.degraded,
                "unknown_s": self.unknown,
                "planned": str(self.planned),
                "by_cause": self.availability.by_cause,
                "out_of_cash_percent": 100.0 * self.out_of_cash / agreed if agreed else None,
            },
            "reliability": asdict(self.reliability),
            "outages": [asdict(each) for each in self.outages],
            "alarms": alarms,
            "outlook": asdict(self.outlook),
            "demand": [{"day": each.day.isoformat(), "amount": each.amount, "censored": each.censored} for each in self.demand],
        }


def report(bodies: Iterable[Body], asked: Asked, oracle: Oracle | None = None) -> Report:
    """The report of a span out of a machine's records, oldest first. What came before the span tells alarms that were open and
    what was loaded; all of it up to the span's end teaches the demand. `oracle`: a model that foretells the demand after the
    span; without it, and where it does not know, the past foretells."""
    whole, within = Past(asked.machine), Past(asked.machine)
    for body in bodies:
        at = body.end if isinstance(body, Summary) else body.at if isinstance(body, Alarm) else asked.span.start
        if at > asked.span.end:
            continue
        whole.add(body)
        if at > asked.span.start:
            within.add(body)
    span = _clipped(asked.span, whole)
    within.episodes = [each for each in whole.episodes if each.raised < span.end and (each.end is None or each.end > span.start)]
    return _made(asked, span, whole, within, oracle)


def _clipped(span: Span, past: Past) -> Span:
    """The part of a span that the records can tell of; of an open span, all of theirs."""
    known = past.span
    if known is None:
        moment = span.start if span.start > -float("inf") else 0.0
        return Span(moment, moment)
    return Span(max(span.start, known.start), min(span.end, known.end))


def _made(asked: Asked, span: Span, whole: Past, within: Past, oracle: Oracle | None) -> Report:
    seen = [Span(each.start, each.end) for each in within.windows if each.observed > 0]
    hours = [Span(*each) for each in asked.plan.open_spans(*span)] if span.seconds else []
    outages = outages_of(within) if within.windows else []
    agreed = common(hours, seen)
    unknown = common(agreed, without(within.unknown(), [each.span for each in outages]))
    agreed = without(agreed, unknown)
    available = availability(outages, agreed, asked.planned)
    counts = traffic(within.totals)
    operating = seconds(agreed) - available.down
    demand = days_of_demand(whole, asked.plan.zone)
    return Report(
        machine=asked.machine,
        span=span,
        observed=sum(each.observed for each in within.windows),
        windows=within.windows,
        traffic=counts,
        money=_money(within),
        replenishments=[each for each in whole.replenishments if span.start < each.at <= span.end],
        states={point: dict(words) for point, words in within.seconds.items()},
        episodes=within.episodes,
        outages=outages,
        availability=available,
        planned=asked.planned,
        unknown=seconds(unknown),
        degraded=sum(each.degraded for each in within.windows),
        reliability=reliability(outages, operating, counts.notes_picked or counts.notes_presented),
        out_of_cash=available.by_cause.get("cashOut", 0.0),
        outlook=_outlook(asked, span, whole, demand, oracle),
        demand=demand,
    )


def _money(past: Past) -> Money:
    known = [each.cash for each in past.windows if each.cash is not None]
    paid = sum(max(0, before - after) for before, after in pairwise(known))
    units = past.position.units if past.position is not None else {}
    if not known:
        return Money(past.currency, None, None, None, None, 0, dict(units))
    return Money(past.currency, known[0], known[-1], min(known), max(known), paid, dict(units))


def _outlook(asked: Asked, span: Span, whole: Past, demand: Sequence[DayOfDemand], oracle: Oracle | None) -> Outlook:
    days, until = _horizon(asked, span.end)
    last = whole.windows[-1] if whole.windows else None
    cash = last.cash if last is not None else None
    exposure = last.exposure if last is not None else None
    first = datetime.fromtimestamp(span.end, UTC).astimezone(asked.plan.zone).date()
    by_model = oracle.foretell(demand, first) if oracle is not None else None
    forecast = by_model or history_forecast(demand, first)
    coming = forecast(days) if cash is not None else None
    return Outlook(
        days=days,
        until=until,
        risk=cash_risk(cash, days, coming, CAUTIOUS) if cash is not None and coming is not None else None,
        lasts=lasts_until(cash, forecast, 0.5) if cash is not None else None,
        lasts_at_least=lasts_until(cash, forecast, CAUTIOUS) if cash is not None else None,
        first_empty=_first_empty(whole),
        exposure=None if exposure is None else round(exposure),
        insured_limit=asked.insured_limit,
        days_known=len(demand),
        days_censored=sum(each.censored for each in demand),
        foretold_by=oracle.name if oracle is not None and by_model is not None else PAST,
    )


def _first_empty(past: Past) -> tuple[str, float] | None:
    served = sum(each.observed - each.down - each.unknown for each in past.windows) / DAY
    if past.position is None or served < 1.0:
        return None
    return first_empty(past.position.units, {unit: notes / served for unit, notes in past.paid.items()})


def _horizon(asked: Asked, now: float) -> tuple[float, str]:
    if asked.horizon is not None:
        return asked.horizon / DAY, "as asked"
    visit = asked.plan.next_visit(now)
    if visit is not None:
        return (visit - now) / DAY, "the next planned visit"
    return HORIZON / DAY, "assumed: no visit is planned"
