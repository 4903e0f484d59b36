"""The file that is written: the graph, what reads its columns, and the card. And the way back: a file that scores a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from models import card
from models.data import DataError
from models.tabular.encode import Encoding, Floats
from models.tabular.kinds import EXPLANATIONS, Model, graph
from models.tabular.measure import THRESHOLD

VERSION = "1.0"
GOLDEN_ROWS = 32


@dataclass(frozen=True)
class Written:
    """A model file that can be asked."""

    card: Mapping[str, Any]
    encoding: Encoding
    session: Any

    def __call__(self, rows: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores [rows] and contributions [rows, columns]."""
        score, contributions = self.session.run(["score", "contributions"], {"features": rows.astype(np.float32)})
        return score.astype(np.float64), contributions.astype(np.float64)


def read(path: Path) -> Written:
    """Open a file that `write` wrote. Raises DataError."""
    try:
        data = path.read_bytes()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        entries = {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}
        content = json.loads(entries[card.CARD_KEY])
        return Written(content, Encoding.of(content["columns"]), session)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name a file that `python -m models.tabular train` wrote") from error
    except Exception as error:  # the runtime raises what it likes
        raise DataError(f"{path}: is no model of tabular ({type(error).__name__}); train one") from error


def write(
    model: Model,
    encoding: Encoding,
    golden: Floats,
    about: Mapping[str, Any],
    path: Path,
) -> Path:
    """The .onnx with its card, its sha256 and card.md. `about`: kind, label, data, split, measures of the card.

    `golden`: rows whose scores are put into the card.
    """
    inputs = [[None if np.isnan(value) else float(value) for value in row] for row in golden[:GOLDEN_ROWS]]
    content: dict[str, Any] = {
        "name": path.stem,
        "version": VERSION,
        "features": list(encoding.names),
        "columns": [column.object() for column in encoding.columns],
        "threshold": THRESHOLD,
        "golden": {"inputs": inputs, "scores": [0.0] * len(inputs)},
        "explanation": EXPLANATIONS[about["kind"]],
        "intended_use": f"Says how likely {about['label']} is {about['positive']!r} for a row like those that it learned from. "
        f"Model: {about['kind']}. Explanation: {EXPLANATIONS[about['kind']]}.",
        "limits": "Learned from one file; other places, times and people may be another matter. It follows what the file says, "
        "prejudice included. A score is no reason; whoever decides about people must be able to say why without it.",
        "versions": card.versions("numpy", "scikit-learn", "onnx", "onnxruntime"),
        **about,
    }
    made = graph(model, path.stem)
    card.write(made, content, path.parent)
    content["golden"]["scores"] = [round(float(score), 7) for score in read(path)(golden[:GOLDEN_ROWS])[0]]
    return card.write(made, content, path.parent)


def strongest(names: Sequence[str], contributions: NDArray[np.float64]) -> list[tuple[str, float]]:
    """Columns by the mean size of their contribution, the strongest first."""
    sizes = np.abs(contributions).mean(axis=0)
    return [(names[at], float(sizes[at])) for at in np.argsort(-sizes)]
