"""How well scores over time find labelled spans: VUS-PR, AUC, F1 and the two rates of error.

VUS-PR is the volume under the surface of precision and recall over thresholds and over the width of a buffer around each
span (Paparrizos et al., "Volume Under the Surface", PVLDB 15(11), 2022), in the form that the TSB-AD benchmark computes:
buffers of 0 to `window` samples, 250 thresholds at equal ranks, each span's buffer weighted by the square root of closeness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
THRESHOLDS = 250
LAGS = 400  # samples of autocorrelation that are looked at for a period
FIRST_LAG = 3
LONGEST = 300  # lags after the first one
NO_PERIOD = 125  # the window of a series without a usable period
ROWS_FOR_PERIOD = 20_000


@dataclass(frozen=True, slots=True)
class Confusion:
    """What one threshold makes of single rows."""

    found: int
    missed: int
    false: int
    calm: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when nothing was found."""
        return 2 * self.found / max(1, 2 * self.found + self.missed + self.false)

    @property
    def false_rate(self) -> float:
        """Share of the normal rows that were called anomalous."""
        return self.false / max(1, self.false + self.calm)

    @property
    def missed_rate(self) -> float:
        """Share of the anomalous rows that were not."""
        return self.missed / max(1, self.missed + self.found)


def confusion(labels: NDArray[np.bool_], called: NDArray[np.bool_]) -> Confusion:
    """Count rows by label and by what was called anomalous."""
    found, false = int((labels & called).sum()), int((~labels & called).sum())
    return Confusion(found, int(labels.sum()) - found, false, int((~labels).sum()) - false)


def auc(labels: NDArray[np.bool_], scores: Floats) -> float:
    """Area under the ROC curve: the chance that an anomalous row scores above a normal one, ties half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def spans(labels: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last row of each run of true labels."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], labels, [False])).astype(np.int8)))
    return [(int(first), int(behind) - 1) for first, behind in zip(edges[::2], edges[1::2], strict=True)]


def period(values: Floats) -> int:
    """The window that TSB-AD takes for a series: the lag of the highest local maximum of its autocorrelation."""
    values = values[:ROWS_FOR_PERIOD] - values[:ROWS_FOR_PERIOD].mean()
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(values, size)
    correlation = np.fft.irfft(spectrum * spectrum.conj(), size)[: min(LAGS + 1, len(values))]
    if not correlation[0] > 0:
        return NO_PERIOD
    tail = correlation[FIRST_LAG:] / correlation[0]
    peaks = 1 + np.flatnonzero((tail[1:-1] > tail[:-2]) & (tail[1:-1] > tail[2:]))
    if not len(peaks):
        return NO_PERIOD
    best = int(peaks[np.argsort(tail[peaks])[-1]])
    return best + FIRST_LAG if FIRST_LAG <= best <= LONGEST else NO_PERIOD


def vus_pr(labels: NDArray[np.bool_], scores: Floats, window: int) -> float:
    """Volume under the precision-recall surface, 0 to 1. `labels` must hold true and false rows; `window` is in rows."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ranks = np.linspace(0, len(scores) - 1, THRESHOLDS).astype(int)
    thresholds = ordered[ranks]
    called = np.searchsorted(-ordered, -thresholds, side="right")  # rows at or above each threshold
    inside = spans(labels)
    volume = 0.0
    for width in range(window + 1):
        weights = _buffered(labels, inside, width)
        hits = np.cumsum(weights[order])[called - 1]
        within = np.cumsum(labels[order])[called - 1]
        positives = (labels.sum() + hits - within + labels.sum()) / 2
        groups = _merged(inside, width, len(labels))
        peaks = np.sort([scores[first : last + 1].max() for first, last in groups])
        seen = len(peaks) - np.searchsorted(peaks, thresholds, side="left")
        recall = np.minimum(hits / positives, 1.0) * seen / len(groups)
        volume += float(np.dot(np.diff(recall, prepend=0.0), hits / called))
    return volume / (window + 1)


def _buffered(labels: NDArray[np.bool_], inside: Sequence[tuple[int, int]], width: int) -> Floats:
    """Weight 1 within the spans, falling with the distance up to half of `width` away."""
    weights = labels.astype(np.float64)
    half = width // 2
    for first, last in inside:
        after = np.arange(last + 1, min(last + half + 1, len(labels)))
        weights[after] += np.sqrt(1 - (after - last) / max(1, width))
        before = np.arange(max(first - half, 0), first)
        weights[before] += np.sqrt(1 - (first - before) / max(1, width))
    return np.minimum(weights, 1.0)


def _merged(inside: Sequence[tuple[int, int]], width: int, rows: int) -> list[tuple[int, int]]:
    """The spans with their buffers; those that touch count as one."""
    half = width // 2
    groups = [(max(inside[0][0] - half, 0), inside[0][1] + half)]
    for first, last in inside[1:]:
        if first - half <= groups[-1][1]:
            groups[-1] = groups[-1][0], last + half
        else:
            groups.append((first - half, last + half))
    return [(first, min(last, rows - 1)) for first, last in groups]
