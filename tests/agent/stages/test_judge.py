"""The judge: every test of a condition, combination, folding, planned visits, silence, restarts. Times are in the story."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Alarm, EventClass, Evidence, Reading, Severity
from agent.stages.judge import POINTS_LIMIT, Judge
from agent.stages.rules import Condition, Planned
from tests.agent.stages.rulebook import DISPENSER, DOOR, PRESENTS, SAFE, TEMPERATURE, TRANSACTIONS, Story, opened, rule, saved


def test_an_alarm_carries_its_evidence_and_one_sentence() -> None:
    story = Story(rule(opened(), attack="B4", text="{point} of {machine} is {value}.")).tell(DOOR, "open", 5.0)
    assert story.alarms == [
        Alarm(
            "m", 5.0, "rule", EventClass.SECURITY, Severity(3), DOOR, "open", (Evidence(DOOR, "open", 5.0),),
            "auxiliaries.cabinetDoor of m is open.", "B4",
        )
    ]  # fmt: skip


# One condition ----------------------------------------------------------------------------------------------------------------


def test_a_word_must_last_for_its_time() -> None:
    story = Story(rule(opened(for_=10.0), hold=0.0))
    story.tell(DOOR, "open", 0.0).tell(DOOR, "closed", 9.9).tell(DOOR, "open", 20.0).wait(29.9)
    assert story.told == []
    assert story.wait(60.0).told == [(30.0, "raised")]
    assert story.alarms[0].evidence == (Evidence(DOOR, "open", 20.0),)


def test_is_not_is_every_other_word() -> None:
    story = Story(rule(Condition(DOOR, is_not=("closed", "locked")), hold=0.0))
    story.tell(DOOR, "closed", 0.0).tell(DOOR, "tampered", 1.0).tell(DOOR, "locked", 2.0).wait(9.0)
    assert story.told == [(1.0, "raised"), (2.0, "cleared")]


def test_a_level_with_hysteresis() -> None:
    story = Story(rule(Condition(TEMPERATURE, above=60.0, clear=55.0), hold=0.0))
    for at, value in enumerate((60.0, 60.1, 58.0, 55.1, 55.0, 59.0, 61.0)):
        story.tell(TEMPERATURE, value, float(at))
    assert [(round(at), what) for at, what in story.told] == [(1, "raised"), (4, "cleared"), (6, "raised")]


def test_a_lower_level() -> None:
    story = Story(rule(Condition(TEMPERATURE, below=-10.0, clear=-8.0), hold=0.0))
    for at, value in enumerate((-10.0, -10.5, -9.0, -8.0)):
        story.tell(TEMPERATURE, value, float(at))
    assert [(round(at), what) for at, what in story.wait(9.0).told] == [(1, "raised"), (3, "cleared")]


def test_growth_within_a_time_over_a_reset() -> None:
    story = Story(rule(Condition(PRESENTS, grows=5, over=60.0), hold=0.0))
    for at, value in ((0.0, 100), (10.0, 103), (20.0, 1), (30.0, 2)):
        story.tell(PRESENTS, value, at)
    assert story.told == [(30.0, "raised")]  # 3, then 1 since the device started anew, then 1
    assert story.wait(200.0).told[1] == (71.0, "cleared")  # the step of a second that held the 3 ended at 11


def test_growth_compared_with_another_counter() -> None:
    condition = Condition(PRESENTS, grows=4, per=TRANSACTIONS, ratio=1.5, over=600.0)
    honest, robbed = Story(rule(condition)), Story(rule(condition))
    for number in range(12):
        at = 40.0 * number
        honest.tell(PRESENTS, 100 + number, at).tell(TRANSACTIONS, 900 + number, at)
        robbed.tell(PRESENTS, 100 + number, at).tell(TRANSACTIONS, 900, at)
    assert honest.told == []
    assert robbed.told == [(160.0, "raised")]


def test_counters_that_are_not_heard_go_on_counting_both() -> None:
    """A source falls silent and comes back: what happened meanwhile is growth of the one counter and of the other."""
    story = Story(rule(Condition(PRESENTS, grows=4, per=TRANSACTIONS, ratio=1.5, over=600.0, for_=2.0)))
    for at, told in ((0.0, 0), (300.0, None), (500.0, 6), (800.0, 7), (900.0, None), (1_100.0, 13)):
        for point, base in ((PRESENTS, 100), (TRANSACTIONS, 900)):
            story.tell(point, None if told is None else base + told, at)
    assert story.wait(1_200.0).told == []


def test_changes_of_a_word() -> None:
    story = Story(rule(Condition(DOOR, changes=4, over=60.0), hold=0.0))
    for number in range(5):
        story.tell(DOOR, "open" if number % 2 else "closed", 2.0 * number)
    assert story.told == [(8.0, "raised")]


@pytest.mark.parametrize(
    ("test", "values", "raised"),
    [
        ({"rises": 10.0}, (20.0, 15.0, 24.9, 25.0), [3]),
        ({"rises": 10.0}, (25.0, 15.0), []),
        ({"falls": 10.0}, (15.0, 20.0, 10.1, 10.0), [3]),
        ({"falls": 10.0}, (15.0, 25.0), []),
        ({"swings": 10.0}, (15.0, 25.0), [1]),
        ({"swings": 10.0}, (25.0, 15.0), [1]),
    ],
)
def test_a_value_that_moves_too_far(test: dict[str, float], values: tuple[float, ...], raised: list[int]) -> None:
    story = Story(rule(Condition(TEMPERATURE, over=600.0, **test)))  # type: ignore[arg-type]
    for at, value in enumerate(values):
        story.tell(TEMPERATURE, value, float(at))
    assert [at for at, _ in story.told] == raised


def test_a_slow_rise_is_none_and_a_sudden_one_after_long_stillness_is() -> None:
    story = Story(rule(Condition(TEMPERATURE, rises=10.0, over=600.0)))
    for minute in range(60):
        story.tell(TEMPERATURE, 20.0 + 0.5 * minute, 60.0 * minute)
    story.tell(TEMPERATURE, 60.0, 20_000.0)
    assert story.told == [(20_000.0, "raised")]


def test_what_a_value_was_while_nobody_could_tell_is_no_rise() -> None:
    story = Story(rule(Condition(TEMPERATURE, rises=10.0, over=600.0)))
    story.tell(TEMPERATURE, 20.0, 0.0).tell(TEMPERATURE, None, 10.0).tell(TEMPERATURE, 35.0, 20.0)
    assert story.told == []


@pytest.mark.parametrize(("still", "told"), [(1_799.0, [(1_799.0, "raised")]), (1_800.0, [(1_860.0, "raised")])])
def test_what_a_stuck_sensor_said_is_no_beginning_of_a_rise(still: float, told: list[tuple[float, str]]) -> None:
    story = Story(rule(Condition(TEMPERATURE, rises=10.0, over=600.0, stuck_after=1_800.0)))
    story.tell(TEMPERATURE, 20.0, 0.0).tell(TEMPERATURE, 20.0, 900.0).tell(TEMPERATURE, 35.0, still)
    story.tell(TEMPERATURE, 45.0, 1_860.0)  # what rises further is told, whatever was before
    assert story.told == told


def test_silence_is_counted_from_the_last_usable_reading_at_its_own_moment() -> None:
    story = Story(rule(Condition(DOOR, silent=180.0), hold=0.0))
    story.tell(DOOR, "closed", 0.0).tell(DOOR, "closed", 100.0).tell(DOOR, None, 150.0).wait(279.9)
    assert story.told == []
    story.wait(900.0)
    assert story.told == [(280.0, "raised")]
    story.tell(DOOR, "closed", 1_000.0).wait(1_100.0)
    assert [what for _, what in story.told] == ["raised", "cleared"]


def test_a_point_that_was_never_heard_is_never_silent() -> None:
    assert Story(rule(Condition(DOOR, silent=1.0))).tell(SAFE, "closed", 0.0).wait(1e6).told == []


def test_a_silence_that_ends_with_the_same_word_ends() -> None:
    story = Story(rule(Condition(DOOR, silent=60.0), hold=0.0))
    story.tell(DOOR, "closed", 0.0).wait(100.0).tell(DOOR, "closed", 110.0).wait(120.0)
    assert [what for _, what in story.told] == ["raised", "cleared"]


def test_a_value_that_stands_still_is_heard_all_the_time() -> None:
    story = Story(rule(Condition(TEMPERATURE, still=600.0), hold=0.0))
    for minute in range(8):
        story.tell(TEMPERATURE, 20.0 if minute < 4 else 21.0, 60.0 * minute)
    story.tell(TEMPERATURE, None, 500.0).wait(5_000.0)
    assert story.told == []  # it is silent, not still
    story.tell(TEMPERATURE, 21.0, 5_000.0)
    for minute in range(20):
        story.tell(TEMPERATURE, 21.0, 5_000.0 + 60.0 * minute)
    assert story.told == [(5_600.0, "raised")]
    assert [what for _, what in story.tell(TEMPERATURE, 21.1, 7_000.0).wait(7_100.0).told] == ["raised", "cleared"]


def test_a_reason_of_quality() -> None:
    story = Story(rule(Condition(TEMPERATURE, reason="stuck"), hold=0.0))
    story.tell(TEMPERATURE, 20.0, 0.0).tell(TEMPERATURE, 20.0, 1.0, "stuck").tell(TEMPERATURE, 20.0, 2.0).wait(9.0)
    assert [(round(at), what) for at, what in story.told] == [(1, "raised"), (2, "cleared")]


def test_seconds_altogether_within_a_time() -> None:
    story = Story(rule(opened(altogether=100.0, over=300.0), hold=0.0))
    for start in (0.0, 60.0, 120.0):  # three times 40 s
        story.tell(DOOR, "open", start).tell(DOOR, "closed", start + 40.0)
    assert story.told == [(140.0, "raised")]
    story.wait(1_000.0)
    assert story.told == [(140.0, "raised"), (pytest.approx(320.0, abs=0.2), "cleared")]  # 20 s too many at 300


def test_seconds_altogether_of_something_that_goes_on() -> None:
    assert Story(rule(opened(altogether=100.0, over=300.0))).tell(DOOR, "open", 7.0).wait(500.0).told == [(107.0, "raised")]


# Several conditions -------------------------------------------------------------------------------------------------------------


def black_box(**fields: Any) -> Story:
    return Story(rule(opened(), Condition(DISPENSER, is_=("noDevice",), for_=2.0), within=600.0, hold=60.0, **fields))


def test_evidence_is_combined_within_its_time_in_any_order() -> None:
    one = black_box().tell(DISPENSER, "online", 0.0).tell(DOOR, "open", 10.0).tell(DOOR, "closed", 20.0)
    one.tell(DISPENSER, "noDevice", 600.0).wait(700.0)
    assert one.told == [(602.0, "raised"), (620.0 + 60.0, "cleared")]
    other = black_box().tell(DOOR, "closed", 0.0).tell(DISPENSER, "noDevice", 10.0).tell(DISPENSER, "online", 20.0)
    other.tell(DOOR, "open", 600.0)
    assert other.told == [(600.0, "raised")]
    assert [each.point for each in other.alarms[0].evidence] == [DOOR, DISPENSER]


def test_evidence_that_is_too_old_does_not_count() -> None:
    story = black_box().tell(DISPENSER, "online", 0.0).tell(DOOR, "open", 10.0).tell(DOOR, "closed", 20.0)
    assert story.tell(DISPENSER, "noDevice", 618.1).wait(9_999.0).told == []


def test_need_any_or_a_number() -> None:
    conditions = (opened(DOOR), opened(SAFE), Condition(TEMPERATURE, above=60))
    assert Story(rule(*conditions, need="any")).tell(SAFE, "open", 3.0).told == [(3.0, "raised")]
    story = Story(rule(*conditions, need=2)).tell(SAFE, "open", 3.0).tell(TEMPERATURE, 61.0, 4.0)
    assert story.told == [(4.0, "raised")]


def test_unless_bars_the_raising_and_not_the_end() -> None:
    story = Story(rule(opened(), unless=(Condition(DISPENSER, is_=("online",)),), hold=0.0))
    story.tell(DISPENSER, "online", 0.0).tell(DOOR, "open", 1.0)
    assert story.told == []
    story.tell(DISPENSER, "offline", 2.0).tell(DISPENSER, "online", 3.0).wait(100.0)
    assert story.told == [(2.0, "raised")]  # an excuse that comes later ends nothing
    assert story.tell(DOOR, "closed", 101.0).wait(102.0).told[-1][1] == "cleared"


def test_each_point_of_a_pattern_is_judged_by_itself() -> None:
    story = Story(rule(Condition("storage.*.status", is_=("missing",)), opened(), hold=0.0))
    story.tell("storage.unit1.status", "missing", 1.0).tell("storage.unit2.status", "ok", 1.0).tell(DOOR, "open", 2.0)
    story.tell("storage.unit2.status", "missing", 3.0)
    assert [(alarm.at, alarm.point) for alarm in story.alarms] == [(2.0, "storage.unit1.status"), (3.0, "storage.unit2.status")]


# Folding and clearing -----------------------------------------------------------------------------------------------------------


def test_repeats_are_folded_and_counted_until_the_hold_is_over() -> None:
    story = Story(rule(opened(), hold=60.0))
    for number in range(4):
        story.tell(DOOR, "open", 20.0 * number).tell(DOOR, "closed", 20.0 * number + 5.0)
    story.wait(1_000.0)
    assert story.told == [(0.0, "raised"), (125.0, "cleared")]
    assert story.alarms[-1].repeats == 3


def test_what_gives_nothing_usable_ends_no_alarm() -> None:
    story = Story(rule(opened(), hold=10.0)).tell(DOOR, "open", 0.0).tell(DOOR, None, 1.0).wait(1e6)
    assert story.told == [(0.0, "raised")]
    assert story.tell(DOOR, "closed", 1e6).wait(2e6).told[-1] == (1e6 + 10.0, "cleared")


def test_what_gives_nothing_usable_raises_none() -> None:
    story = Story(rule(opened(for_=60.0))).tell(DOOR, "open", 0.0).tell(DOOR, None, 30.0).wait(1e4)
    assert story.told == []


# Planned visits ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("planned", "told"),
    [
        (Planned.ALARM, ["raised", "cleared"]),
        (Planned.MARK, ["planned", "cleared"]),
        (Planned.SUPPRESS, []),
    ],
)
def test_planned_work(planned: Planned, told: list[str]) -> None:
    story = Story(rule(opened(), planned=planned, hold=5.0)).visit(0.0, planned=True)
    story.tell(DOOR, "open", 10.0).tell(DOOR, "closed", 20.0).wait(30.0).visit(100.0, planned=False).wait(1e4)
    assert [what for _, what in story.told] == told


def test_what_is_marked_is_service_and_routine() -> None:
    story = Story(rule(opened(), planned=Planned.MARK)).visit(0.0, planned=True).tell(DOOR, "open", 1.0)
    assert (story.alarms[0].class_, story.alarms[0].severity, story.alarms[0].planned) == (EventClass.SERVICE, 1, True)


@pytest.mark.parametrize("planned", [Planned.MARK, Planned.SUPPRESS])
def test_what_outlasts_the_visit_is_raised_with_its_end(planned: Planned) -> None:
    story = Story(rule(opened(), planned=planned)).visit(0.0, planned=True).tell(DOOR, "open", 10.0).visit(100.0, planned=False)
    assert (story.told[-1], story.alarms[-1].severity) == ((100.0, "raised"), 3)


def test_what_was_over_before_the_visit_ended_is_no_evidence_afterwards() -> None:
    story = (
        black_box(planned=Planned.SUPPRESS).visit(0.0, planned=True).tell(DOOR, "open", 10.0).tell(DISPENSER, "noDevice", 20.0)
    )
    story.tell(DISPENSER, "online", 60.0).tell(DOOR, "closed", 90.0).visit(100.0, planned=False).wait(1e4)
    assert story.told == []


def test_what_is_counted_within_a_planned_visit_does_not_count() -> None:
    story = Story(rule(Condition(PRESENTS, grows=3, over=600.0), planned=Planned.SUPPRESS)).tell(PRESENTS, 100, 0.0)
    story.visit(1.0, planned=True).tell(PRESENTS, 106, 50.0).visit(60.0, planned=False).tell(PRESENTS, 108, 100.0)
    assert story.told == []
    assert story.tell(PRESENTS, 109, 110.0).told == [(110.0, "raised")]


# Time and restarts ----------------------------------------------------------------------------------------------------------


def test_an_event_that_comes_late_is_judged_by_its_own_time() -> None:
    story = Story(rule(opened(for_=30.0))).tell(DOOR, "closed", 0.0).tell(SAFE, "closed", 500.0)
    late = [Reading("m", DOOR, "open", 400.0), Reading("m", DOOR, "closed", 420.0)]
    assert [alarm for each in late for alarm in story.judge.feed(each)] == []
    assert story.wait(600.0).told == []
    story.judge.feed(Reading("m", DOOR, "open", 450.0))
    assert story.wait(600.0).told == [(480.0, "raised")]


def test_a_clock_that_was_set_shortens_and_lengthens_nothing() -> None:
    story = Story(rule(opened(for_=60.0), hold=30.0)).tell(DOOR, "open", 1_000.0)
    story.judge.shift(-900.0)
    assert story.wait(159.9).told == []
    assert story.wait(160.0).told == [(160.0, "raised")]
    story.tell(DOOR, "closed", 200.0)
    story.judge.shift(5_000.0)
    assert story.wait(5_229.0).told == [(160.0, "raised")]
    assert story.wait(5_230.0).told[-1] == (5_230.0, "cleared")


def test_an_open_alarm_survives_a_restart_and_is_told_once() -> None:
    story = Story(rule(opened(), hold=60.0)).tell(DOOR, "open", 0.0).restart(500.0).wait(5_000.0)
    assert story.told == [(0.0, "raised")]
    story.tell(DOOR, "open", 5_000.0).tell(DOOR, "closed", 5_100.0).wait(6_000.0)
    assert story.told == [(0.0, "raised"), (5_160.0, "cleared")]
    assert story.alarms[-1].evidence == story.alarms[0].evidence
    assert story.alarms[-1].repeats == 0


def test_a_condition_that_was_going_on_survives_a_restart() -> None:
    story = Story(rule(opened(for_=7_200.0))).tell(DOOR, "open", 0.0).restart(3_600.0).wait(9_000.0)
    assert story.told == []  # nobody has heard yet whether it still is
    assert story.tell(DOOR, "open", 9_000.0).told == [(9_000.0, "raised")]
    other = Story(rule(opened(for_=7_200.0))).tell(DOOR, "open", 0.0).restart(3_600.0).tell(DOOR, "closed", 3_601.0)
    assert other.wait(1e5).told == []


def test_evidence_that_waits_for_more_survives_a_restart() -> None:
    story = black_box().tell(DISPENSER, "online", 0.0).tell(DOOR, "open", 10.0).tell(DOOR, "closed", 20.0).restart(100.0)
    assert story.tell(DISPENSER, "noDevice", 300.0).wait(310.0).told == [(302.0, "raised")]


def test_the_alarm_of_a_rule_that_has_gone_is_cleared() -> None:
    story = Story(rule(opened(), attack="B4")).tell(DOOR, "open", 0.0).restart(50.0, rule(opened(SAFE), name="other"))
    cleared = story.alarms[-1]
    assert (cleared.rule, cleared.at, cleared.cleared, cleared.attack, cleared.severity) == ("rule", 50.0, True, "B4", 3)
    assert "gone from the configuration" in cleared.text


def test_only_what_has_changed_is_saved_and_what_is_over_is_forgotten() -> None:
    story = Story(rule(opened(), hold=1.0)).tell(DOOR, "closed", 0.0)
    assert saved(story.judge) == {}
    story.tell(DOOR, "open", 1.0)
    assert list(saved(story.judge)) == ["rule "]
    assert saved(story.judge) == {}
    story.tell(DOOR, "closed", 2.0).wait(9.0)
    document = saved(story.judge)["rule "]
    assert document is not None
    assert "active_since" not in document


@pytest.mark.parametrize(
    "document", [{}, {"class_": "x"}, {"class_": "FAULT", "severity": 9}, {"class_": "FAULT", "severity": 2, "active_since": 1.0}]
)
def test_notes_that_cannot_be_read_stop_nobody(document: dict[str, Any]) -> None:
    judge = Judge("m", [rule(opened())])
    assert judge.restore({"rule ": document}, {"rule 0 x": document, "": document}, 5.0) == []
    assert judge.feed(Reading("m", DOOR, "open", 6.0))[0].at == 6.0


def test_a_flood_of_points_does_not_fill_the_memory() -> None:
    judge = Judge("m", [rule(Condition("a.*", above=1.0))])
    for number in range(POINTS_LIMIT + 100):
        judge.feed(Reading("m", f"a.n{number}", 2.0, 0.0))
    assert len(judge.changed()) == 200  # instances of one rule


# Properties -----------------------------------------------------------------------------------------------------------------

_RULES = (
    rule(opened(for_=5.0), name="for", hold=7.0),
    rule(opened(), Condition(DISPENSER, is_=("noDevice",), for_=2.0), name="both", within=20.0, hold=3.0),
    rule(opened(altogether=15.0, over=60.0), name="altogether", hold=0.0),
    rule(Condition(DOOR, changes=3, over=30.0), name="changes", hold=2.0),
    rule(Condition(PRESENTS, grows=4, over=30.0), name="grows", unless=(opened(),)),
    rule(Condition(DISPENSER, silent=25.0), name="silent"),
    rule(Condition(PRESENTS, still=40.0), name="still"),
    rule(Condition(TEMPERATURE, swings=3.0, over=30.0), Condition(TEMPERATURE, above=5.0, clear=2.0), need="any", name="any"),
)
_TOLD = st.lists(
    st.tuples(
        st.one_of(
            st.tuples(st.just(DOOR), st.sampled_from(["open", "closed", None])),
            st.tuples(st.just(DISPENSER), st.sampled_from(["online", "noDevice", None])),
            st.tuples(st.just(PRESENTS), st.one_of(st.none(), st.integers(0, 12))),
            st.tuples(st.just(TEMPERATURE), st.one_of(st.none(), st.integers(0, 8))),
        ),
        st.integers(0, 4_000).map(lambda tenths: tenths / 8),
    ),
    max_size=50,
).map(lambda told: sorted(told, key=lambda item: item[1]))


@given(_TOLD, st.lists(st.integers(0, 5_000).map(lambda tenths: tenths / 8), max_size=30))
def test_how_often_somebody_looks_changes_nothing(told: list[tuple[tuple[str, Any], float]], looks: list[float]) -> None:
    plain, watched = Story(*_RULES), Story(*_RULES)
    pending = sorted(looks)
    for (point, value), at in told:
        plain.tell(point, value, at)
        while pending and pending[0] < at:
            watched.wait(pending.pop(0))
        watched.tell(point, value, at)
    plain.wait(2_000.0)
    for look in (*pending, 2_000.0):
        watched.wait(look)
    assert watched.alarms == plain.alarms


@given(_TOLD)
def test_every_alarm_that_ends_was_raised_and_none_is_raised_twice(told: list[tuple[tuple[str, Any], float]]) -> None:
    story = Story(*_RULES)
    for (point, value), at in told:
        story.tell(point, value, at)
    story.wait(2_000.0)
    is_open: set[str] = set()
    for alarm in story.alarms:
        assert (alarm.rule in is_open) is alarm.cleared
        (is_open.discard if alarm.cleared else is_open.add)(alarm.rule)
        assert all(each.at <= alarm.at for each in alarm.evidence)
    assert [alarm.at for alarm in story.alarms] == sorted(alarm.at for alarm in story.alarms)


# What is not heard any more --------------------------------------------------------------------------------------------------


def test_what_is_not_heard_any_more_raises_nothing_with_what_comes_later() -> None:
    """The counter stopped with its PC; the notes that it had counted just before are no evidence minutes later."""
    both = rule(
        Condition("link.host", is_=("down",), for_=300.0), Condition("cashDispenser.presents", grows=2, over=240.0), name="both"
    )
    story = Story(both).tell("cashDispenser.presents", 1, 0.0).tell("cashDispenser.presents", 3, 30.0)
    story.tell("link.host", "down", 40.0).tell("cashDispenser.presents", None, 200.0).wait(1_000.0)
    assert story.told == []


def test_what_was_true_when_it_was_last_heard_is_evident_for_within() -> None:
    """The door was open when the cable was cut; a dispenser that is unplugged soon after is a black box all the same."""
    both = rule(opened(), Condition("cashDispenser.device", is_=("noDevice",)), name="both", within=60.0)
    story = Story(both).tell(DOOR, "open", 0.0).tell(DOOR, None, 10.0).tell("cashDispenser.device", "noDevice", 50.0)
    assert story.told == [(50.0, "raised")]
    assert story.wait(500.0).told == [(50.0, "raised")], "silence is no all-clear"
    late = Story(both).tell(DOOR, "open", 0.0).tell(DOOR, None, 10.0).tell("cashDispenser.device", "noDevice", 71.0)
    assert late.told == []
