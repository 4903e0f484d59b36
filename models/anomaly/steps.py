"""One step of the anomaly score in numpy, double precision: what the exported graph must compute, written a second time.

The trainer and the tests measure the graph against it; the gateway never runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from agent.scoring.baseline import TRAITS, Baseline, Floats


@dataclass(frozen=True, slots=True)
class Step:
    """What one row brought about."""

    score: float
    contributions: Floats
    state: Floats
    trace: tuple[float, float]


def begin(baseline: Baseline) -> tuple[Floats, tuple[float, float]]:
    """State and trace at the end of the commissioning window."""
    return baseline.state.astype(np.float64), (float(baseline.trace[0]), float(baseline.trace[1]))


def advance(baseline: Baseline, state: Floats, trace: tuple[float, float], row: Floats, step: int) -> Step:
    """Take one row [P] at `step`."""
    *_, damp_rate, keep, floor, limit = (float(each) for each in baseline.pace)
    parts, after = measure(baseline, state, row, step)
    squared = max(float(parts.sum()), 0.0)
    later, peak, newest = remember(trace, sqrt(squared), floor, damp_rate, keep)
    if newest:
        after[-1] = parts / max(squared, 1e-12)
    score = peak / (peak + limit)
    return Step(score, after[-1] * score, after, (later, peak))


def measure(baseline: Baseline, state: Floats, row: Floats, step: int) -> tuple[Floats, Floats]:
    """Each point's part [P] in the squared distance from the usual, and the state after it."""
    fast, slow_rate = (float(each) for each in baseline.pace[:2])
    known = np.isfinite(row)
    usual = baseline.season[step % baseline.period, np.arange(len(row))]
    level, spread, unrest, last = state[:4]
    slow = state[4:7]
    value = np.where(known, row - usual, last)
    rate = fast * known
    level = level + rate * (value - level)
    spread = spread + rate * (np.abs(value - level) - spread)
    unrest = unrest + rate * (np.abs(value - last) - unrest)
    traits = np.stack((level, spread, unrest))
    normal = ((traits - slow) * baseline.gain * known).ravel()
    parts = (normal * (baseline.precision.astype(np.float64) @ normal)).reshape(TRAITS, -1).sum(axis=0)
    slow = slow + slow_rate * known * (traits - slow)
    return parts, np.concatenate((traits, value[None], slow, state[7:]))


def remember(
    trace: tuple[float, float], distance: float, floor: float, damp_rate: float, keep: float
) -> tuple[float, float, bool]:
    """The recent distance and the remembered peak after one more distance, and whether the peak is this one's."""
    damp, peak = trace
    fresh, fading = distance / max(damp, floor), peak * keep
    return damp + damp_rate * (distance - damp), max(fresh, fading), fresh >= fading
