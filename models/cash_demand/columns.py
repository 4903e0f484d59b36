"""The calendar's codes as columns between 0 and 1: what factors and network see of a day.

Every column is a tent over one code: 1 at its centre, falling to 0 at its width. Over whole numbers a tent of width 1 says "is
exactly this". One formula for all of them, so that the exported graph needs four nodes for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.analysis.daycodes import CODES

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
YEAR_KNOTS = 13
YEAR_WIDTH = 365 / (YEAR_KNOTS - 1)  # days
SEASON_KNOTS = 7
SEASON_WIDTH = 365 / (SEASON_KNOTS - 1)  # days
GROUPS = 14
"""Kinds of days that a machine's own past is asked about; 0 is any other day."""


@dataclass(frozen=True, slots=True)
class Tent:
    """One column: 1 where the code is `centre`, 0 from `width` on. The group names the kind of day it stands for, 0 for none."""

    code: str
    centre: float
    width: float = 1.0
    group: int = 0

    @property
    def name(self) -> str:
        """For tables and messages."""
        return f"{self.code} {self.centre:g}"


def _tents() -> tuple[Tent, ...]:
    easter = {-3: 1, -2: 2, -1: 3, 0: 4, 1: 5, 2: 6}
    holiday = {-1: 4, 0: 5, 1: 6}
    christmas = {-2: 7, -1: 7, 0: 8, 1: 9, 2: 10, 3: 10, 4: 11, 5: 11, 6: 11, 7: 12, 8: 13, 9: 13, 10: 13}
    day = ((1, 1), (2, 1), (3, 1.5), (5, 2), (9, 4), (14, 4), (19, 4))
    left = ((0, 1), (1, 1), (2, 1), (3, 1.5), (5, 2), (8, 3))
    return (
        *(Tent("weekday", each) for each in range(7)),
        *(Tent("day", centre, width) for centre, width in day),
        *(Tent("days_left", centre, width) for centre, width in left),
        *(Tent("easter", each, 1, easter.get(each, 0)) for each in range(-10, 9)),
        *(Tent("holiday", each, 1, holiday.get(each, 0)) for each in range(-4, 6)),
        *(Tent("christmas", each, 1, christmas.get(each, 0)) for each in range(-24, 23)),
        *(Tent("day_of_year", 1 + each * YEAR_WIDTH, YEAR_WIDTH) for each in range(YEAR_KNOTS)),
    )


TENTS = _tents()
BY_WEEKDAY = (
    Tent("days_left", 0, 3),
    *(Tent("day_of_year", 1 + each * SEASON_WIDTH, SEASON_WIDTH) for each in range(SEASON_KNOTS)),
)
"""The turn of the month, and seasons. Multiplied with each weekday they make seven more columns each: a Saturday in August is not
one in February."""
_PRODUCTS = ("turn of the month", *(f"season {each}" for each in range(SEASON_KNOTS)))
NAMES = (*(tent.name for tent in TENTS), *(f"{product} on weekday {each}" for product in _PRODUCTS for each in range(7)))

HOLIDAYS = [index for index, tent in enumerate(TENTS) if tent.code in ("easter", "holiday", "christmas")]
"""Columns that stand for a day near a holiday."""
SELDOM = [index for index, tent in enumerate(TENTS) if tent.code in ("easter", "christmas")]
"""Columns of days that come once a year."""
MONTH, YEAR, SEASON = (
    [index for index, name in enumerate(NAMES) if name.startswith(part)]
    for part in (("day ", "days_left", "turn"), ("day_of_year",), ("season",))
)
"""Columns of the place in the month, of the time of the year, and of a weekday's season."""


def code_indices(tents: tuple[Tent, ...]) -> list[int]:
    """Where each tent's code stands in CODES."""
    return [CODES.index(tent.code) for tent in tents]


def columns(codes: Array) -> Array:
    """[days, CODES] to [days, NAMES]."""
    tents = _rise(codes, TENTS)
    products = _rise(codes, BY_WEEKDAY)[:, :, None] * tents[:, None, :7]
    return np.concatenate([tents, products.reshape(len(codes), -1)], axis=1)


def _rise(codes: Array, tents: tuple[Tent, ...]) -> Array:
    centres, widths = np.array([tent.centre for tent in tents]), np.array([tent.width for tent in tents])
    return np.asarray(np.maximum(1.0 - np.abs(codes[:, code_indices(tents)] - centres) / widths, 0.0))


def group_matrix() -> Array:
    """[NAMES, GROUPS]: which column says that a day is of which group. Group 0 has none."""
    matrix = np.zeros((len(NAMES), GROUPS))
    for row, tent in enumerate(TENTS):
        if tent.group:
            matrix[row, tent.group] = 1.0
    return matrix
