"""Public holidays by country, as rules of one line each: no table of dates to keep, nothing to load, a few microseconds a year.

    12-25           a fixed day of the year (month-day)
    05-01 mon       the first Monday on or after that day: the first one of May; `05-25 mon` is the last one
    easter+1        days after Easter Sunday of the Western churches
    12-26 next      a fixed day; when it falls on a weekend the next working day that is no holiday itself is one too
    07-04 sunday    a fixed day; on a Sunday the Monday after is kept too, on a Saturday nothing is moved
    04-27 2014-     only in these years (first-last, either may be left out)
    +2022-06-03     one more day, once
    -2022-05-30     a day that was moved away

Only days that the whole country keeps. Regional ones, and any country that is not here, come from a file of dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

DAY = timedelta(days=1)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOVED_FROM = {"next": 5, "sunday": 6}  # the first weekday (0 is Monday) from which a day is moved
_RULE = re.compile(r"(?:easter(?P<offset>[+-]\d+)|(?P<month>\d\d)-(?P<day>\d\d)(?: (?P<word>[a-z]+))?)(?: (?P<years>\d*-\d*))?")

# Compared with the package `holidays` 0.109, day by day for 1996 to 2030. What differs is meant (Sunday holidays are kept here,
# so are the eves that Swedish banks keep; American days are those of the Federal Reserve Banks) or was so in single years only.
COUNTRIES: dict[str, tuple[str, ...]] = {
    "AT": ("01-01", "01-06", "easter+1", "05-01", "easter+39", "easter+50", "easter+60", "08-15", "10-26", "11-01", "12-08",
           "12-25", "12-26"),
    "BE": ("01-01", "easter+1", "05-01", "easter+39", "easter+50", "07-21", "08-15", "11-01", "11-11", "12-25"),
    "CZ": ("01-01", "easter-2 2016-", "easter+1", "05-01", "05-08", "07-05", "07-06", "09-28 2000-", "10-28", "11-17",
           "12-24", "12-25", "12-26"),
    "DE": ("01-01", "easter-2", "easter+1", "05-01", "easter+39", "easter+50", "10-03", "12-25", "12-26", "+2017-10-31"),
    "DK": ("01-01", "easter-3", "easter-2", "easter+1", "easter+26 -2023", "easter+39", "easter+50", "12-25", "12-26"),
    "ES": ("01-01", "01-06", "easter-2", "05-01", "08-15", "10-12", "11-01", "12-06", "12-08", "12-25"),
    "FI": ("01-01", "01-06", "easter-2", "easter+1", "05-01", "easter+39", "06-19 fri", "06-20 sat", "10-31 sat", "12-06",
           "12-24", "12-25", "12-26"),
    "FR": ("01-01", "easter+1", "05-01", "05-08", "easter+39", "easter+50", "07-14", "08-15", "11-01", "11-11", "12-25"),
    "GB": ("01-01 next", "easter-2", "easter+1", "05-01 mon", "05-25 mon", "08-25 mon", "12-25 next", "12-26 next",
           "-1995-05-01", "+1995-05-08", "+1999-12-31", "-2002-05-27", "+2002-06-03", "+2002-06-04", "+2011-04-29",
           "-2012-05-28", "+2012-06-04", "+2012-06-05", "-2020-05-04", "+2020-05-08", "-2022-05-30", "+2022-06-02",
           "+2022-06-03", "+2022-09-19", "+2023-05-08"),
    "IE": ("01-01 next", "02-01 mon 2023-", "03-17 next", "easter+1", "05-01 mon", "06-01 mon", "08-01 mon", "10-25 mon",
           "12-25 next", "12-26 next", "+2022-03-18"),
    "IT": ("01-01", "01-06", "easter+1", "04-25", "05-01", "06-02 2001-", "08-15", "10-04 2026-", "11-01", "12-08",
           "12-25", "12-26"),
    "NL": ("01-01", "easter-2", "easter+1", "04-30 -2013", "04-27 2014-", "easter+39", "easter+50", "12-25", "12-26",
           "-2014-04-27", "+2014-04-26", "-2025-04-27", "+2025-04-26"),
    "NO": ("01-01", "easter-3", "easter-2", "easter+1", "05-01", "05-17", "easter+39", "easter+50", "12-25", "12-26"),
    "PL": ("01-01", "01-06 2011-", "easter+1", "05-01", "05-03", "easter+49", "easter+60", "08-15", "11-01", "11-11",
           "12-24 2025-", "12-25", "12-26"),
    "PT": ("01-01", "easter-2", "04-25", "05-01", "easter+60", "06-10", "08-15", "10-05", "11-01", "12-01", "12-08", "12-25"),
    "SE": ("01-01", "01-06", "easter-2", "easter+1", "05-01", "easter+39", "easter+50 -2004", "06-06 2005-", "06-19 fri",
           "06-20 sat", "10-31 sat", "12-24", "12-25", "12-26", "12-31"),
    "US": ("01-01 sunday", "01-15 mon", "02-15 mon", "05-25 mon", "06-19 sunday 2021-", "07-04 sunday", "09-01 mon",
           "10-08 mon", "11-11 sunday", "11-22 thu", "12-25 sunday"),
}  # fmt: skip


class HolidayError(ValueError):
    """Holidays cannot be made; the message names what was asked and the remedy."""


@dataclass(frozen=True)
class Holidays:
    """The public holidays of one place: a country's rules and days that were added to them."""

    country: str = ""
    added: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if self.country and self.country not in COUNTRIES:
            known = ", ".join(COUNTRIES)
            raise HolidayError(f"country {self.country!r}: no rules for it, only for {known}; give a file of dates instead")

    def of(self, year: int) -> frozenset[date]:
        """The public holidays of a year."""
        return _of(self.country, year) | {day for day in self.added if day.year == year}

    @property
    def keeps_easter(self) -> bool:
        """Whether people here change what they do around Easter. Without a country: no."""
        return any(rule.startswith("easter") for rule in COUNTRIES.get(self.country, ()))

    @property
    def keeps_christmas(self) -> bool:
        """Whether people here change what they do around 25 December. Without a country: no."""
        return any(rule.startswith("12-25") for rule in COUNTRIES.get(self.country, ()))


