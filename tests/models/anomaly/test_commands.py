"""`python -m models.anomaly train|evaluate` as it is typed, and what a file that cannot be used is told: one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from models.anomaly import __main__ as command
from models.anomaly.choose import PACES, Choice
from models.anomaly.plot import plot_choice
from models.anomaly.series import read

ROWS = 900


def table(path: Path, *, label: str = "label", blank: bool = False) -> Path:
    """Two columns with a day's swing, of which the second jumps where the label says so."""
    chance = np.random.default_rng(1)
    swing = np.sin(2 * np.pi * np.arange(ROWS) / 48)
    marked = (np.arange(ROWS) >= 780) & (np.arange(ROWS) < 820)
    columns = [swing + chance.normal(0, 0.1, ROWS), 50 + 5 * swing + chance.normal(0, 0.3, ROWS) + 12.0 * marked]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("timestamp", "load", "heat", label))
        for row, (one, other, bad) in enumerate(zip(*columns, marked, strict=True)):
            writer.writerow((row, "" if blank and row % 50 == 3 else f"{one:.4f}", f"{other:.4f}", int(bad)))
    return path


def test_evaluate_prints_the_measures_and_writes_scores_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out, picture = table(tmp_path / "one.csv", label="broken", blank=True), tmp_path / "scores.csv", tmp_path / "one.png"
    words = ["evaluate", "--data", file, "--label", "broken", "--train-rows", 600, "--out", out, "--plot", picture, "--json"]
    assert command.main(list(map(str, words))) == 0
    found = json.loads(capsys.readouterr().out)
    (one,) = found["files"]
    assert (one["rows"], one["trained"], one["season"]) == (ROWS, 600, [48, 48])
    assert one["auc"] > 0.9
    assert {"mean", "error"} == set(found["mean"]["VUS-PR"])
    assert len(out.read_text().splitlines()) == ROWS + 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert command.main(["evaluate", "--data", str(table(tmp_path / "two.csv")), "--train-rows", "600"]) == 0
    said = capsys.readouterr().out
    for what in ("VUS-PR", "AUC", "F1", "false alarm rate", "missed alarm rate"):
        assert what in said


def lines(*rows: str, head: str = "value,label") -> str:
    return "\n".join((head, *rows)) + "\n"


