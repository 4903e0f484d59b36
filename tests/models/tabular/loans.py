"""A file of loans whose truth is known: log-odds are a sum of a step in income, a word and a debt that may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

WORDS = {"rent": 0.8, "own": -0.8, "free": 0.0}


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Cells by column."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        income, housing = float(chance.lognormal(10.0, 0.5)), str(chance.choice(list(WORDS)))
        debt = float(chance.exponential(2.0))
        odds = 1.4 * (income < 20_000) + WORDS[housing] + 0.5 * debt - 1.8
        found.append(
            {
                "income": f"{income:.0f}",
                "housing": housing,
                "debt": "" if chance.random() < 0.1 else f"{debt:.2f}",
                "defaults": str(int(chance.random() < 1 / (1 + np.exp(-odds)))),
            }
        )
    return found


def write(path: Path, table: Sequence[dict[str, str]]) -> Path:
    """As a CSV."""
    names = list(table[0])
    path.write_text("\n".join([",".join(names), *(",".join(row[name] for name in names) for row in table)]) + "\n")
    return path