def easter(year: int) -> date:
    """Easter Sunday of the Western churches (Gregorian computus; Meeus, Astronomical Algorithms, 2nd edition, chapter 8)."""
    golden = year % 19
    century, rest = divmod(year, 100)
    leap_centuries, century_rest = divmod(century, 4)
    moon_correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - moon_correction + 15) % 30
    leaps, rest_years = divmod(rest, 4)
    to_sunday = (32 + 2 * century_rest + 2 * leaps - epact - rest_years) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    month, day = divmod(epact + to_sunday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def read_dates(path: Path) -> frozenset[date]:
    """A file of dates, one ISO date a line; blank lines and what follows a # are left out. Raises HolidayError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HolidayError(f"{path}: cannot be read: {error}") from error
    found = set()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            found.add(date.fromisoformat(text))
        except ValueError:
            raise HolidayError(f"{path}:{number}: expected a date such as 1998-05-04, got {text!r}") from None
    return frozenset(found)


@lru_cache(maxsize=16)
def _of(country: str, year: int) -> frozenset[date]:
    rules = COUNTRIES.get(country, ())
    days = {day for rule in rules if rule[0] not in "+-" for day in _days(rule, year)}
    days |= {date.fromisoformat(rule[1:]) for rule in rules if rule.startswith(f"+{year}")}
    days -= {date.fromisoformat(rule[1:]) for rule in rules if rule.startswith(f"-{year}")}
    return frozenset(days | _moved(rules, days, year))


def _days(rule: str, year: int) -> Iterable[date]:
    """The day that a rule names in a year, or none."""
    found = _RULE.fullmatch(rule)
    assert found is not None, rule
    first, _, last = (found["years"] or "-").partition("-")
    if not int(first or 0) <= year <= int(last or 9999):
        return
    if found["offset"]:
        yield easter(year) + int(found["offset"]) * DAY
        return
    day = date(year, int(found["month"]), int(found["day"]))
    if found["word"] in WEEKDAYS:
        day += (WEEKDAYS.index(found["word"]) - day.weekday()) % 7 * DAY
    yield day


def _moved(rules: Iterable[str], days: set[date], year: int) -> set[date]:
    """The working days that are kept because a holiday fell on a weekend."""
    moved: set[date] = set()
    for rule in rules:
        word = rule.split(" ")[1] if " " in rule else ""
        for day in _days(rule, year) if word in MOVED_FROM else ():
            if day.weekday() >= MOVED_FROM[word]:
                moved.add(_free(day, days | moved))
    return moved


def _free(day: date, taken: set[date]) -> date:
    """The first working day after `day` that is not taken."""
    while day.weekday() >= 5 or day in taken:
        day += DAY
    return day
