"""What may be asked of a machine in the days to come, as the model `cash_demand` foretells it out of the machine's own past.

It is asked once a day for each machine, in a thread of its own, and by commands: never on the way from a sensor to an alarm.
Where a model is refused or breaks, the past alone foretells (`agent.analysis.risk.history_forecast`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from agent.analysis.daycodes import CODES, codes
from agent.analysis.holidays import Holidays
from agent.analysis.risk import DayOfDemand, Demand, Forecast, history_forecast, quantile_forecast
from agent.errors import ModelRefused
from agent.scoring import onnx_file
from agent.scoring.card import CARD_KEY
from agent.scoring.demand_card import BACK, WRONG_FILE, DemandCard, read_demand_card
from agent.scoring.unmap import unmap_code

AHEAD = 56  # days ahead that the graph sees
RECENT = 182  # days that it needs; what is older tells the season
LEAST_KNOWN = 28  # of the recent days; with fewer the past alone says as much
TIMES = 32  # answers whose duration is remembered
TOLERANCE = 1e-4  # relative, between a golden output and what the runtime here answers


@dataclass
class DemandModel:
    """A graph that agrees with its card. `word` is its state: ok or broken; `times`: seconds of the newest answers."""

    card: DemandCard
    sha256: str
    session: Any
    word: str = "ok"
    error: str = ""
    times: deque[float] = field(default_factory=lambda: deque(maxlen=TIMES))

    @property
    def id(self) -> str:
        """Name, version and the beginning of the file's hash."""
        return f"{self.card.name}-{self.card.version}-{self.sha256[:8]}"

    def forecast(self, past: Sequence[DayOfDemand], first: date, holidays: Holidays) -> Forecast | None:
        """The demand of the days from `first` on, out of what was paid out before; None when too little of that is known.

        More days than the model foretells together (14) are foretold by the past alone.
        """
        history = _history(past, first)
        if int((history[0, -RECENT:] > 0).sum()) < LEAST_KNOWN:  # NaN is not
            return None
        fallback = history_forecast(past, first)
        sums = self.cumulative(history, first, holidays)[0]
        known = quantile_forecast(
            {days: dict(zip(self.card.levels, map(float, row), strict=True)) for days, row in enumerate(sums, 1)}
        )

        def forecast(days: float) -> Demand | None:
            return known(days) or fallback(days)

        return forecast

    def golden(self) -> np.ndarray[Any, Any]:
        """What it answers to the card's golden rows."""
        golden = self.card.golden
        history = np.array([[np.nan if value is None else value for value in row] for row in golden.history])
        return self.cumulative(history, golden.first, Holidays(golden.country))

    def cumulative(self, history: np.ndarray[Any, Any], first: date, holidays: Holidays) -> np.ndarray[Any, Any]:
        """[machines, 546] to [machines, 14, levels]: quantiles of the first 1 to 14 days together."""
        calendar = np.array(codes(first - timedelta(days=BACK), BACK + AHEAD, holidays), np.float32)
        given = {"history": history.astype(np.float32), "calendar": calendar}
        return np.asarray(self.session.run(["cumulative"], given)[0])


def _history(past: Sequence[DayOfDemand], first: date) -> np.ndarray[Any, Any]:
    """[1, 546] before `first`: NaN where the demand is not known, because it could not be met or nothing was recorded. 0 is told:
    on one weekday, week after week, it means that the machine is closed."""
    history = np.full((1, BACK), np.nan)
    for each in past:
        place = BACK - (first - each.day).days
        if 0 <= place < BACK and not each.censored:
            history[0, place] = each.amount
    return history


def load_demand(path: Path, data: bytes, sha256: str) -> DemandModel:
    """Load a model that somebody vouches for (`agent.scoring.prove_demand`), and check it. Raises ModelRefused."""
    card = read_demand_card(onnx_file.metadata(path, data).get(CARD_KEY, ""), str(path))
    model = DemandModel(card, sha256, _session(path, data))
    unmap_code()
    _check_golden(path, model)
    return model


def _session(path: Path, data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its own lines go to stderr unasked; what matters is raised
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelRefused(f"{path}: cannot be loaded ({reason}); install the file again") from error
    shapes = {each.name: list(each.shape)[-1:] for each in session.get_inputs()}
    if shapes != {"history": [BACK], "calendar": [len(CODES)]}:
        raise ModelRefused(f"{path}: expected the inputs history and calendar; {WRONG_FILE}")
    return session


def _check_golden(path: Path, model: DemandModel) -> None:
    wanted = np.array(model.card.golden.cumulative)
    try:
        answer = model.golden()
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelRefused(f"{path}: cannot be run ({reason}); install the file again", "broken") from error
    if answer.shape != wanted.shape or not np.allclose(answer, wanted, rtol=TOLERANCE, atol=0.0):
        raise ModelRefused(f"{path}: does not give its golden outputs here; export it with the onnxruntime that is installed")
