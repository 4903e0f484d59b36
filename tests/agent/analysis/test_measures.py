"""Measures of service: availability with overlapping faults, causes, rates; and a machine's past out of its records."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.measures import (
    Outage,
    PlannedTime,
    availability,
    cause_of,
    days_of_demand,
    outages_of,
    reliability,
    traffic,
)
from agent.analysis.past import Episode, Past, gathered, security
from agent.analysis.spans import Span
from agent.records import Alarm, CashPosition, EventClass, Evidence, PointSummary, Severity, Summary

HOUR, DAY = 3_600.0, 86_400.0


def test_overlapping_faults_are_counted_once_and_the_first_is_the_cause() -> None:
    outages = [
        Outage(100, 200, "host"),
        Outage(150, 300, "hardware: printer"),
        Outage(300, 310, "power"),
        Outage(400, 450, "cashOut"),
    ]
    found = availability(outages, [Span(0, 1_000)])
    assert found.down == 260  # not 320
    assert found.by_cause == {"host": 210, "cashOut": 50}
    assert found.percent == pytest.approx(74.0)


@pytest.mark.parametrize(
    ("planned", "agreed", "down"),
    [(PlannedTime.EXCLUDED, 900, 100), (PlannedTime.DOWN, 1_000, 200), (PlannedTime.UP, 1_000, 100)],
)
def test_what_planned_work_counts_as_is_stated(planned: PlannedTime, agreed: float, down: float) -> None:
    outages = [Outage(100, 200, "maintenance", planned=True), Outage(150, 300, "host")]
    found = availability(outages, [Span(0, 1_000)], planned)
    assert (found.agreed, found.down) == (agreed, down)


def test_only_agreed_time_counts() -> None:
    found = availability([Outage(0, 100, "host"), Outage(190, 210, "power")], [Span(50, 150), Span(200, 300)])
    assert (found.agreed, found.down, found.by_cause) == (200, 60, {"host": 50, "power": 10})
    assert availability([Outage(0, 10, "host")], []).percent is None


_OUTAGES = st.lists(
    st.builds(
        lambda start, length, cause, planned: Outage(start, start + length, cause, planned),
        st.integers(0, 900), st.integers(1, 300), st.sampled_from(["host", "power", "cashOut"]), st.booleans(),
    ),
    max_size=8,
)  # fmt: skip


@given(_OUTAGES, st.sampled_from(PlannedTime))
def test_causes_share_the_downtime_whole(outages: list[Outage], planned: PlannedTime) -> None:
    found = availability(outages, [Span(0, 1_000)], planned)
    assert sum(found.by_cause.values()) == pytest.approx(found.down)
    assert 0 <= found.down <= found.agreed <= 1_000


def test_failures_and_interruptions() -> None:
    outages = [
        Outage(0, 2 * HOUR, "hardware: cashDispenser"),
        Outage(10 * HOUR, 14 * HOUR, "hardware: cardReader"),
        Outage(20 * HOUR, 21 * HOUR, "cashOut"),
        Outage(30 * HOUR, 31 * HOUR, "power"),
        Outage(40 * HOUR, 41 * HOUR, "maintenance", planned=True),
    ]
    found = reliability(outages, operating=100 * HOUR, notes=30_000)
    assert (found.failures, found.interruptions) == (2, 3)
    assert (found.mtbf_h, found.mttr_h, found.mcbf, found.mcbi) == (50.0, 3.0, 15_000.0, 10_000.0)
    none = reliability([], 100 * HOUR, 30_000)
    assert (none.mtbf_h, none.mttr_h, none.mcbf, none.mcbi) == (None, None, None, None)


def test_rates() -> None:
    found = traffic(
        {
            "transaction.count": 990, "transaction.failed": 10, "cashDispenser.presents": 800, "cashDispenser.picks": 4_000,
            "cashDispenser.retracts": 2, "cardReader.captures": 3, "cardReader.readErrors": 5,
            "storage.unit1.presented": 1_000, "storage.unit2.presented": 2_988, "storage.unit1.rejected": 8,
            "storage.unit2.rejected": 4, "storage.unitReject.rejected": 12,
        }
    )  # fmt: skip
    assert (found.success_percent, found.rejects_per_1000_notes, found.notes_presented) == (99.0, 3.0, 3_988)
    assert found.retracts_per_1000 == pytest.approx(2.02, abs=0.01)
    assert found.captures_per_1000 == pytest.approx(3.03, abs=0.01)
    empty = traffic({})
    assert (empty.success_percent, empty.rejects_per_1000_notes, empty.retracts_per_1000) == (None, None, None)


def episode(point: str, class_: EventClass = EventClass.FAULT) -> Episode:
    return Episode("r", point, class_, Severity(3), None, False, 0.0, 0.0, None, 0, "")


@pytest.mark.parametrize(
    ("point", "cause"),
    [
        ("storage.unit1.replenishmentStatus", "cashOut"),
        ("storage.unit1.status", "hardware: cashDispenser"),
        ("cashManagement.dispenser", "cashOut"),
        ("cashDispenser.outDefault.transport", "hardware: cashDispenser"),
        ("cardReader.media", "hardware: cardReader"),
        ("link.host", "host"),
        ("link.modem", "communication"),
        ("powerManagement.powerInStatus", "power"),
        ("transaction.count", "hardware: pc"),
        ("auxiliaries.operatorSwitch", "maintenance"),
        ("auxiliaries.vandalShield", "unknown"),
    ],
)
def test_the_word_of_the_operations_desk(point: str, cause: str) -> None:
    assert cause_of(episode(point)) == cause
    assert cause_of(episode(point, EventClass.SECURITY)) == "security"


# A past -----------------------------------------------------------------------------------------------------------------------


def window(
    number: int, service: dict[str, float] | None = None, last: str = "inService", cash: int | None = None, **points: PointSummary
) -> Summary:
    """The window of one minute with this number."""
    word = PointSummary(last=last, states=service or {last: 60.0})
    named = {name.replace("_", "."): point for name, point in points.items()}
    position = None if cash is None else CashPosition("EUR", cash * 1_000, {"unit1": cash})
    return Summary("m", 60.0 * number, 60.0 * number + 60.0, 1.0, {"machine.service": word, **named}, position, {"risk": 0.5})


def alarm(rule: str, point: str, at: float, *, start: float | None = None, **fields: Any) -> Alarm:
    evidence = (Evidence(point, "x", at if start is None else start),)
    chosen: dict[str, Any] = {"class_": EventClass.FAULT, "severity": Severity(3), **fields}
    return Alarm("m", at, rule, point=point, value="x", evidence=evidence, **chosen)


def test_downtime_is_put_where_it_fits_its_neighbours() -> None:
    past = gathered(
        "m",
        [
            window(0),
            window(1, {"inService": 50.0, "outOfService": 10.0}, "outOfService"),
            window(2, {"outOfService": 60.0}, "outOfService"),
            window(3, {"outOfService": 20.0, "inService": 40.0}),
            window(4, {"inService": 55.0, "outOfService": 5.0}),
        ],
    )
    assert past.down() == [Span(110, 120), Span(120, 180), Span(180, 200), Span(240, 245)]
    assert past.span == Span(0, 300)


def test_each_stretch_has_the_cause_that_began_first() -> None:
    down = {"outOfService": 60.0}
    past = gathered(
        "m",
        [
            *(window(number) for number in range(2)),
            alarm("hostDown", "link.host", 180.0, start=125.0, severity=Severity(2)),
            alarm("pcDown", "transaction.count", 300.0, start=118.0),
            *(window(number, down, "outOfService") for number in range(2, 6)),
            alarm("pcDown", "transaction.count", 420.0, cleared=True),
            *(window(number) for number in range(6, 10)),
            alarm("visit", "machine.visit", 600.0, class_=EventClass.SERVICE, severity=Severity(1)),
            *(window(number, down, "outOfService") for number in range(10, 12)),
            alarm("visit", "machine.visit", 720.0, class_=EventClass.SERVICE, severity=Severity(1), cleared=True),
            *(window(number, down, "outOfService") for number in range(12, 13)),
        ],
    )
    outages = outages_of(past)
    assert outages == [
        Outage(120, 360, "hardware: pc"),
        Outage(600, 720, "maintenance", planned=True),
        Outage(720, 780, "host"),  # that alarm was never cleared
    ]
    assert availability(outages, [Span(0, 780)]).by_cause == {"hardware: pc": 240, "host": 60}


def test_downtime_that_no_alarm_explains_is_unknown() -> None:
    past = gathered("m", [window(0), window(1, {"outOfService": 60.0}, "outOfService")])
    assert outages_of(past) == [Outage(60, 120, "unknown")]


def test_downtime_of_a_long_window_has_the_cause_of_an_alarm_within_it() -> None:
    """Nobody knows when in the window it was; it is put first, and the alarm spoke later."""
    window = Summary("m", 0.0, HOUR, 1.0, {"machine.service": PointSummary(last="inService", states={"outOfService": 400.0})})
    opened: dict[str, Any] = {"rule": "safeOpened", "point": "auxiliaries.safeDoor", "class_": EventClass.SECURITY}
    safe = [alarm(at=2_000.0, **opened), alarm(at=2_400.0, cleared=True, **opened)]
    assert outages_of(gathered("m", [*safe, window])) == [Outage(0.0, 400.0, "security")]


def test_downtime_too_short_for_an_alarm_is_explained_by_words() -> None:
    down = PointSummary(last="up", states={"up": 20.0, "down": 40.0})
    no_power = PointSummary(last="noPower", states={"noPower": 60.0})
    service = {"inService": 20.0, "outOfService": 40.0}
    past = gathered(
        "m",
        [
            window(0, service, link_host=down),
            window(1),
            window(2, service, link_host=down, powerManagement_powerInStatus=no_power),
        ],
    )
    assert [(each.cause, each.span.seconds) for each in outages_of(past)] == [("host", 40.0), ("power", 40.0)]


def test_the_seam_of_a_planned_visit_is_planned() -> None:
    visit: dict[str, Any] = {"class_": EventClass.SERVICE, "severity": Severity(1)}
    past = gathered(
        "m",
        [
            window(0, {"inService": 50.0, "outOfService": 10.0}, "outOfService"),
            alarm("visit", "machine.visit", 51.0, **visit),
            window(1, {"outOfService": 60.0}, "outOfService"),
            alarm("visit", "machine.visit", 110.0, cleared=True, **visit),
        ],
    )
    assert outages_of(past) == [
        Outage(50.0, 51.0, "maintenance", planned=True),
        Outage(51.0, 110.0, "maintenance", planned=True),
        Outage(110.0, 120.0, "maintenance", planned=True),
    ]


def test_time_in_which_nobody_knew_is_put_where_it_fits() -> None:
    past = gathered(
        "m",
        [
            window(0, {"inService": 50.0, "unknown": 10.0}, "unknown"),
            window(1, {"unknown": 20.0, "inService": 40.0}),
        ],
    )
    assert past.unknown() == [Span(50, 60), Span(60, 80)]
    assert past.down() == []


def test_an_episode_is_an_alarm_from_its_evidence_to_its_end() -> None:
    past = gathered(
        "m",
        [
            alarm("door", "auxiliaries.cabinetDoor", 100.0, start=90.0, class_=EventClass.SECURITY),
            alarm("door", "auxiliaries.cabinetDoor", 200.0, cleared=True, repeats=4),
            alarm("jam", "cashDispenser.device", 300.0, planned=True, severity=Severity(1)),
            alarm("jam", "cashDispenser.device", 400.0),
            alarm("ghost", "x", 500.0, cleared=True),
        ],
    )
    door, marked, jam = past.episodes
    assert (door.start, door.raised, door.end, door.repeats) == (90.0, 100.0, 200.0, 4)
    assert (marked.planned, marked.end) == (True, 400.0)
    assert (jam.planned, jam.end) == (False, None)
    assert security(past.episodes) == [door]


def moved(presented: float = 0, rejected: float = 0) -> dict[str, PointSummary]:
    return {
        "storage_unit1_presented": PointSummary(n=1, delta=presented),
        "storage_unit1_rejected": PointSummary(n=1, delta=rejected),
    }


def test_replenishments_and_what_was_missing() -> None:
    past = gathered(
        "m",
        [
            window(0, cash=100, **moved()),
            window(1, cash=600, **moved()),  # loaded; what was there before nobody knows
            window(2, cash=570, **moved(29, 1)),
            window(3, cash=560, **moved(9)),  # one note went, and no counter knows where
            window(4, cash=561, **moved()),  # a note that came back is no load
            window(5, cash=600, **moved()),
        ],
    )
    first, second = past.replenishments
    assert (first.at, first.before, first.after, first.difference) == (120.0, {"unit1": 100}, {"unit1": 600}, None)
    assert (second.at, second.expected, second.difference) == (360.0, {"unit1": 561}, 0)
    assert past.totals["storage.unit1.presented"] == 38
    assert past.currency == "EUR"


def test_other_machines_are_passed_over() -> None:
    past = Past("other")
    past.add(window(0))
    past.add(alarm("r", "x", 1.0))
    assert (past.windows, past.episodes, past.span) == ([], [], None)


def test_days_of_demand_are_local_and_know_how_much_of_them_was_served() -> None:
    start = datetime(2025, 3, 10, 23, tzinfo=UTC).timestamp()  # midnight in Vienna
    past = Past("m")
    cash = 5_000
    for hour in range(48):
        cash -= 10
        down = 12 <= hour < 18
        word = "outOfService" if down else "inService"
        state = PointSummary(last=word, states={word: HOUR})
        at = start + hour * HOUR
        past.add(Summary("m", at, at + HOUR, 1.0, {"machine.service": state}, CashPosition("EUR", cash * 1_000, {"unit1": cash})))
    first, second = days_of_demand(past, ZoneInfo("Europe/Vienna"))
    assert (first.day, first.amount, first.available, first.censored) == (date(2025, 3, 11), 230_000.0, 0.75, True)
    assert (second.day, second.amount, second.available, second.censored) == (date(2025, 3, 12), 240_000.0, 1.0, False)
    assert days_of_demand(Past("m")) == []


def test_a_day_on_which_nobody_knew_the_cash_is_no_observation() -> None:
    start = datetime(2025, 3, 11, tzinfo=UTC).timestamp()
    past = Past("m")
    for hour in range(24):
        position = CashPosition("EUR", 5_000, {"unit1": 5}) if hour < 20 else None
        past.add(Summary("m", start + hour * HOUR, start + (hour + 1) * HOUR, 1.0, {}, position))
    (day,) = days_of_demand(past)
    assert (day.amount, day.available, day.censored) == (0.0, 20 / 24, True)
