"""`atm-agent analyse` over a store that holds some weeks of a machine."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from agent.analysis.past import gathered
from agent.cli import main
from agent.cli.analyse.picture import _curve
from agent.records import Alarm, Body, CashPosition, EventClass, Evidence, PointSummary, Severity, Stamp, Summary
from agent.store import lane_of
from agent.store.opening import open_durable
from agent.store.room import Bounds

HOUR, DAY = 3_600.0, 86_400.0
START = 1_741_564_800.0  # Monday 2025-03-10, UTC
DAYS = 28
LOADED = 2_400  # notes, on each Monday morning
DOWN_HOURS = range(300, 306)  # since START
IN_THE_BIN = 35_000  # minor units


def window(hour: int, notes: int) -> Summary:
    word = "outOfService" if hour in DOWN_HOURS else "inService"
    service = PointSummary(n=1, last=word, states={word: HOUR})
    visit = "planned" if hour % 168 == 8 else "none"
    points = {
        "machine.service": service,
        "machine.visit": PointSummary(n=1, last=visit, states={visit: HOUR}),
        "transaction.count": PointSummary(n=60, last=hour, delta=10.0),
        "transaction.failed": PointSummary(n=60, last=hour, delta=0.5),
        "cashDispenser.picks": PointSummary(n=60, last=hour, delta=40.0),
        "storage.unit1.presented": PointSummary(n=60, last=hour, delta=12.0),
        "machine.exposure": PointSummary(n=60, last=notes * 1_000 + IN_THE_BIN),
    }
    at = START + hour * HOUR
    return Summary("ATM", at, at + HOUR, 1.0, points, CashPosition("EUR", notes * 1_000, {"unit1": notes}), {"risk": 0.2})


def bodies() -> list[Body]:
    """Twelve notes an hour from nine to nine, a load every Monday at nine, six hours without service in the second week."""
    found: list[Body] = []
    notes = 500
    evidence = (Evidence("cashDispenser.device", "hardwareError", START + 300 * HOUR),)
    for hour in range(24 * DAYS):
        if hour % 168 == 8:
            notes = LOADED
        elif 9 <= hour % 24 < 21 and hour not in DOWN_HOURS:
            notes -= 12 + hour // 24 % 3
        if hour == 300:
            found.append(
                Alarm(
                    "ATM", START + 300 * HOUR + 5.0, "deviceError", EventClass.FAULT, Severity.SUSPEND, "cashDispenser.device",
                    "hardwareError", evidence, "A device has a hardware error.",
                )
            )  # fmt: skip
        found.append(window(hour, notes))
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("analyse") / "store"
    opened, _ = open_durable(path, "gw", ["one"], Bounds(2**27, 0, 1_000.0, 2**27), lambda: "epoch")
    for body in bodies():
        at = body.end if isinstance(body, Summary) else body.at  # type: ignore[union-attr]
        opened.append(lane_of(body), [body], Stamp(at, 0.0, "boot", synced=True))
    opened.close()
    return path


@pytest.fixture
def configured(tmp_path: Path, store: Path) -> Path:
    machine = {
        "id": "ATM",
        "hours": [{"days": "all", "time": "06:00-22:00"}],
        "visits": [{"from": "2025-04-08T09:00:00+00:00", "to": "2025-04-08T10:00:00+00:00"}],
        "cassettes": {"unit1": {"value": 1000, "currency": "EUR"}},
        "insured_limit": 1_000_000,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"gateway": {"id": "gw"}, "machines": [machine], "store": {"path": str(store)}}))
    return path


def analysed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["analyse", "--machine", "ATM", "--json", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_week_with_a_fault(capsys: pytest.CaptureFixture[str], configured: Path) -> None:
    found = analysed(capsys, "--config", str(configured), "--from", "2025-03-17", "--to", "2025-03-24")
    assert found["transactions"]["transactions"] == 168 * 10
    assert found["availability"]["agreed_s"] == 7 * 16 * HOUR
    assert found["availability"]["down_s"] == 6 * HOUR
    assert found["availability"]["by_cause"] == {"hardware: cashDispenser": 6 * HOUR}
    assert found["availability"]["percent"] == pytest.approx(100 * (1 - 6 / 112))
    assert (found["reliability"]["failures"], found["reliability"]["mttr_h"]) == (1, 6.0)
    assert [alarm["rule"] for alarm in found["alarms"]] == ["deviceError"]
    assert [each["after"]["unit1"] for each in found["replenishments"]] == [LOADED]
    assert found["replenishments"][0]["difference"] is not None
    assert found["states"]["machine.visit"] == {"none": 167 * HOUR, "planned": HOUR}


def test_what_may_happen_next(capsys: pytest.CaptureFixture[str], configured: Path) -> None:
    """From Monday 2025-04-07 00:00 to the visit on Tuesday at nine: 33 hours."""
    outlook = analysed(capsys, "--config", str(configured))["outlook"]
    assert outlook["days"] == pytest.approx(33 / 24)
    assert outlook["until"] == "the next planned visit"
    assert (outlook["days_known"], outlook["days_censored"]) == (DAYS, 1)
    assert outlook["risk"]["probability_of_cash_out"] == 0.0
    cash = outlook["risk"]["cash"]
    assert outlook["exposure"] == cash + IN_THE_BIN
    assert outlook["first_empty"] == ["unit1", pytest.approx(cash / (12 * 13 * 1_000), rel=0.15)]
    assert outlook["risk"]["days_to_empty"] == pytest.approx(cash / (12 * 13 * 1_000), rel=0.15)
    assert outlook["lasts_at_least"] <= outlook["lasts"]


def test_the_horizon_can_be_given(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    outlook = analysed(capsys, "--store", str(store), "--until-replenishment", "10d")["outlook"]
    assert (outlook["days"], outlook["until"]) == (10.0, "as asked")
    assert outlook["risk"]["probability_of_cash_out"] == 1.0
    assert outlook["risk"]["expected_unmet"] > 0


def test_what_planned_work_counts_as_is_a_choice(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    words = ("--store", str(store), "--from", "2025-03-17", "--to", "2025-03-24", "--planned", "down")
    assert analysed(capsys, *words)["availability"]["planned"] == "down"


def test_the_curve_of_cash_has_a_gap_where_nobody_observed() -> None:
    past = gathered("ATM", [window(hour, 100) for hour in (0, 1, 5)])
    times, amounts = _curve(past.windows, "EUR")
    assert [f"{time:%H}" for time in times] == ["01", "02", "02", "05", "06"]
    assert [isnan(each) for each in amounts] == [False, False, True, True, False]


def test_history_is_a_table_in_blocks_for_people(
    capsys: pytest.CaptureFixture[str], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.history.BLOCK", 5)
    span = ["history", "--store", str(store), "--from", "2025-03-22T11:30", "--to", "2025-03-22T13:00"]
    assert main(span) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5, "more than a block"
    assert sum(line.startswith("alarm") for line in lines) == 1
    assert len({line.index("2025-03-22") for line in lines} | {head.index("at")}) == 1
    assert main([*span, "--machine", "ATM-9"]) == 0
    assert capsys.readouterr().out == "the store holds nothing of it in this span\n"


def test_people_read_a_table(capsys: pytest.CaptureFixture[str], configured: Path) -> None:
    assert main(["analyse", "--machine", "ATM", "--config", str(configured), "--from", "2025-03-17", "--to", "2025-03-24"]) == 0
    told = capsys.readouterr().out
    for words in ("94.643 %", "hardware: cashDispenser", "cash risk", "counting difference", "deviceError", "MORE than"):
        assert words in told, words
    assert main(["analyse", "--machine", "ATM", "--config", str(configured)]) == 0
    assert "P(cash-out)" in capsys.readouterr().out


def test_a_picture(tmp_path: Path, configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "week.png"
    analysed(capsys, "--config", str(configured), "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    assert main(["analyse", "--machine", "ATM", "--store", str(store), "--plot", "/nowhere/a.png"]) == 1
    assert "/nowhere/a.png: " in capsys.readouterr().err


def test_without_matplotlib_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("agent.cli.analyse.picture.import_module", missing)
    assert main(["analyse", "--machine", "ATM", "--store", str(store), "--plot", "x.png"]) == 1
    assert "pip install 'atm-edge-agent[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (["--machine", "other", "--store", "STORE"], "holds no windows of other", 1),
        (["--store", "STORE", "--from", "2030-01-01"], "holds no windows", 1),
        (["--machine", "ATM", "--store", "STORE", "--attacks-per-year", "0.1", "--plot", "a.png"], "--plot draws one machine", 1),
        (["--machine", "ATM", "--store", "/nowhere"], "there is no store", 1),
        (["--machine", "ATM", "--store", "/usr"], "/usr: there is no store", 1),
        (["--machine", "ATM", "--store", "STORE", "--from", "2030-01-01"], "holds no windows", 1),
        (["--machine", "ATM", "--store", "STORE", "--from", "2d", "--to", "3d"], "later than --from", 1),
        (["--machine", "other", "--config", "CONFIG"], "known are ATM", 78),
    ],
)
def test_one_line_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], store: Path, configured: Path, words: list[str], message: str, status: int
) -> None:
    named = [{"STORE": str(store), "CONFIG": str(configured)}.get(word, word) for word in words]
    assert main(["analyse", *named]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_what_foretells_the_demand_is_told(capsys: pytest.CaptureFixture[str], configured: Path, tmp_path: Path) -> None:
    words = ["--config", str(configured)]
    by_model = analysed(capsys, *words)["outlook"]
    by_past = analysed(capsys, *words, "--demand-model", "none")["outlook"]
    assert by_past["foretold_by"] == "the past alone"
    assert by_model["foretold_by"].startswith(("cash_demand-1.1-", "the past alone"))
    assert main(["analyse", "--machine", "ATM", *words, "--demand-model", str(tmp_path / "no.onnx")]) == 0
    err = capsys.readouterr().err
    assert "no.onnx: No such file" in err
    assert err.endswith("; the past alone foretells the demand\n")


# Several machines ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two machines of which one has weeks behind it, one only a day, and the gateway's own windows."""
    path = tmp_path_factory.mktemp("fleet") / "store"
    opened, _ = open_durable(path, "gw", ["one"], Bounds(2**27, 0, 1_000.0, 2**27), lambda: "epoch")
    summaries = [body for body in bodies() if isinstance(body, Summary)]
    young = [replace(each, machine="NEW") for each in summaries[-24:]]
    own = [Summary("gw", each.start, each.end, 1.0, {}) for each in summaries[-2:]]
    for body in sorted([*summaries, *young, *own], key=lambda each: each.end):
        opened.append(lane_of(body), [body], Stamp(body.end, 0.0, "boot", synced=True))
    opened.close()
    return path


