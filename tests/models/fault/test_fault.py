"""Lives, what is learned from them, and the yardstick; the file that ships."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from agent.scoring import onnx_file, trust
from agent.scoring.session import load
from models.data import DataError
from models.fault import learn, milling, train, worlds
from models.fault.__main__ import main
from models.fault.learn import judge
from models.fault.worlds import FEATURES, HORIZON, WARM, WATCHED, Group, Lived, live
from models.forest import Growth
from tests.models.test_forest import random_rows

PICKS = FEATURES.index("delta(cashDispenser.picks,604800s)")


def lived(number: int, seed: int = 0) -> Lived:
    """A machine that needs a visit when its week's picks are many."""
    chance = np.random.default_rng(1000 * seed + number)
    rows = chance.normal(50.0, 5.0, (40, len(FEATURES))).astype(np.float32)
    rows[chance.random(rows.shape) < 0.05] = np.nan
    faults = tuple("noteJam" if value > 52.0 else "" for value in rows[:, PICKS])
    return Lived(number, "life", np.arange(40.0), rows, faults, 1)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's kept lives are touched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lives that cost nothing."""

    def lives(group: Group, count: int, _jobs: int) -> Iterator[Lived]:
        yield from (lived(number, int(group is Group.REPORT)) for number in range(count))

    monkeypatch.setattr("models.fault.__main__.lives", lives)
    monkeypatch.setattr(learn, "GROWTH", Growth(trees=5, depth=3, least=5, columns=0.6))


def test_a_life_is_the_same_again_and_its_labels_are_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WARM", 1.0), ("WATCHED", 2.0), ("HORIZON", 1.0)):
        monkeypatch.setattr(worlds, name, value)
    first, again = live(Group.TRAIN, 1), live(Group.TRAIN, 1)
    assert np.array_equal(first.rows, again.rows, equal_nan=True)
    assert first.faults == again.faults
    assert first.rows.shape == (len(first.at), len(FEATURES))
    assert not np.array_equal(first.rows, live(Group.REPORT, 1).rows, equal_nan=True)
    assert (np.diff(first.at) >= worlds.EVERY).all()


def test_lives_are_kept_until_they_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def living(group: Group, number: int) -> Lived:
        asked.append((group, number))
        return lived(number)

    monkeypatch.setattr(learn, "live", living)
    first, again = list(learn.lives(Group.TRAIN, 2, 1)), list(learn.lives(Group.TRAIN, 3, 1))
    assert asked == [(Group.TRAIN, 0), (Group.TRAIN, 1), (Group.TRAIN, 2)]
    for one, other in zip(first, again, strict=False):
        assert (one.number, one.kind, one.faults, one.visits) == (other.number, other.kind, other.faults, other.visits)
        assert np.array_equal(one.rows, other.rows, equal_nan=True)
    learn.forget()
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_auc_is_that_of_scikit_learn() -> None:
    chance = np.random.default_rng(1)
    labels, scores = chance.random(200) < 0.3, np.round(chance.random(200), 1)
    assert learn.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(learn.auc(np.zeros(3, bool), np.arange(3.0)))


def test_judging_by_hand() -> None:
    machines = [lived(0), lived(1)]
    found = judge(lambda rows: (rows[:, PICKS] > 52.0).astype(float), 0.5, machines)
    assert (found.auc, found.precision, found.recall, found.brier) == (1.0, 1.0, 1.0, 0.0)
    assert found.by_fault == {"noteJam": (sum(fault != "" for each in machines for fault in each.faults), 1.0)}
    rises = sum(fault != "" and (at == 0 or not each.faults[at - 1]) for each in machines for at, fault in enumerate(each.faults))
    assert found.episodes == pytest.approx(rises / 20.0 * 30.4)


