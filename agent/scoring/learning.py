"""A loaded model that learns at the machine: one graph for all machines, and for each of them a `Watch` with its own baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelRefused
from agent.scoring.baseline import LEAST_ROWS, MOST_FEATURES, Arrays, Baseline, Pace
from agent.scoring.card import TOLERANCE, Card
from agent.scoring.session import CONTRIBUTIONS, INPUT, OUTPUT, Loaded
from agent.scoring.watch import Watch

INPUTS = (INPUT, "step", "season", "period", "gain", "precision", "pace", "state", "trace")
OUTPUTS = (OUTPUT, CONTRIBUTIONS, "next_state", "next_trace")


class LearningModel(Loaded):
    """See the module. Raises ModelRefused when the card's pace or baseline is none."""

    def __init__(self, session: Any, card: Card, sha256: str, budget: float, perf_counter: Callable[[], float]) -> None:
        super().__init__(session, card, sha256, budget, perf_counter)
        try:
            self.pace = Pace(**card.pace)
            self.pace.rates(card.window)
            self._baseline = Baseline.from_document(card.baseline)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise ModelRefused(
                f"{card.name}: its card's pace or baseline is none ({error}); export it with the trainer"
            ) from error

    def watch(self, features: Sequence[str], every: float, window: int) -> Watch:
        """The model of one machine. Raises ValueError when the window is too short."""
        return Watch(self.graph, features, every, window, self.pace)

    def graph(self, inputs: Arrays) -> Mapping[str, NDArray[Any]] | None:
        """The graph's outputs by name; None when it gives no scores any more."""
        if self.word != "ok":
            return None
        started = self._perf_counter()
        try:
            answer = dict(zip(self._outputs, self._run(self._outputs, inputs), strict=True))
            score = float(answer[OUTPUT][0])
        except Exception as error:  # noqa: BLE001  the runtime raises what it likes; a model's failure costs its scores only
            self._break(error)
            return None
        self._time(self._perf_counter() - started)
        if not 0.0 <= score <= 1.0 or not all(np.isfinite(each).all() for each in answer.values()):
            self._break(f"it answered {score} or what is no number")
            return None
        return answer

    def run(self, features: Sequence[float | None]) -> dict[str, Any]:
        """The outputs for one row at the card's own machine; None is missing. Raises what the runtime raises."""
        return self._step(features, self.card.golden.first, self._baseline.state, self._baseline.trace)

    def _step(self, row: Sequence[float | None], step: int, state: Any, trace: Any) -> dict[str, Any]:
        values = np.asarray([[np.nan if value is None else value for value in row]], np.float32)
        given = {INPUT: values, "step": np.array([step], np.int64), "state": state, "trace": trace}
        return dict(zip(self._outputs, self._run(self._outputs, given | self._baseline.inputs()), strict=True))

    def golden(self) -> list[float]:
        """The scores of the card's golden rows, which follow each other."""
        state, trace, scores = self._baseline.state, self._baseline.trace, []
        for step, row in enumerate(self.card.golden.inputs, self.card.golden.first):
            answer = self._step(row, step, state, trace)
            state, trace = answer["next_state"], answer["next_trace"]
            scores.append(float(answer[OUTPUT][0]))
        return scores


def agreed(path: Path, session: Any, card: Card, sha256: str, budget: float, perf_counter: Callable[[], float]) -> LearningModel:
    """A session that was opened, as a model that agrees with its card. Raises ModelRefused."""
    _check_shape(path, session, card)
    model = LearningModel(session, card, sha256, budget, perf_counter)
    try:
        scores = model.golden()
    except Exception as error:
        raise ModelRefused(f"{path}: fails on its golden input ({error})", "broken") from error
    for got, expected in zip(scores, card.golden.scores, strict=True):
        if not abs(got - expected) <= TOLERANCE:
            raise ModelRefused(f"{path}: answers {got:.6f} where its card has {expected:.6f}; this runtime computes it wrongly")
    return model


def _check_shape(path: Path, session: Any, card: Card) -> None:
    for what, wanted, found in (("inputs", INPUTS, session.get_inputs()), ("outputs", OUTPUTS, session.get_outputs())):
        names = [each.name for each in found]
        if set(names) != set(wanted):
            raise ModelRefused(
                f"{path}: a model that learns has the {what} {', '.join(wanted)}; its graph has {', '.join(names)}"
            )
    if not 1 <= len(card.features) <= MOST_FEATURES or card.window < LEAST_ROWS:
        raise ModelRefused(f"{path}: a baseline is of 1 to {MOST_FEATURES} features and {LEAST_ROWS} rows at least")
