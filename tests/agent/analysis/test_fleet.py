"""What several machines may lose together: the published check case, and what the machines' own risks add up to."""

from __future__ import annotations

from typing import Any

import pytest

from agent.analysis.fleet import Event, attacks, cash_outs, fleet_loss
from agent.analysis.report import Asked, Outlook, Report, report
from agent.analysis.risk import CashRisk
from agent.analysis.spans import Span
from agent.stages.calendar import Plan

CASE = [
    Event(f"ATM-{number}", mu, nu)
    for number, (mu, nu) in enumerate(zip((0.02, 0.05, 0.01, 0.03, 0.04), (3.0, 1.0, 5.0, 2.0, 4.0), strict=True))
]


def test_the_check_case_to_every_digit() -> None:
    found = fleet_loss("given", CASE, 0.8, unit=1.0)
    assert (f"{found.expected:.2f}", f"{found.deviation**2:.6f}", f"{found.no_loss:.6f}") == ("0.38", "1.332416", "0.866555")
    assert [(tail.level, tail.value_at_risk) for tail in found.tails] == [(0.95, 4.0), (0.99, 5.0), (0.999, 9.0)]
    assert f"{found.tails[1].expected_shortfall:.3f}" == "6.521"
    assert fleet_loss("given", CASE, 0.0, unit=1.0).tails[2].value_at_risk == 8.0


def test_the_unit_is_chosen_and_changes_little() -> None:
    found = fleet_loss("given", [Event(each.machine, each.intensity, each.loss * 1e6) for each in CASE], 0.8)
    assert found.unit == 5_000.0
    assert found.expected == pytest.approx(380_000.0)
    assert [tail.value_at_risk for tail in found.tails] == pytest.approx([4e6, 5e6, 9e6], rel=1e-3)


@pytest.mark.parametrize("events", [[], [Event("A", 0.0, 5.0)], [Event("A", 1.0, 0.0)]])
def test_where_nothing_can_be_lost_nothing_is(events: list[Event]) -> None:
    found = fleet_loss("given", events, 0.8)
    assert (found.expected, found.deviation, found.no_loss) == (0.0, 0.0, 1.0)
    assert {(tail.value_at_risk, tail.expected_shortfall) for tail in found.tails} == {(0.0, 0.0)}


def outlook(**fields: Any) -> Outlook:
    chosen: dict[str, Any] = {
        "days": 3.0, "until": "as asked", "risk": None, "lasts": None, "lasts_at_least": None, "first_empty": None,
        "exposure": None, "insured_limit": None, "days_known": 0, "days_censored": 0, "foretold_by": "", **fields,
    }  # fmt: skip
    return Outlook(**chosen)


def machine(name: str, own: Outlook) -> Report:
    empty = report([], Asked(name, Span(0.0, 1.0), Plan()))
    return Report(**{field: getattr(empty, field) for field in Report.__dataclass_fields__} | {"outlook": own})


def at_risk(name: str, probability: float, unmet: float) -> Report:
    return machine(name, outlook(exposure=7_000, risk=CashRisk(7_000, probability, 0.0, 0.95, unmet, 0.0, None)))


def test_what_is_expected_of_all_is_the_sum_of_what_is_expected_of_each() -> None:
    events, unknown = cash_outs([at_risk("A", 0.2, 5_000.0), at_risk("B", 1.0, 90_000.0), at_risk("C", 0.0, 0.0)])
    assert events == [Event("A", 0.2, 25_000.0), Event("B", 1.0, 90_000.0), Event("C", 0.0, 0.0)]
    assert unknown == []
    assert fleet_loss("cashOut", events, 0.8).expected == pytest.approx(95_000.0)


def test_a_machine_of_which_nothing_is_known_is_left_out_by_name() -> None:
    reports = [at_risk("A", 0.2, 5_000.0), machine("B", outlook())]
    assert cash_outs(reports)[1] == ["B"]
    assert attacks(reports, 0.02) == ([Event("A", 0.02, 7_000.0)], ["B"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Event("A", -1.0, 1.0), "A: events: expected a number of 0 or more"),
        (lambda: Event("A", 1.0, float("nan")), "A: loss: expected a number of 0 or more"),
        (lambda: fleet_loss("given", CASE, -1.0), "sigma: expected 0 or more"),
        (lambda: fleet_loss("given", CASE, 0.8, unit=0.0), "unit: expected more than 0"),
        (lambda: fleet_loss("given", [Event("A", 50.0, 1e9)], 0.0, unit=1.0), "take a larger unit"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_thousands_of_machines_that_all_fail_take_coarser_steps() -> None:
    found = fleet_loss("given", [Event(f"ATM-{number}", 1.0, 1e6) for number in range(3_000)], 0.0)
    assert found.unit > 1_000.0
    assert found.expected == pytest.approx(3e9)
    assert found.tails[0].value_at_risk == pytest.approx(3e9 + 1.645 * 3_000**0.5 * 1e6, rel=1e-2)
