"""anomaly.onnx and its card: the graph, the pace, and golden rows of a simulated machine with the baseline they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from agent.scoring.baseline import Baseline, Floats, Pace, learn
from models.anomaly import worlds
from models.anomaly.choose import Chosen
from models.anomaly.evaluate import THRESHOLD, open_graph, stream
from models.anomaly.graph import graph
from models.card import CARD_KEY, sha256, versions, write
from models.data import DataError

NAME = "anomaly"
VERSION = "1.0"
GOLDEN_ROWS = 48
INTENDED_USE = (
    "Tells that a machine is not as it was while it was commissioned, from any set of features, and which of them drove it. "
    "The gateway learns the baseline by itself and asks once per row; a score of one half is the limit of what the "
    "commissioning window itself showed."
)
LIMITS = (
    "It says unusual, never why, and nothing about an attack; the rules and attack_risk do that. Commission a healthy machine: "
    "what was there all along is usual. A change that stays is usual again after about another commissioning window. The score "
    "fades over a tenth of the window, so its fall is no news. Seasons longer than a third of the window are not seen."
)


def export(chosen: Chosen, folder: Path, seed: int) -> Path:
    """Write anomaly.onnx and card.md. The same choice, files and seed give the same bytes. Raises OSError."""
    path = write(graph(), _card(chosen, seed, None), folder)
    golden = _golden(path, chosen.pace, seed)
    return write(graph(), _card(chosen, seed, golden), folder)


def _golden(path: Path, pace: Pace, seed: int) -> tuple[Baseline, int, Floats, Floats]:
    """A machine's baseline, the step and the rows that followed, one of them disturbed, some values missing; their scores."""
    _, begun, lived = worlds.life(seed)
    baseline = learn(lived[: worlds.WINDOW], worlds.FEATURES, begun, pace, worlds.LIKELY)
    first, rows = begun + worlds.WINDOW, np.round(lived[worlds.WINDOW :][:GOLDEN_ROWS], 4)
    rows[GOLDEN_ROWS // 2 :, 0] += 15.0  # K
    rows[5:9, 3] = np.nan
    scores, _ = stream(open_graph(path), baseline, rows, first)
    return baseline, first, rows, scores


def _card(chosen: Chosen, seed: int, golden: tuple[Baseline, int, Floats, Floats] | None) -> Mapping[str, Any]:
    card: dict[str, Any] = {
        "name": NAME,
        "version": VERSION,
        "features": list(worlds.FEATURES),
        "threshold": THRESHOLD,
        "event": "FAULT",
        "says": "finds the machine other than it was while it was commissioned",
        "intended_use": INTENDED_USE,
        "limits": LIMITS,
        "pace": asdict(chosen.pace),
        "every": worlds.EVERY,
        "window": worlds.WINDOW,
        "data": {f"simulated machine {seed}": "the golden rows' baseline; nothing in the graph is learned from it"}
        | {each.path.name: f"sha256 {sha256(each.path)}; the pace was chosen on it" for each in chosen.files}
        | {each.path.name: f"sha256 {sha256(each.path)}; it only reports" for each in chosen.others},
        "measures": _measures(chosen),
        "versions": versions("numpy", "onnx", "onnxruntime"),
    }
    if golden is not None:
        baseline, first, rows, scores = golden
        card["baseline"] = baseline.document()
        card["golden"] = {
            "first": first,
            "inputs": [[None if np.isnan(value) else float(value) for value in row] for row in rows],
            "scores": [round(float(score), 6) for score in scores],
        }
    return card


def _measures(chosen: Chosen) -> dict[str, Any]:
    """First what files say that had no part in the choice, then what those say that had: the pace is fitted to them."""
    choice = chosen.choice
    if choice is None:
        return {}
    figures = choice.of_pace(chosen.pace)
    each = "learned on each file's first rows, the others scored one by one"
    reported = (
        {"VUS-PR": _entry(chosen.figures, f"{len(chosen.figures)} labelled series that had no part in the choice, {each}")}
        if chosen.reported is not None
        else {}
    )
    return reported | {
        "VUS-PR, fitted": _entry(figures, f"the {len(figures)} labelled series that the pace was chosen on, {each}"),
        "VUS-PR, left out": _entry(choice.left_out(), "the same, each file with the pace that is best on all the others"),
    } | {
        f"VUS-PR, {name} left out": _entry(left, f"its {len(left)} files with the pace that is best on the other folders' files")
        for name, left in choice.folder_left_out().items()
    }  # fmt: skip


def _entry(figures: Floats, protocol: str) -> dict[str, Any]:
    return {"value": round(float(figures.mean()), 3), "spread": _range(figures), "protocol": protocol}


def _range(figures: Floats) -> str:
    return f"{figures.min():.2f} to {figures.max():.2f}"


def read_pace(path: Path) -> Pace:
    """The pace that an exported graph was chosen with. Raises DataError."""
    try:
        model = onnx.load(path)
        card = json.loads({each.key: each.value for each in model.metadata_props}[CARD_KEY])
        return Pace(**card["pace"])
    except (OSError, KeyError, TypeError, ValueError, onnx.checker.ValidationError) as error:
        raise DataError(f"{path}: is no anomaly graph with its card ({error!r}); python -m models.anomaly train") from error
