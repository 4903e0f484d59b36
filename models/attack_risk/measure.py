"""What an operator asks of an attack detector: found in time, how soon, how often for nothing. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from random import Random
from statistics import median

from agent.records import Alarm, EventClass, Severity
from firmware_sim.truth import Label
from models.attack_risk.watch import Watched

MODEL_RULE = "model.attack_risk"
MONTH = 30.44  # days
# s from the first evidence within which an attack of this kind must be found: the upper end of its time scale
TIME_SCALE: Mapping[str, float] = {
    "BLACK_BOX": 900.0, "X1": 300.0, "B2": 1_800.0, "RIP_OUT": 180.0, "SKIMMING": 86_400.0, "CASH_TRAPPING": 300.0,
}  # fmt: skip
SAME: Mapping[str, frozenset[str]] = {  # an alarm of these classes names the attack as well
    "B2": frozenset({"B2", "B3"}),
    "X1": frozenset({"X1", "X2"}),
}
NEAR = 900.0  # s between an alarm of the model and one of the rules that are of the same
ROUNDS = 1_000  # of the bootstrap


@dataclass(frozen=True)
class Found:
    """When one attack was found, in seconds after its first evidence; infinity is never (within the time scale)."""

    scenario: str
    attack: str
    named_by_rules: float
    """An alarm that names the attack's class."""
    named_by_model: float
    noticed_by_rules: float
    """Any security alarm of severity 3 or 4, whatever it says."""
    noticed_by_model: float

    @property
    def named(self) -> float:
        """By both together."""
        return min(self.named_by_rules, self.named_by_model)

    @property
    def noticed(self) -> float:
        """By both together."""
        return min(self.noticed_by_rules, self.noticed_by_model)


def found(watched: Watched) -> Found | None:
    """How an attack was found; None when the world holds none."""
    attack = watched.attack
    if attack is None:
        return None
    classes = SAME.get(attack.attack, frozenset({attack.attack}))
    raised = [alarm for alarm in watched.alarms if _is_raised(alarm) and alarm.class_ is EventClass.SECURITY]
    rules = [alarm for alarm in raised if alarm.rule != MODEL_RULE]
    model = [alarm for alarm in raised if alarm.rule == MODEL_RULE]
    return Found(
        watched.plot.scenario,
        attack.attack,
        _first(attack, (alarm for alarm in rules if alarm.attack in classes)),
        _first(attack, (alarm for alarm in model if alarm.attack in classes)),
        _first(attack, (alarm for alarm in rules if alarm.severity >= Severity.SUSPEND)),
        _first(attack, model),
    )


def _is_raised(alarm: Alarm) -> bool:
    return not alarm.cleared and not alarm.planned


def _first(attack: Label, alarms: Iterable[Alarm]) -> float:
    assert attack.seen is not None
    delays = [alarm.at - attack.seen for alarm in alarms if alarm.at >= attack.start]
    delay = min(delays, default=inf)
    return max(0.0, delay) if delay <= TIME_SCALE[attack.attack] else inf


def false_alarms(watched: Watched) -> list[Alarm]:
    """The model's alarms where no attack was: outside of planned visits, and not in the traces of an attack."""
    raised = [alarm for alarm in watched.alarms if _is_raised(alarm) and alarm.rule == MODEL_RULE]
    attack = watched.attack
    if attack is None:
        return raised
    return [alarm for alarm in raised if not attack.start <= alarm.at <= watched.calm_again()]


def by_rules_too(watched: Watched, alarm: Alarm) -> bool:
    """Whether the rules have told the operator of the same: a security alarm of that attack, or of severity 3 or 4, near by."""
    return any(
        abs(each.at - alarm.at) <= NEAR and (each.attack == alarm.attack or each.severity >= Severity.SUSPEND)
        for each in watched.alarms
        if _is_raised(each) and each.class_ is EventClass.SECURITY and each.rule != MODEL_RULE
    )


def cause(watched: Watched, at: float) -> str:
    """What was going on at a moment, for people who look at a false alarm."""
    going_on = {each.name for each in watched.labels if each.start - 60.0 <= at <= (each.end or inf) + 900.0}
    return ", ".join(sorted(going_on)) or "nothing"


def share(hits: int, of: int) -> tuple[float, float, float]:
    """A share with its 95 % interval (Wilson 1927)."""
    if of == 0:
        return 0.0, 0.0, 1.0
    z = 1.959964
    middle = (hits + z * z / 2) / (of + z * z)
    half = z * sqrt(hits * (of - hits) / of + z * z / 4) / (of + z * z)
    return hits / of, max(0.0, middle - half), min(1.0, middle + half)


def middle(values: Sequence[float], seed: int = 1) -> tuple[float, float, float]:
    """A median with the 95 % interval of its bootstrap. What was never found counts as infinitely late."""
    if not values:
        return inf, inf, inf
    rng = Random(seed)
    drawn = sorted(median(rng.choices(values, k=len(values))) for _ in range(ROUNDS))
    return median(values), drawn[round(0.025 * ROUNDS)], drawn[round(0.975 * ROUNDS) - 1]


def rate(events: int, months: float) -> tuple[float, float]:
    """Events a month, and the upper end of the one-sided 95 % interval of a Poisson rate (Garwood 1936)."""
    if months <= 0.0:
        return inf, inf
    from scipy.stats import chi2  # type: ignore[import-untyped]

    return events / months, float(chi2.ppf(0.95, 2 * events + 2)) / 2 / months
