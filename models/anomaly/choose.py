"""Which pace suits labelled series: every combination of a small grid on every file, and how good such a choice is.

`left_out` is the honest figure: for each file the pace that is best on all the others, or, harder, on all files of the other
folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from agent.scoring.baseline import Floats, Pace, learn
from models.anomaly.evaluate import filled
from models.anomaly.measures import period, vus_pr
from models.anomaly.series import Series
from models.anomaly.steps import begin, measure, remember
from models.data import DataError

FAST = (24.0, 48.0)
SLOW = (0.5, 1.0, 2.0)
DAMP = (0.25, 0.5, 1.0)
FADE = (0.1, 0.2)
PACES = tuple(Pace(*each) for each in product(FAST, SLOW, DAMP, FADE))


@dataclass(frozen=True)
class Choice:
    """The grid, and VUS-PR of each pace on each file."""

    paces: tuple[Pace, ...]
    folders: tuple[str, ...]
    """That each file lies in."""
    figures: Floats  # [paces, files]

    @classmethod
    def of(cls, files: Sequence[Series], done: Sequence[list[float]]) -> Choice:
        """What `choose` gave of these files, together."""
        return cls(PACES, tuple(each.path.resolve().parent.name for each in files), np.array(done).T)

    @property
    def best(self) -> Pace:
        """Of the mean over all files."""
        return self.paces[int(np.argmax(self.figures.mean(axis=1)))]

    def of_pace(self, pace: Pace) -> Floats:
        """Of every file, with one pace of the grid."""
        return np.asarray(self.figures[self.paces.index(pace)])

    def left_out(self) -> Floats:
        """For each file the figure of the pace that is best on the others; with one file, of the first pace."""
        return self._chosen_without(np.eye(len(self.folders), dtype=bool))

    def folder_left_out(self) -> dict[str, Floats]:
        """By folder, the figures of its files with the pace that is best on the files of all other folders."""
        folders = np.array(self.folders)
        figures = self._chosen_without(folders[:, None] == folders)
        names = dict.fromkeys(self.folders)
        return {name: figures[folders == name] for name in names} if len(names) > 1 else {}

    def _chosen_without(self, out: NDArray[np.bool_]) -> Floats:
        """For each file the figure of the pace that is best on those that its row of `out` does not name."""
        others = self.figures @ ~out.T
        return np.asarray(self.figures[np.argmax(others, axis=0), np.arange(len(out))])

    def ranked(self) -> list[tuple[Pace, float, float]]:
        """Paces, best first, with the mean over files and the lowest file."""
        means = self.figures.mean(axis=1)
        return [(self.paces[at], float(means[at]), float(self.figures[at].min())) for at in np.argsort(-means)]


@dataclass(frozen=True)
class Chosen:
    """A pace, the files that chose it, and others that only report. Without a choice it is the pace that is in use."""

    choice: Choice | None = None
    files: Sequence[Series] = ()
    reported: Choice | None = None
    others: Sequence[Series] = ()

    @property
    def pace(self) -> Pace:
        """That the graph gets."""
        return self.choice.best if self.choice is not None else Pace()

    @property
    def figures(self) -> Floats:
        """VUS-PR of the files that only report."""
        return self.reported.of_pace(self.pace) if self.reported is not None else np.empty(0)


def choose(files: Sequence[Series]) -> Iterator[list[float]]:
    """VUS-PR of every pace of the grid, of each file. Raises DataError."""
    for series in files:
        yield _figures(series, PACES)


def _figures(series: Series, paces: Sequence[Pace]) -> list[float]:
    window = period(filled(series.values[:, 0]))
    distances: dict[tuple[float, float], tuple[list[float], float]] = {}
    figures = []
    for pace in paces:
        key = pace.fast, pace.slow
        if key not in distances:
            distances[key] = _distances(series, pace)
        peaks = _peaks(series, pace, *distances[key])
        figures.append(vus_pr(series.labels, peaks, window))
    return figures


def _distances(series: Series, pace: Pace) -> tuple[list[float], float]:
    """Of the rows after the first ones, and the floor."""
    try:
        baseline = learn(series.values[: series.trained], series.columns, 0, pace)
    except ValueError as error:
        raise DataError(f"{series.path}: {error}") from error
    state, _ = begin(baseline)
    distances = []
    for step in range(series.trained, len(series.values)):
        parts, state = measure(baseline, state, series.values[step], step)
        distances.append(sqrt(max(float(parts.sum()), 0.0)))
    return distances, float(baseline.pace[4])


def _peaks(series: Series, pace: Pace, distances: Sequence[float], floor: float) -> Floats:
    """What is remembered at each row; the score grows with it."""
    *_, damp_rate, keep = pace.rates(series.trained)
    peaks = np.zeros(len(series.values))
    damp, peak = floor, 0.0
    for row, distance in enumerate(distances, series.trained):
        damp, peak, _ = remember((damp, peak), distance, floor, damp_rate, keep)
        peaks[row] = peak
    return peaks
