"""From a CSV to a model: what is told of a file, what is refused, what is learned, and that the export agrees with it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from models.data import DataError
from models.tabular import export, kinds, measure
from models.tabular.__main__ import main
from models.tabular.encode import Encoding, fit
from models.tabular.kinds import KINDS
from models.tabular.scorecard import Scorecard, cut
from models.tabular.table import label, read
from tests.models.tabular.loans import rows, write

TRAIN = ["--label", "defaults", "--positive", "1", "--repeats", "1"]


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loan_exercise_end_to_end(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "TREES", 100)  # six trainings; parity is tested with all of them
    file = write(tmp_path / "loan.csv", rows(500))
    out = tmp_path / "model.onnx"
    words = ["train", "--data", str(file), *TRAIN, "--model", kind, "--out", str(out)]
    found = said([*words, "--plot", str(tmp_path / "loan.png")], capsys)
    assert found["cross_validation"]["auc"]["mean"] > 0.68
    assert found["test"]["brier"] < found["test"]["brier_of_share"]
    assert next(iter(found["strongest"])) in ("debt", "housing", "income")
    assert "column 'debt' is missing in" in found["notes"][0]
    assert (tmp_path / "loan.png").read_bytes().startswith(b"\x89PNG")
    if kind == "tree":
        first = out.read_bytes()
        said(words, capsys)
        assert out.read_bytes() == first
    judged = said(["evaluate", "--data", str(file), *TRAIN, "--model", str(out), "--out", str(tmp_path / "scores.csv")], capsys)
    assert judged["test"] == found["test"]  # the held-out rows, and no others
    scores = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert len(scores) == found["test"]["rows"] == 125
    assert scores[0]["drivers"].count(";") == 2


@pytest.mark.parametrize("kind", KINDS)
def test_parity_over_ten_thousand_and_golden_rows(kind: str, tmp_path: Path) -> None:
    labelled = label(read(write(tmp_path / "loan.csv", rows(400))), "defaults", "1")
    encoding = fit(labelled.table, labelled.labels)
    learned = encoding.encode(labelled.table)
    model = KINDS[kind](learned, labelled.labels, encoding, 1)
    check_parity(model, encoding, learned, kind, tmp_path)


def test_parity_of_boosting_on_histograms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MANY", 100)
    labelled = label(read(write(tmp_path / "loan.csv", rows(400))), "defaults", "1")
    encoding = fit(labelled.table, labelled.labels)
    learned = encoding.encode(labelled.table)
    check_parity(KINDS["boosting"](learned, labelled.labels, encoding, 1), encoding, learned, "boosting", tmp_path)


def check_parity(model: kinds.Model, encoding: Encoding, learned: np.ndarray, kind: str, folder: Path) -> None:
    about = {"kind": kind, "label": "defaults", "positive": "1", "data": {}, "measures": {}, "split": {}}
    written = export.read(export.write(model, encoding, learned, about, folder / "model.onnx"))
    chance = np.random.default_rng(4)
    asked = learned[chance.integers(0, len(learned), 10_000)] * chance.choice([1.0, 1.0, 0.7, -3.0, 50.0], (10_000, 3))
    asked[chance.random(asked.shape) < 0.1] = np.nan
    golden = written.card["golden"]
    known = [[np.nan if value is None else value for value in row] for row in golden["inputs"]]
    asked = np.vstack([asked, known]).astype(np.float32)
    score, parts = written(asked)
    assert np.abs(score - model.score(asked)).max() <= 1e-5
    assert np.abs(parts - model.contributions(asked)).max() <= 1e-5
    assert score[10_000:] == pytest.approx(golden["scores"], abs=1e-6)


def test_contributions_of_a_scorecard_sum_to_the_log_odds(tmp_path: Path) -> None:
    labelled = label(read(write(tmp_path / "loan.csv", rows(300))), "defaults", "1")
    encoding = fit(labelled.table, labelled.labels)
    learned = encoding.encode(labelled.table)
    model = KINDS["logistic"](learned, labelled.labels, encoding, 1)
    assert isinstance(model, Scorecard)
    odds = np.log(model.score(learned) / (1.0 - model.score(learned)))
    assert model.base + model.contributions(learned).sum(axis=1) == pytest.approx(odds)
    assert model.contributions(learned).mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)


@pytest.mark.parametrize(("tells", "penalty"), [(0.0, kinds.PENALTY), (4.0, max(kinds.PENALTIES))])
def test_what_tells_much_is_not_shrunk_to_little(tells: float, penalty: float) -> None:
    chance = np.random.default_rng(3)
    flags = (chance.random((400, 12)) < 0.5).astype(np.float32)
    labels = tells * (flags[:, 0] + flags[:, 1] - 1.0) + chance.normal(0, 0.5, 400) > 0
    assert kinds._penalty(flags, labels, 1) == penalty
    assert kinds._penalty(flags, np.arange(400) < 4, 1) == kinds.PENALTY, "too few of a kind to choose by"


def test_bins_by_hand() -> None:
    encoding = Encoding.of([{"name": "number"}, {"name": "word", "words": ["low", "high"]}])
    learned = np.array([[1, 0], [2, 1], [3, np.nan], [np.nan, 0]], np.float32)
    bins = cut(learned, encoding)
    assert bins(np.array([[1, 0], [2.5, 1], [99, np.nan], [np.nan, 1]], np.float32)).tolist() == [
        [1, 0, 0, 1, 0, 0, 0],
        [0, 1, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 1, 0],
    ]


def test_words_are_sorted_by_what_they_come_with(tmp_path: Path) -> None:
    labelled = label(read(write(tmp_path / "loan.csv", rows(2_000))), "defaults", "1")
    encoding = fit(labelled.table, labelled.labels)
    assert next(column.words for column in encoding.columns if column.name == "housing") == ("own", "free", "rent")
    assert np.isnan(next(column for column in encoding.columns if column.words).encode(["castle"])).all()


def test_calibration_and_measures_by_hand() -> None:
    labels, scores = np.array([False, True] * 10), np.array([0.25, 0.75] * 10)
    found = measure.measure(labels, scores)
    assert (found.auc, found.accuracy, found.brier, found.brier_of_share) == (1.0, 1.0, pytest.approx(0.0625), 0.25)
    assert found.calibration_error == pytest.approx(0.25)
    assert measure.calibration(labels, scores)[0] == (0.25, 0.0, 2)


def damaged(what: str) -> str:
    table = rows(120)
    head = "income,housing,debt,defaults"
    lines = [",".join(row[name] for name in head.split(",")) for row in table]
    if what == "leak":
        return "\n".join([f"{head},paid", *(f"{line},{1 - int(line[-1])}" for line in lines)])
    if what == "single":
        return "\n".join([head, *(f"{line[:-1]}1" for line in lines)])
    if what == "few":
        return "\n".join([head, *lines[:30]])
    if what == "rare":
        return "\n".join([head, *(f"{line[:-1]}{int(number < 3)}" for number, line in enumerate(lines))])
    if what == "ragged":
        return "\n".join([head, lines[0], lines[1] + ",9", *lines[2:]])
    return "\n".join([{"doubled": "income,income,debt,defaults", "nameless": "income,,debt,defaults"}.get(what, head), *lines])


@pytest.mark.parametrize(
    ("what", "words", "message"),
    [
        (
            "leak",
            [],
            "column 'paid' alone tells the label (AUC 1.000), so it was probably made from it; leave it out with --drop",
        ),
        ("single", [], "column 'defaults' has only one value"),
        ("few", [], "30 rows with a label; at least 50 are needed"),
        ("rare", [], "3 positive rows and 117 others; at least 10 of each are needed"),
        ("ragged", [], "line 3 has 5 cells where the header has 4"),
        ("doubled", [], "two columns are called 'income'"),
        ("nameless", [], "column 2 has no name"),
        ("", ["--label", "default"], "has no column 'default'; did you mean 'defaults'?"),
        ("", ["--positive", "yes"], "column 'defaults' never says 'yes', only"),
        ("", ["--label", "income"], "has 119 values, so it is no label of two kinds"),
        ("", ["--drop", "debts"], "has no column 'debts'; did you mean 'debt'?"),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_clear_line(
    what: str, words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "loan.csv"
    file.write_text(damaged(what) + "\n")
    assert main(["train", "--data", str(file), *TRAIN, *words, "--out", str(tmp_path / "model.onnx")]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_what_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "loan.csv"
    file.write_bytes("a,b\n1,2\nZürich,3\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"line 3 is not UTF-8 \(byte 9\); save the file as UTF-8"):
        read(file)


def test_commas_are_decimal_where_semicolons_part_the_cells(tmp_path: Path) -> None:
    (tmp_path / "loan.csv").write_text("debt;note\n1,5;a, b\n-2,25;1,2,3\n")
    found = read(tmp_path / "loan.csv")
    assert found.columns == (("1.5", "-2.25"), ("a, b", "1,2,3"))


def test_columns_that_tell_nothing_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = [
        {
            "row": str(number),
            "bank": "x",
            "name": f"n{number}",
            "blank": "",
            **row,
            "flag": row["defaults"] if number < 40 else "0",
        }
        for number, row in enumerate(rows(200))
    ]
    found = said(["train", "--data", str(write(tmp_path / "loan.csv", table)), *TRAIN, "--out", str(tmp_path / "m.onnx")], capsys)
    notes = "\n".join(found["notes"])
    assert "column 'row' counts the rows: left out" in notes
    assert "column 'bank' always says 'x': left out" in notes
    assert "column 'name' has 200 different words in 200 rows, so it names rows: left out" in notes
    assert "column 'blank' is empty: left out" in notes
    assert "rows that say '1' are positive; make sure that it is known before the label" in notes
    assert set(found["strongest"]) == {"income", "housing", "debt", "flag"}


def test_a_kind_is_cross_validated_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "loan.csv", rows(200))
    assert said(["evaluate", "--data", str(file), *TRAIN, "--model", "svm"], capsys)["cross_validation"]["folds"] == 5
    assert main(["evaluate", "--data", str(file), *TRAIN, "--model", "magic"]) == 1
    assert "expected logistic, svm, tree, boosting, or a file" in capsys.readouterr().err
    assert main(["evaluate", "--data", str(file), *TRAIN, "--model", str(file.with_suffix(".onnx"))]) == 1
    assert "No such file" in capsys.readouterr().err


def test_leaks_pass_when_they_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "loan.csv"
    file.write_text(damaged("leak") + "\n")
    words = ["evaluate", "--data", str(file), *TRAIN, "--keep", "paid"]
    assert said(words, capsys)["cross_validation"]["auc"]["mean"] > 0.99
    assert said([*words[:-2], "--drop", "paid"], capsys)["cross_validation"]["auc"]["mean"] < 0.9
    assert main([*words, "--keep", "payed"]) == 1
    assert "has no column 'payed'; did you mean 'paid'?" in capsys.readouterr().err
