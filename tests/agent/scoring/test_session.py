"""A loaded model in the agent: its state, its time budget, what it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.records import Reading
from agent.scoring.card import read_card
from agent.scoring.session import HANGING, SLOW_LIMIT, LoadedModel, load
from agent.stages.score import Score, Scores, Scoring
from tests.agent.scoring import graphs

import msgspec  # isort: skip

BUDGET = 0.05


class Stand:
    """A session whose answers and durations the test chooses."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self.answers = iter(answers)

    def get_outputs(self) -> list[Any]:
        return [type("Output", (), {"name": name}) for name in ("score", "contributions", "classes")]

    def run(self, _: Sequence[str], __: dict[str, Any]) -> list[Any]:
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        score, contributions, classes = answer
        return [np.float32([score]), np.float32([contributions]), np.float32([classes])]


def clock(durations: Sequence[float]) -> Callable[[], float]:
    """A counter under which each score takes the next of the durations."""

    def moments() -> Iterator[float]:
        now = 0.0
        for duration in durations:
            yield now
            now += duration
            yield now

    given = moments()
    return lambda: next(given)


def model(answers: Sequence[Any], durations: Sequence[float] | None = None) -> LoadedModel:
    card = read_card(msgspec.json.encode(graphs.card()).decode(), "test")
    return LoadedModel(Stand(answers), card, "ab" * 32, BUDGET, clock(durations or [0.001] * len(answers)))


CALM = (0.1, (0.0, 0.0, 0.0), (0.9, 0.05, 0.05))
ROW = [0.0, 0.0, 0.0]


def test_drivers_are_what_adds_most_and_nothing_that_takes_away() -> None:
    score = model([(0.9, (0.5, -3.0, 2.0), (0.1, 0.2, 0.7))])(ROW)
    assert score is not None
    assert score.drivers == (graphs.FEATURES[2], graphs.FEATURES[0])
    assert score.attack == "B2"


def test_below_what_is_explained_a_score_is_a_number_alone() -> None:
    quiet = model([CALM, (0.9, (0.0, 0.5, 0.0), (0.1, 0.9, 0.0))])
    quiet.explain_from = 0.5
    assert quiet(ROW) == Score(np.float32(0.1).item())
    explained = quiet(ROW)
    assert explained is not None
    assert (explained.drivers, explained.contributions, explained.attack) == ((graphs.FEATURES[1],), (0.5,), "BLACK_BOX")


def test_the_class_is_that_of_an_attack_even_where_none_is_likelier() -> None:
    score = model([(0.2, (0.0, 0.0, 0.0), (0.8, 0.15, 0.05))])(ROW)
    assert score is not None
    assert score.attack == "BLACK_BOX"


@pytest.mark.parametrize("nonsense", [float("nan"), 1.5, -0.1, float("inf")])
def test_an_answer_that_is_no_score_ends_the_model(nonsense: float) -> None:
    broken = model([CALM, (nonsense, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0)), CALM])
    assert broken(ROW) is not None
    assert broken(ROW) is None
    assert (broken.word, broken(ROW)) == ("broken", None)
    assert "no score" in broken.error


def test_what_the_runtime_raises_ends_the_model_and_nothing_else() -> None:
    broken = model([RuntimeError("out of\nluck"), CALM])
    assert broken(ROW) is None
    assert (broken.word, broken.error, broken(ROW)) == ("broken", "RuntimeError: out of luck", None)


def test_slow_scores_in_a_row_put_the_model_aside() -> None:
    late, quick = BUDGET * 2, BUDGET / 2
    durations = [late] * (SLOW_LIMIT - 1) + [quick] + [late] * SLOW_LIMIT
    slow = model([CALM] * (len(durations) + 1), durations)
    words = [slow(ROW) and slow.word for _ in durations]
    assert words == ["ok"] * (len(durations) - 1) + ["slow"]
    assert slow(ROW) is None


def test_one_score_that_hangs_puts_the_model_aside_at_once() -> None:
    slow = model([CALM] * 2, [BUDGET * HANGING * 1.1])
    slow(ROW)
    assert (slow.word, slow(ROW)) == ("slow", None)


def test_a_row_does_not_remember_the_one_before(tmp_path: Path) -> None:
    loaded = load(tmp_path, graphs.model(), "", BUDGET, clock([0.0] * 9))
    first = loaded([1.0, 1.0, 1.0])
    second = loaded([float("nan")] * 3)
    assert first is not None
    assert second is not None
    assert second.value == pytest.approx(graphs.answer([None] * 3), abs=1e-6)


def test_through_the_stage_an_alarm_names_points_and_class(tmp_path: Path) -> None:
    loaded = load(tmp_path, graphs.model(), "", BUDGET, clock([0.0] * 9))
    scores = Scores("M", Scoring("test_risk", loaded.parsed, loaded, loaded.card.threshold))
    at = 1_000_000.0
    for point, value in (("auxiliaries.cabinetDoor", "open"), ("cashDispenser.presents", 100), ("motion.rms_ms2", 0.2)):
        scores.feed(Reading("M", point, value, at))
    scores.feed(Reading("M", "cashDispenser.presents", 104, at + 3))
    assert scores.tick(at + 5)[1] is None
    reading, alarm = scores.tick(at + 10)
    assert reading is not None
    assert alarm is not None
    assert reading.value == pytest.approx(graphs.answer([0.2, 1.0, 4.0]), abs=1e-6)
    assert [each.point for each in alarm.evidence] == ["cashDispenser.presents", "auxiliaries.cabinetDoor", "motion.rms_ms2"]
    assert alarm.attack == "BLACK_BOX"
