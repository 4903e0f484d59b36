"""Measures against figures that TSB-AD 1.5 gave, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.anomaly.measures import NO_PERIOD, Floats, auc, confusion, period, spans, vus_pr

LABELS = np.zeros(200, bool)
LABELS[40:55] = LABELS[120:121] = LABELS[150:160] = True


def scores(seed: int) -> Floats:
    """As the figures below were made: noise, and more of it in and behind the labelled spans."""
    chance = np.random.default_rng(seed)
    return np.round(chance.random(200) + 0.4 * np.roll(LABELS, 2), 3)


# what TSB-AD's generate_curve gave for the labels, these scores and the window, with its version "opt" and 250 thresholds
@pytest.mark.parametrize(("seed", "window", "wanted"), [(1, 0, 0.36925), (2, 7, 0.55468), (3, 20, 0.74578), (4, 50, 0.77089)])
def test_vus_pr_is_that_of_tsb_ad(seed: int, window: int, wanted: float) -> None:
    assert vus_pr(LABELS, scores(seed), window) == pytest.approx(wanted, abs=1e-4)


def test_vus_pr_of_a_detector_that_knows_and_of_one_that_does_not() -> None:
    assert vus_pr(LABELS, LABELS.astype(float), 0) == pytest.approx(1.0)
    assert vus_pr(LABELS, np.zeros(200), 10) < 0.3


def test_auc_by_hand() -> None:
    labels = np.array([True, False, True, False])
    assert auc(labels, np.array([3.0, 1.0, 2.0, 2.0])) == pytest.approx(3.5 / 4)
    assert auc(labels, np.ones(4)) == 0.5


def test_one_threshold_by_hand() -> None:
    counts = confusion(np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 1, 0, 0], bool))
    assert (counts.f1, counts.missed_rate) == (0.5, 0.5)
    assert counts.false_rate == pytest.approx(1 / 3)
    everything = confusion(np.array([1, 1, 0], bool), np.ones(3, bool))
    assert (everything.f1, everything.false_rate) == (0.8, 1.0)  # why F1 never stands alone


def test_spans_and_periods() -> None:
    assert spans(LABELS) == [(40, 54), (120, 120), (150, 159)]
    assert spans(np.ones(3, bool)) == [(0, 2)]
    chance = np.random.default_rng(2)
    assert period(np.sin(2 * np.pi * np.arange(900) / 40) + chance.normal(0, 0.3, 900)) == 40  # as find_length_rank(…, rank=1)
    assert period(np.zeros(1000)) == NO_PERIOD
