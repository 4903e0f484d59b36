"""The file that ships: the graph with its card, and what the card says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from agent.analysis.daycodes import CODES, codes
from agent.analysis.holidays import Holidays
from models import card
from models.cash_demand.evaluate import Judged, spread
from models.cash_demand.features import HISTORY, HORIZON
from models.cash_demand.graph import LEVELS, SPAN, Learned, Rows, graph
from models.cash_demand.measure import SPANS
from models.cash_demand.network import Floats
from models.cash_demand.series import Series
from models.data import DataError

VERSION = "1.2"
HERE = Path(__file__).parent
SHIPPED = HERE / "cash_demand.onnx"
GOLDEN_DAY, GOLDEN_COUNTRY = date(2026, 3, 30), "GB"  # the first day ahead: Easter, a month's turn and bank holidays follow
INPUTS = (
    f"history: amount paid out on each of the last {HISTORY} days, oldest first, any unit; 0 or missing: not known",
    *(f"calendar.{name}: of those days and of the {HORIZON} to come, a whole number" for name in CODES),
)


def golden_history() -> Floats:
    """Two machines that nobody owns: one with a long history and a weekly rhythm, one of half a year with holes and zeros, which
    is closed on the weekday that comes first."""
    chance = np.random.default_rng(11)
    days = np.arange(HISTORY)
    rhythm = np.array([0.8, 0.9, 1.0, 1.1, 1.5, 1.3, 0.6])[days % 7]
    noise = np.exp(0.2 * chance.standard_normal((2, HISTORY)))
    amounts = np.array([[20_000.0], [450.0]]) * rhythm * noise
    amounts[1, : HISTORY - 182] = np.nan
    amounts[1, -40:-36] = 0.0
    amounts[1, -20::6] = np.nan
    amounts[1, ::7] = 0.0
    return np.asarray(np.round(amounts, 0), np.float32)


def golden_calendar() -> Floats:
    """The codes that go with it."""
    first = GOLDEN_DAY - timedelta(days=HISTORY)
    return np.array(codes(first, HISTORY + HORIZON, Holidays(GOLDEN_COUNTRY)), np.float32)


def open_model(path: Path) -> Rows:
    """An exported file, to be asked for daily and cumulative quantiles. Raises DataError."""
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name a file that `python -m models.cash_demand train` wrote") from error
    except Exception as error:  # the runtime raises what it likes
        raise DataError(f"{path}: is no model ({type(error).__name__}); train one") from error
    if [each.name for each in session.get_outputs()] != ["daily", "cumulative"]:
        raise DataError(f"{path}: is another model; name a file that `python -m models.cash_demand train` wrote")
    return lambda history, calendar: list(session.run(["daily", "cumulative"], {"history": history, "calendar": calendar}))


def write(learned: Learned, data: Mapping[str, str], measures: Mapping[str, Any], folder: Path) -> Path:
    """cash_demand.onnx, its sha256 and card.md."""
    content: dict[str, Any] = {
        "name": "cash_demand",
        "version": VERSION,
        "features": list(INPUTS),
        "threshold": None,
        "levels": list(LEVELS),
        "span": f"{HISTORY} days back (the last 182 are needed, the others tell the season); {HORIZON} days ahead, or sums "
        f"of 1 to {SPAN}",
        "golden": _golden([]),
        "intended_use": "Says how much a cash machine may be asked for: quantiles of each of the next 56 days, and of the next 1 "
        "to 14 days together. Feeds the probability of a cash-out, cash at risk and days to empty.",
        "limits": "Learnt from the machines that are named below. It knows amounts as multiples of what is usual at a machine, "
        "so currency and size do not matter; habits of another country may. What empties a machine for a day is taken as "
        "unknown, not as little demand; a weekday on which it has paid out nothing for weeks as one on which it is closed. "
        "Single events near a machine are not foreseen.",
        "data": dict(data),
        "measures": dict(measures),
        "versions": card.versions("numpy", "onnx", "onnxruntime"),
    }
    path = card.write(graph(learned), content, folder)
    answer = open_model(path)(golden_history(), golden_calendar())[1]
    content["golden"] = _golden([[[float(f"{value:.7g}") for value in row] for row in machine] for machine in answer])
    return card.write(graph(learned), content, folder)


def _golden(cumulative: Sequence[Any]) -> dict[str, Any]:
    history = [[None if np.isnan(value) else int(value) for value in row] for row in golden_history()]
    return {"history": history, "first": GOLDEN_DAY.isoformat(), "country": GOLDEN_COUNTRY, "cumulative": list(cumulative)}


def data(series: Series, country: str, shift: int, licence: str) -> dict[str, str]:
    """What the card says of the file."""
    last = series.first + timedelta(days=len(series) - 1)
    return {
        series.path.name: f"{len(series.machines)} machines, {len(series)} days from {series.first} to {last}; "
        f"sha256 {card.sha256(series.path)}; licence: {licence}",
        "calendar": f"country {country or 'none'}, dates moved by {shift} days",
    }


def measures(judged: Sequence[Judged]) -> dict[str, Any]:
    """What the card says of the quality: each origin with a model of its own, trained on the rows before."""
    if not judged:
        return {}
    protocol = f"{judged[0].horizon} days ahead, mean over {len(judged)} origins inside the file, trained on the rows before each"
    titles = {"smape": "SMAPE", "mae": "MAE", "mase": "MASE (m = 1)", "wql": "WQL (0.1 to 0.9)", "coverage": "coverage of 0.95"}
    titles |= {f"coverage_{days}d": f"{days} days together, coverage of 0.95" for days in SPANS}
    titles |= {f"pinball_{days}d": f"{days} days together, pinball loss over that of the past's quantile" for days in SPANS}
    found = spread(judged)
    return {
        titles[name]: {"value": round(middle, 4), "spread": f"± {deviation:.4f} over origins", "protocol": protocol}
        for name, (middle, deviation) in found.items()
    }
