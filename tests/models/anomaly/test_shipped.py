"""The graph that ships: vouched for, small, and in agreement with plain numpy, on this runtime and on another."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import numpy as np

from agent.scoring import onnx_file, prove, trust
from agent.scoring.baseline import Arrays, Baseline, Floats, learn
from agent.scoring.learning import LearningModel
from agent.scoring.loading import load_any
from models.anomaly.__main__ import SHIPPED
from models.anomaly.evaluate import open_graph
from models.anomaly.steps import advance, begin

RUN = open_graph(SHIPPED)
MACHINES, ROWS = 20, 500  # 10,000 random rows


def machine(number: int) -> tuple[Baseline, Floats]:
    """A baseline of a random machine, and random rows behind it, some of them far off and some missing."""
    chance = np.random.default_rng(number)
    points = int(chance.integers(1, 13))
    scale = 10.0 ** chance.uniform(-2, 3, points)
    swing = np.sin(2 * np.pi * np.arange(600 + ROWS)[:, None] / chance.integers(12, 150, points)) * chance.uniform(0, 3, points)
    rows = (swing + chance.standard_normal((600 + ROWS, points)) + chance.uniform(-5, 5, points)) * scale
    rows[600:][chance.random((ROWS, points)) < 0.02] *= 1.5
    rows[chance.random(rows.shape) < 0.05] = np.nan
    return learn(rows[:600], [f"feature {each}" for each in range(points)]), rows[600:].astype(np.float32)


def given(baseline: Baseline, row: Floats, step: int, state: Floats, trace: Floats) -> Arrays:
    moving = {"features": row[None].astype(np.float32), "step": np.array([step]), "state": state, "trace": trace}
    return baseline.inputs() | moving


def differences() -> Iterator[float]:
    """Between the graph and numpy, of score and contributions, each row from where the graph was."""
    for number in range(MACHINES):
        baseline, rows = machine(number)
        state, trace = baseline.state, baseline.trace
        for step, row in enumerate(rows):
            answer = RUN(given(baseline, row, step, state, trace))
            assert answer is not None
            wanted = advance(baseline, state.astype(float), (float(trace[0]), float(trace[1])), row.astype(float), step)
            yield abs(float(answer["score"][0]) - wanted.score)
            yield float(np.abs(answer["contributions"][0] - wanted.contributions).max())
            state, trace = answer["next_state"], answer["next_trace"]


def test_parity_over_ten_thousand_random_rows() -> None:
    assert max(differences()) <= 1e-5


def shipped() -> LearningModel:
    data = trust.read(SHIPPED)
    model = load_any(SHIPPED, data, trust.sha256(data), 5.0, time.perf_counter)
    assert isinstance(model, LearningModel)
    return model


def test_parity_over_all_golden_rows_in_one_go() -> None:
    model = shipped()
    baseline = Baseline.from_document(model.card.baseline)
    state, trace = begin(baseline)
    scores = []
    for step, values in enumerate(model.card.golden.inputs, model.card.golden.first):
        row = np.array([np.nan if value is None else value for value in values])
        one = advance(baseline, state, trace, row.astype(np.float32).astype(float), step)
        state, trace = one.state, one.trace
        scores.append(one.score)
    assert np.abs(np.array(scores) - model.golden()).max() <= 1e-5
    assert np.abs(np.array(scores) - np.array(model.card.golden.scores)).max() <= 1e-5
    assert max(scores) > 2 * scores[0]  # a disturbance is among them


async def test_the_release_vouches_for_it() -> None:
    model = await prove(SHIPPED, None, 5.0, time.perf_counter)
    assert model.card.learns
    assert SHIPPED.stat().st_size <= 200_000
    onnx_file.check_operators(SHIPPED, SHIPPED.read_bytes())


def test_sha256sum_agrees() -> None:
    done = subprocess.run(["sha256sum", "-c", SHIPPED.name + ".sha256"], cwd=SHIPPED.parent, capture_output=True, check=False)
    assert done.returncode == 0
