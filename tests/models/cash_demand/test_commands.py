"""From a file to figures: what is read, what is refused, what is measured, what is written."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.analysis.holidays import Holidays
from models.cash_demand import learn, measure
from models.cash_demand.__main__ import main
from models.cash_demand.evaluate import origins
from models.cash_demand.graph import LEVELS, MIDDLE, SPAN, whole
from models.cash_demand.learn import QUICK
from models.cash_demand.series import Calendar, read
from models.data import DataError
from tests.models.cash_demand.demand import amounts, write


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks so small that a training is a second."""
    monkeypatch.setattr("models.cash_demand.__main__.Effort", lambda: QUICK)
    monkeypatch.setattr(learn, "MOST_ROWS", 3_000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"its first line must name a column of dates and at least one machine"),
        ("date,A,A\n2024-01-01,1,2\n", r"two columns are called 'A'"),
        ("date,A\nMonday,1\n", r"line 2: expected a date such as 1998-03-22 in the first column, got 'Monday'"),
        ("date,A\n2024-01-01,1\n2024-01-01,2\n", r"line 3: 2024-01-01 is there twice"),
        ("date,A\n2024-01-01,1,2\n", r"line 2 has 3 cells where the header has 2"),
        ("date,A\n2024-01-01,lots\n", r"line 2, machine 'A': expected an amount of 0 or more, got 'lots'"),
        ("date,A\n2024-01-01,1e30\n", r"machine 'A': expected an amount of 0 or more, got '1e30'; leave the cell empty"),
        ("date,A\n2024-01-01,-5\n", r"machine 'A': expected an amount of 0 or more, got '-5'"),
        ("date,A\n0024-01-01,5\n2024-01-01,5\n", r"look for a year that is written wrong"),
        ("date,A\n2024-01-01,5\n", r"holds 1 days; give a line a day"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "demand.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=said) as refused:
        read(file)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "demand.csv"
    file.write_bytes("date,Zürich\n2024-01-01,5\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"byte 6 is not UTF-8; save the file as UTF-8"):
        read(file)


def test_days_that_are_not_there_are_unknown_in_any_order_and_with_any_separator(tmp_path: Path) -> None:
    file = tmp_path / "demand.csv"
    file.write_text("day;A;B\n2024-01-04;4;\n2024-01-01 00:00:00;1;0\n")
    found = read(file)
    assert found.first == date(2024, 1, 1)
    assert np.array_equal(found.amounts, [[1, 0], [np.nan] * 2, [np.nan] * 2, [4, np.nan]], equal_nan=True)


@pytest.mark.parametrize(
    ("form", "sep"),
    [
        ("%Y-%m-%d", ","), ("%Y-%m-%dT%H:%M:%SZ", ","), ("%Y/%m/%d", "\t"), ("%Y%m%d", ","), ("%d.%m.%Y", ";"), ("%d/%m/%Y", ","),
        ("%m/%d/%Y", ","), ("%d-%b-%y", ","), ("%d.%m.%y", ";"), ("%m/%d/%y", ","), ("%d-%b-%Y 00:00", ";"),
    ],
)  # fmt: skip
def test_dates_are_read_as_people_write_them(form: str, sep: str, tmp_path: Path) -> None:
    file = tmp_path / "demand.csv"
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(40)]
    file.write_text("\n".join([f"when{sep}A", *(f"{day:{form}}{sep}{number}" for number, day in enumerate(days))]) + "\n")
    found = read(file)
    assert found.first == days[0]
    assert found.amounts[:, 0].tolist() == list(range(40))


def test_days_before_months_where_months_would_leave_gaps(tmp_path: Path) -> None:
    file = tmp_path / "demand.csv"
    file.write_text("day,A\n01/02/2024,1\n02/02/2024,2\n03/02/2024,3\n")
    assert read(file).first == date(2024, 2, 1)
    file.write_text("day,A\n02/01/2024,1\n02/02/2024,2\n02/03/2024,3\n")
    assert (read(file).first, len(read(file))) == (date(2024, 2, 1), 3)


def test_the_column_of_dates_is_found_and_commas_may_be_decimal(tmp_path: Path) -> None:
    file = tmp_path / "demand.csv"
    file.write_text(";machine 1;day;machine 2\n0;12,5;2024-01-01;1\n1;;2024-01-02;2,25\n")
    found = read(file)
    assert found.machines == ("machine 1", "machine 2")
    assert np.array_equal(found.amounts, [[12.5, 1.0], [np.nan, 2.25]], equal_nan=True)
    file.write_text('day,city,A\n2024-01-01,Graz,"1,250.50"\n2024-01-02,Graz,7\n')
    found = read(file)
    assert (found.machines, found.words, found.amounts[:, 0].tolist()) == (("A",), ("city",), [1250.5, 7.0])
    file.write_text(",day\n0,2024-01-01\n1,2024-01-02\n")
    with pytest.raises(DataError, match="names no machine beside the column of dates"):
        read(file)


def test_a_weekday_that_the_file_does_not_have_is_closed(tmp_path: Path) -> None:
    lines = write(tmp_path / "demand.csv", amounts(60, 2)).read_text().splitlines()
    file = tmp_path / "weekdays.csv"
    for kept, closed in (
        (lines, ()),
        ([line for line in lines if line not in lines[6::7]], ("Saturdays",)),
        (lines[:20], ()),
        (lines[::7], ()),
    ):
        file.write_text("\n".join(kept) + "\n")
        found = read(file)
        assert found.closed == closed
        assert (found.amounts[5::7] == 0.0).all() == bool(closed)


def test_what_is_ahead_is_never_looked_at(tmp_path: Path) -> None:
    table = amounts(260, 3)
    other = table.copy()
    other[204:] = 9_999.0
    found = []
    for each in (table, other):
        series = read(write(tmp_path / "demand.csv", each))
        calendar = Calendar.of(series, Holidays("GB"))
        run = whole(learn.learn(series, calendar, 204, QUICK, 1))
        found.append(run(series.before(204), calendar.around(204))[0])
    assert np.array_equal(found[0], found[1])


def test_a_stretch_outside_of_which_too_little_is_known_is_learned_from_all_the_same(tmp_path: Path) -> None:
    table = amounts(260, 3)
    table[5:150] = np.nan
    series = read(write(tmp_path / "demand.csv", table))
    calendar = Calendar.of(series, Holidays("GB"))
    learned = learn.learn(series, calendar, 204, QUICK, 1)
    daily, cumulative = whole(learned)(series.before(204), calendar.around(204))
    assert np.isfinite(daily).all()
    assert np.isfinite(cumulative).all()


def test_measures_by_hand() -> None:
    quantiles = np.tile(np.array([[[1.0] * MIDDLE + [2.0] + [4.0] * (len(LEVELS) - MIDDLE - 1)]]), (1, 3, 1))
    actual = np.array([[3.0], [np.nan], [0.0]])
    found = measure.daily(actual, quantiles, np.array([[1.0], [3.0], [np.nan], [4.0], [5.0]]))
    assert found.smape == pytest.approx((200 * 1 / 5 + 200) / 2)
    assert found.mae == pytest.approx(1.5)
    assert found.mase == pytest.approx(1.5 / 1.5)  # steps of 2 and 1; the others are not known
    assert found.coverage == 1.0
    assert float(measure.pinball(np.array(3.0), np.array(1.0), 0.9)) == pytest.approx(1.8)
    assert float(measure.pinball(np.array(1.0), np.array(3.0), 0.9)) == pytest.approx(0.2)


def test_sums_leave_out_spans_with_a_day_of_unmet_demand() -> None:
    table = np.array([[1.0], [2.0], [0.0], [4.0], [5.0], [6.0], [0.0]])
    for closed, last in ((False, np.nan), (True, 6.0)):
        demanded = measure.demand(table, 3, np.array([[False] * 3 + [closed] + [False] * 3]))  # three days after day 3 is day 6
        assert np.array_equal(measure.sums(demanded, 2)[:, 0], [3.0, np.nan, np.nan, 9.0, 11.0, last], equal_nan=True)


def test_history_is_beaten_where_the_model_knows_and_history_does_not() -> None:
    table = amounts(150, 2, noise=0.0)
    starts = 150 - 100
    quantiles = np.full((starts, 2, SPAN, len(LEVELS)), np.nan)
    for start in range(starts):
        for days in range(1, min(SPAN, starts - start) + 1):
            quantiles[start, :, days - 1, :] = table[100 + start : 100 + start + days].sum(axis=0)[:, None] + 1e-6
    found = measure.cumulative(table, 100, quantiles, 3)
    assert found.spans == 2 * (starts - 2)
    assert found.coverage == 1.0
    assert found.ratio < 0.01


def test_origins_count_back_from_the_end() -> None:
    assert origins(735, 56, 3, 28) == [679, 651, 623]


@pytest.mark.usefixtures("quick")
def test_evaluate_prints_every_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = amounts(250, 4)
    table[100:104, 1] = np.nan
    table[230, 2] = 0.0
    file = write(tmp_path / "demand.csv", table)
    words = ["evaluate", "--data", str(file), "--horizon", "14", "--country", "fr", "--own", "--json"]
    assert main([*words, "--plot", str(tmp_path / "demand.png")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trained_on"] == "the rows before"
    assert 0.0 < found["smape"] < 60.0
    assert {"mae", "mase", "wql", "coverage"} < found.keys()
    assert set(found["cumulative"]) == {"3", "5", "7"}
    assert {"coverage", "pinball", "history_pinball", "ratio"} < found["cumulative"]["3"].keys()
    assert (tmp_path / "demand.png").read_bytes().startswith(b"\x89PNG")


def test_a_short_file_is_forecast_by_the_model_that_ships(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "demand.csv", amounts(100, 3))
    assert main(["evaluate", "--data", str(file), "--horizon", "14", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("cash_demand: 86 days to learn from, fewer than 140, so the model that ships is used")
    found = json.loads(out)
    assert found["smape"] < 30.0
    file = write(tmp_path / "demand.csv", amounts(30, 3))
    assert main(["evaluate", "--data", str(file), "--horizon", "14"]) == 1
    assert "needed, so give a longer file" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_train_writes_a_model_that_evaluate_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "demand.csv", amounts(250, 4))
    words = ["train", "--data", str(file), "--out", str(tmp_path / "a"), "--licence", "mine", "--origins", "1", "--horizon", "7"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "licence: mine" in (tmp_path / "a" / "card.md").read_text()
    assert main(["evaluate", "--data", str(file), "--model", said["file"], "--horizon", "7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["smape"] < 60.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "/nowhere.csv"], "/nowhere.csv: No such file"),
        (["--data", "{file}", "--country", "XX"], "country 'XX': no rules for it"),
        (["--data", "{file}", "--model", "{file}"], "is no model"),
    ],
)
def test_what_cannot_be_done_gets_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "demand.csv", amounts(250, 1))
    assert main(["evaluate", *(word.format(file=file) for word in words)]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_few_machines_are_forecast_by_the_model_that_ships(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = amounts(300, 4)
    table[:, 1] = np.nan
    table[:, 2] = 0.0
    table[244:, 3] = 5.0
    words = ["evaluate", "--data", str(write(tmp_path / "demand.csv", table)), "--json", "--plot", str(tmp_path / "two.png")]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "known days of machines to learn from, fewer than" in err
    found = json.loads(out)
    assert found["trained_on"].endswith("cash_demand.onnx")
    assert found["left_out"] == ["M1", "M2"]


def test_what_never_changes_or_is_never_known_is_no_accident(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--data", str(write(tmp_path / "demand.csv", np.full((230, 2), 5.0))), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mase"] is None
    assert found["cumulative"]["3"]["ratio"] is None
    words = ["evaluate", "--data", str(write(tmp_path / "demand.csv", np.zeros((230, 2)))), "--own", "--json"]
    assert main(words) == 1
    assert "0 known days to learn from" in capsys.readouterr().err
    assert main([*words[:-2], "--json", "--plot", str(tmp_path / "nothing.png")]) == 0
    assert json.loads(capsys.readouterr().out)["smape"] is None
