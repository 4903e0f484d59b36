"""`atm-agent model …` as it is typed: what it prints, what it refuses, what it leaves on the shelf."""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
from datetime import date, timedelta
from math import pi, sin
from pathlib import Path
from random import Random

import pytest

from agent.cli import model
from agent.cli.demand import foretell
from agent.errors import EXIT_FAILED, EXIT_OK, AgentError, ModelRefused
from agent.scoring.session import load
from agent.scoring.shelf import Shelf
from agent.scoring.trust import sha256
from tests.agent.scoring import graphs
from tests.agent.scoring.test_demand import opened


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    model.add_parser(parser.add_subparsers(dest="command"))
    return model.run(parser.parse_args(["model", *map(str, words)]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return graphs.put(tmp_path, graphs.model())


def test_inspect_shows_the_card_and_runs_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", file, "--json") == EXIT_OK
    card = json.loads(capsys.readouterr().out)
    assert (card["name"], card["sha256"], card["bytes"]) == ("test_risk", sha256(file.read_bytes()), file.stat().st_size)
    assert run("inspect", file) == EXIT_OK
    shown = capsys.readouterr().out
    assert all(feature in shown for feature in graphs.FEATURES)
    endless = graphs.put(file.parent, graphs.model(graphs.endless()), "endless.onnx")
    with pytest.raises(ModelRefused, match="no bound"):
        run("inspect", endless)


def test_verify_says_what_the_agent_would(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = sha256(file.read_bytes())
    assert run("verify", file, "--sha256", right, "--budget", 5) == EXIT_OK
    assert "good: test_risk-1.0-" in capsys.readouterr().out
    assert run("verify", file, "--sha256", "0" * 64, "--json") == EXIT_FAILED
    said = json.loads(capsys.readouterr().out)
    assert said["word"] == "refused"
    assert right in said["message"]
    with pytest.raises(ModelRefused, match="nothing vouches"):
        run("verify", file)
    with pytest.raises(AgentError, match="expected 64 hexadecimal digits"):
        run("verify", file, "--sha256", "ABC")


def test_score_takes_columns_in_any_order_and_blanks(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = file.with_name("rows.csv")
    order = [graphs.FEATURES[2], "remark", graphs.FEATURES[0], graphs.FEATURES[1]]
    lines = [order, ["3", "x", "0.5", "1"], ["", "", "nan", "0.25"]]
    out = io.StringIO()
    csv.writer(out).writerows(lines)
    table.write_text(out.getvalue())
    assert run("score", file, table, "--json") == EXIT_OK
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["score"] == pytest.approx(graphs.answer([0.5, 1.0, 3.0]), abs=1e-6)
    assert (first["drivers"][0], first["contributions"][0]) == (graphs.FEATURES[2], 3.0)
    assert second["score"] == pytest.approx(graphs.answer([None, 0.25, None]), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"rows.csv:1: has no column 'mean\(motion.rms_ms2,60s\)' \(3 of 3 are lacking\)"),
        ('"mean(motion.rms_ms2,60s)","share(auxiliaries.cabinetDoor=open|tampered,60s)"\n', r"\(1 of 3 are lacking\)"),
        (",".join(f'"{each}"' for each in graphs.FEATURES) + "\n1,2,much\n", r"rows.csv:2: delta.*expected a number, got 'much'"),
        (None, "No such file"),
        (b"\xff\xfe", "byte 0 is not UTF-8; save the file as UTF-8"),
    ],
)
def test_score_says_what_is_wrong_with_the_rows(file: Path, text: str | bytes | None, reason: str) -> None:
    table = file.with_name("rows.csv")
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AgentError, match=reason):
        run("score", file, table)


def test_install_shadow_rollback_and_list(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shelf = file.with_name("shelf")
    with pytest.raises(AgentError, match="somebody must vouch"):
        run("install", file, "--shelf", shelf)
    with pytest.raises(ModelRefused, match="wanted is"):
        run("install", file, "--shelf", shelf, "--sha256", "0" * 64)
    assert run("list", "--shelf", shelf) == EXIT_OK
    assert "nothing is installed" in capsys.readouterr().out
    assert run("install", file, "--shelf", shelf, "--sha256", sha256(file.read_bytes()), "--budget", 5) == EXIT_OK
    newer = graphs.put(file.parent, graphs.model(text=graphs.card(version="1.1")), "newer.onnx")
    pin = sha256(newer.read_bytes())
    assert run("install", newer, "--shelf", shelf, "--sha256", pin, "--budget", 5, "--shadow") == EXIT_OK
    assert f"current 1.0 ({sha256(file.read_bytes())[:8]}), shadow 1.1 ({pin[:8]})" in capsys.readouterr().out
    assert run("rollback", "test_risk", "--shelf", shelf, "--shadow") == EXIT_OK
    assert run("rollback", "test_risk", "--shelf", shelf) == EXIT_OK
    assert "current the one that came with the agent" in capsys.readouterr().out
    assert run("list", "--shelf", shelf, "--json") == EXIT_OK
    assert json.loads(capsys.readouterr().out)["test_risk"]["current"] is None
    with pytest.raises(ModelRefused, match="what came with the agent is in use"):
        run("rollback", "test_risk", "--shelf", shelf)
    assert Shelf(shelf).row("test_risk").previous == ()


def test_a_model_of_demand_is_installed_as_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = MODELS / "cash_demand" / "cash_demand.onnx"
    words = ["install", file, "--shelf", tmp_path / "shelf", "--sha256", sha256(file.read_bytes()), "--budget", 5]
    assert run(*words) == EXIT_OK
    assert capsys.readouterr().out.startswith("cash_demand: current 1.")
    with pytest.raises(AgentError, match="--shadow: a model that foretells has no shadow"):
        run(*words, "--shadow")


# Models that ship, and models of tables ---------------------------------------------------------------------------------

MODELS = Path(__file__).parents[3] / "models"


@pytest.mark.parametrize("name", ["attack_risk", "anomaly", "cash_demand", "fault"])
def test_inspect_shows_what_ships(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", MODELS / name / f"{name}.onnx", "--json") == EXIT_OK
    assert json.loads(capsys.readouterr().out)["name"] == name
    assert run("inspect", MODELS / name / f"{name}.onnx") == EXIT_OK
    assert "intended_use" in capsys.readouterr().out


def test_verify_takes_a_model_of_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", MODELS / "cash_demand" / "cash_demand.onnx", "--budget", 5) == EXIT_OK
    assert "2 golden machines agree" in capsys.readouterr().out


def test_score_foretells_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "demand.csv"
    rows = [f"{date(2026, 1, 1) + timedelta(days=day)},{100 + 20 * (day % 7)},{'' if day % 9 else 50}" for day in range(60)]
    table.write_text("\n".join(["day,ATM-1,ATM-2", *rows]) + "\n")
    demand = MODELS / "cash_demand" / "cash_demand.onnx"
    assert run("score", demand, table, "--country", "at", "--json") == EXIT_OK
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["machine"], each["days"]) for each in told] == [(m, d) for m in ("ATM-1", "ATM-2") for d in range(1, 15)]
    assert told[0]["first"] == "2026-03-02"
    assert 600 < told[6]["quantiles"]["0.5"] < 1500
    for text, reason in (
        ("day,ATM-1\nMonday,5\n", r"demand.csv: line 2: expected a date such as 1998-03-22 in the first column, got 'Monday'"),
        ("day,ATM-1\n2026-01-01,-5\n", r"demand.csv: line 2, machine 'ATM-1': expected an amount of 0 or more, got '-5'"),
        ("day,ATM-1\n2026-01-01,5,6\n", r"demand.csv: line 2 has 3 cells where the header has 2"),
        ("day,ATM-1\n", "holds 0 days; give a line a day below the header"),
        ("day\n", "must name a column of dates"),
    ):
        table.write_text(text)
        with pytest.raises(AgentError, match=reason):
            foretell(opened(), table, "", as_json=False)
    german = [f"{date(2026, 1, 1) + timedelta(days=day):%d.%m.%Y};{0 if day % 7 == 4 else '100,5'}" for day in range(60)]
    table.write_text("\n".join(["Tag;ATM-1", *german]) + "\n")  # the day behind the last is one of those with 0: closed
    assert run("score", demand, table, "--json") == EXIT_OK
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (told[0]["first"], told[0]["quantiles"]["0.99"]) == ("2026-03-02", 0.0)
    assert 500 < told[6]["quantiles"]["0.5"] < 800  # a month begins
    with pytest.raises(AgentError, match="--country"):
        foretell(opened(), series(tmp_path / "x.csv", 2, "a", "b"), "XX", as_json=False)


def test_a_model_of_tables_scores_words_and_is_not_for_the_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["age", "house", "debt"]
    columns = [{"name": "age"}, {"name": "house", "words": ["own", "rent"]}, {"name": "debt"}]
    file = graphs.put(tmp_path, graphs.model(text=graphs.card(features=names, columns=columns)))
    table = tmp_path / "rows.csv"
    table.write_text("house;remark;debt;age\nrent;x;3;0,5\nboat;y;much;\n")
    assert run("score", file, table, "--json") == EXIT_OK
    first, second = (json.loads(line)["score"] for line in capsys.readouterr().out.splitlines())
    assert first == pytest.approx(graphs.answer([0.5, 1.0, 3.0]), abs=1e-6)
    assert second == pytest.approx(graphs.answer([None, None, None]), abs=1e-6)
    assert run("inspect", file) == EXIT_OK
    with pytest.raises(ModelRefused, match="whose columns no sensor gives"):
        load(file, file.read_bytes(), "", 5.0, time.perf_counter)
    table.write_text("house\nown\n")
    with pytest.raises(AgentError, match="has no column 'age'"):
        run("score", file, table)


# Models that learn at the machine -------------------------------------------------------------------------------------

LEARNS = Path(__file__).parents[3] / "models" / "anomaly" / "anomaly.onnx"


def series(path: Path, rows: int, *names: str) -> Path:
    """A day's swing in every column, and in the last 20 rows something else in the first."""
    rng = Random(1)
    lines = [list(names)]
    for row in range(rows):
        swing = [10.0 + sin(2 * pi * row / 96) + rng.gauss(0, 0.05) for _ in names]
        swing[0] += 5.0 * (row >= rows - 20)
        lines.append([f"{value:.4f}" for value in swing])
    path.write_text("\n".join(map(",".join, lines)) + "\n")
    return path


def test_score_learns_from_the_first_rows_of_any_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = series(tmp_path / "rows.csv", 1800, "fan", "pump")
    assert run("inspect", LEARNS) == EXIT_OK
    capsys.readouterr()
    assert run("score", LEARNS, table, "--train-rows", 1500, "--json") == EXIT_OK
    scores = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(scores) == 1800
    assert scores[:1500] == [{"score": None}] * 1500
    assert max(each["score"] for each in scores[1500:1780]) < 0.5 < scores[-1]["score"]
    assert scores[-1]["drivers"][0] == "fan"
    assert sum(scores[-1]["contributions"]) == pytest.approx(scores[-1]["score"], abs=0.01)
    assert run("score", LEARNS, table, "--train-rows", 1500) == EXIT_OK
    assert capsys.readouterr().out.splitlines()[:2] == ["score,class,drivers", ",,"]


def test_score_says_what_keeps_it_from_learning(tmp_path: Path, file: Path) -> None:
    table = series(tmp_path / "rows.csv", 500, "fan")
    with pytest.raises(AgentError, match=r"rows.csv:501: ends within the 4032 rows to learn from; set --train-rows"):
        run("score", LEARNS, table)
    with pytest.raises(AgentError, match="--train-rows: a commissioning window of 10 rows is too short"):
        run("score", LEARNS, table, "--train-rows", 10)
    with pytest.raises(AgentError, match="has learned all it knows"):
        run("score", file, table, "--train-rows", 480)
    table.write_text("place\nhall\n")
    with pytest.raises(AgentError, match="no column of it begins with a number"):
        run("score", LEARNS, table)


def test_commission_orders_a_new_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    settings = {
        "gateway": {"id": "gw"},
        "machines": [{"id": "ATM-1"}, {"id": "ATM-2"}],
        "models": [{"name": "anomaly"}, {"name": "attack_risk"}],
        "store": {"path": str(tmp_path / "store")},
    }
    config.write_text(json.dumps(settings))
    assert run("commission", "anomaly", "--config", config) == EXIT_OK
    assert "learns again what is usual at ATM-2" in capsys.readouterr().out
    shelf = Shelf(tmp_path / "store-models")
    first = shelf.orders("anomaly")
    assert set(first) == {"ATM-1", "ATM-2"}
    assert run("commission", "anomaly", "--config", config, "--machine", "ATM-2", "--json") == EXIT_OK
    assert json.loads(capsys.readouterr().out) == {"name": "anomaly", "machines": ["ATM-2"]}
    assert shelf.orders("anomaly")["ATM-1"] == first["ATM-1"]
    assert shelf.orders("anomaly")["ATM-2"] > first["ATM-2"]
    with pytest.raises(AgentError, match=r"--machine: 'ATX' is not configured; .* has ATM-1, ATM-2"):
        run("commission", "anomaly", "--config", config, "--machine", "ATX")
    with pytest.raises(AgentError, match="NAME: 'anomly' is not configured"):
        run("commission", "anomly", "--config", config)
    with pytest.raises(AgentError, match="attack_risk has learned all it knows"):
        run("commission", "attack_risk", "--config", config)
    with pytest.raises(AgentError, match="name at least one machine"):
        run("commission", "anomaly", "--shelf", tmp_path / "shelf")
    with pytest.raises(ModelRefused, match="letters, digits"):
        run("commission", "../x", "--shelf", tmp_path / "shelf", "--machine", "ATM-1")
