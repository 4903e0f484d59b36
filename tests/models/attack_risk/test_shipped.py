"""The file that ships: whole, vouched for, small, quick to agree with its card, and right about the two that are told apart."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from agent import config
from agent.config.settings import RulesSettings
from agent.scoring import onnx_file, prove, trust
from agent.scoring.session import load
from agent.stages.score import Scoring
from models.attack_risk import measure
from models.attack_risk.__main__ import main
from models.attack_risk.additive import Additive, Ramps
from models.attack_risk.evidence import CLASSES, FEATURES, SIGNS
from models.attack_risk.train import HERE
from models.attack_risk.watch import Watched, watch
from models.attack_risk.worlds import Group, Kind, draw
from tests.models.attack_risk.test_additive import random_rows

FILE = HERE / "attack_risk.onnx"


async def test_the_release_vouches_for_it() -> None:
    model = await prove(FILE, None, 5.0, time.perf_counter)
    assert model.card.features == FEATURES
    assert model.card.classes == CLASSES
    assert len(model.card.histograms) == len(FEATURES)
    assert FILE.stat().st_size <= 200_000
    onnx_file.check_operators(FILE, FILE.read_bytes())


def test_sha256sum_agrees() -> None:
    done = subprocess.run(["sha256sum", "-c", FILE.name + ".sha256"], cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def trained() -> Additive:
    """The weights that were trained, taken out of the file and put into plain numpy."""
    held = {each.name: numpy_helper.to_array(each) for each in onnx.load(FILE).graph.initializer}
    return Additive(Ramps.of(SIGNS, FEATURES), held["by_class"].T.astype(float), held["biases"][1:].astype(float))


def test_parity_over_ten_thousand_random_and_all_golden_rows() -> None:
    data = FILE.read_bytes()
    loaded = load(FILE, data, trust.sha256(data), 5.0, time.perf_counter)
    golden = [[np.nan if value is None else value for value in row] for row in loaded.card.golden.inputs]
    rows = np.vstack([random_rows(10_000, 7), np.asarray(golden, dtype=np.float32)])
    session = onnx_session()
    score, classes = session.run(["score", "classes"], {"features": rows})
    model = trained()
    assert np.abs(score - model.score(rows)).max() <= 1e-5
    assert np.abs(classes - model.classes(rows)).max() <= 1e-5
    assert np.abs(score[10_000:] - np.asarray(loaded.card.golden.scores)).max() <= 1e-5


def onnx_session() -> object:
    import onnxruntime

    return onnxruntime.InferenceSession(FILE.read_bytes(), providers=["CPUExecutionProvider"])


def seen(kind: Kind, scenario: str, count: int) -> list[Watched]:
    """The first worlds of a scenario in the report group, with rules and the model that ships."""
    plots = [plot for plot in (draw(Group.REPORT, kind, number) for number in range(60)) if plot.scenario == scenario]
    data = FILE.read_bytes()
    model = load(FILE, data, trust.sha256(data), 5.0, time.perf_counter)
    scoring = Scoring("attack_risk", model.parsed, model, model.card.threshold)
    return [watch(replace(plot, calendar_known=True), config.rules(RulesSettings()), [scoring]) for plot in plots[:count]]


def test_black_boxes_are_named_before_the_rules_name_them() -> None:
    found = [each for watched in seen(Kind.ATTACK, "black_box", 3) if (each := measure.found(watched)) is not None]
    by_model, by_rules = median(each.named_by_model for each in found), median(each.named_by_rules for each in found)
    assert by_model < by_rules / 2
    assert max(each.named for each in found) < measure.TIME_SCALE["BLACK_BOX"]


def test_a_technician_behind_the_same_doors_is_not() -> None:
    (watched,) = seen(Kind.TROUBLE, "technician_visit", 1)
    assert measure.false_alarms(watched) == []
    assert any(alarm.rule == "visit" for alarm in watched.alarms)  # he was there


def test_a_claw_is_named_by_the_model_alone_and_forgotten_cash_is_not() -> None:
    (trapped,) = seen(Kind.ATTACK, "cash_trap", 1)
    found = measure.found(trapped)
    assert found is not None
    assert found.named_by_model <= measure.TIME_SCALE["CASH_TRAPPING"]
    (forgotten,) = seen(Kind.TROUBLE, "forgotten_cash", 1)
    assert measure.false_alarms(forgotten) == []
    assert any(label.name == "forgottenCash" for label in forgotten.labels)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["train", "--lives", "1"], 2),
        (["evaluate", "--model", "/nowhere.onnx", "--attacks", "1", "--troubles", "0", "--lives", "0"], 1),
    ],
)
def test_what_cannot_be_done_gets_one_line(
    words: list[str], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *(("--out", str(tmp_path / "out")) if words[0] == "train" else ())]) == status
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(SystemExit) as usage:
        main(["evaluate", "--attacks", "-1"])
    assert usage.value.code == 2
