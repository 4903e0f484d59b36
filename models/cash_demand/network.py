"""A small network that answers with quantiles: trained here by hand with numpy, exported as a few matrix products.

Its last layer gives the median and, on either side, steps that cannot be negative, so quantiles never cross. What it minimises is
the pinball loss, summed over the levels; its gradient is smoothed near 0 (the Huber form) so that single precision can follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Layers = list[tuple[Floats, Floats]]
"""Weights [in, out] and biases [out], from the input to the quantiles."""
SMOOTH = 0.02  # of the logarithm of an amount
WARM_UP = 0.05  # share of the steps in which the rate rises
MOMENTS = (0.9, 0.999)  # of Adam (Kingma and Ba 2015)


@dataclass(frozen=True)
class Training:
    """How a network is trained."""

    hidden: tuple[int, ...] = (64, 32)
    passes: int = 8
    batch: int = 2048
    rate: float = 2e-3
    decay: float = 1e-3
    """Decoupled weight decay a step, times the rate."""
    dropout: float = 0.1


def spreading(levels: Sequence[float]) -> Floats:
    """[levels, levels]: from the median and the steps to the quantiles."""
    middle, count = levels.index(0.5), len(levels)
    matrix = np.zeros((count, count), dtype=np.float32)
    matrix[middle] = 1.0
    for column in range(count):
        matrix[middle + 1 : column + 1, column] = 1.0
        matrix[column:middle, column] = -1.0
    return matrix


def quantiles(layers: Layers, rows: Floats, levels: Sequence[float]) -> Floats:
    """[rows, levels], rising."""
    for weights, biases in layers[:-1]:
        rows = np.maximum(rows @ weights + biases, 0.0)
    return _spread(rows @ layers[-1][0] + layers[-1][1], levels) @ spreading(levels)


def _spread(raw: Floats, levels: Sequence[float]) -> Floats:
    steps = np.logaddexp(np.float32(0.0), raw)
    middle = levels.index(0.5)
    steps[:, middle] = raw[:, middle]
    return steps


def train(
    rows: Floats, targets: Floats, levels: Sequence[float], how: Training, seed: int, step: Callable[[], None] = lambda: None
) -> Layers:
    """Fit one network. `step` is called after each pass. The same arguments give the same network on the same machine."""
    chance = np.random.default_rng(seed)
    layers = _begin(rows.shape[1], how.hidden, levels, chance)
    parameters = [each for layer in layers for each in layer]
    firsts, seconds = [np.zeros_like(each) for each in parameters], [np.zeros_like(each) for each in parameters]
    total = how.passes * -(-len(rows) // how.batch)
    for number, batch in enumerate(_batches(len(rows), how, chance, step), 1):
        gradients = _gradients(layers, rows[batch], targets[batch], levels, how.dropout, chance)
        rate = how.rate * min(1.0, number / (WARM_UP * total)) * 0.5 * (1.0 + np.cos(np.pi * number / total))
        for parameter, gradient, first, second in zip(parameters, gradients, firsts, seconds, strict=True):
            first[...] += (1.0 - MOMENTS[0]) * (gradient - first)
            second[...] += (1.0 - MOMENTS[1]) * (gradient * gradient - second)
            size = np.sqrt(second / (1.0 - MOMENTS[1] ** number)) + 1e-8
            decay = how.decay * parameter if parameter.ndim == 2 else 0.0
            parameter[...] -= np.float32(rate) * (first / np.float32(1.0 - MOMENTS[0] ** number) / size + decay)
    return layers


def _begin(inputs: int, hidden: Sequence[int], levels: Sequence[float], chance: np.random.Generator) -> Layers:
    sizes = [inputs, *hidden, len(levels)]
    layers: Layers = [
        ((chance.standard_normal(shape) * np.sqrt(2.0 / shape[0])).astype(np.float32), np.zeros(shape[1], dtype=np.float32))
        for shape in pairwise(sizes)
    ]
    weights, biases = layers[-1]
    weights *= np.float32(0.3)
    biases[:] = -2.0  # steps of 0.13 in the logarithm: about what demand scatters
    biases[levels.index(0.5)] = 0.0
    return layers


def _batches(rows: int, how: Training, chance: np.random.Generator, step: Callable[[], None]) -> Iterator[np.ndarray]:
    for _ in range(how.passes):
        order = chance.permutation(rows)
        yield from (order[start : start + how.batch] for start in range(0, rows, how.batch))
        step()


def _gradients(
    layers: Layers, rows: Floats, targets: Floats, levels: Sequence[float], dropout: float, chance: np.random.Generator
) -> list[Floats]:
    """Of the mean smoothed pinball loss, in the order weights, biases, weights, …"""
    inputs, keeps = [rows], []
    for weights, biases in layers[:-1]:
        keep = (chance.random((len(rows), len(biases)), dtype=np.float32) >= dropout) / np.float32(1.0 - dropout)
        rows = np.maximum(rows @ weights + biases, 0.0) * keep
        inputs.append(rows)
        keeps.append(keep)
    raw = rows @ layers[-1][0] + layers[-1][1]
    spread = spreading(levels)
    missed = targets[:, None] - _spread(raw, levels) @ spread
    wanted = np.asarray(levels, dtype=np.float32)
    slope = np.where(missed > 0, -wanted, 1.0 - wanted) * np.minimum(1.0, np.abs(missed) / SMOOTH) / len(rows)
    back = slope @ spread.T
    middle = levels.index(0.5)
    rising = 1.0 / (1.0 + np.exp(-raw))
    rising[:, middle] = 1.0
    back = (back * rising).astype(np.float32)
    gradients: list[Floats] = []
    for number in range(len(layers) - 1, -1, -1):
        gradients[:0] = [inputs[number].T @ back, back.sum(axis=0)]
        if number:
            back = back @ layers[number][0].T * keeps[number - 1] * (inputs[number] > 0)
    return gradients
