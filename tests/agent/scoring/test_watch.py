"""A model that learns at the machine: what it learns, what it finds and names, what a restart, an order and damage do to it."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.scoring.baseline import LEAST_ROWS, Arrays, Baseline, learn, pack, season_length, unpack
from agent.scoring.watch import CHUNK, Watch
from models.anomaly.evaluate import open_graph
from models.data import DataError

GRAPH = Path(__file__).parents[3] / "models" / "anomaly" / "anomaly.onnx"
EVERY = 300.0
WINDOW = 600
DAY_ROWS = 288
NAMES = ("mean(environment.temperature_c,300s)", "mean(environment.humidity_pct,300s)", "mean(motion.rms_ms2,300s)")
RUN = open_graph(GRAPH)


def row(step: int, rng: Random, warmer: float = 0.0) -> list[float]:
    """A cabinet: a day's temperature, a humidity that follows it, a housing that stands still."""
    day = np.sin(2 * np.pi * step / DAY_ROWS)
    return [20.0 + 3.0 * day + rng.gauss(0, 0.1) + warmer, 45.0 - 5.0 * day + rng.gauss(0, 0.5), 0.02]


def ask(watch: Watch, rows: int, first: int, rng: Random, warmer: float = 0.0) -> list[float | None]:
    """Its score of each row from step `first` on."""
    found = (watch(row(step, rng, warmer), step * EVERY) for step in range(first, first + rows))
    return [None if score is None else score.value for score in found]


def watch(window: int = WINDOW) -> Watch:
    return Watch(RUN, NAMES, EVERY, window)


def kept(notes: dict[str, Any], changes: dict[str, Any]) -> None:
    """What a store does with changes, through JSON."""
    for name, document in msgspec.json.decode(msgspec.json.encode(changes)).items():
        notes.pop(name, None)
        if document is not None:
            notes[name] = document


def test_it_learns_then_scores_low_then_finds_what_is_other_and_names_it() -> None:
    rng, one = Random(1), watch()
    assert ask(one, WINDOW, 0, rng) == [None] * WINDOW
    assert one.learned == 1.0
    assert max(score or 0.0 for score in ask(one, 300, WINDOW, rng)) < 0.5
    ask(one, 30, WINDOW + 300, rng, warmer=8.0)
    found = one(row(0, rng, 8.0), (WINDOW + 330) * EVERY)
    assert found is not None
    assert found.value > 0.5
    assert found.drivers[0] == NAMES[0]


def test_a_restart_at_any_moment_changes_no_score() -> None:
    moments = (0, CHUNK, 5 * CHUNK, WINDOW, WINDOW + 7)
    scores = []
    for moment in (None, *moments):
        rng, one, notes = Random(2), watch(), {}  # type: ignore[var-annotated]
        found = []
        for step in range(WINDOW + 60):
            if step == moment:
                one = watch()
                one.restore(notes)
            found += ask(one, 1, step, rng, warmer=5.0 * (step > WINDOW + 20))
            kept(notes, one.changed())
        scores.append(found[WINDOW:])
    assert all(each == scores[0] for each in scores[1:])


def test_nothing_is_noted_while_nothing_changes() -> None:
    rng, one = Random(3), watch()
    ask(one, WINDOW, 0, rng)
    one.changed()
    assert one.changed() == {}
    ask(one, 1, WINDOW, rng)
    assert set(one.changed()) == {"state"}


def test_a_restart_costs_at_most_a_chunk_of_the_window() -> None:
    rng, one, notes = Random(4), watch(), {}  # type: ignore[var-annotated]
    ask(one, 3 * CHUNK + 50, 0, rng)
    kept(notes, one.changed())
    again = watch()
    again.restore(notes)
    assert again.learned == 3 * CHUNK / WINDOW
    assert ask(again, WINDOW, 3 * CHUNK + 60, rng)[WINDOW - 3 * CHUNK - 60] is not None  # the gap is missing, not moved


def test_an_order_is_obeyed_once_and_over_a_restart() -> None:
    rng, one, notes = Random(5), watch(), {}  # type: ignore[var-annotated]
    ask(one, WINDOW, 0, rng)
    kept(notes, one.changed())
    one.obey(17)
    assert one.learned == 0.0
    ask(one, CHUNK, WINDOW, rng)
    one.obey(17)
    assert one.learned == CHUNK / WINDOW
    kept(notes, one.changed())
    assert set(notes) == {"order", "rows 0"}
    again = watch()
    again.restore(notes)
    again.obey(17)
    assert again.learned == CHUNK / WINDOW
    assert again.documents().keys() == notes.keys()


def test_a_change_that_stays_is_usual_once_it_was_commissioned_again() -> None:
    rng, one = Random(6), watch()
    ask(one, WINDOW, 0, rng)
    ask(one, 50, WINDOW, rng, warmer=8.0)
    one.obey(1)
    ask(one, WINDOW, WINDOW + 50, rng, warmer=8.0)
    assert max(score or 0.0 for score in ask(one, 200, 2 * WINDOW + 50, rng, warmer=8.0)) < 0.5


