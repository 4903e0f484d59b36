"""The exported graph on labelled series: learn on the first rows, score the others one by one, measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from agent.scoring.baseline import Arrays, Baseline, Floats, Pace, Run, learn
from models.anomaly.measures import auc, confusion, period, spans, vus_pr
from models.anomaly.series import Series
from models.data import DataError

THRESHOLD = 0.5  # of the score: one half is the commissioning window's limit


@dataclass(frozen=True)
class Result:
    """How one series went. Rates are of rows; alarms are runs of rows at or above the threshold. NaN: the file has no labels."""

    name: str
    rows: int
    trained: int
    season: tuple[int, ...]
    """Rows of each column's season, 1 where none was found."""
    window: int
    """Of the measure, as TSB-AD chooses it from the first column."""
    vus_pr: float
    vus_pr_in_hindsight: float
    """With the commissioning rows scored too, by the baseline that was learned from them; no gateway can do that."""
    auc: float
    f1: float
    false_rate: float
    missed_rate: float
    alarms: int
    false_alarms: int
    """Those that do not touch a labelled span."""
    found: int
    """Labelled spans, of those that reach beyond the commissioning window, that an alarm touches."""
    spans: int

    def row(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        return {name: None if isinstance(value, float) and isnan(value) else value for name, value in asdict(self).items()}


def open_graph(path: Path) -> Run:
    """The exported graph as a callable. Raises DataError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; export it first: python -m models.anomaly train") from error
    except Exception as error:  # the runtime raises what it likes
        raise DataError(f"{path}: is no model ({type(error).__name__}); export one: python -m models.anomaly train") from error
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return run


def stream(run: Run, baseline: Baseline, rows: Floats, first: int) -> tuple[Floats, Floats]:
    """Scores [n] and contributions [n, P] of rows that follow each other from step `first` on."""
    fixed = baseline.inputs()
    state, trace = baseline.state, baseline.trace
    scores, contributions = np.empty(len(rows)), np.empty(rows.shape)
    for index, row in enumerate(rows.astype(np.float32)):
        given: Arrays = {"features": row[None], "step": np.array([first + index], np.int64), "state": state, "trace": trace}
        answer = run(fixed | given)
        assert answer is not None
        state, trace = answer["next_state"], answer["next_trace"]
        scores[index], contributions[index] = answer["score"][0], answer["contributions"][0]
    return scores, contributions


def evaluate(run: Run, series: Series, pace: Pace) -> tuple[Result, Floats]:
    """Measure one series; also its scores, 0 while it learned. Raises DataError."""
    try:
        baseline = learn(series.values[: series.trained], series.columns, 0, pace)
    except ValueError as error:
        raise DataError(f"{series.path}: {error}") from error
    scores = np.zeros(len(series.values))
    scores[series.trained :], _ = stream(run, baseline, series.values[series.trained :], series.trained)
    called = scores >= THRESHOLD
    alarms, inside = spans(called), [span for span in spans(series.labels) if span[1] >= series.trained]
    nothing = (nan, nan, nan, nan, nan, nan)
    vus, hindsight, area, f1, false_rate, missed_rate = _figures(run, series, baseline, scores) if series.labelled else nothing
    result = Result(
        series.name,
        len(scores),
        series.trained,
        tuple(int(rows) for rows in baseline.period),
        period(filled(series.values[:, 0])),
        vus,
        hindsight,
        area,
        f1,
        false_rate,
        missed_rate,
        len(alarms),
        sum(not series.labels[first : last + 1].any() for first, last in alarms),
        sum(bool(called[first : last + 1].any()) for first, last in inside),
        len(inside),
    )
    return result, scores


def _figures(run: Run, series: Series, baseline: Baseline, scores: Floats) -> tuple[float, float, float, float, float, float]:
    """VUS-PR, the same in hindsight, AUC, F1, false alarm rate and missed alarm rate."""
    hindsight, _ = stream(run, baseline, series.values, 0)
    window = period(filled(series.values[:, 0]))
    counts = confusion(series.labels, scores >= THRESHOLD)
    return (
        vus_pr(series.labels, scores, window),
        vus_pr(series.labels, hindsight, window),
        auc(series.labels, scores),
        counts.f1,
        counts.false_rate,
        counts.missed_rate,
    )


def filled(values: Floats) -> Floats:
    """Blanks become the median: the measure's window needs a number in every row."""
    return np.where(np.isfinite(values), values, np.nanmedian(values))


def mean(results: Sequence[Result], figure: Callable[[Result], float]) -> tuple[float, float]:
    """Mean over files with labels and its standard error; NaN where there are none."""
    values = np.array([value for result in results if not isnan(value := figure(result))])
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return (float(values.mean()) if len(values) else nan), error
