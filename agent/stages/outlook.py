"""Whether the cash lasts: what was paid out on each day, what that foretells until the next visit, and what is there.

    machine.cashOutProbability   /             that more is asked for until the next visit than is there
    machine.cashAtRisk           minor units   that are missing then, at a confidence of 95 %
    machine.daysToEmpty          d             at the mean demand of a day

The next visit is the calendar's; where it knows none, three days are looked ahead. Until somebody gives a better forecast
(`foretell`: a model that knows the calendar of the country) past days alone foretell. A day on which customers could not be
served, or that nobody observed, is no observation of the demand (`agent.analysis.risk`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from math import inf
from typing import Any

import msgspec

from agent.analysis.risk import DAY, HORIZON, DayOfDemand, Forecast, cash_risk, history_forecast
from agent.records import Quality, Reading, Value
from agent.stages import Documents
from agent.stages.calendar import Plan
from agent.stages.cash import EXCHANGE
from agent.stages.service import OUT, SERVICE, UNKNOWN

CASH = "machine.cash"
PROBABILITY, AT_RISK, DAYS_TO_EMPTY = "machine.cashOutProbability", "machine.cashAtRisk", "machine.daysToEmpty"
LOOK = 900.0  # s between two looks at the time: every time zone's midnight is among them
EVERY = 3_600.0  # s between two outlooks
CAUTIOUS = 0.95
KEPT = 546  # days: what a model of demand looks back on
RECENT = 182  # of them that the past alone foretells from


class _Day(msgspec.Struct):
    """What is known of one local day."""

    paid: int = 0  # minor units
    served: float = 0.0  # s that were observed and in which customers could have cash


class Outlook:
    """The outlook of one machine. `due`: when `tick` must be called next."""

    def __init__(self, machine: str, plan: Plan) -> None:
        self._machine = machine
        self._plan = plan
        self._days: dict[date, _Day] = {}
        self._dirty: set[date] = set()
        self._cash: int | None = None
        self._serves = True
        self._swapping = False
        self._at = inf  # until when the time was counted
        self._next = -inf  # when the next outlook is due
        self._foretold: tuple[date, Forecast] | None = None
        self._said: dict[str, Value] = {}
        self.due = inf

    @staticmethod
    def wants(point: str) -> bool:
        """Whether this stage is to be fed with a point's Readings."""
        return point in (CASH, SERVICE, EXCHANGE)

    def feed(self, reading: Reading) -> None:
        """Take note of a Reading that has been cleaned. What is loaded is no demand, nor what is taken out during an exchange."""
        point, value = reading.point, reading.value
        self._pass(reading.at)
        if point == SERVICE:
            self._serves = value not in (OUT, UNKNOWN, None)
        elif point == EXCHANGE:
            self._swapping = value == "active"
        else:
            last, self._cash = self._cash, value if isinstance(value, int) else None
            if last is not None and self._cash is not None and self._cash < last and not self._swapping:
                self._day(reading.at).paid += last - self._cash
            self.due = min(self.due, reading.at - reading.at % LOOK + LOOK)

    def tick(self, now: float) -> list[Reading]:
        """What is to be said at `now`: only what is news."""
        self._pass(now)
        self.due = now - now % LOOK + LOOK
        if now < self._next:
            return []
        self._next = now - now % EVERY + EVERY
        news = self._outlook(now)
        readings = [self._reading(point, value, now) for point, value in news.items() if self._said.get(point) != value]
        self._said = news
        return readings

    def _reading(self, point: str, value: Value, at: float) -> Reading:
        if value is None:
            return Reading(self._machine, point, None, at, Quality.BAD, "unknownDemand")
        return Reading(self._machine, point, value, at)

    def _outlook(self, now: float) -> dict[str, Value]:
        today, visit = self._date(now), self._plan.next_visit(now)
        days = (HORIZON if visit is None else visit - now) / DAY
        demand = self._forecast(today)(days) if self._cash is not None else None
        if demand is None or self._cash is None:
            return dict.fromkeys((PROBABILITY, AT_RISK, DAYS_TO_EMPTY))
        risk = cash_risk(self._cash, days, demand, CAUTIOUS)
        lasts = None if risk.days_to_empty is None else round(risk.days_to_empty, 1)
        return {PROBABILITY: round(risk.probability_of_cash_out, 3), AT_RISK: round(risk.cash_at_risk), DAYS_TO_EMPTY: lasts}

    # Demand -------------------------------------------------------------------------------------------------------------

    def asks(self, now: float) -> tuple[Sequence[DayOfDemand], date] | None:
        """The days that are known and the first one ahead, when no forecast from there was given; None when nothing is asked."""
        today = self._date(now)
        if self._cash is None or (self._foretold is not None and self._foretold[0] == today):
            return None
        return self._past(today), today

    def foretell(self, first: date, forecast: Forecast | None) -> None:
        """What somebody foretells of the days from `first` on; None: no more than the past does."""
        self._foretold = first, forecast or history_forecast(self._past(first)[-RECENT:], first)
        self._next = self.due = -inf

    def _forecast(self, today: date) -> Forecast:
        if self._foretold is None or self._foretold[0] != today:
            return history_forecast(self._past(today)[-RECENT:], today)
        return self._foretold[1]

    def _past(self, first: date) -> list[DayOfDemand]:
        return [DayOfDemand(day, float(each.paid), each.served / DAY) for day, each in sorted(self._days.items()) if day < first]

    # Time ---------------------------------------------------------------------------------------------------------------

    def _date(self, at: float) -> date:
        return datetime.fromtimestamp(at, UTC).astimezone(self._plan.zone).date()

    def _day(self, at: float) -> _Day:
        day = self._date(at)
        self._dirty.add(day)
        return self._days.setdefault(day, _Day())

    def _pass(self, now: float) -> None:
        """The time until now belongs to the day on which it began."""
        if self._at < now and self._serves and self._cash is not None:  # what nobody counts is no day without customers
            self._day(self._at).served += now - self._at
        self._at = now if self._at == inf else max(self._at, now)

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds, or nobody observed for so long."""
        self._at += by
        self._next = -inf
        if self.due < inf:
            self.due = -inf

    # Restart ------------------------------------------------------------------------------------------------------------

    def changed(self) -> Documents:
        """The days that have changed, and those that are too old."""
        dirty, self._dirty = self._dirty, set()
        old = sorted(self._days)[:-KEPT]
        for day in old:
            del self._days[day]
        kept = {day.isoformat(): msgspec.to_builtins(self._days[day]) for day in sorted(dirty) if day in self._days}
        return kept | dict.fromkeys(day.isoformat() for day in old)

    def restore(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from what an earlier run knew. A day that cannot be read is not known."""
        for name, document in documents.items():
            try:
                self._days[date.fromisoformat(name)] = msgspec.convert(document, _Day)
            except (ValueError, msgspec.ValidationError):
                continue
