"""The anomaly score of one machine: it collects a commissioning window, learns what is usual there, then scores.

Nothing is scored while it is learned. The window, the baseline and the state of the score are notes of the store, so a restart
goes on where the agent was; an order to learn again is noted as well, so that it is obeyed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from agent.scoring.baseline import LEAST_ROWS, Arrays, Baseline, Pace, Run, learn, pack, unpack
from agent.stages import Documents
from agent.stages.score import Score

CHUNK = 64  # rows of a commissioning window that are noted together; a restart costs at most these
DRIVERS = 5  # features named beside a score
DAY = 86_400.0


class Watch:
    """A `Learner` (agent.stages.score): asked once in `every` seconds, it answers None until it has learned.

    Learning takes about a second for 4,000 rows of twenty features on a small board. Damaged notes mean that it learns again.
    """

    def __init__(self, run: Run, features: Sequence[str], every: float, window: int, pace: Pace | None = None) -> None:
        if window < LEAST_ROWS:
            raise ValueError(f"a commissioning window of {window} rows is too short; give at least {LEAST_ROWS}")
        self.features = tuple(features)
        self.error = ""
        """Why the last window could not be learned from, or the notes of it not be read."""
        self.baseline: Baseline | None = None
        self.order = 0
        """The last order to learn again that was obeyed."""
        self._run = run
        self._every = every
        self._window = window
        self._pace = pace
        self._likely = (round(DAY / every), round(7 * DAY / every))
        self._rows: list[Sequence[float]] = []
        self._first = self._step = -1
        self._score: Score | None = None
        self._changes: Documents = {}
        self._moved = False

    @property
    def learned(self) -> float:
        """Share of the commissioning window that is there; 1 when scores are given."""
        return 1.0 if self.baseline is not None else len(self._rows) / self._window

    def obey(self, order: int) -> None:
        """Learn again, unless this order has been obeyed already."""
        if order == self.order:
            return
        self.relearn()
        self.order = order
        self._changes["order"] = {"order": order}

    def relearn(self) -> None:
        """Forget what is usual and collect a new window."""
        self._changes |= dict.fromkeys(("baseline", "state", *self._chunks()))
        self.baseline, self._score = None, None
        self._rows, self._first = [], -1

    def __call__(self, features: Sequence[float], now: float) -> Score | None:
        """The score of one row at `now` (seconds since the epoch). A second row of the same step changes nothing."""
        step = int(now // self._every)
        if step == self._step:
            return self._score
        self._step = step
        if self.baseline is None:
            self._collect(features, step)
        else:
            self._score = self._advance(self.baseline, features, step)
        return self._score

    def _collect(self, row: Sequence[float], step: int) -> None:
        if self._first < 0 or not 0 <= step - self._first < 2 * self._window:
            self.relearn()  # the first row, or the clock was set
            self._first = step
        if step < self._first + len(self._rows):
            return
        while len(self._rows) < min(step - self._first, self._window):
            self._add([nan] * len(self.features))
        self._add(row)
        if len(self._rows) >= self._window:
            self._learn()

    def _add(self, row: Sequence[float]) -> None:
        self._rows.append(row)
        if len(self._rows) % CHUNK == 0:
            number = len(self._rows) // CHUNK - 1
            self._changes[f"rows {number}"] = self._chunk(number)

    def _learn(self) -> None:
        rows, first = np.asarray(self._rows, np.float32).astype(np.float64), self._first  # as they are noted
        self.relearn()
        try:
            self.baseline = learn(rows, self.features, first, self._pace, self._likely)
            self.error = ""
        except ValueError as error:
            self.error = str(error)
            return
        self._state, self._trace = self.baseline.state, self.baseline.trace
        self._changes["baseline"] = self._learnt(self.baseline)
        self._moved = True

    def _advance(self, baseline: Baseline, row: Sequence[float], step: int) -> Score | None:
        given: Arrays = {"features": np.asarray([row], np.float32), "step": np.array([step], np.int64)}
        answer = self._run(given | baseline.inputs() | {"state": self._state, "trace": self._trace})
        if answer is None:
            return None
        self._state, self._trace = answer["next_state"], answer["next_trace"]
        self._moved = True
        parts = answer["contributions"][0]
        strongest = [index for index in np.argsort(-parts)[:DRIVERS] if parts[index] > 0]
        drivers = tuple(self.features[index] for index in strongest)
        return Score(float(answer["score"][0]), drivers, None, tuple(float(parts[index]) for index in strongest))

    # Restart ------------------------------------------------------------------------------------------------------------

    def changed(self) -> Documents:
        """What has changed since the last call and must be known again after a restart."""
        changes, self._changes = self._changes, {}
        if self._moved and self.baseline is not None:
            changes["state"] = self._where()
        self._moved = False
        return changes

    def documents(self) -> Documents:
        """All that `restore` takes."""
        found: Documents = {"order": {"order": self.order}} if self.order else {}
        if self.baseline is not None:
            return found | {"baseline": self._learnt(self.baseline), "state": self._where()}
        return found | {name: self._chunk(number) for number, name in enumerate(self._chunks())}

    def _learnt(self, baseline: Baseline) -> dict[str, Any]:
        return {**baseline.document(), "every": self._every}

    def _where(self) -> dict[str, Any]:
        return {"state": pack(self._state), "trace": pack(self._trace)}

    def _chunks(self) -> list[str]:
        return [f"rows {number}" for number in range(len(self._rows) // CHUNK)]

    def _chunk(self, number: int) -> dict[str, Any]:
        rows = np.asarray(self._rows[number * CHUNK : (number + 1) * CHUNK], np.float32)
        return {"first": self._first, "every": self._every, "rows": pack(rows)}

    def restore(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on where an earlier run ended."""
        try:
            self._restore(documents)
        except (KeyError, TypeError, ValueError) as error:
            self.relearn()
            self._changes |= dict.fromkeys(name for name in documents if name != "order")
            self.error = f"the notes of the commissioning cannot be used ({error}); it is learned again"

    def _restore(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self.order = int(documents.get("order", {"order": 0})["order"])
        if any(self._every != each["every"] for name, each in documents.items() if name.startswith(("baseline", "rows"))):
            raise ValueError("they are of rows that were taken more or less often")
        if "baseline" in documents:
            self._take_baseline(Baseline.from_document(documents["baseline"]), documents.get("state"))
            return
        while (chunk := documents.get(f"rows {len(self._rows) // CHUNK}")) is not None:
            rows = unpack(chunk["rows"])
            if rows.shape != (CHUNK, len(self.features)) or (self._rows and chunk["first"] != self._first):
                raise ValueError("they are of another window")
            self._rows += rows.tolist()
            self._first = int(chunk["first"])

    def _take_baseline(self, baseline: Baseline, kept: Mapping[str, Any] | None) -> None:
        if baseline.features != self.features:
            raise ValueError("they are of other features")
        state, trace = (baseline.state, baseline.trace) if kept is None else (unpack(kept["state"]), unpack(kept["trace"]))
        if state.shape != baseline.state.shape or trace.shape != baseline.trace.shape:
            raise ValueError("the state does not fit the baseline")
        if not (np.isfinite(state).all() and np.isfinite(trace).all()):
            raise ValueError("the state holds what is no number")
        self._state, self._trace, self.baseline = state, trace, baseline
