"""Scores beside the rules: when a model is asked, what its answer raises and ends, and what becomes of it over a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from agent.records import Alarm, EventClass, Evidence, Reading
from agent.stages import Documents
from agent.stages.features import parse
from agent.stages.score import CLEAR_AFTER, Score, Scores, Scoring

RMS = "motion.rms_ms2"
FEATURE = parse(f"max({RMS},60s)")


class Model:
    """Answers what it is told to, and remembers what it was given."""

    def __init__(self, *answers: float | None) -> None:
        self.answers = list(answers)
        self.given: list[list[float]] = []

    def __call__(self, features: Sequence[float]) -> Score | None:
        self.given.append(list(features))
        answer = self.answers.pop(0) if self.answers else 0.0
        return None if answer is None else Score(answer, (f"max({RMS},60s)",), "B2")


def scoring(model: Model, **fields: Any) -> Scoring:
    return Scoring("attack_risk", (FEATURE,), model, 0.8, **fields)


def asked(scores: Scores, times: int, *, planned: bool = False) -> list[tuple[Reading | None, Alarm | None]]:
    """Ask at each moment that is due."""
    return [scores.tick(max(scores.due, 100.0), planned=planned) for _ in range(times)]


def test_a_model_is_asked_every_few_seconds_on_the_clock() -> None:
    model = Model()
    scores = Scores("m", scoring(model))
    scores.tick(101.5)
    assert scores.due == 105.0
    scores.tick(105.0)
    assert scores.due == 110.0
    assert len(model.given) == 2


def test_a_score_is_a_reading() -> None:
    scores = Scores("m", scoring(Model(0.25)))
    scores.feed(Reading("m", RMS, 3.0, 99.0))
    assert scores.tick(100.0) == (Reading("m", "model.attack_risk.score", 0.25, 100.0), None)
    assert scores.latest == 0.25


def test_a_model_that_gives_none_gives_no_score_and_nothing_else() -> None:
    scores = Scores("m", scoring(Model(None, 0.9, None)))
    assert asked(scores, 1) == [(None, None)]
    assert scores.latest is None


def test_scores_in_a_row_make_an_alarm_that_names_its_drivers() -> None:
    scores = Scores("m", scoring(Model(0.9, 0.5, 0.9, 0.9, 0.9)))
    scores.feed(Reading("m", RMS, 3.0, 99.0))
    alarms = [alarm for _, alarm in asked(scores, 5)]
    assert alarms[:3] == [None, None, None]
    assert alarms[4] is None
    alarm = alarms[3]
    assert alarm is not None
    assert (alarm.rule, alarm.at, alarm.value, alarm.attack) == ("model.attack_risk", 115.0, 0.9, "B2")
    assert alarm.evidence == (Evidence(RMS, 3.0, 99.0),)
    assert f"max({RMS},60s)" in alarm.text


def test_the_alarm_ends_a_minute_after_the_score_has_calmed_down() -> None:
    scores = Scores("m", scoring(Model(0.9, 0.9, 0.5, 0.3, 0.45)))
    alarms = [(reading.at, alarm.cleared) for reading, alarm in asked(scores, 30) if reading is not None and alarm is not None]
    assert alarms == [(105.0, False), (125.0 + CLEAR_AFTER, True)]  # 0.45 is above half the threshold: calm begins after it


def test_in_the_shadow_nothing_is_raised() -> None:
    scores = Scores("m", scoring(Model(0.9, 0.9, 0.9), shadow=True))
    assert [alarm for _, alarm in asked(scores, 3)] == [None, None, None]
    assert scores.latest == 0.9


def test_within_a_planned_visit_it_is_marked_and_raised_when_it_outlasts_it() -> None:
    scores = Scores("m", scoring(Model(*[0.9] * 5)))
    marked = asked(scores, 2, planned=True)[1][1]
    assert marked is not None
    assert (marked.planned, marked.class_, marked.severity) == (True, EventClass.SERVICE, 1)
    raised = asked(scores, 1)[0][1]
    assert raised is not None
    assert (raised.planned, raised.class_, raised.severity) == (False, EventClass.SECURITY, 3)
    assert asked(scores, 1)[0][1] is None


def test_an_open_alarm_survives_a_restart() -> None:
    scores = Scores("m", scoring(Model(0.9, 0.9)))
    asked(scores, 2)
    notes = msgspec.json.decode(msgspec.json.encode(scores.changed()))
    assert scores.changed() == {}
    again = Scores("m", scoring(Model(0.9, 0.9, 0.9)))
    again.restore(notes)
    assert [alarm for _, alarm in asked(again, 3)] == [None, None, None]
    ends = [alarm for _, alarm in asked(again, 20) if alarm is not None]
    assert [alarm.cleared for alarm in ends] == [True]
    assert again.changed() == {"attack_risk": None}


@pytest.mark.parametrize("document", [{}, {"alarm": 5}, {"alarm": {"machine": "m"}}])
def test_notes_that_cannot_be_read_stop_nobody(document: dict[str, Any]) -> None:
    scores = Scores("m", scoring(Model(0.9, 0.9)))
    scores.restore({"attack_risk": document})
    assert asked(scores, 2)[1][1] is not None


def test_a_model_that_is_taken_away_ends_its_alarm() -> None:
    scores = Scores("m", scoring(Model(0.9, 0.9)))
    assert scores.end(50.0) is None
    asked(scores, 2)
    ended = scores.end(200.0)
    assert ended is not None
    assert (ended.cleared, ended.at) == (True, 200.0)


def test_a_clock_that_was_set_moves_the_next_question() -> None:
    scores = Scores("m", scoring(Model()))
    scores.tick(7_200.0)
    scores.shift(-3_600.0)
    assert scores.due == 3_605.0


class Learns:
    """Learns from three rows, then answers high."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.rows: list[float] = []
        self.restored: dict[str, Any] = {}

    @property
    def learned(self) -> float:
        return min(1.0, len(self.rows) / 3)

    def __call__(self, features: Sequence[float], now: float) -> Score | None:
        self.rows.append(now)
        return Score(0.9, (f"max({RMS},60s)",)) if len(self.rows) > 3 else None

    def changed(self) -> Documents:
        return {"rows": {"n": len(self.rows)}}

    def documents(self) -> Documents:
        return {"rows": {"n": len(self.rows)}}

    def restore(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self.restored = dict(documents)


def test_a_model_that_learns_tells_how_far_it_is_and_what_it_learned_is_noted() -> None:
    made: dict[str, Learns] = {}
    given = scoring(
        Model(), learner=lambda machine: made.setdefault(machine, Learns(machine)), event=EventClass.FAULT, says="wonders"
    )
    scores = Scores("m", given)
    found = asked(scores, 5)
    assert [reading and (reading.point, reading.value) for reading, _ in found] == [
        ("model.attack_risk.learned", 0.3333),
        ("model.attack_risk.learned", 0.6667),
        None,  # all is learned, and nothing scored yet
        ("model.attack_risk.score", 0.9),
        ("model.attack_risk.score", 0.9),
    ]
    alarm = found[4][1]
    assert alarm is not None
    assert (alarm.class_, alarm.severity, alarm.attack) == (EventClass.FAULT, 2, None)
    assert alarm.text == f"The model attack_risk wonders; strongest signs: max({RMS},60s)"
    notes = msgspec.json.decode(msgspec.json.encode(scores.changed()))
    assert set(notes) == {"attack_risk", "attack_risk: rows"}
    assert all(scores.owns(name) for name in notes)
    assert not scores.owns("attack_risk-shadow: rows")
    again = Scores("other", given)
    again.restore({**notes, "anomaly: rows": {"n": 9}})
    assert made["other"].restored == {"rows": {"n": 5}}
