"""Every model on another runtime of the supported range: `make parity` makes a scratch environment with one and runs this.

By hand, OTHER_PYTHON names any interpreter that has another onnxruntime (and numpy with it).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from agent.analysis.daycodes import codes
from agent.analysis.holidays import Holidays
from models.anomaly.evaluate import open_graph
from models.cash_demand.features import HISTORY, HORIZON
from models.fault.worlds import FEATURES as OF_FAULT
from models.tabular import export
from models.tabular.__main__ import main as tabular
from models.tabular.table import label, read
from tests.models.anomaly.test_shipped import machine
from tests.models.attack_risk.test_additive import random_rows
from tests.models.cash_demand.test_graph import random_history
from tests.models.tabular import loans
from tests.models.test_forest import random_rows as of_forest

MODELS = Path(__file__).parents[2] / "models"
ROWS = 10_000
CLOSE = 1e-5
Arrays = Mapping[str, np.ndarray]

# run by each of two interpreters: every input's first axis counts the calls
ANSWERS = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
found = []
for number in range(2, len(sys.argv) - 1):
    given = dict(numpy.load(sys.argv[number]))
    calls = len(next(iter(given.values())))
    found.append([session.run(names, {name: each[at] for name, each in given.items()}) for at in range(calls)])
whole = {name: numpy.concatenate([answer[at].ravel() for calls in found for answer in calls]) for at, name in enumerate(names)}
numpy.savez(sys.argv[-1], **whole)
print(onnxruntime.__version__)
"""


def attack_risk(_: Path) -> tuple[Path, list[Arrays]]:
    return MODELS / "attack_risk" / "attack_risk.onnx", [{"features": random_rows(ROWS, 8)[None]}]


def fault(_: Path) -> tuple[Path, list[Arrays]]:
    return MODELS / "fault" / "fault.onnx", [{"features": of_forest(ROWS, len(OF_FAULT), 8)[None]}]


def anomaly(_: Path) -> tuple[Path, list[Arrays]]:
    """Machines with as many points as they have, each row from where the runtime here has got to."""
    path = MODELS / "anomaly" / "anomaly.onnx"
    run, given = open_graph(path), []
    for number in range(20):
        baseline, rows = machine(number)
        state, trace, calls = baseline.state, baseline.trace, []
        for step, row in enumerate(rows):
            calls.append(baseline.inputs() | {"features": row[None], "step": np.array([step]), "state": state, "trace": trace})
            answer = run(calls[-1])
            assert answer is not None
            state, trace = answer["next_state"], answer["next_trace"]
        given.append({name: np.stack([call[name] for call in calls]) for name in calls[0]})
    return path, given


def cash_demand(_: Path) -> tuple[Path, list[Arrays]]:
    calls = 10
    starts = [date(2024, 1, 1) + timedelta(days=40 * number) for number in range(calls)]
    calendar = [codes(start, HISTORY + HORIZON, Holidays("GB")) for start in starts]
    history = random_history(ROWS, 8).reshape(calls, ROWS // calls, HISTORY)
    return MODELS / "cash_demand" / "cash_demand.onnx", [{"history": history, "calendar": np.array(calendar, np.float32)}]


def of_loans(kind: str) -> Callable[[Path], tuple[Path, list[Arrays]]]:
    def trained(folder: Path) -> tuple[Path, list[Arrays]]:
        file, path = loans.write(folder / "loans.csv", loans.rows(2_000)), folder / "loans.onnx"
        words = ["train", "--data", str(file), "--label", "defaults", "--out", str(path), "--repeats", "1", "--json"]
        with redirect_stdout(StringIO()):
            assert tabular([*words, "--model", kind]) == 0
        many = loans.write(folder / "many.csv", loans.rows(ROWS, 1))
        rows = export.read(path).encoding.encode(label(read(many), "defaults", "1").table)
        return path, [{"features": rows[None]}]

    return trained


MODELS_OF = {
    "attack_risk": attack_risk, "anomaly": anomaly, "cash_demand": cash_demand, "fault": fault,
    **{f"tabular {kind}": of_loans(kind) for kind in ("logistic", "svm", "tree", "boosting")},
}  # fmt: skip


@pytest.mark.skipif("OTHER_PYTHON" not in os.environ, reason="make parity gives an interpreter with another onnxruntime")
@pytest.mark.parametrize("name", MODELS_OF)
def test_parity_with_another_runtime(name: str, tmp_path: Path) -> None:
    path, given = MODELS_OF[name](tmp_path)
    files = [tmp_path / f"given{number}.npz" for number in range(len(given))]
    for file, arrays in zip(files, given, strict=True):
        np.savez(file, **arrays)
    answers, versions = [], []
    for who, python in (("here", sys.executable), ("there", os.environ["OTHER_PYTHON"])):
        out = tmp_path / f"{who}.npz"
        words = [python, "-c", ANSWERS, str(path), *map(str, files), str(out)]
        versions.append(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
        answers.append(dict(np.load(out)))
    assert versions[0] != versions[1], "both interpreters have the same onnxruntime"
    worst = {output: difference(answers[0][output], answers[1][output], name) for output in answers[0]}
    print(f"{name}: onnxruntime {versions[0]} against {versions[1]}: {worst}")
    assert max(worst.values()) <= CLOSE


def difference(ours: np.ndarray, theirs: np.ndarray, name: str) -> float:
    """The greatest; of amounts, which may be in any unit, as a share of theirs."""
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    far = np.abs(np.nan_to_num(ours) - np.nan_to_num(theirs))
    return float((far / np.maximum(np.abs(np.nan_to_num(theirs)), 1e-9) if name == "cash_demand" else far).max())
