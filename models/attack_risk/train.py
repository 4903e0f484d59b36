"""Training: worlds to watch, the fit, the threshold, and the file with its card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from agent.stages.features import parse
from models import card
from models.attack_risk.additive import Additive
from models.attack_risk.evidence import CLASSES, FEATURES
from models.attack_risk.graph import graph
from models.attack_risk.learn import evidence, gather, held, learn
from models.attack_risk.watch import Watched, record
from models.attack_risk.worlds import FIRST_SEED, Group, Kind, Plot, draw

VERSION = "1.0"
EVERY = 5.0  # s between two scores; while a world lives its ordinary life fewer rows teach as much
EVERY_IN_LIFE = 20.0
MARGIN = 1.0  # of the logit, between the worst row that must not alarm and the threshold
GOLDEN_ROWS = 48
BINS = 10
HERE = Path(__file__).parent

T = TypeVar("T")


@dataclass(frozen=True)
class Extent:
    """How many worlds of each kind."""

    attacks: int
    troubles: int
    lives: int

    def plots(self, group: Group, first: int = 0) -> list[Plot]:
        """The worlds, long ones first so that the last worker does not wait for them."""
        counts = {Kind.LIFE: self.lives, Kind.ATTACK: self.attacks, Kind.TROUBLE: self.troubles}
        return [draw(group, kind, first + number) for kind, count in counts.items() for number in range(count)]


def choosing(extent: Extent) -> Extent:
    """How many worlds of the other groups go with so many to learn from."""
    return Extent(extent.attacks // 4, extent.troubles // 2, extent.lives)


def data(extent: Extent, limit: float) -> dict[str, str]:
    """What the card says of the worlds."""
    other = choosing(extent)
    return {
        "learnt from": f"firmware_sim, seeds from {FIRST_SEED[Group.TRAIN]}: {extent.attacks} attacks, {extent.troubles} other "
        f"troubles, {extent.lives} times three days in which rare things happen often; parameters randomised; no licence needed",
        "threshold chosen on": f"seeds from {FIRST_SEED[Group.CHOOSE]}: {other.attacks} attacks, {other.troubles} troubles, "
        f"{other.lives} weeks; a score of 0.5 is the logit {limit:.3f}, {MARGIN} above the highest that is no attack",
    }


def study(plot: Plot) -> Watched:
    """Watch one world for training."""
    return record(plot, [parse(text) for text in FEATURES], EVERY_IN_LIFE if plot.kind is Kind.LIFE else EVERY)


def each(work: Callable[[Plot], T], plots: Sequence[Plot], jobs: int) -> Iterator[T]:
    """Do the work for every world, in their order."""
    if jobs == 1:
        yield from map(work, plots)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(work, plots)


def threshold(model: Additive, worlds: Iterable[Watched]) -> float:
    """The logit above which a gateway alarms: beyond all that worlds without an attack reach, and a margin."""
    worst = max(float(held(evidence(model, watched.rows)).max()) for watched in worlds if watched.attack is None)
    return worst + MARGIN


def finish(worlds: Sequence[Watched], chosen: Sequence[Watched]) -> tuple[Additive, float]:
    """Fit on `worlds`, move the logits so that a score of one half is the threshold found on `chosen`; that logit as well."""
    model = learn(worlds)
    limit = threshold(model, chosen)
    return model.shifted(-limit), limit


def golden_rows(chosen: Sequence[Watched], seed: int) -> list[list[float | None]]:
    """Rows of every class, some with values taken away, and one in which everything is missing."""
    rng = Random(seed)
    rows, classes = gather(chosen)
    picked: list[list[float | None]] = [[None] * len(FEATURES)]
    for number in range(GOLDEN_ROWS - 1):
        of_class = np.flatnonzero(classes == number % len(CLASSES))
        row = rows[of_class[rng.randrange(len(of_class))]] if len(of_class) else rows[rng.randrange(len(rows))]
        holes = {rng.randrange(len(FEATURES)) for _ in range(rng.randrange(6))}
        picked.append([None if at in holes or isnan(value) else float(f"{value:.6g}") for at, value in enumerate(row)])
    return picked


def golden(path: Path, rows: Sequence[Sequence[float | None]]) -> list[float]:
    """What the runtime here answers to them."""
    given = np.asarray([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float32)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return [round(float(session.run(["score"], {"features": row[None, :]})[0][0]), 7) for row in given]


def histograms(chosen: Sequence[Watched]) -> list[dict[str, list[float]]]:
    """How each feature is spread over minutes of ordinary life."""
    minutes = [watched.rows[watched.times % 60.0 == 0.0] for watched in chosen if watched.plot.kind is Kind.LIFE]
    return [_histogram(column) for column in np.vstack(minutes).T]


def _histogram(column: NDArray[np.float32]) -> dict[str, list[float]]:
    known = column[~np.isnan(column)].astype(float)
    quantiles = np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]) if len(known) else np.empty(0)
    edges = sorted({float(f"{edge:.4g}") for edge in quantiles})
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    shares = [*counts, len(column) - len(known)]
    return {"edges": edges, "shares": [round(float(count) / len(column), 5) for count in shares]}


def write(
    model: Additive, chosen: Sequence[Watched], seed: int, data: dict[str, str], measures: dict[str, Any], folder: Path
) -> Path:
    """The .onnx with its card, and the card for people."""
    rows = golden_rows(chosen, seed)
    content: dict[str, Any] = {
        "name": "attack_risk",
        "version": VERSION,
        "features": list(FEATURES),
        "classes": list(CLASSES),
        "threshold": 0.5,
        "golden": {"inputs": rows, "scores": [0.0] * len(rows)},
        "histograms": histograms(chosen),
        "intended_use": "Says beside the rules, never instead of them, whether an attack on a cash machine is under way, and of "
        "which class (EAST), from the last minute and the last quarter of an hour.",
        "limits": "Learnt from simulated worlds alone: six classes of attack, one make of machine. It has seen no real attack. "
        "It needs the points that it names; what a machine does not have makes it blinder, not wrong.",
        "data": data,
        "measures": measures,
        "versions": card.versions("numpy", "scipy", "onnx", "onnxruntime"),
    }
    path = card.write(graph(model), content, folder)
    content["golden"]["scores"] = golden(path, rows)
    return card.write(graph(model), content, folder)