def kept(path: Path, *summaries: Summary) -> str:
    """A store that holds these windows."""
    opened, _ = open_durable(path, "gw", ["one"], Bounds(2**27, 0, 1_000.0, 2**27), lambda: "epoch")
    for each in summaries:
        opened.append(lane_of(each), [each], Stamp(each.end, 0.0, "boot", synced=True))
    opened.close()
    return str(path)


LOW = ("--until-replenishment", "10d", "--demand-model", "none")


def fleet_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["analyse", "--json", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_all_machines_of_the_store_are_analysed_together(capsys: pytest.CaptureFixture[str], fleet: Path) -> None:
    found = fleet_of(capsys, "--store", str(fleet), *LOW, "--attacks-per-year", "0.02")
    assert [each["machine"] for each in found["machines"]] == ["ATM", "NEW"]
    first = found["machines"][0]["outlook"]
    cash_out, attack = found["fleet"]["losses"]
    assert found["fleet"]["currency"] == "EUR"
    assert (cash_out["event"], cash_out["left_out"]) == ("cashOut", ["NEW"])
    assert cash_out["expected"] == pytest.approx(first["risk"]["expected_unmet"], rel=1e-3)
    assert (attack["event"], attack["left_out"]) == ("attack", [])
    exposures = [each["outlook"]["exposure"] for each in found["machines"]]
    assert attack["expected"] == pytest.approx(0.02 * sum(exposures), rel=1e-3)
    assert [each["level"] for each in attack["tails"]] == [0.95, 0.99, 0.999]
    assert attack["tails"][0]["value_at_risk"] == 0.0  # 4 % is the probability of any
    assert max(exposures) * 0.99 < attack["tails"][2]["value_at_risk"] <= 2.01 * max(exposures)


def test_machines_that_are_named_are_analysed_together(capsys: pytest.CaptureFixture[str], fleet: Path) -> None:
    words = ("--store", str(fleet), *LOW, "--machine", "NEW", "--machine", "ATM", "--machine", "NEW")
    assert [each["machine"] for each in fleet_of(capsys, *words)["machines"]] == ["NEW", "ATM"]
    assert main(["analyse", *words, "--attacks-per-year", "0.02"]) == 0
    told = capsys.readouterr().out
    for words_told in ("ATM", "cash-outs until the next load", "attacks within a year", "at 99.9 %", "left out"):
        assert words_told in told, words_told


def test_the_only_machine_of_a_store_needs_no_name(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    assert fleet_of(capsys, "--store", str(store), "--demand-model", "none")["machine"] == "ATM"


def test_the_check_case_from_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """CreditRisk+ by hand: five machines whose events and losses somebody knows better than the store."""
    table = tmp_path / "fleet.csv"
    table.write_text("machine,events,loss\nA,0.02,3\nB,0.05,1\nC,0.01,5\nD,0.03,2\nE,0.04,4\n")
    words = ("--exposures", str(table), "--sigma", "0.8", "--loss-unit", "1")
    (loss,) = fleet_of(capsys, *words)["fleet"]["losses"]
    assert f"{loss['expected']:.2f}" == "0.38"
    assert f"{loss['deviation'] ** 2:.6f}" == "1.332416"
    assert [each["value_at_risk"] for each in loss["tails"]] == [4.0, 5.0, 9.0]
    assert f"{loss['tails'][1]['expected_shortfall']:.3f}" == "6.521"
    assert main(["analyse", *words]) == 0
    assert "Loss of 5 machines by the events given" in capsys.readouterr().out
    table.write_text(table.read_text().replace(",", ";").replace(".", ","), encoding="utf-8-sig")
    assert fleet_of(capsys, *words)["fleet"]["losses"] == [loss]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("machine,loss\nA,1\n", "t.csv:1: has no column 'events'"),
        ("machine,events,loss\n", "names no machine"),
        ("machine,events,loss\nA,many,3\n", "t.csv:2: could not convert"),
        ("machine,events,loss\nA,0.1,-3\n", "t.csv:2: A: loss: expected a number of 0 or more"),
        ("machine,events,loss\nA,0.1\n", "t.csv:2: "),
        ("machine,events,loss\nA,0.1,nan\n", "expected a number of 0 or more"),
    ],
)
def test_one_line_says_what_is_wrong_with_a_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | None, message: str
) -> None:
    table = tmp_path / "t.csv"
    if text is not None:
        table.write_text(text)
    assert main(["analyse", "--exposures", str(table)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("words", [("--sigma", "-1"), ("--sigma", "nan"), ("--loss-unit", "0"), ("--attacks-per-year", "often")])
def test_numbers_that_are_none_are_usage(capsys: pytest.CaptureFixture[str], words: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as found:
        main(["analyse", *words])
    assert found.value.code == 2
    assert f"{words[0]}: expected" in capsys.readouterr().err


def held(machine: str, currency: str, value: int, **points: PointSummary) -> Summary:
    return Summary(machine, 0.0, HOUR, 1.0, points, CashPosition(currency, value, {"unit1": 1}))


def test_amounts_of_two_currencies_have_no_sum(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = kept(tmp_path / "store", held("A", "EUR", 1_000), held("B", "USD", 1_000))
    assert main(["analyse", "--store", store, "--demand-model", "none"]) == 1
    assert "EUR and USD, which have no sum" in capsys.readouterr().err


@pytest.mark.parametrize(("currency", "told"), [("EUR", "12,345.60 EUR"), ("JPY", "1,234,560 JPY"), ("KWD", "1,234.560 KWD")])
def test_a_currency_has_its_own_minor_unit(capsys: pytest.CaptureFixture[str], tmp_path: Path, currency: str, told: str) -> None:
    store = kept(tmp_path / "store", held("A", currency, 1_234_560))
    assert main(["analyse", "--store", store, "--demand-model", "none", "--plot", str(tmp_path / "a.png")]) == 0
    assert told in capsys.readouterr().out


def test_time_in_which_nobody_knew_is_no_agreed_time(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    states = {"inService": 2_000.0, "outOfService": 1_000.0, "unknown": 600.0}
    service = {"machine.service": PointSummary(n=1, last="inService", states=states)}
    store = kept(tmp_path / "store", held("A", "EUR", 1_000, **service))
    found = fleet_of(capsys, "--store", store, "--demand-model", "none")["availability"]
    assert (found["agreed_s"] + found["unknown_s"], found["down_s"]) == (HOUR, 1_000.0)
    assert found["unknown_s"] > 0
    assert main(["analyse", "--store", store, "--demand-model", "none"]) == 0
    assert "neither agreed time nor downtime" in capsys.readouterr().out
