"""From watched worlds to a model: which rows teach what, the fit, and the threshold that keeps false alarms away."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from models.attack_risk.additive import Additive, Floats, Ramps, bounds, fit
from models.attack_risk.evidence import ATTACK_CLASSES, CLASSES, FEATURES, SIGNS
from models.attack_risk.watch import Watched

HOLD = 2  # scores in a row above the threshold that raise an alarm (agent.stages.score.Scoring)
FIRST_CARDS = 300.0  # s: before some cards went in, nothing at all shows an overlay
GRAIN = 50.0  # rows whose signs agree to a fiftieth are one row with a greater weight
ATTACK_SHARE = 0.3  # of all weight that the rows of attacks have together
PENALTY = 2e-5


def lesson(watched: Watched) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which rows teach something, and their class. What follows an attack teaches nothing: its traces are still there."""
    times = watched.times
    classes = np.zeros(len(times), dtype=np.int64)
    attack = watched.attack
    if attack is None:
        return np.ones(len(times), dtype=bool), classes
    assert attack.seen is not None
    first = attack.seen + (FIRST_CARDS if attack.attack == "SKIMMING" else 0.0)
    last = attack.end if attack.end is not None else inf
    classes[(times >= first) & (times < last)] = CLASSES.index(attack.attack)
    return (times < attack.start) | (classes > 0), classes


def gather(worlds: Sequence[Watched]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All rows that teach something, with their classes."""
    rows, classes = [], []
    for watched in worlds:
        used, its = lesson(watched)
        rows.append(watched.rows[used])
        classes.append(its[used])
    return np.vstack(rows), np.concatenate(classes)


def learn(worlds: Sequence[Watched], penalty: float = PENALTY) -> Additive:
    """Fit the additive model. Every class of attack has the same weight, whatever the length of its attacks."""
    ramps = Ramps.of(SIGNS, FEATURES)
    rows, classes = gather(worlds)
    return Additive(ramps, *fit_weighted(ramps(rows), classes, penalty))


def fit_weighted(signs: Floats, classes: NDArray[np.int64], penalty: float) -> tuple[Floats, Floats]:
    """Merge equal rows, give each class its weight, fit."""
    merged = np.hstack([np.round(signs * GRAIN), classes[:, None]]).astype(np.int16)
    distinct, index, counts = np.unique(merged, axis=0, return_index=True, return_counts=True)
    own = classes[index]
    weights = np.sqrt(counts)  # hours of sameness must not drown the minutes that differ
    total = weights[own == 0].sum()
    for kind in range(1, len(CLASSES)):
        here = own == kind
        if here.any():
            weights[here] *= total * ATTACK_SHARE / (1.0 - ATTACK_SHARE) / len(ATTACK_CLASSES) / weights[here].sum()
    return fit(distinct[:, :-1] / GRAIN, own, weights, bounds(SIGNS), penalty)


def evidence(model: Additive, rows: NDArray[np.floating]) -> Floats:
    """Logit [rows] of an attack of whatever class: its score is 1 / (1 + exp(-logit))."""
    return np.asarray(np.log(np.exp(model.logits(rows)[:, 1:]).sum(axis=1)))


def held(values: Floats) -> Floats:
    """The highest threshold that each value would have crossed `HOLD` times in a row."""
    padded = np.concatenate([np.full(HOLD - 1, -inf), values])
    return np.asarray(np.min([padded[shift : shift + len(values)] for shift in range(HOLD)], axis=0))
