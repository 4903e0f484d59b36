"""The additive model in plain numpy: signs on ramps, weights by class, softmax. What the exported graph must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]

from models.attack_risk.evidence import ATTACK_CLASSES, Sign

Floats = NDArray[np.float64]

ITERATIONS = 600
FARTHEST = 30.0  # of a weight: beyond it the softmax is saturated anyway


@dataclass(frozen=True)
class Ramps:
    """Signs as arrays: sign = clip(features · slopes + offsets, 0, 1), and 0 where one of its features is missing."""

    slopes: Floats  # [features, signs]
    offsets: Floats  # [signs]
    credit: Floats  # [signs, features]: who is named for a sign

    @classmethod
    def of(cls, signs: Sequence[Sign], features: Sequence[str]) -> Ramps:
        """Lay out signs over features in their order."""
        slopes = np.zeros((len(features), len(signs)))
        credit = np.zeros((len(signs), len(features)))
        for number, sign in enumerate(signs):
            width = sign.high - sign.low
            for name, factor in sign.inputs.items():
                slopes[features.index(name), number] = factor / width
            credit[number, features.index(next(iter(sign.inputs)))] = 1.0
        offsets = np.asarray([-sign.low / (sign.high - sign.low) for sign in signs])
        return cls(slopes, offsets, credit)

    def __call__(self, rows: NDArray[np.floating]) -> Floats:
        """[rows, signs] between 0 and 1."""
        missing = np.isnan(rows)
        signs = np.clip(np.where(missing, 0.0, rows) @ self.slopes + self.offsets, 0.0, 1.0)
        signs[(missing.astype(float) @ (self.slopes != 0.0)) > 0.0] = 0.0
        return signs


@dataclass(frozen=True)
class Additive:
    """A trained model."""

    ramps: Ramps
    weights: Floats  # [signs, attack classes]
    biases: Floats  # [attack classes]

    def logits(self, rows: NDArray[np.floating]) -> Floats:
        """[rows, 1 + attack classes]; that of class none is 0."""
        own = self.ramps(rows) @ self.weights + self.biases
        return np.hstack([np.zeros((len(own), 1)), own])

    def classes(self, rows: NDArray[np.floating]) -> Floats:
        """Probabilities [rows, 1 + attack classes]; the first is that of no attack."""
        return softmax(self.logits(rows))

    def score(self, rows: NDArray[np.floating]) -> Floats:
        """Probability [rows] that an attack is under way."""
        return 1.0 - self.classes(rows)[:, 0]

    def contributions(self, rows: NDArray[np.floating]) -> Floats:
        """[rows, features]: what each feature adds to the logit of the most likely attack."""
        strongest = np.argmax(self.logits(rows)[:, 1:], axis=1)
        given: Floats = (self.ramps(rows) * self.weights.T[strongest]) @ self.ramps.credit
        return given

    def shifted(self, by: float | Floats) -> Additive:
        """The same model with every attack's logit moved, by the same or each class by its own."""
        return Additive(self.ramps, self.weights, self.biases + by)


def softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit(signs: Floats, classes: NDArray[np.int64], weights: Floats, bounds: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Weights [signs, attack classes] and biases that minimise the weighted cross entropy plus `penalty` times their squares.

    `bounds` [signs, attack classes, 2]: the lowest and highest value of each weight.
    """
    count, kinds = signs.shape[1], len(ATTACK_CLASSES)
    wanted = np.zeros((len(signs), kinds + 1))
    wanted[np.arange(len(signs)), classes] = 1.0
    share = (weights / weights.sum())[:, None]

    def loss(flat: Floats) -> tuple[float, Floats]:
        shaped = flat.reshape(count + 1, kinds)
        logits = np.hstack([np.zeros((len(signs), 1)), signs @ shaped[:-1] + shaped[-1]])
        top = logits.max(axis=1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        entropy = float((share[:, 0] * (total - logits[np.arange(len(signs)), classes])).sum())
        residual = (share * (softmax(logits) - wanted))[:, 1:]
        slope = np.vstack([signs.T @ residual + 2.0 * penalty * shaped[:-1], residual.sum(axis=0)])
        return entropy + penalty * float((shaped[:-1] ** 2).sum()), slope.ravel()

    limits = [*bounds.reshape(-1, 2), *[(-FARTHEST, 0.0)] * kinds]
    found = minimize(
        loss, np.zeros((count + 1) * kinds), jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": ITERATIONS}
    )
    shaped = found.x.reshape(count + 1, kinds)
    return shaped[:-1], shaped[-1]


def bounds(signs: Sequence[Sign]) -> Floats:
    """[signs, attack classes, 2]: each sign may only raise what it points to, and lower what it speaks against."""
    limits = np.zeros((len(signs), len(ATTACK_CLASSES), 2))
    for number, sign in enumerate(signs):
        for column, name in enumerate(ATTACK_CLASSES):
            limits[number, column, 1] = FARTHEST if name in sign.points_to else 0.0
            limits[number, column, 0] = -FARTHEST if name in sign.speaks_against else 0.0
    return limits
