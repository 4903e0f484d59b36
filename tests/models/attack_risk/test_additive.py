"""The additive model against values computed by hand, and its export against itself."""

from __future__ import annotations

from math import exp, log, nan

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.attack_risk.additive import Additive, Ramps, bounds, fit
from models.attack_risk.evidence import ATTACK_CLASSES, CLASSES, FEATURES, SIGNS, Sign, few
from models.attack_risk.graph import graph
from models.attack_risk.learn import evidence, fit_weighted, held

SMALL = (Sign({"a": 1.0}, 0.0, 2.0), Sign({"b": 1.0, "a": -1.0}, 1.0, 3.0), Sign({"a": 1.0}, 2.0, 4.0))


def random_rows(count: int, seed: int) -> NDArray[np.float32]:
    """Rows as the stage makes them and worse: shares, counts, far values, missing ones."""
    rng = np.random.default_rng(seed)
    kinds = np.stack(
        [
            rng.random((count, len(FEATURES))),
            rng.poisson(2.0, (count, len(FEATURES))),
            50 * rng.standard_normal((count, len(FEATURES))),
        ]
    )
    rows = np.take_along_axis(kinds, rng.integers(0, 3, (1, count, len(FEATURES))), axis=0)[0]
    rows[rng.random(rows.shape) < 0.15] = nan
    return rows.astype(np.float32)


def random_model(seed: int) -> Additive:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0.0, 4.0, (len(SIGNS), len(ATTACK_CLASSES)))
    return Additive(Ramps.of(SIGNS, FEATURES), weights, rng.normal(-6.0, 2.0, len(ATTACK_CLASSES)))


def exported(model: Additive, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    made = onnx.helper.make_model(graph(model), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"features": rows}), strict=True))


def test_ramps_by_hand() -> None:
    ramps = Ramps.of(SMALL, ("a", "b"))
    rows = np.asarray([[1.0, 4.0], [-5.0, 0.0], [9.0, 9.0], [3.0, 5.0], [nan, 5.0], [3.0, nan]])
    assert ramps(rows).tolist() == [
        [0.5, 1.0, 0.0],
        [0.0, 1.0, 0.0],
        [1.0, 0.0, 1.0],
        [1.0, 0.5, 0.5],
        [0.0] * 3,
        [1.0, 0.0, 0.5],
    ]


def test_too_few_of_something_speak_against_a_class() -> None:
    ramps = Ramps.of((few("a", 2.0, "SKIMMING"),), ("a",))
    assert ramps(np.asarray([[0.0], [1.0], [2.0], [9.0], [nan]]))[:, 0].tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]


def test_score_classes_and_contributions_by_hand() -> None:
    weights = np.zeros((3, len(ATTACK_CLASSES)))
    weights[:, 1] = (2.0, -1.0, 4.0)
    biases = np.full(len(ATTACK_CLASSES), -50.0)
    biases[1] = -3.0
    model = Additive(Ramps.of(SMALL, ("a", "b")), weights, biases)
    row = np.asarray([[3.0, 5.0]])  # signs 1, 0.5, 0.5: logit -3 + 2 - 0.5 + 2 = 0.5
    assert model.score(row)[0] == pytest.approx(1.0 / (1.0 + exp(-0.5)), abs=1e-12)
    assert model.classes(row)[0, 2] == pytest.approx(1.0 / (1.0 + exp(-0.5)), abs=1e-12)
    assert model.contributions(row)[0].tolist() == [4.0, -0.5]
    assert evidence(model, row)[0] == pytest.approx(0.5, abs=1e-12)
    assert model.shifted(-0.5).score(row)[0] == pytest.approx(0.5, abs=1e-12)


def test_the_export_agrees_over_ten_thousand_rows() -> None:
    for seed in (1, 2):
        model, rows = random_model(seed), random_rows(5_000, seed)
        answer = exported(model, rows)
        assert np.abs(answer["score"] - model.score(rows)).max() <= 1e-5
        assert np.abs(answer["classes"] - model.classes(rows)).max() <= 1e-5
        top = np.sort(model.logits(rows)[:, 1:], axis=1)
        clear = top[:, -1] - top[:, -2] > 1e-3  # where two classes tie, either may be explained
        difference = np.abs(answer["contributions"] - model.contributions(rows))[clear]
        assert difference.max() <= 2e-4  # sums of several logits of up to ten, in single precision


def test_one_row_and_many_rows_answer_the_same() -> None:
    model, rows = random_model(3), random_rows(50, 3)
    together = exported(model, rows)["score"]
    alone = [exported(model, rows[number : number + 1])["score"][0] for number in range(0, 50, 10)]
    assert together[::10].tolist() == pytest.approx(alone, abs=1e-6)


def test_without_any_feature_nothing_is_evident() -> None:
    model = random_model(4)
    empty = np.full((1, len(FEATURES)), nan, dtype=np.float32)
    assert model.contributions(empty).tolist() == [[0.0] * len(FEATURES)]
    assert exported(model, empty)["score"][0] == pytest.approx(1.0 - 1.0 / (1.0 + np.exp(model.biases).sum()), abs=1e-6)


@given(st.integers(0, len(FEATURES) - 1), st.integers(0, 2**31))
def test_contributions_add_up(feature: int, seed: int) -> None:
    model, row = random_model(5), random_rows(1, seed)
    row[0, feature] = nan
    given_by = model.contributions(row)[0]
    assert given_by.sum() + model.biases[int(np.argmax(model.logits(row)[0, 1:]))] == pytest.approx(
        model.logits(row)[0, 1:].max()
    )
    alone = [sign for sign in SIGNS if next(iter(sign.inputs)) == FEATURES[feature]]
    assert not alone or given_by[feature] == 0.0


def test_a_weight_goes_only_where_the_domain_lets_it() -> None:
    limits = bounds(SIGNS)
    for sign, limit in zip(SIGNS, limits, strict=True):
        for name, (low, high) in zip(ATTACK_CLASSES, limit, strict=True):
            assert (high > 0) == (name in sign.points_to)
            assert (low < 0) == (name in sign.speaks_against)
    rng = np.random.default_rng(6)
    signs = np.round(rng.random((800, len(SIGNS))), 1)
    classes = rng.integers(0, len(CLASSES), 800)
    weights, biases = fit_weighted(signs, classes, 1e-4)
    assert (weights >= limits[:, :, 0]).all()
    assert (weights <= limits[:, :, 1]).all()
    assert (biases <= 0.0).all()


def test_the_fit_finds_a_rate_and_is_the_same_every_time() -> None:
    """With one sign that is always 0 or 1 the logit of each value is the logarithm of the odds that the rows show."""
    signs = np.zeros((8, len(SIGNS)))
    signs[4:, 0] = 1.0
    classes = np.asarray([0, 0, 0, 1, 0, 1, 1, 1])
    limits = np.zeros((len(SIGNS), len(ATTACK_CLASSES), 2))
    limits[0, 0] = (-9.0, 9.0)
    weights, biases = fit(signs, classes, np.ones(8), limits, 0.0)
    assert biases[0] == pytest.approx(log(1 / 3), abs=1e-3)
    assert weights[0, 0] == pytest.approx(2 * log(3), abs=1e-3)
    again = fit(signs, classes, np.ones(8), limits, 0.0)
    assert (again[0] == weights).all()
    assert (again[1] == biases).all()


def test_a_threshold_counts_only_when_it_is_held() -> None:
    assert held(np.asarray([1.0, 5.0, 3.0, 4.0])).tolist() == [-np.inf, 1.0, 3.0, 3.0]
