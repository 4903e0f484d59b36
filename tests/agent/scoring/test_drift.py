"""The population stability index against values computed by hand, and what counts as a row."""

from __future__ import annotations

from math import log, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.scoring.card import Card, Golden, Histogram
from agent.scoring.drift import FEW, FLOOR, Drift, psi, slug
from agent.vocabulary import point
from tests.agent.scoring.graphs import FEATURES


def test_psi_by_hand() -> None:
    # bins 0.5/0.5 there, 0.25/0.75 here: (0.25-0.5) ln 0.5 + (0.75-0.5) ln 1.5
    assert psi([0.25, 0.75], [0.5, 0.5]) == pytest.approx(0.25 * log(2.0) + 0.25 * log(1.5))
    assert psi([0.0, 1.0], [1.0, 0.0]) == pytest.approx(2 * (1 - FLOOR) * log(1 / FLOOR))
    assert psi([0.2, 0.8], [0.2, 0.8]) == 0.0


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8).filter(any), st.data())
def test_psi_is_never_negative(counts: list[int], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.integers(0, 50), min_size=len(counts), max_size=len(counts)).filter(any))
    assert psi([each / sum(counts) for each in counts], [each / sum(others) for each in others]) >= 0.0


def card(histograms: tuple[Histogram, ...]) -> Card:
    return Card("test_risk", "1.0", FEATURES, 0.5, Golden((), ()), (), histograms)


def test_bins_and_missing_values() -> None:
    spread = Histogram((0.0, 1.0), (0.25, 0.25, 0.25, 0.25))  # below 0, below 1, the rest, missing
    drift = Drift(card((spread,) * 3))
    rows = [(-1.0, 0.0, nan), (0.5, 0.0, nan), (1.0, 0.0, nan), (nan, 0.0, nan)]
    for number in range(FEW):
        drift.feed(rows[number % 4])
    first, second, third = drift.report().values()
    assert first == pytest.approx(0.0, abs=1e-9)
    assert second == third == pytest.approx(0.75 * log(4.0) + 3 * (0.25 - FLOOR) * log(0.25 / FLOOR))


def test_few_rows_say_nothing_and_a_report_starts_anew() -> None:
    spread = Histogram((), (1.0, 0.0))
    drift = Drift(card((spread,) * 3))
    for _ in range(FEW - 1):
        drift.feed((1.0, 1.0, 1.0))
    assert drift.report() == {}
    drift.feed((1.0, 1.0, 1.0))
    assert len(drift.report()) == 3
    assert drift.report() == {}


def test_a_card_without_histograms_has_no_drift() -> None:
    drift = Drift(card(()))
    for _ in range(FEW):
        drift.feed((1.0, 1.0, 1.0))
    assert drift.report() == {}


def test_every_feature_has_a_point_of_its_own() -> None:
    names = [slug(number, feature) for number, feature in enumerate(FEATURES)]
    assert names[0] == "00_mean_motion_rms_ms2_60s"
    for name in names:
        entry = point(f"model.test_risk.drift.{name}")
        assert entry is not None
        assert entry.name == "model.{model}.drift.{feature}"
