"""Calibration and ROC as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import save
from models.tabular.measure import calibration, measure


def draw(labels: NDArray[np.bool_], scores: NDArray[np.float64], title: str, path: Path) -> None:
    """Two panels. Raises OSError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from sklearn.metrics import roc_curve

    found = measure(labels, scores)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
    bins = calibration(labels, scores)
    for axes in (left, right):
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        axes.grid(alpha=0.3)
    left.plot([mean for mean, _, _ in bins], [share for _, share, _ in bins], marker="o")
    left.set(xlabel="mean score", ylabel="share of positives", title=f"calibration, Brier {found.brier:.4f}")
    false, true, _ = roc_curve(labels, scores)
    right.plot(false, true)
    right.set(xlabel="false positive rate", ylabel="true positive rate", title=f"ROC, AUC {found.auc:.4f}")
    figure.suptitle(title)
    save(figure, path)
    pyplot.close(figure)
