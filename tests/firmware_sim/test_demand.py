"""The shipped series is whole, and every wrong file gets a message that helps."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest

from firmware_sim.demand import MINOR_UNITS_PER_UNIT, SHIPPED, Demand, DemandError, load, shipped

DAY = timedelta(days=1)


def rows() -> list[list[str]]:
    with SHIPPED.open(newline="") as file:
        return list(csv.reader(file))


def test_the_shipped_file_is_whole() -> None:
    header, *days = rows()
    assert header == ["date", "NN5-063"]
    assert len(days) == 735
    assert [date.fromisoformat(day) for day, _ in days] == [date(1996, 3, 19) + number * DAY for number in range(735)]
    recorded = [float(amount) for _, amount in days if amount]
    assert len(recorded) == 726
    assert recorded.count(0.0) == 1
    assert abs(sum(recorded) - 9_989.5977) < 0.001
    assert (min(recorded), max(recorded)) == (0.0, 32.1936)


def test_its_origin_and_licence_stand_beside_it() -> None:
    note = (SHIPPED.parent / "README.md").read_text()
    for words in ("NN5 forecasting competition", "Zenodo 4656110", "CC BY 4.0", "1,000.00"):
        assert words in note


def test_blanks_come_from_the_same_weekday() -> None:
    demand, days = shipped(), rows()[1:]
    assert len(demand.totals) == 735
    for at, (_, amount) in enumerate(days):
        if amount:
            assert demand.totals[at] == round(float(amount) * MINOR_UNITS_PER_UNIT)
        else:
            before = next(days[one][1] for one in range(at - 7, 0, -7) if days[one][1])
            after = next(days[one][1] for one in range(at + 7, 735, 7) if days[one][1])
            known = [float(before), float(after)]
            assert demand.totals[at] == round(sum(known) / len(known) * MINOR_UNITS_PER_UNIT)


def test_days_beyond_the_series_keep_their_weekday() -> None:
    demand = shipped()
    for day in (date(1996, 3, 19), date(1998, 3, 23), date(2025, 3, 10), date(1990, 1, 1), date(2031, 12, 31)):
        places = [at for at, total in enumerate(demand.totals) if total == demand.on(day)]
        weekdays = {(demand.first + at * DAY).weekday() for at in places}
        assert day.weekday() in weekdays
    assert demand.on(demand.first) == demand.totals[0]
    assert demand.on(demand.first + 734 * DAY) == demand.totals[734]


def test_the_week_has_its_shape() -> None:
    """Friday is the greatest day, Sunday the least: real people, and the right calendar."""
    demand = shipped()
    means = [
        sum(total for at, total in enumerate(demand.totals) if (demand.first + at * DAY).weekday() == weekday)
        for weekday in range(7)
    ]
    assert means.index(max(means)) == 4
    assert means.index(min(means)) == 6


GOOD = "date,A-1,A-2\n" + "".join(f"{date(2024, 1, 1) + n * DAY},{n},{n * 2}\n" for n in range(20))


@pytest.mark.parametrize(
    ("text", "series", "message"),
    [
        (GOOD, "A-3", r"m\.csv: no series 'A-3'; did you mean 'A-[12]'\?"),
        ("date\n" + "2024-01-01\n" * 20, "A-1", "it has no series at all"),
        (GOOD.replace(",5,", ",five,"), "A-1", r"m\.csv:7: expected a number, got 'five'; leave unknown days blank"),
        (GOOD.replace(",5,", ",-5,"), "A-1", r"m\.csv:7: -5 is no amount"),
        (GOOD.replace(",5,", ",nan,"), "A-1", r"m\.csv:7: nan is no amount"),
        (GOOD.replace("2024-01-06", "6 January"), "A-1", r"m\.csv:7: expected a date such as 2025-03-10, got '6 January'"),
        (GOOD.replace("2024-01-06", "2024-01-09"), "A-1", r"m\.csv:7: 2024-01-09 does not follow the line before"),
        ("\n".join(GOOD.splitlines()[:10]), "A-1", r"m\.csv: 9 days; at least two weeks are needed"),
        ("", "A-1", "0 days"),
        ("date,A-1\n" + "".join(f"{date(2024, 1, 1) + n * DAY},0\n" for n in range(20)), "A-1", "zero on every day"),
        (
            "date,A-1\n" + "".join(f"{date(2024, 1, 1) + n * DAY},{'' if n % 7 == 2 else 1}\n" for n in range(20)),
            "A-1",
            "blank on every weekday like that of line 4",
        ),
    ],
)
def test_a_wrong_file_gets_a_message_that_helps(tmp_path: Path, text: str, series: str, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(DemandError, match=message):
        load(path, series)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemandError, match=r"none\.csv: cannot be read"):
        load(tmp_path / "none.csv", "A-1")


def test_any_column_can_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(GOOD)
    demand = load(path, "A-2", minor_units=100)
    assert demand == Demand("A-2", date(2024, 1, 1), tuple(n * 200 for n in range(20)))
    assert demand.mean == 1_900
