"""The graph that ships: vouched for, small, and in agreement with plain numpy, on this runtime and on another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.scoring import onnx_file, prove, trust
from agent.scoring.baseline import Arrays, Baseline, Floats, learn
from agent.scoring.learning import LearningModel
from agent.scoring.loading import load_any
from models.anomaly.__main__ import SHIPPED
from models.anomaly.evaluate import open_graph
from models.anomaly.steps import advance, begin

RUN = open_graph(SHIPPED)
MACHINES, ROWS = 20, 500  # 10,000 random rows

# run by each of two interpreters over the same rows
ANSWERS = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
given = numpy.load(sys.argv[2])
fixed = {name: given[name] for name in ("season", "period", "gain", "precision", "pace")}
state, trace, found = given["state"], given["trace"], []
for step, row in enumerate(given["rows"]):
    score, parts, state, trace = session.run(
        ["score", "contributions", "next_state", "next_trace"],
        fixed | {"features": row[None], "step": numpy.array([step]), "state": state, "trace": trace})
    found.append(numpy.concatenate((score, parts[0])))
numpy.save(sys.argv[3], numpy.array(found))
print(onnxruntime.__version__)
"""


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


@pytest.mark.skipif("OTHER_PYTHON" not in os.environ, reason="name an interpreter with another onnxruntime in OTHER_PYTHON")
def test_parity_with_another_runtime(tmp_path: Path) -> None:
    """python3 -m venv /tmp/other && /tmp/other/bin/pip install onnxruntime==1.20.1, then OTHER_PYTHON=/tmp/other/bin/python."""
    versions = set()
    for number in range(MACHINES):
        baseline, rows = machine(number)
        np.savez(tmp_path / "given.npz", rows=rows, state=baseline.state, trace=baseline.trace, **baseline.inputs())
        answers = []
        for name, python in (("here", sys.executable), ("there", os.environ["OTHER_PYTHON"])):
            out = tmp_path / f"{name}.npy"
            words = [python, "-c", ANSWERS, str(SHIPPED), str(tmp_path / "given.npz"), str(out)]
            versions.add(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
            answers.append(np.load(out))
        assert np.abs(answers[0] - answers[1]).max() <= 1e-5
    assert len(versions) == 2, "both interpreters have the same onnxruntime"