def test_a_clock_that_was_set_begins_the_window_again() -> None:
    rng, one = Random(7), watch()
    ask(one, 200, 10_000, rng)
    ask(one, 1, 100, rng)
    assert one.learned == 1 / WINDOW
    ask(one, 1, 10**9, rng)
    assert one.learned == 1 / WINDOW


def test_a_window_in_which_nothing_was_said_is_refused_and_begun_again() -> None:
    one = watch()
    for step in range(WINDOW):
        assert one([np.nan] * 3, step * EVERY) is None
    assert "no feature said anything" in one.error
    assert one.learned == 0.0


def test_a_window_in_which_nothing_moved_teaches_that_nothing_moves() -> None:
    one = watch()
    still = [20.0, 45.0, 0.02]
    assert [one(still, step * EVERY) for step in range(WINDOW)] == [None] * WINDOW
    calm = one(still, WINDOW * EVERY)
    assert calm is not None
    assert calm.value == 0.0
    moved = [one([26.0, 45.0, 0.02], step * EVERY) for step in range(WINDOW + 1, WINDOW + 60)][-1]
    assert moved is not None
    assert moved.value > 0.5
    assert moved.drivers[0] == NAMES[0]


@pytest.mark.parametrize(("rows", "count", "noise"), [(144, 1000, 0.3), (288, 2000, 0.2), (24, 400, 0.1)])
def test_a_season_is_what_its_later_returns_agree_on(rows: int, count: int, noise: float) -> None:
    """The first return alone, hidden in noise, was found up to twelve rows early."""
    for seed in range(5):
        chance = np.random.default_rng(seed)
        values = np.sin(2 * np.pi * np.arange(count) / rows) + chance.normal(0, noise, count)
        assert abs(season_length(values) - rows) <= max(1, rows // 100)


def test_a_missing_value_changes_nothing_but_its_own_feature() -> None:
    rng, one = Random(8), watch()
    ask(one, WINDOW, 0, rng)
    for step in range(WINDOW, WINDOW + 50):
        score = one([np.nan, *row(step, rng)[1:]], step * EVERY)
        assert score is not None
        assert score.value < 0.5
        assert NAMES[0] not in score.drivers


def test_a_graph_that_gives_no_answer_gives_no_score_and_moves_nothing() -> None:
    answers = iter([True, False, True])

    def run(inputs: Arrays) -> Any:
        return RUN(inputs) if next(answers) else None

    rng, one = Random(9), Watch(run, NAMES, EVERY, WINDOW)
    ask(one, WINDOW, 0, rng)
    scores = ask(one, 3, WINDOW, rng)
    assert [score is None for score in scores] == [False, True, False]


@pytest.mark.parametrize("spoilt", ["baseline", "state"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_notes_mean_that_it_learns_again(spoilt: str, data: st.DataObject) -> None:
    one = watch()
    one.restore(NOTES)
    assert one.learned == 1.0
    document = dict(NOTES[spoilt])
    key = data.draw(st.sampled_from(sorted(document)))
    not_numbers = pack(np.full(3, np.nan, np.float32))
    document[key] = data.draw(st.one_of(st.none(), st.integers(), st.just(not_numbers), st.text(max_size=5)))
    again = watch()
    again.restore({**NOTES, spoilt: document})
    assert again.learned in (0.0, 1.0)  # 1 where the number of rows alone was changed, which nothing hangs on
    ask(again, 3, WINDOW, Random(1))


def notes() -> dict[str, Any]:
    found: dict[str, Any] = {}
    one = watch()
    ask(one, WINDOW + 5, 0, Random(10))
    kept(found, one.changed())
    return found


NOTES = notes()


def test_notes_of_other_features_or_of_another_step_are_learned_again() -> None:
    for names, every in ((NAMES[:2], EVERY), (NAMES, 60.0)):
        again = Watch(RUN, names, every, WINDOW)
        again.restore(NOTES)
        assert again.learned == 0.0
        assert "it is learned again" in again.error
        assert again.changed() == {"baseline": None, "state": None}


def test_arrays_survive_json() -> None:
    for array in (np.arange(6, dtype=np.int64).reshape(2, 3), np.float32([[0.1]]), np.empty((0, 3), np.float32)):
        again = unpack(msgspec.json.decode(msgspec.json.encode(pack(array))))
        assert again.dtype == array.dtype
        assert np.array_equal(again, array)


def test_windows_that_are_too_short_and_features_that_are_too_many() -> None:
    with pytest.raises(ValueError, match="is too short"):
        watch(LEAST_ROWS - 1)
    with pytest.raises(ValueError, match="33 features"):
        learn(np.zeros((LEAST_ROWS, 33)), [str(each) for each in range(33)])
    with pytest.raises(ValueError, match="learn it again"):
        Baseline.from_document({})
    with pytest.raises(DataError, match="export it first"):
        open_graph(Path("/nowhere.onnx"))
