"""What the model is told of each day: seven whole numbers, made from the date and the country's holidays alone.

Whoever asks the model makes these: the trainer here, the gateway there. Only the standard library is needed, and a few kilobytes.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta

from agent.analysis.holidays import DAY, Holidays, easter

CODES = ("weekday", "day", "days_left", "day_of_year", "easter", "christmas", "holiday")
NONE = 99  # none of that kind within reach
REACH = 30  # days; farther away a holiday has no effect, and the number would only differ between years for no reason
AROUND_EASTER = range(-3, 2)  # days from Easter Sunday whose holidays are told by `easter`
AROUND_CHRISTMAS = range(-1, 9)  # days from 25 December whose holidays are told by `christmas`: to 2 January


def codes(first: date, days: int, holidays: Holidays) -> list[tuple[int, ...]]:
    """CODES of each of `days` days from `first` on.

    weekday      0 is Monday
    day          of the month, from 1
    days_left    to the month's last day, which has 0
    day_of_year  from 1
    easter       days after the nearest Easter Sunday, negative before it; NONE where Easter is not kept
    christmas    the same for 25 December
    holiday      the same for the nearest other public holiday; the later one when two are equally near
    """
    span = [first + timedelta(offset) for offset in range(days)]
    years = range(first.year - 1, span[-1].year + 2)
    easters = [easter(year) for year in years] if holidays.keeps_easter else []
    christmases = [date(year, 12, 25) for year in years] if holidays.keeps_christmas else []
    others = sorted(_others(years, holidays, easters, christmases))
    return [
        (
            day.weekday(),
            day.day,
            monthrange(day.year, day.month)[1] - day.day,
            day.timetuple().tm_yday,
            _offset(day, easters),
            _offset(day, christmases),
            _offset(day, others),
        )
        for day in span
    ]


def _others(years: range, holidays: Holidays, easters: list[date], christmases: list[date]) -> set[date]:
    told = {day + offset * DAY for day in easters for offset in AROUND_EASTER}
    told |= {day + offset * DAY for day in christmases for offset in AROUND_CHRISTMAS}
    return {day for year in years for day in holidays.of(year)} - told


def _offset(day: date, holidays: list[date]) -> int:
    nearest = min(((day - holiday).days for holiday in holidays), key=lambda offset: (abs(offset), offset), default=NONE)
    return nearest if abs(nearest) <= REACH else NONE
