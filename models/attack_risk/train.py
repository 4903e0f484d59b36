"""Training: worlds to watch, the fit, the threshold, and the file with its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from agent.stages.features import parse
from firmware_sim.truth import Label
from models import card
from models.attack_risk.additive import Additive, Floats
from models.attack_risk.evidence import CLASSES, FEATURES
from models.attack_risk.graph import graph
from models.attack_risk.learn import evidence, gather, held, learn
from models.attack_risk.watch import Watched, record
from models.attack_risk.worlds import ATTACKS, FIRST_SEED, Group, Kind, Plot, draw
from models.kept import Arrays, Form, Kept, home, sources, text

VERSION = "1.2"
EVERY = 5.0  # s between two scores; while a world lives its ordinary life fewer rows teach as much
EVERY_IN_LIFE = 60.0
MARGIN = 1.0  # of the logit, between the worst row that must not alarm and the threshold
LOWEST = 0.0  # of a class's logit: where it and no attack are equally likely; no threshold is below it
GOLDEN_ROWS = 48
BINS = 10
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Extent:
    """How many worlds of each kind."""

    attacks: int
    troubles: int
    often: int
    lives: int

    def plots(self, group: Group, first: int = 0) -> list[Plot]:
        """The worlds, long ones first so that the last worker does not wait for them."""
        counts = {Kind.LIFE: self.lives, Kind.OFTEN: self.often, Kind.ATTACK: self.attacks, Kind.TROUBLE: self.troubles}
        return [draw(group, kind, first + number) for kind, count in counts.items() for number in range(count)]


def choosing(extent: Extent) -> Extent:
    """How many worlds choose the thresholds: most of what is rare, for its coincidences are what a threshold must be above. An
    attack has no part in that; its rows are for the card."""
    return Extent(len(ATTACKS), extent.troubles // 3, 2 * extent.often, extent.lives)


def reporting(extent: Extent) -> Extent:
    """How many worlds the card's measures are taken on."""
    return Extent(extent.attacks // 3, extent.troubles // 3, extent.often // 2, extent.lives)


def data(extent: Extent, limits: Floats) -> dict[str, str]:
    """What the card says of the worlds."""
    chosen = ", ".join(f"{name} {limit:.2f}" for name, limit in zip(CLASSES[1:], limits, strict=True))
    learnt = _told(replace(extent, lives=0))
    both = f"these, and seeds from {FIRST_SEED[Group.CHOOSE]}: {_told(choosing(extent))}"
    return {
        "learnt from": f"firmware_sim, seeds from {FIRST_SEED[Group.TRAIN]}: {learnt}; parameters randomised; no licence needed",
        "thresholds chosen on": f"{both}; a score of 0.5 is, of each class, the logit {chosen}: {MARGIN} above the highest that "
        f"is no attack, and never below {LOWEST:g}",
    }


def _told(extent: Extent) -> str:
    weeks = f", {extent.lives} weeks of ordinary life" if extent.lives else ""
    return (
        f"{extent.attacks} attacks, {extent.troubles} other troubles and look-alikes, {extent.often} times three days in which "
        f"rare things happen often{weeks}"
    )


def study(plot: Plot) -> Watched:
    """Watch one world for training."""
    return record(plot, [parse(text) for text in FEATURES], EVERY_IN_LIFE if plot.lives else EVERY)


def pack(watched: Watched) -> dict[str, NDArray[Any]]:
    """What training needs of a world, as arrays."""
    labels = msgspec.json.encode(watched.labels)
    return {"times": watched.times, "rows": watched.rows, "days": np.array(watched.days), "labels": text(labels)}


def unpack(plot: Plot, arrays: Arrays) -> Watched:
    """The same back again, of the world that it was."""
    labels = msgspec.json.decode(arrays["labels"].tobytes(), type=list[Label])
    return Watched(plot, labels, float(arrays["days"]), arrays["times"], arrays["rows"])


def kept() -> Kept[Watched]:
    """Where worlds that were watched for training are kept until it is over."""
    about = f"study/{sources('models/attack_risk/evidence.py', 'models/attack_risk/watch.py', 'models/attack_risk/worlds.py')}"
    return Kept(home("attack_risk") / "train", about, Form(pack, unpack))


def thresholds(model: Additive, worlds: Sequence[Watched]) -> Floats:
    """Of each class the logit above which a gateway alarms: beyond all that worlds without an attack reach, and a margin."""
    calm = [each for each in worlds if each.attack is None and len(each.rows)]
    worst = [[_highest(each, logits) for logits in model.logits(each.rows)[:, 1:].T] for each in calm]
    return np.asarray(np.maximum(np.max(worst, axis=0) + MARGIN, LOWEST))


def _highest(watched: Watched, logits: Floats) -> float:
    """That would have raised an alarm. Ordinary life was asked seldom, so there any row may stand for two of the gateway's."""
    return float((logits if watched.plot.lives else held(logits)).max())


def finish(worlds: Sequence[Watched], chosen: Sequence[Watched]) -> tuple[Additive, Floats]:
    """Fit on `worlds`, move each class's logit so that a score of one half is its threshold; the thresholds too.

    Worlds of both groups choose: what reaches high although the fit has seen it will come again. A score adds up all classes, so
    in the end all of them are moved together, until no world without an attack is nearer to one half than the margin.
    """
    model = learn(worlds)
    limits = thresholds(model, [*worlds, *chosen])
    model = model.shifted(-limits)
    calm = [each for each in (*worlds, *chosen) if each.attack is None and len(each.rows)]
    more = max(0.0, max(_highest(each, evidence(model, each.rows)) for each in calm) + MARGIN)
    return model.shifted(-more), limits + more


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
