"""What several machines may lose together: an event and its loss for each of them, the total by CreditRisk+.

    cashOut   until the next replenishment: P(D > B), and what customers are not given then, E[(D - B)+] / P(D > B)
    attack    in a year: so many attacks on a machine, and all the cash in it

A probability stands for an intensity, as CreditRisk+ has it: so the expected loss of all machines is the sum of theirs. A
machine whose records do not tell its risk is left out by name, and never taken for one without risk. Amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from agent.analysis.creditrisk import Exposure, exposure, loss_distribution, smallest_unit
from agent.analysis.report import Report

CASH_OUT, ATTACK, GIVEN = "cashOut", "attack", "given"
LEVELS = (0.95, 0.99, 0.999)
STEPS = 1_000  # of the largest loss: what is lost is told to a thousandth of it, as long as …
LONGEST = 100_000  # … the whole distribution has no more steps than these
FAR = 25.0  # scales of a tail beyond which less than 1e-9 is left


@dataclass(frozen=True)
class Event:
    """What may befall one machine: how many events are expected in the horizon, and what each costs."""

    machine: str
    intensity: float
    loss: float

    def __post_init__(self) -> None:
        for name, value in (("events", self.intensity), ("loss", self.loss)):
            if not 0.0 <= value < 1e300:
                raise ValueError(f"{self.machine}: {name}: expected a number of 0 or more, got {value:g}")


@dataclass(frozen=True)
class Tail:
    """At one confidence level, in minor units."""

    level: float
    value_at_risk: float
    expected_shortfall: float


@dataclass(frozen=True)
class FleetLoss:
    """The loss of all machines by one kind of event."""

    event: str
    events: Sequence[Event]
    left_out: Sequence[str]
    """Machines whose risk is not known."""
    sigma: float
    """Deviation of the factor that moves all machines together."""
    unit: float
    """A step of the distribution, in minor units."""
    expected: float
    deviation: float
    no_loss: float
    """Probability of losing nothing."""
    tails: Sequence[Tail]


def fleet_loss(
    event: str, events: Sequence[Event], sigma: float, unit: float | None = None, left_out: Sequence[str] = ()
) -> FleetLoss:
    """The loss of all machines together; `unit` is about a thousandth of the largest loss where it is not given.

    Raises ValueError when sigma is negative, or the unit is so small that the distribution has more than a million steps.
    """
    if unit is not None and not unit > 0:
        raise ValueError(f"unit: expected more than 0, got {unit:g}")
    costly = [each for each in events if each.intensity > 0 and each.loss > 0]
    step = unit or _unit(costly, sigma)
    found = loss_distribution([_in_steps(each, step) for each in costly], sigma)
    return FleetLoss(
        event=event,
        events=tuple(events),
        left_out=tuple(left_out),
        sigma=sigma,
        unit=step,
        expected=step * found.expected,
        deviation=step * sqrt(found.variance),
        no_loss=found.probabilities[0],
        tails=tuple(Tail(level, step * found.quantile(level), step * found.expected_shortfall(level)) for level in LEVELS),
    )


def _in_steps(event: Event, step: float) -> Exposure:
    """The loss in whole steps; what rounding adds to it the intensity makes good, so that what is expected stays as it is."""
    rounded = exposure(event.intensity, event.loss, step)
    return Exposure(event.intensity * event.loss / (rounded.units * step), rounded.units)


def _unit(events: Sequence[Event], sigma: float) -> float:
    """A step that is fine for the largest single loss, and not so fine that all of them together take for ever."""
    if not events:
        return 1.0
    expected = sum(each.intensity * each.loss for each in events)
    spread = sqrt(sum(each.intensity * each.loss**2 for each in events))
    largest = max(each.loss for each in events)
    reach = expected * (1.0 + FAR * sigma**2) + FAR * (spread + largest)
    return max(smallest_unit([largest], STEPS), reach / LONGEST)


def cash_outs(reports: Sequence[Report]) -> tuple[list[Event], list[str]]:
    """Each machine's cash-out until its next replenishment, and the machines whose risk is not known."""
    events, unknown = [], []
    for each in reports:
        risk = each.outlook.risk
        if risk is None:
            unknown.append(each.machine)
            continue
        probability = risk.probability_of_cash_out
        events.append(Event(each.machine, probability, risk.expected_unmet / probability if probability > 0 else 0.0))
    return events, unknown


def attacks(reports: Sequence[Report], a_year: float) -> tuple[list[Event], list[str]]:
    """An attack on each machine, `a_year` times a year; and the machines whose cash is not known."""
    known = [(each.machine, each.outlook.exposure) for each in reports]
    events = [Event(machine, a_year, float(cash)) for machine, cash in known if cash is not None]
    return events, [machine for machine, cash in known if cash is None]