@pytest.mark.usefixtures("invented")
def test_train_and_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--lives", "20", "--report", "6", "--out", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["measures"]["auc"] > 0.9
    assert 0.0 < said["threshold"] < 1.0
    assert main(["evaluate", "--report", "6", "--model", said["file"], "--json", "--plot", str(tmp_path / "roc.png")]) == 0
    assert json.loads(capsys.readouterr().out)["measures"] == said["measures"]
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--lives", "3"], "--lives 3: at least 16 machines are needed"),
        (["train", "--data", "x.csv"], "--data: name a folder with --out"),
        (["evaluate", "--data", "/nowhere.csv"], "/nowhere.csv: No such file"),
        (["evaluate", "--model", "/nowhere.onnx"], "/nowhere.onnx: No such file"),
        (["evaluate", "--model", __file__], "is no model of fault"),
    ],
)
def test_what_cannot_be_done_gets_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


# Milling ----------------------------------------------------------------------------------------------------------------


def milled(path: Path, count: int = 400, spoil: str = "") -> Path:
    """Rows of AI4I's form in which too much power fails, and the modes that would tell."""
    chance = np.random.default_rng(2)
    head = ["UDI", "Type", *milling.COLUMNS, milling.LABEL, *milling.MODES]
    lines = []
    for number in range(count):
        air, speed, torque, wear = chance.normal(300, 2), chance.normal(1500, 150), chance.normal(40, 10), chance.integers(0, 240)
        fails = int(speed * torque > 75_000)
        cells = [f"{air:.1f}", f"{air + 10:.1f}", f"{speed:.0f}", f"{torque:.1f}", f"{wear}", f"{fails}", "0", "0", f"{fails}"]
        lines.append(",".join([str(number), "LMH"[number % 3], *cells, "0", "0"]))
    if spoil:
        lines[4] = lines[4].replace(lines[4].split(",")[5], spoil)
    path.write_text("\n".join([",".join(head), *lines]) + "\n")
    return path


def test_the_yardstick_learns_the_product(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = milled(tmp_path / "ai4i.csv")
    assert main(["train", "--data", str(file), "--repeats", "1", "--out", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["measures"]["macro_f1"]["mean"] > 0.9
    card = (tmp_path / "card.md").read_text()
    assert "CC BY 4.0" in card
    assert not any(mode in card.partition("## Features")[2].partition("## Trained")[0] for mode in milling.MODES)


def test_a_milling_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 6, column 'Torque \[Nm\]': expected a number, got 'much'"):
        milling.read(milled(tmp_path / "a.csv", spoil="much"))
    with pytest.raises(DataError, match=r"at least 200 rows"):
        milling.read(milled(tmp_path / "b.csv", 50))
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"has no column 'Air temperature \[K\]'"):
        milling.read(tmp_path / "c.csv")


# What ships -------------------------------------------------------------------------------------------------------------


def test_the_file_that_ships() -> None:
    data = train.SHIPPED.read_bytes()
    assert trust.sha256(data) == trust.vouched(train.SHIPPED)
    assert len(data) <= 200_000
    onnx_file.check_operators(train.SHIPPED, data)
    model = load(train.SHIPPED, data, trust.sha256(data), 5.0, time.perf_counter)
    assert model.card.features == FEATURES
    assert len(model.card.histograms) == len(FEATURES)
    assert "simulated machines alone" in (train.HERE / "card.md").read_text()
    assert max(feature.span for feature in model.parsed) == WARM * 86_400.0
    assert (HORIZON, WATCHED) == (3.0, 14.0)


def test_parts_and_base_of_the_file_that_ships_sum_to_its_score() -> None:
    data = train.SHIPPED.read_bytes()
    model = load(train.SHIPPED, data, trust.sha256(data), 5.0, time.perf_counter)
    rows = random_rows(200, len(FEATURES), 3)
    bases = []
    for row in rows[:50]:
        answer = model.run([None if np.isnan(value) else float(value) for value in row])
        bases.append(float(answer["score"][0] - answer["contributions"][0].sum()))
    assert np.ptp(bases) <= 1e-5
