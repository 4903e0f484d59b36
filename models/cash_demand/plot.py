"""Forecasts as a picture: three machines with their quantiles, how often each quantile held, the error by days ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.cash_demand.evaluate import Judged
from models.cash_demand.graph import LEVELS, MIDDLE
from models.cash_demand.measure import HIGH, by_day
from models.cash_demand.series import Series
from models.data import save

BACK = 28  # days before the origin that are shown
PANELS = ("small", "middle", "large")
LOW = 0.05


def forecasts(series: Series, judged: Judged, path: Path) -> None:
    """Draw. Raises OSError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    actual = series.amounts[judged.origin : judged.origin + judged.horizon].T
    known = np.isfinite(actual) & (judged.quantiles[..., -1] > 0)  # NaN is not; nor is a day on which a machine is closed
    order = [machine for machine in np.argsort(np.where(known, actual, 0.0).sum(axis=1)) if known[machine].any()]
    panels = PANELS[: len(order)]
    layout: Any = [[panel, panel] for panel in panels] + [["levels", "ahead"]]
    figure, grid = pyplot.subplot_mosaic(layout, figsize=(11, 2.75 * len(layout)), layout="constrained")
    for panel, place in zip(panels, np.linspace(0, len(order) - 1, len(panels)).astype(int), strict=True):
        _machine(grid[panel], series, judged, int(order[place]))
    if panels:
        grid[panels[0]].legend(loc="upper left", ncols=3)
    grid["levels"].plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    if panels:
        held = [float(np.mean(actual[known] <= judged.quantiles[known][:, at])) for at in range(len(LEVELS))]
        grid["levels"].plot(LEVELS, held, marker="o", markersize=3)
    grid["levels"].set(xlabel="quantile", ylabel="share of days not above", title="calibration")
    grid["ahead"].plot(by_day(actual.T, judged.quantiles), marker=".", linewidth=0.8)
    grid["ahead"].set(xlabel="days ahead", ylabel="SMAPE", title="error over all machines", ylim=(0, None))
    save(figure, path)
    pyplot.close(figure)


def _machine(axes: Any, series: Series, judged: Judged, machine: int) -> None:
    start, days = max(0, judged.origin - BACK), np.arange(judged.horizon)
    past = series.amounts[start : judged.origin + judged.horizon, machine]
    low, middle, high = (judged.quantiles[machine, :, at] for at in (LEVELS.index(LOW), MIDDLE, LEVELS.index(HIGH)))
    axes.plot(np.arange(len(past)) + start - judged.origin, past, color="0.3", linewidth=1, label="paid out")
    axes.fill_between(days, low, high, alpha=0.25, label="5 to 95 %")
    axes.plot(days, middle, label="median")
    axes.set(title=series.machines[machine], xlabel="days ahead")