GOOD = [f"{row % 7},{int(row == 500)}" for row in range(600)]


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (None, (), "No such file or directory; give a CSV file with a header"),
        ("", (), "has no rows below its header"),
        (lines(), (), "has no rows below its header"),
        (b"\xff\xfe\x00", (), "byte 0 is not UTF-8; save the file as UTF-8"),
        (lines("1,0", "much,0"), (), "line 3, column 'value': expected a number, got 'much'"),
        (lines("1,0", "inf,0"), (), "line 3, column 'value': expected a number, got 'inf'"),
        (lines("1,0", "1"), (), "line 3 has 1 cells, the header 2"),
        (lines(*[f"5,{int(row == 500)}" for row in range(600)]), (), "column value never changes"),
        (lines(*[f"nan,{int(row == 500)}" for row in range(600)]), (), "column value never changes"),
        (lines(*[f"{row % 7},1" for row in range(600)]), (), "every row is labelled"),
        (lines(*GOOD[350:]), (), "250 rows; more than 400 are needed"),
        (lines(*GOOD), ("--train-rows", "30"), "30 of 600 rows to learn from"),
        (lines(*GOOD), ("--train-rows", "550"), "no row after the first 550 is labelled"),
        (lines(*GOOD), ("--label", "truth"), "has no column truth among value, label"),
        ("label\n0\n1\n", (), "has no column of numbers beside label"),
    ],
)
def test_what_cannot_be_used_gets_one_line(
    tmp_path: Path, text: str | bytes | None, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "given.csv"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    for action in ("evaluate", "train"):
        out = () if action == "evaluate" else ("--out", str(tmp_path / "anomaly.onnx"))
        assert command.main([action, "--data", str(file), *words, *out]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
        assert str(file) in line


def test_without_labels_only_alarms_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = table(tmp_path / "one.csv", label="state")
    text = file.read_text().replace(",", ";").replace(";0\n", ";fine\n").replace(";1\n", ";odd\n")
    file.write_text(text)  # the column of words is left out
    words = ["--data", str(file), "--train-rows", "600"]
    assert command.main(["train", *words, "--out", str(tmp_path / "anomaly.onnx")]) == 1
    assert "name the column of labels with --label" in capsys.readouterr().err
    assert command.main(["evaluate", *words, "--json", "--plot", str(tmp_path / "p.png")]) == 0
    out, err = capsys.readouterr()
    assert err == f"{file}: no row is labelled (--label names the column), so only alarms are told\n"
    (one,) = json.loads(out)["files"]
    assert (one["vus_pr"], one["f1"], one["spans"]) == (None, None, 0)
    assert one["alarms"] == one["false_alarms"] >= 1
    assert command.main(["evaluate", *words]) == 0
    assert "nan" not in capsys.readouterr().out
    file.write_text(text.replace(";fine\n", ";normal\n").replace(";odd\n", ";anomaly\n"))
    assert command.main(["evaluate", *words, "--label", "state", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["auc"] > 0.9


def test_a_file_in_which_nothing_is_labelled_tells_its_false_alarms_and_chooses_no_pace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "calm.csv"
    file.write_text(lines(*(f"{row % 7},0" for row in range(600))))
    assert command.main(["evaluate", "--data", str(file), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["files"]
    assert (one["auc"], one["spans"], one["alarms"]) == (None, 0, one["false_alarms"])
    assert command.main(["train", "--data", str(file), "--out", str(tmp_path / "anomaly.onnx")]) == 1
    assert "no row is labelled; both kinds are needed" in capsys.readouterr().err


def test_columns_that_count_are_no_measurements_and_commas_may_be_decimal_points(tmp_path: Path) -> None:
    file = tmp_path / "german.csv"
    body = "\n".join(f"{row};{1.7e9 + 60 * row:.0f};{row % 7},25;{int(row == 500)}" for row in range(600))
    file.write_text(f"Nummer;sekunden;wert;label\n{body}\n", encoding="utf-8-sig")
    found = read(file, None, 450, None)
    assert (found.columns, found.counting) == (("wert",), ("Nummer", "sekunden"))
    assert found.values[:8, 0].tolist() == [0.25, 1.25, 2.25, 3.25, 4.25, 5.25, 6.25, 0.25]


def test_of_too_many_columns_those_that_change_most_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    names = [*(f"f{number}" for number in range(34)), "label"]
    rows = [[*(row // (1 + number) % 7 for number in range(34)), int(row == 500)] for row in range(600)]
    file.write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n")
    found = read(file, None, 450, None)
    assert found.columns == tuple(names[:32])
    assert found.values.shape == (600, 32)
    assert found.left_out == ("f32", "f33")


def test_the_pace_is_chosen_on_some_files_and_others_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("models.anomaly.choose.PACES", PACES[:2])
    monkeypatch.setattr("models.anomaly.export._golden", lambda *_: None)
    chooses, reports = table(tmp_path / "chooses_tr_600_.csv"), table(tmp_path / "reports_tr_600_.csv")
    words = ["train", "--data", str(chooses), "--report", str(reports), "--out", str(tmp_path / "anomaly.onnx")]
    assert command.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["reported_mean"] == told["reported"]["reports_tr_600_"] > 0.3
    card = (tmp_path / "card.md").read_text()
    assert "| VUS-PR |" in card
    assert "1 labelled series that had no part in the choice" in card
    assert "it only reports" in card
    assert command.main(["train", "--report", str(reports)]) == 1
    assert "--report: goes with --data" in capsys.readouterr().err


def test_training_names_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["train", "--out", str(tmp_path / "mine.onnx")]) == 1
    assert "the graph is called anomaly.onnx" in capsys.readouterr().err
    assert command.main(["evaluate"]) == 1
    assert "give either files with --data" in capsys.readouterr().err


def test_the_choice_by_hand(tmp_path: Path) -> None:
    figures = np.zeros((len(PACES), 4))
    figures[3] = [0.9, 0.9, 0.1, 0.1]
    figures[5] = [0.1, 0.1, 0.6, 0.6]
    choice = Choice(PACES, ("a", "a", "b", "b"), figures)
    assert choice.best == PACES[3]
    assert {name: list(each) for name, each in choice.folder_left_out().items()} == {"a": [0.1, 0.1], "b": [0.1, 0.1]}
    assert choice.ranked()[0][0] == PACES[3]
    plot_choice(choice, ["1", "2", "3", "4"], tmp_path / "choice.png")
    assert (tmp_path / "choice.png").read_bytes().startswith(b"\x89PNG")
    assert Choice(PACES, ("a", "a"), figures[:, :2]).folder_left_out() == {}
