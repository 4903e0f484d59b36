"""How good scores are: in which order they put rows (AUC), how true they are as probabilities (Brier, calibration)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.tabular.encode import Encoding, fit
from models.tabular.kinds import KINDS
from models.tabular.table import Table

BINS = 10
FOLDS = 5
THRESHOLD = 0.5
Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """Of scores 0 to 1 against labels."""

    rows: int
    auc: float
    accuracy: float
    """At one half."""
    commonest: float
    """Accuracy of always saying what is commoner."""
    brier: float
    brier_of_share: float
    """Of always saying the share of positives."""
    calibration_error: float
    """Mean distance between score and share over ten bins of as many rows, weighted by rows."""


def measure(labels: Labels, scores: Scores) -> Measures:
    """Raises ValueError when all labels are the same."""
    from sklearn.metrics import roc_auc_score

    share = float(labels.mean())
    gaps = [abs(mean - found) * count for mean, found, count in calibration(labels, scores)]
    return Measures(
        len(labels),
        float(roc_auc_score(labels, scores)),
        float(np.mean((scores >= THRESHOLD) == labels)),
        max(share, 1.0 - share),
        float(np.mean((scores - labels) ** 2)),
        share * (1.0 - share),
        sum(gaps) / len(labels),
    )


def calibration(labels: Labels, scores: Scores) -> list[tuple[float, float, int]]:
    """(mean score, share of positives, rows) of ten bins of as many rows, the lowest scores first."""
    parts = np.array_split(np.argsort(scores, kind="stable"), min(BINS, len(scores)))
    return [(float(scores[part].mean()), float(labels[part].mean()), len(part)) for part in parts]


def rounded(measures: Measures) -> dict[str, float]:
    """As a JSON object."""
    return {name: value if isinstance(value, int) else round(value, 5) for name, value in asdict(measures).items()}


@dataclass(frozen=True)
class Fold:
    """One of the folds that were left out in turn."""

    rows: NDArray[np.int64]
    scores: Scores
    measures: Measures


def cross_validate(table: Table, labels: Labels, kind: str, repeats: int, seed: int, step: Callable[[], None]) -> Iterator[Fold]:
    """Stratified five-fold, `repeats` times with other folds; words and bins are learned anew in each. `step` after each."""
    from sklearn.model_selection import RepeatedStratifiedKFold

    splits = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=repeats, random_state=seed)
    for learned, held in splits.split(labels, labels):
        encoding = fit(table.take(learned), labels[learned])
        rows = encoding.encode(table)
        scores = KINDS[kind](rows[learned], labels[learned], encoding, seed).score(rows[held])
        yield Fold(held, scores, measure(labels[held], scores))
        step()


def spread(folds: Sequence[Fold]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each measure over the folds."""
    rows = [asdict(fold.measures) for fold in folds]
    found = {name: [row[name] for row in rows] for name in ("auc", "accuracy", "brier", "calibration_error")}
    return {name: (float(np.mean(values)), float(np.std(values, ddof=1))) for name, values in found.items()}


def split(labels: Labels, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to learn from and rows to test on, each with the same share of positives; the same for the same seed."""
    from sklearn.model_selection import train_test_split

    learned, held = train_test_split(np.arange(len(labels)), test_size=share, stratify=labels, random_state=seed)
    return np.sort(learned), np.sort(held)


def encoded(table: Table, labels: Labels, rows: NDArray[np.int64]) -> Encoding:
    """How to read the columns, learned on some rows."""
    return fit(table.take(rows), labels[rows])
