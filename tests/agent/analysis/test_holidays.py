"""Public holidays against what governments published, and the codes that a model of demand is told of each day."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analysis.daycodes import CODES, NONE, REACH, codes
from agent.analysis.holidays import COUNTRIES, HolidayError, Holidays, easter, read_dates

# gov.uk/bank-holidays and its archive for England and Wales; the Federal Reserve's list; Jours fériés, service-public.fr
PUBLISHED = {
    ("GB", 1998): ("01-01", "04-10", "04-13", "05-04", "05-25", "08-31", "12-25", "12-28"),
    ("GB", 2022): ("01-03", "04-15", "04-18", "05-02", "06-02", "06-03", "08-29", "09-19", "12-26", "12-27"),
    ("US", 2024): ("01-01", "01-15", "02-19", "05-27", "06-19", "07-04", "09-02", "10-14", "11-11", "11-28", "12-25"),
    ("FR", 2025): ("01-01", "04-21", "05-01", "05-08", "05-29", "06-09", "07-14", "08-15", "11-01", "11-11", "12-25"),
}


@pytest.mark.parametrize(("country", "year"), PUBLISHED)
def test_published_days_are_kept(country: str, year: int) -> None:
    kept = {f"{day:%m-%d}" for day in Holidays(country).of(year) if day.weekday() < 5}
    assert kept == {day for day in PUBLISHED[country, year] if date.fromisoformat(f"{year}-{day}").weekday() < 5}


def test_easter_as_published() -> None:
    known = {1997: (3, 30), 1998: (4, 12), 2000: (4, 23), 2008: (3, 23), 2011: (4, 24), 2024: (3, 31), 2038: (4, 25)}
    assert {year: (easter(year).month, easter(year).day) for year in known} == known


def test_an_unknown_country_is_told_with_the_known_ones() -> None:
    with pytest.raises(HolidayError, match=r"country 'XX': no rules for it, only for AT, .* give a file of dates"):
        Holidays("XX")


def test_a_file_of_dates(tmp_path: Path) -> None:
    file = tmp_path / "days.txt"
    file.write_text("2025-03-08  # only here\n\n2025-09-20\n")
    assert read_dates(file) == {date(2025, 3, 8), date(2025, 9, 20)}
    file.write_text("2025-03-08\n8.3.2025\n")
    with pytest.raises(HolidayError, match=r"days\.txt:2: expected a date such as 1998-05-04, got '8\.3\.2025'"):
        read_dates(file)


def test_codes_around_easter_by_hand() -> None:
    told = {name: [row[at] for row in codes(date(1998, 4, 10), 5, Holidays("GB"))] for at, name in enumerate(CODES)}
    assert told["weekday"] == [4, 5, 6, 0, 1]
    assert told["day"] == [10, 11, 12, 13, 14]
    assert told["days_left"] == [20, 19, 18, 17, 16]
    assert told["day_of_year"] == [100, 101, 102, 103, 104]
    assert told["easter"] == [-2, -1, 0, 1, 2]
    assert told["holiday"] == [-24, -23, -22, -21, -20]  # to 4 May: what Easter tells is not told twice
    assert told["christmas"] == [NONE] * 5


@given(st.sampled_from(["", *COUNTRIES]), st.dates(date(1990, 1, 1), date(2050, 1, 1)))
def test_codes_of_a_day_do_not_depend_on_where_one_begins(country: str, day: date) -> None:
    (alone,) = codes(day, 1, Holidays(country))
    assert codes(day - timedelta(days=400), 460, Holidays(country))[400] == alone
    assert all(abs(each) <= REACH or each == NONE for each in alone[4:])
