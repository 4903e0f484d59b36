"""A picture of labelled series and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from agent.scoring.baseline import Floats
from models.anomaly.choose import Choice
from models.anomaly.evaluate import THRESHOLD, Result
from models.anomaly.measures import spans
from models.anomaly.series import Series
from models.data import save


def plot(done: Sequence[tuple[Series, Result, Floats]], path: Path) -> None:
    """Write the picture. Raises OSError."""
    figure = _figure(2.4 * len(done))
    axes = figure.subplots(2 * len(done), 1, squeeze=False, height_ratios=[2, 1] * len(done))[:, 0]
    for (series, result, scores), value_axis, score_axis in zip(done, axes[::2], axes[1::2], strict=True):
        deviation = np.nanstd(series.values, axis=0)
        columns = (
            series.values if series.values.shape[1] == 1 else (series.values - np.nanmean(series.values, axis=0)) / deviation
        )
        value_axis.plot(columns, linewidth=0.6, color="tab:blue" if columns.shape[1] == 1 else None)
        score_axis.plot(scores, linewidth=0.8, color="black")
        score_axis.axhline(THRESHOLD, linewidth=0.6, color="tab:red", linestyle="--")
        score_axis.set_ylim(0, 1)
        score_axis.set_ylabel("score")
        value_axis.set_title(_title(result), loc="left", fontsize=9)
        value_axis.tick_params(labelbottom=False)
        for axis in (value_axis, score_axis):
            axis.set_xlim(0, len(scores))
            axis.axvspan(0, series.trained, color="tab:green", alpha=0.08)
            for first, last in spans(series.labels):
                axis.axvspan(first, last, color="tab:red", alpha=0.15)
    axes[-1].set_xlabel("row; green: learned from, red: labelled")
    save(figure, path)


def _title(result: Result) -> str:
    return result.name if isnan(result.vus_pr) else f"{result.name}: VUS-PR {result.vus_pr:.2f}, AUC {result.auc:.2f}"


def plot_choice(choice: Choice, names: Sequence[str], path: Path) -> None:
    """Write a picture of VUS-PR by file: of every pace, of the chosen one, of the one that is best on the others. As `plot`."""
    figure = _figure(1.2 + 0.35 * len(names))
    axis, rows = figure.subplots(), np.arange(len(names))
    for figures in choice.figures:
        axis.plot(figures, rows, ".", color="0.8", markersize=4)
    axis.plot(choice.figures[choice.paces.index(choice.best)], rows, "o", color="tab:blue", label="the chosen pace")
    axis.plot(choice.left_out(), rows, "x", color="tab:red", label="the pace that is best on the other files")
    axis.set_yticks(rows, names, fontsize=8)
    axis.set(xlim=(0, 1), xlabel="VUS-PR; grey: every pace of the grid")
    axis.invert_yaxis()
    axis.legend(loc="lower right")
    save(figure, path)


def _figure(height: float) -> Any:
    """An empty figure."""
    canvas, figures = import_module("matplotlib.backends.backend_agg"), import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(12, height), layout="constrained")
    canvas.FigureCanvasAgg(figure)
    return figure
