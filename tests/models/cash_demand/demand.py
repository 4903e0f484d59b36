"""Files of daily amounts whose truth is known: a level, a weekly rhythm, noise."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np

RHYTHM = (0.8, 0.9, 1.0, 1.1, 1.5, 1.3, 0.6)


def amounts(days: int, machines: int, noise: float = 0.2, seed: int = 0) -> np.ndarray:
    """[days, machines] from a Monday on."""
    chance = np.random.default_rng(seed)
    level = 50.0 * 4.0 ** chance.random(machines)
    rhythm = np.array([RHYTHM[day % 7] for day in range(days)])
    return np.round(level * rhythm[:, None] * np.exp(noise * chance.standard_normal((days, machines))), 2)


def write(path: Path, table: np.ndarray, first: date = date(2024, 1, 1)) -> Path:
    """As a CSV; NaN is an empty cell."""
    lines = ["date," + ",".join(f"M{number}" for number in range(table.shape[1]))]
    for day, row in enumerate(table):
        cells = ("" if np.isnan(value) else f"{value:g}" for value in row)
        lines.append(f"{first + timedelta(days=day)},{','.join(cells)}")
    path.write_text("\n".join(lines) + "\n")
    return path
