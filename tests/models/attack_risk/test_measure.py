"""What is counted as found, when, and as a false alarm: on stories told by hand."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from agent.records import Alarm, EventClass, Severity
from firmware_sim.truth import Kind as LabelKind
from firmware_sim.truth import Label
from models.attack_risk import evaluate, measure
from models.attack_risk.evaluate import Outcome
from models.attack_risk.watch import AFTERMATH, Watched
from models.attack_risk.worlds import ALIKE, Group, Kind, draw

BEGUN, SEEN, OVER = 1_000.0, 1_100.0, 1_700.0
ATTACK = Label(LabelKind.ATTACK, "blackBox", "BLACK_BOX", BEGUN, OVER, SEEN)
DAMAGED = Label(LabelKind.FAULT, "damaged", "", OVER, 9_000.0, OVER)


def alarm(rule: str, at: float, attack: str | None = None, **changes: object) -> Alarm:
    given = {"class_": EventClass.SECURITY, "severity": Severity.FATAL, "cleared": False, "planned": False, **changes}
    return Alarm("M", at, rule, point="x", value=1, evidence=(), attack=attack, **given)  # type: ignore[arg-type]


def story(*alarms: Alarm, labels: tuple[Label, ...] = (ATTACK, DAMAGED)) -> Watched:
    plot = draw(Group.REPORT, Kind.ATTACK, 0)
    return Watched(plot, labels, 0.5, np.empty(0), np.empty((0, 0), dtype=np.float32), list(alarms))


def test_who_named_it_and_who_noticed_it() -> None:
    found = measure.found(
        story(
            alarm("cabinetOpened", SEEN + 1, severity=Severity.SUSPEND),
            alarm("deviceOff", SEEN + 2, class_=EventClass.FAULT),
            alarm("gasTrace", SEEN + 0.5, severity=Severity.WARNING),
            alarm("blackBox", SEEN + 90, "BLACK_BOX"),
            alarm("model.attack_risk", SEEN + 9, "X1"),
            alarm("model.attack_risk", SEEN + 20, "BLACK_BOX"),
        )
    )
    assert found is not None
    assert (found.noticed_by_rules, found.noticed_by_model, found.noticed) == (1.0, 9.0, 1.0)
    assert (found.named_by_rules, found.named_by_model, found.named) == (90.0, 20.0, 20.0)


def test_what_comes_too_late_too_early_or_planned_is_not_found() -> None:
    scale = measure.TIME_SCALE["BLACK_BOX"]
    found = measure.found(
        story(
            alarm("blackBox", BEGUN - 1, "BLACK_BOX"),
            alarm("blackBox", SEEN + scale + 1, "BLACK_BOX"),
            alarm("blackBox", SEEN + 5, "BLACK_BOX", planned=True),
            alarm("blackBox", SEEN + 6, "BLACK_BOX", cleared=True),
        )
    )
    assert found is not None
    assert (found.named_by_rules, found.named, found.noticed) == (inf, inf, inf)
    early = measure.found(story(alarm("model.attack_risk", BEGUN + 1, "BLACK_BOX")))
    assert early is not None
    assert early.named == 0.0  # between the first step and the first evidence: as early as can be


def test_a_drill_and_a_grinder_are_the_same_attack() -> None:
    drilling = replace(ATTACK, attack="B2")
    found = measure.found(story(alarm("grinding", SEEN + 7, "B3"), labels=(drilling,)))
    assert found is not None
    assert found.named_by_rules == 7.0


def test_traces_of_an_attack_are_no_false_alarm_and_anything_else_is() -> None:
    seen = story(
        alarm("model.attack_risk", BEGUN - 1),
        alarm("model.attack_risk", OVER + 10),
        alarm("model.attack_risk", 9_000.0 + AFTERMATH - 1),
        alarm("model.attack_risk", 9_000.0 + AFTERMATH + 1),
        alarm("blackBox", BEGUN - 5),
    )
    assert [each.at for each in measure.false_alarms(seen)] == [BEGUN - 1, 9_000.0 + AFTERMATH + 1]
    calm = story(alarm("model.attack_risk", 5.0), alarm("model.attack_risk", 6.0, planned=True), labels=())
    assert [each.at for each in measure.false_alarms(calm)] == [5.0]
    assert measure.cause(calm, 5.0) == "nothing"
    assert measure.cause(seen, OVER + 10) == "blackBox, damaged"


@pytest.mark.parametrize(
    ("other", "too"),
    [
        (alarm("overlay", 500.0, "SKIMMING", severity=Severity.WARNING), True),  # the same attack
        (alarm("tamper", 1_000.0 + measure.NEAR), True),  # another, but somebody is on his way
        (alarm("tamper", 1_001.0 + measure.NEAR), False),
        (alarm("gasTrace", 990.0, "X1", severity=Severity.WARNING), False),
        (alarm("overlay", 990.0, "SKIMMING", planned=True), False),
        (alarm("jam", 990.0, class_=EventClass.FAULT), False),
        (alarm(measure.MODEL_RULE, 990.0, "SKIMMING"), False),
    ],
)
def test_what_the_rules_raise_too_adds_nothing(other: Alarm, too: bool) -> None:
    mine = alarm(measure.MODEL_RULE, 1_000.0, "SKIMMING")
    assert measure.by_rules_too(story(other, mine, labels=()), mine) is too


def test_intervals_against_published_values() -> None:
    # Wilson's interval for 8 of 10, as in Brown, Cai, DasGupta (2001): 0.490 to 0.943
    assert measure.share(8, 10) == pytest.approx((0.8, 0.490, 0.943), abs=5e-4)
    assert measure.share(0, 0) == (0.0, 0.0, 1.0)
    # no event: the upper end is -ln 0.05 = 2.9957 over the time (the rule of three)
    assert measure.rate(0, 10.0) == pytest.approx((0.0, 0.29957), abs=1e-5)
    assert measure.rate(2, 4.0) == pytest.approx((0.5, 6.2958 / 4), abs=1e-4)  # chi2(0.95, 6) / 2 = 6.2958
    assert measure.rate(1, 0.0) == (inf, inf)


def test_a_median_and_its_bootstrap() -> None:
    value, low, high = measure.middle([1.0, 2.0, 3.0, 4.0, inf])
    assert value == 3.0
    assert low <= value <= high
    assert measure.middle([1.0, 2.0, 3.0, 4.0, inf]) == (value, low, high)
    assert measure.middle([inf, inf, 1.0])[0] == inf


def test_the_summary_counts_worlds_and_months() -> None:
    life, trouble = draw(Group.REPORT, Kind.LIFE, 0), draw(Group.REPORT, Kind.TROUBLE, 2)
    often = draw(Group.REPORT, Kind.OFTEN, 0)
    attacked = measure.found(story(alarm("blackBox", SEEN + 90, "BLACK_BOX"), alarm("model.attack_risk", SEEN + 20, "BLACK_BOX")))
    outcomes = [
        Outcome(draw(Group.REPORT, Kind.ATTACK, 0), 0.1, attacked, ()),
        Outcome(life, measure.MONTH * 2, None, ((5.0, "B2", "roadWorks", False), (9.0, "X1", "glare", True))),
        Outcome(often, measure.MONTH, None, ((5.0, "SKIMMING", "glare", False),)),
        Outcome(trouble, 0.2, None, ((5.0, "B2", "cableCut", False), (6.0, "X1", "cableCut", False))),
    ]
    found = evaluate.summary(outcomes)
    assert found["attacks"]["all"]["named_by_rules"]["median_s"] == 90.0
    assert found["attacks"]["all"]["named_by_together"]["median_s"] == 20.0
    assert found["false_alarms"]["per_machine_month"] == 0.5
    assert (found["false_alarms"]["raised"], found["false_alarms"]["added"]) == (2, 1)
    assert found["false_alarms"]["causes"] == {"B2: roadWorks": 1, "X1: glare": 1}
    assert found["troubles"] == {trouble.scenario: {"worlds": 1, "with_false_alarm": 1, "classes": ["B2", "X1"]}}
    assert found["where_rare_things_happen_often"]["machine_months"] == ALIKE
    assert found["where_rare_things_happen_often"]["per_machine_month"] == 1.0 / ALIKE
    assert len(evaluate.for_card(found)) == 5
    assert [evaluate.unpack(each.plot, evaluate.pack(each)) for each in outcomes] == outcomes
