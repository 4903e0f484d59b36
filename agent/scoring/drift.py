"""Drift: how far what a model is given here has moved from what it was trained on, as a population stability index per feature.

    PSI = Σ over bins (here − there) · ln(here / there)

The bins and the shares of the training rows are in the card. By the usual reading below 0.1 nothing has changed, above 0.25 much
has. Missing values are a bin of their own: a sensor that is gone is drift as well.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import isnan, log

from agent.scoring.card import Card

FEW = 500  # rows; before that chance alone moves the index
FLOOR = 1e-3  # of a share: a bin that nobody ever met must not make the index infinite


class Drift:
    """What one model was given since the last `report`."""

    def __init__(self, card: Card) -> None:
        self._names = tuple(slug(number, feature) for number, feature in enumerate(card.features))
        self._edges = [histogram.edges for histogram in card.histograms]
        self._shares = [histogram.shares for histogram in card.histograms]
        self._counts = [[0] * len(histogram.shares) for histogram in card.histograms]
        self._rows = 0

    def feed(self, features: Sequence[float]) -> None:
        """Count one row."""
        if not self._edges:
            return
        self._rows += 1
        for value, edges, counts in zip(features, self._edges, self._counts, strict=True):
            counts[-1 if isnan(value) else bisect_right(edges, value)] += 1

    def report(self) -> dict[str, float]:
        """The index of every feature by its name in `model.MODEL.drift.NAME`, and a fresh start; empty while rows are few."""
        if self._rows < FEW:
            return {}
        found = {
            name: psi([count / self._rows for count in counts], shares)
            for name, counts, shares in zip(self._names, self._counts, self._shares, strict=True)
        }
        self._counts = [[0] * len(counts) for counts in self._counts]
        self._rows = 0
        return found


def psi(here: Sequence[float], there: Sequence[float]) -> float:
    """Population stability index of two lists of shares over the same bins."""
    total = 0.0
    for own, given in zip(here, there, strict=True):
        a, b = max(own, FLOOR), max(given, FLOOR)
        total += (a - b) * log(a / b)
    return total


def slug(number: int, feature: str) -> str:
    """A feature's name as a segment of a point: its place in the card, its statistic, its point and its span."""
    statistic, _, rest = feature.partition("(")
    point, _, span = rest.rstrip(")").partition(",")
    short = point.partition("=")[0].replace(".", "_")
    return f"{number:02d}_{statistic}_{short}_{span}"[:64]
