"""Learning from lives and judging on others: which forest, which threshold, and how often it is right.

Rows of one machine are alike, so whole machines are left out together, and the spread is over machines drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fault.worlds import DERIVED, EVERY, FEATURES, Group, Lived, live
from models.forest import Floats, Forest, Growth, grow
from models.kept import Arrays, Form, Kept, home, sources

GROWTH = Growth(trees=60, depth=5, least=20, columns=0.6)
FOLDS = 5
DRAWS = 400
SURE = 0.8  # share of calls that are right
MONTH = 30.4
RIVAL = "delta(cashDispenser.pickFailures,604800s)"
LEAST_LIVES = 16

Scores = NDArray[np.float64]
Asked = Callable[[Floats], Scores]


def lives(group: Group, count: int, jobs: int) -> Iterator[Lived]:
    """The first `count` machines of a group, in their order. They are kept until `forget`, so a run that was stopped goes on."""
    return _kept(group).each(partial(live, group), range(count), jobs)


def forget() -> None:
    """What was kept is needed no more."""
    for group in Group:
        _kept(group).forget()


def _kept(group: Group) -> Kept[Lived]:
    about = f"{group}/{sources('models/fault/worlds.py')}"
    return Kept(home("fault") / group, about, Form(_pack, _unpack))


def _pack(lived: Lived) -> dict[str, NDArray[Any]]:
    return {
        "kind": np.array(lived.kind),
        "at": lived.at,
        "rows": lived.rows,
        "faults": np.array(lived.faults),
        "visits": np.array(lived.visits),
    }


def _unpack(number: int, arrays: Arrays) -> Lived:
    faults = tuple(map(str, arrays["faults"]))
    return Lived(number, str(arrays["kind"]), arrays["at"], arrays["rows"], faults, int(arrays["visits"]))


def together(lived: Sequence[Lived]) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Rows, labels, and the number of the machine that each row belongs to."""
    rows = np.concatenate([each.rows for each in lived])
    labels = np.concatenate([each.labels for each in lived])
    return rows, labels, np.repeat([each.number for each in lived], [len(each.rows) for each in lived])


def learn(lived: Sequence[Lived], seed: int) -> tuple[Forest, float]:
    """A forest on all of them, and the threshold that machines give which were left out in turn."""
    from sklearn.model_selection import GroupKFold

    rows, labels, machines = together(lived)
    scores = np.empty(len(rows))
    for learned, held in GroupKFold(FOLDS).split(rows, labels, machines):
        forest = grow(rows[learned], labels[learned], FEATURES, DERIVED, GROWTH, seed)
        scores[held] = forest.score(rows[held])
    return grow(rows, labels, FEATURES, DERIVED, GROWTH, seed), _sure(labels, scores)


def _sure(labels: NDArray[np.bool_], scores: Scores) -> float:
    """The lowest threshold above which four calls of five are right; the one that is right most often where none is that good."""
    steps = [float(step) for step in np.round(np.arange(0.05, 0.95, 0.01), 2) if (scores >= step).any()]
    right = {step: float(labels[scores >= step].mean()) for step in steps}
    return next((step for step in steps if right[step] >= SURE), max(steps, key=lambda step: right[step]))


@dataclass(frozen=True)
class Judged:
    """Of machines that training never met."""

    machines: int
    rows: int
    share: float
    """Of the rows after which a visit was needed."""
    auc: float
    auc_95: tuple[float, float]
    rival: float
    """AUC of the failed picks of a week alone."""
    brier: float
    brier_of_share: float
    precision: float
    recall: float
    episodes: float
    """Times a month that the score rises above the threshold at one machine."""
    by_fault: dict[str, tuple[int, float]]
    """fault -> rows before it, and the AUC of these against the rows before none."""

    def measures(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "machines": self.machines,
            "rows": self.rows,
            "share": round(self.share, 4),
            "auc": round(self.auc, 4),
            "auc_95": [round(each, 4) for each in self.auc_95],
            "auc_of_failed_picks_alone": round(self.rival, 4),
            "brier": round(self.brier, 4),
            "brier_of_share": round(self.brier_of_share, 4),
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "episodes_per_machine_month": round(self.episodes, 2),
            "by_fault": {name: {"rows": rows, "auc": round(auc, 4)} for name, (rows, auc) in sorted(self.by_fault.items())},
        }


def judge(asked: Asked, threshold: float, lived: Sequence[Lived]) -> Judged:
    """Score every row of every machine."""
    rows, labels, machines = together(lived)
    scores = asked(rows)
    faults = np.array([fault for each in lived for fault in each.faults])
    called = scores >= threshold
    share = float(labels.mean())
    first = np.diff(machines, prepend=-1) != 0
    rises = int((called & (first | ~np.roll(called, 1))).sum())
    days = len(rows) * EVERY / 86_400.0
    names = sorted(set(faults) - {""})
    return Judged(
        len(lived),
        len(rows),
        share,
        auc(labels, scores),
        _interval(labels, scores, machines),
        auc(labels, np.nan_to_num(rows[:, FEATURES.index(RIVAL)].astype(np.float64))),
        float(np.mean((scores - labels) ** 2)),
        share * (1.0 - share),
        float(labels[called].mean()) if called.any() else nan,
        float(called[labels].mean()) if labels.any() else nan,
        rises / days * MONTH,
        {name: (int((faults == name).sum()), _against_none(faults, scores, name)) for name in names},
    )


def _against_none(faults: NDArray[np.str_], scores: Scores, name: str) -> float:
    chosen = (faults == name) | (faults == "")
    return auc(faults[chosen] == name, scores[chosen])


def auc(labels: NDArray[np.bool_], scores: Scores) -> float:
    """Chance that a row with the label scores higher than one without; NaN where one kind is not there."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    positives = int(labels.sum())
    others = len(labels) - positives
    if not positives or not others:
        return nan
    return float((rankdata(scores)[labels].sum() - positives * (positives + 1) / 2) / (positives * others))


def _interval(labels: NDArray[np.bool_], scores: Scores, machines: NDArray[np.int64]) -> tuple[float, float]:
    """95 % of the AUC over machines drawn with repetition."""
    chance = np.random.default_rng(0)
    places = {machine: np.flatnonzero(machines == machine) for machine in np.unique(machines)}
    found = []
    for _ in range(DRAWS):
        drawn = np.concatenate([places[machine] for machine in chance.choice(list(places), len(places))])
        found.append(auc(labels[drawn], scores[drawn]))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)
