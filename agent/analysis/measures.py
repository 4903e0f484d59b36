"""Measures of service over a span: what an operations desk and its contracts count (availability, MTBF, rates, cash).

agreed time     the span, or the opening hours in it
down            the union of overlapping outages, never their sum
cause           of a stretch of downtime: the first outage in it
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum
from statistics import fmean

from agent.analysis.past import Episode, Past
from agent.analysis.risk import DayOfDemand
from agent.analysis.spans import Span, common, seconds, united, without
from agent.records import EventClass

HOUR, DAY = 3_600.0, 86_400.0
MAINTENANCE = "maintenance"
SEAM = 60.0  # s: the service ends a little before a visit is told, and comes back a little after
CAUSE_BEFORE = 600.0  # s: so long before the service ends its cause may have begun


class PlannedTime(StrEnum):
    """What planned work is counted as; contracts differ, so it is stated with the figure."""

    EXCLUDED = "excluded"  # it is no agreed time
    DOWN = "down"
    UP = "up"


@dataclass(frozen=True)
class Outage:
    """One stretch of time without service, and why."""

    start: float
    end: float
    cause: str
    planned: bool = False

    @property
    def span(self) -> Span:
        """Its time."""
        return Span(self.start, self.end)


@dataclass(frozen=True)
class Availability:
    """Seconds of agreed time and of downtime, the latter by first cause."""

    agreed: float
    down: float
    by_cause: dict[str, float]

    @property
    def percent(self) -> float | None:
        """100 (agreed - down) / agreed; None without agreed time."""
        return 100.0 * (self.agreed - self.down) / self.agreed if self.agreed > 0 else None


def availability(outages: Sequence[Outage], agreed: Sequence[Span], planned: PlannedTime = PlannedTime.EXCLUDED) -> Availability:
    """Availability within the agreed time."""
    work = [each.span for each in outages if each.planned]
    counted = [each for each in outages if not each.planned or planned is PlannedTime.DOWN]
    down = [each.span for each in counted]
    if planned is PlannedTime.EXCLUDED:
        agreed, down = without(agreed, work), without(down, work)
    elif planned is PlannedTime.UP:
        down = without(down, work)
    by_cause: dict[str, float] = {}
    for stretch in united(down):
        first = min(
            (each for each in counted if each.start < stretch.end and each.end > stretch.start), key=lambda each: each.start
        )
        by_cause[first.cause] = by_cause.get(first.cause, 0.0) + seconds(common([stretch], agreed))
    by_cause = {cause: spent for cause, spent in by_cause.items() if spent > 0}
    return Availability(seconds(agreed), seconds(common(down, agreed)), by_cause)


@dataclass(frozen=True)
class Reliability:
    """Failures need a service call, interruptions are cured on site; both without planned work and empty cassettes."""

    failures: int
    interruptions: int
    mtbf_h: float | None
    """Operating time between failures."""
    mttr_h: float | None
    """From the beginning of a failure to its end."""
    mcbf: float | None
    """Notes handled between failures."""
    mcbi: float | None
    """Notes handled between interruptions."""


def reliability(outages: Sequence[Outage], operating: float, notes: float) -> Reliability:
    """`operating`: seconds in service; `notes`: picked, stored or paid."""
    failed = [each for each in outages if not each.planned and each.cause.startswith("hardware")]
    broken = [each for each in outages if not each.planned and each.cause not in ("cashOut", "host", "communication")]
    return Reliability(
        failures=len(failed),
        interruptions=len(broken),
        mtbf_h=operating / HOUR / len(failed) if failed else None,
        mttr_h=fmean((each.end - each.start) / HOUR for each in failed) if failed else None,
        mcbf=notes / len(failed) if failed else None,
        mcbi=notes / len(broken) if broken else None,
    )


@dataclass(frozen=True)
class Traffic:
    """Counts of a span and the rates that are made of them; a rate is None where there is nothing to compare with."""

    transactions: float
    failed: float
    presents: float
    notes_picked: float
    notes_presented: float
    notes_rejected: float
    retracts: float
    cards_captured: float
    read_errors: float

    @property
    def success_percent(self) -> float | None:
        """Completed of all attempted."""
        attempted = self.transactions + self.failed
        return 100.0 * self.transactions / attempted if attempted else None

    @property
    def rejects_per_1000_notes(self) -> float | None:
        """Rejected notes of a thousand picked."""
        return 1000.0 * self.notes_rejected / self.notes_picked if self.notes_picked else None

    @property
    def retracts_per_1000(self) -> float | None:
        """Retract operations in a thousand transactions."""
        return 1000.0 * self.retracts / self.transactions if self.transactions else None

    @property
    def captures_per_1000(self) -> float | None:
        """Captured cards in a thousand transactions."""
        return 1000.0 * self.cards_captured / self.transactions if self.transactions else None


def traffic(totals: Mapping[str, float]) -> Traffic:
    """Out of the growth of counters. Rejected notes are counted where they come from, not again in the bin."""

    def over_units(name: str) -> float:
        return sum(grown for point, grown in totals.items() if point.startswith("storage.") and point.endswith(name))

    rejected = sum(
        grown
        for point, grown in totals.items()
        if point.startswith("storage.") and point.endswith(".rejected") and "Reject" not in point
    )
    return Traffic(
        transactions=totals.get("transaction.count", 0.0),
        failed=totals.get("transaction.failed", 0.0),
        presents=totals.get("cashDispenser.presents", 0.0),
        notes_picked=totals.get("cashDispenser.picks", 0.0),
        notes_presented=over_units(".presented"),
        notes_rejected=rejected,
        retracts=totals.get("cashDispenser.retracts", 0.0),
        cards_captured=totals.get("cardReader.captures", 0.0),
        read_errors=totals.get("cardReader.readErrors", 0.0),
    )


# From alarms to causes ------------------------------------------------------------------------------------------------------

_CAUSES = (
    ("storage.", "cashOut"),
    ("cashManagement.", "cashOut"),
    ("link.host", "host"),
    ("link.", "communication"),
    ("gateway.", "communication"),
    ("powerManagement.", "power"),
    ("auxiliaries.UPS", "power"),
    ("auxiliaries.operatorSwitch", MAINTENANCE),
    ("vendorMode.", MAINTENANCE),
    ("machine.visit", MAINTENANCE),
    ("transaction.", "hardware: pc"),
    ("environment.", "hardware: housing"),
    ("banknoteNeutralization.", "hardware: neutralization"),
)


def cause_of(episode: Episode) -> str:
    """The word of the operations desk for what an alarm is about."""
    if episode.class_ is EventClass.SECURITY:
        return "security"
    if episode.point.startswith("storage.") and episode.point.endswith(".status"):
        return "hardware: cashDispenser"
    for prefix, cause in _CAUSES:
        if episode.point.startswith(prefix):
            return cause
    service = episode.point.partition(".")[0]
    return (
        f"hardware: {service}" if service in ("cashDispenser", "cardReader", "printer", "keyManagement", "pinPad") else "unknown"
    )


def outages_of(past: Past) -> list[Outage]:
    """The downtime of a past, each stretch with the alarm that began first. Work within a planned visit is planned."""
    visits = [Span(each.raised, each.end or past.windows[-1].end) for each in past.episodes if each.rule == "visit"]
    telling = [
        each for each in past.episodes if each.class_ not in (EventClass.STATE_CHANGE, EventClass.SERVICE, EventClass.GATEWAY)
    ]
    found = []
    for stretch in united(past.down()):
        work = common([stretch], visits)
        found += [Outage(span.start, span.end, MAINTENANCE, planned=True) for span in work]
        for span in without([stretch], work):
            cause = _first_cause(telling, span) or (MAINTENANCE if work else _hint(past, telling, span))
            seam = cause == MAINTENANCE and span.seconds <= SEAM
            found.append(Outage(span.start, span.end, cause, planned=seam))
    return sorted(found, key=lambda each: each.start)


def _first_cause(episodes: Sequence[Episode], span: Span) -> str:
    """What began first, with this stretch or shortly before it; else the newest of what had been going on for longer."""
    open_then = [
        each
        for each in episodes
        if not each.planned and each.severity > 1 and each.start < span.end and (each.end is None or each.end > span.start)
    ]
    began = [each for each in open_then if each.start >= span.start - CAUSE_BEFORE]
    if began:
        return cause_of(min(began, key=lambda each: each.start))
    return cause_of(max(open_then, key=lambda each: each.start)) if open_then else ""


def _hint(past: Past, episodes: Sequence[Episode], span: Span) -> str:
    """What the words of its windows say, where it was too short for an alarm; else any alarm in them, for a long window does not
    tell when in it the stretch was."""
    around = [each for each in past.windows if each.start < span.end and each.end > span.start]
    for hint in filter(None, (each.hint for each in around)):
        return hint
    return (around and _first_cause(episodes, Span(around[0].start, around[-1].end))) or "unknown"


# Days ------------------------------------------------------------------------------------------------------------------------


def days_of_demand(past: Past, zone: tzinfo = UTC) -> list[DayOfDemand]:
    """What left the cassettes on each local day (minor units), and the share of the day in which customers could be served.

    A day that the records hold only in part, or on which nobody knew the cash for a part, is available only in part.
    """
    paid: defaultdict[date, int] = defaultdict(int)
    served: defaultdict[date, float] = defaultdict(float)
    last: int | None = None
    for window in past.windows:
        day = datetime.fromtimestamp(window.start, UTC).astimezone(zone).date()
        served[day] += 0.0 if window.cash is None else max(0.0, window.observed - window.down - window.unknown)
        if window.cash is not None:
            paid[day] += max(0, last - window.cash) if last is not None else 0
            last = window.cash
    return [DayOfDemand(day, float(paid[day]), served[day] / DAY) for day in sorted(served)]
