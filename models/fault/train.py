"""The files that are written: the model of a cash machine that ships, and that of AI4I's milling machine, each with its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models import card
from models.fault import milling
from models.fault.learn import GROWTH, Judged, together
from models.fault.milling import Milling, Repeat
from models.fault.worlds import HORIZON, Lived
from models.forest import Floats, Forest
from models.forest_graph import graph

VERSION = "1.0"
HERE = Path(__file__).parent
SHIPPED = HERE / "fault.onnx"
GOLDEN_ROWS = 40
MEASURES = ("macro_f1", "fault_f1", "precision", "recall", "auc", "brier")


def write(forest: Forest, content: dict[str, Any], golden: Floats, folder: Path) -> Path:
    """The .onnx with its card, the golden scores in it."""
    inputs = [[None if np.isnan(value) else float(value) for value in row] for row in golden]
    whole = {"version": VERSION, "features": list(forest.columns), **content}
    whole |= {"golden": {"inputs": inputs, "scores": [0.0] * len(inputs)}}
    whole |= {"versions": card.versions("numpy", "scikit-learn", "onnx", "onnxruntime")}
    made = graph(forest, str(whole["name"]))
    path = card.write(made, whole, folder)
    whole["golden"]["scores"] = [round(float(score), 7) for score in ask(path)(golden)]
    return card.write(made, whole, folder)


def ask(path: Path) -> Any:
    """An exported file as a function of rows."""
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda rows: session.run(["score"], {"features": rows.astype(np.float32)})[0].astype(np.float64)


def of_lives(forest: Forest, threshold: float, lived: Sequence[Lived], judged: Judged | None, folder: Path) -> Path:
    """fault.onnx, for cash machines."""
    rows, labels, _ = together(lived)
    content: dict[str, Any] = {
        "name": "fault",
        "threshold": threshold,
        "event": "SERVICE",
        "says": f"expects that a technician will be needed within {HORIZON:g} days",
        "every": 3600.0,  # s, the longest that a card may ask for
        "histograms": [card.histogram(column) for column in rows.T],
        "span": f"features span up to a week; a visit within {HORIZON:g} days",
        "explanation": "how far the splits on a feature along the row's paths moved the share of faults; parts and base sum up",
        "intended_use": f"Says how likely a machine that works will need a technician within {HORIZON:g} days, so that a "
        "visit that is planned anyway can take care of it. Its threshold is one above which four calls of five were right.",
        "limits": "Learned from simulated machines alone: what wears there wears as the simulator's parameters say, and breaks "
        "as its rules say. It has seen no real failure. Faults that come without a sign (a card that jams) cannot be foreseen. "
        "Let it run as a shadow and compare before anybody relies on it.",
        "data": {
            "learned from": f"firmware_sim, machines 0 to {len(lived) - 1} of the group train: {len(rows)} rows, "
            f"{labels.mean():.4f} before a visit; parameters randomised; no licence needed",
            "grown": f"{GROWTH.trees} trees of depth {GROWTH.depth}, at least {GROWTH.least} rows a leaf",
        },
        "measures": _measures(judged) if judged is not None else {},
    }
    picked = np.random.default_rng(1).permutation(len(rows))[: GOLDEN_ROWS - 1]
    golden = np.vstack([rows[picked], np.full((1, rows.shape[1]), np.nan, np.float32)])
    return write(forest, content, golden.astype(np.float32), folder)


def _measures(judged: Judged) -> dict[str, Any]:
    protocol = (
        f"{judged.machines} simulated machines that training never met, {judged.rows} rows; python -m models.fault evaluate"
    )
    spread = f"95 %: {judged.auc_95[0]:.3f} to {judged.auc_95[1]:.3f}, over machines"
    return {
        "AUC": {"value": round(judged.auc, 4), "spread": spread, "protocol": protocol},
        "AUC of the week's failed picks alone": {"value": round(judged.rival, 4), "protocol": protocol},
        "Brier": {
            "value": round(judged.brier, 4),
            "spread": f"{judged.brier_of_share:.4f} for always saying the share",
            "protocol": protocol,
        },
        "precision at the threshold": {"value": round(judged.precision, 4), "protocol": protocol},
        "recall at the threshold": {"value": round(judged.recall, 4), "protocol": protocol},
        "rises above the threshold per machine and month": {"value": round(judged.episodes, 2), "protocol": protocol},
    } | {
        f"AUC before {name}": {"value": round(auc, 4), "spread": f"{rows} rows", "protocol": protocol}
        for name, (rows, auc) in sorted(judged.by_fault.items())
    }


def of_milling(data: Milling, repeats: Sequence[Repeat], seed: int, folder: Path) -> Path:
    """milling.onnx, the yardstick. It is no model for a cash machine."""
    forest = milling.train(data, seed)
    picked = np.random.default_rng(1).permutation(len(data.rows))[:GOLDEN_ROWS]
    content: dict[str, Any] = {
        "name": "milling",
        "threshold": 0.5,
        "intended_use": "Shows on public data what the forest of the fault model can do. Not for cash machines.",
        "limits": "AI4I 2020 is made by formulas, a fifth of a per cent of its failures at random.",
        "data": {
            data.path.name: f"{len(data.rows)} rows, {int(data.faults.sum())} failures; sha256 {card.sha256(data.path)}; AI4I "
            "2020 (S. Matzka, UCI 601), CC BY 4.0"
        },
        "measures": for_card(summary(repeats), len(repeats)),
    }
    return write(forest, content, data.rows[picked], folder)


def summary(repeats: Sequence[Repeat]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each measure over the repeats."""
    found = {}
    for name in MEASURES:
        values = [getattr(each, name) for each in repeats]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        found[name] = {"mean": round(float(np.mean(values)), 5), "deviation": round(deviation, 5)}
    return found


def for_card(found: Mapping[str, Mapping[str, float]], repeats: int) -> dict[str, Any]:
    """The same for the card."""
    protocol = f"stratified {milling.FOLDS}-fold, out of fold, {repeats} times; mode columns never read; threshold 0.5"
    return {
        name: {"value": each["mean"], "spread": f"± {each['deviation']} over repeats", "protocol": protocol}
        for name, each in found.items()
    }
