"""One loaded model: onnxruntime with a single thread, timed, and silenced for good when it answers nonsense."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from agent.errors import ModelRefused
from agent.scoring.card import CARD_KEY, TOLERANCE, Card, read_card
from agent.stages.features import Feature
from agent.stages.score import Score

INPUT = "features"  # float32 [rows, features]; NaN is missing
OUTPUT = "score"  # float32 [rows], 0 to 1
CONTRIBUTIONS = "contributions"  # float32 [rows, features]: what each adds
CLASSES = "classes"  # float32 [rows, classes]
TIMES = 256  # scores whose duration is remembered
SLOW_LIMIT = 5  # scores in a row beyond their time budget
HANGING = 20.0  # budgets; a single score that takes so long stops everything else
DRIVERS = 5  # features named beside a score


class Loaded:
    """What any loaded model is to the agent. `word` is its state: ok, slow or broken; in the latter two it gives no scores."""

    def __init__(
        self,
        session: Any,
        card: Card,
        sha256: str,
        budget: float,
        perf_counter: Callable[[], float],
        parsed: tuple[Feature, ...] | None = None,
    ) -> None:
        self.card = card
        self.sha256 = sha256
        self.word = "ok"
        self.error = ""
        self.times: deque[float] = deque(maxlen=TIMES)  # s
        self.parsed: tuple[Feature, ...] = card.parsed_features() if parsed is None else parsed
        self._run = session.run
        self._outputs = [output.name for output in session.get_outputs()]
        self._budget = budget
        self._perf_counter = perf_counter
        self._slow = 0

    @property
    def id(self) -> str:
        """Name, version and the beginning of the file's hash."""
        return f"{self.card.name}-{self.card.version}-{self.sha256[:8]}"

    def _break(self, error: object) -> None:
        """It gives no scores any more."""
        said = " ".join(str(error).split())[:200]
        self.word, self.error = "broken", f"{type(error).__name__}: {said}" if isinstance(error, Exception) else said

    def _time(self, seconds: float) -> None:
        self.times.append(seconds)
        self._slow = self._slow + 1 if seconds > self._budget else 0
        if self._slow >= SLOW_LIMIT or seconds > HANGING * self._budget:
            self.word = "slow"
            self.error = f"{self._slow} scores in a row took longer than {self._budget:g} s, the last one {seconds:.3f} s"


class LoadedModel(Loaded):
    """A model that has learned all it knows: a callable that gives a Score, or None."""

    def __init__(
        self,
        session: Any,
        card: Card,
        sha256: str,
        budget: float,
        perf_counter: Callable[[], float],
        parsed: tuple[Feature, ...] | None = None,
    ) -> None:
        super().__init__(session, card, sha256, budget, perf_counter, parsed)
        self._score = self._outputs.index(OUTPUT)
        self._contributions = self._outputs.index(CONTRIBUTIONS) if CONTRIBUTIONS in self._outputs else None
        self._classes = self._outputs.index(CLASSES) if CLASSES in self._outputs else None
        self.explain_from = 0.0
        """Scores from here on name their drivers and their class; nobody asks for those of a calm machine."""
        self._row = np.empty((1, len(card.features)), dtype=np.float32)
        self._given = {INPUT: self._row}

    def __call__(self, features: Sequence[float]) -> Score | None:
        if self.word != "ok":
            return None
        started = self._perf_counter()
        try:
            self._row[0] = features
            answer = self._run(self._outputs, self._given)
            score: float = answer[self._score].item()
        except Exception as error:  # noqa: BLE001  the runtime raises what it likes; a model's failure costs its scores only
            self._break(error)
            return None
        self._time(self._perf_counter() - started)
        if not 0.0 <= score <= 1.0:
            self._break(f"it answered {score}, which is no score")
            return None
        if score < self.explain_from:
            return Score(score)
        drivers, contributions = self._drivers(answer)
        return Score(score, drivers, self._attack(answer), contributions)

    def run(self, features: Sequence[float | None]) -> dict[str, Any]:
        """The graph's outputs for one row of features; None is missing. Raises what the runtime raises."""
        self._row[0] = [float("nan") if value is None else value for value in features]
        return dict(zip(self._outputs, self._run(self._outputs, self._given), strict=True))

    def _drivers(self, answer: Sequence[Any]) -> tuple[tuple[str, ...], tuple[float, ...]]:
        if self._contributions is None:
            return (), ()
        given = zip(answer[self._contributions].tolist()[0], self.card.features, strict=True)
        strongest = sorted([each for each in given if each[0] > 0.0], reverse=True)[:DRIVERS]
        return tuple([name for _, name in strongest]), tuple([value for value, _ in strongest])

    def _attack(self, answer: Sequence[Any]) -> str | None:
        if self._classes is None or len(self.card.classes) < 2:
            return None
        given: list[float] = answer[self._classes].tolist()[0]
        return self.card.classes[given.index(max(given[1:]), 1)]


def load(path: Path, data: bytes, sha256: str, budget: float, perf_counter: Callable[[], float]) -> LoadedModel:
    """Load a model that has learned all it knows, and check it against its card. Raises ModelRefused."""
    session, card = opened(path, data)
    if card.learns:
        raise ModelRefused(f"{path}: learns at the machine itself; this use wants a model that has learned all it knows")
    return checked(path, session, card, sha256, budget, perf_counter)


def checked(
    path: Path,
    session: Any,
    card: Card,
    sha256: str,
    budget: float,
    perf_counter: Callable[[], float],
    parsed: tuple[Feature, ...] | None = None,
) -> LoadedModel:
    """A session that was opened, as a model that agrees with its card. `parsed`: its features, where no pipeline has to make
    them. Raises ModelRefused."""
    _check_inputs(session, card, path)
    _check_outputs(session, card, path)
    model = LoadedModel(session, card, sha256, budget, perf_counter, parsed)
    _check_golden(model, path)
    return model


def opened(path: Path, data: bytes) -> tuple[Any, Card]:
    """A session of the runtime, and the card. Raises ModelRefused."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # exported graphs are folded already: as fast without the optimizers, which would keep a third of a megabyte
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False  # a row needs a few kilobytes; an arena would keep a megabyte
    options.log_severity_level = 4  # its own lines go to stderr unasked; what matters is raised
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelRefused(f"{path}: cannot be loaded ({reason}); install the file again") from error
    if CARD_KEY not in metadata:
        raise ModelRefused(f"{path}: has no card in its metadata; export it with the project's trainer")
    return session, read_card(metadata[CARD_KEY], str(path))


def _check_inputs(session: Any, card: Card, path: Path) -> None:
    inputs = {each.name: each for each in session.get_inputs()}
    if list(inputs) != [INPUT]:
        raise ModelRefused(f"{path}: expected one input {INPUT!r}, its graph has {', '.join(inputs) or 'none'}")
    given = inputs[INPUT]
    if given.type != "tensor(float)" or len(given.shape) != 2:
        raise ModelRefused(f"{path}: its input must be float32 [rows, features], it is {given.type} {given.shape}")
    if given.shape[1] != len(card.features):
        raise ModelRefused(f"{path}: its graph takes {given.shape[1]} features, its card names {len(card.features)}")


def _check_outputs(session: Any, card: Card, path: Path) -> None:
    outputs = {each.name: each for each in session.get_outputs()}
    widths = {OUTPUT: None, CONTRIBUTIONS: len(card.features), CLASSES: len(card.classes)}
    if OUTPUT not in outputs or not outputs.keys() <= widths.keys():
        raise ModelRefused(f"{path}: expected the outputs {', '.join(widths)} or the first alone, got {', '.join(outputs)}")
    for name, each in outputs.items():
        width = widths[name]
        shape_fits = len(each.shape) == 1 if width is None else len(each.shape) == 2 and each.shape[1] == width
        if each.type != "tensor(float)" or not shape_fits:
            wanted = "[rows]" if width is None else f"[rows, {width}]"
            raise ModelRefused(f"{path}: its output {name!r} must be float32 {wanted}, it is {each.type} {each.shape}")


def _check_golden(model: LoadedModel, path: Path) -> None:
    for row, expected in zip(model.card.golden.inputs, model.card.golden.scores, strict=True):
        try:
            got = float(model.run(row)[OUTPUT][0])
        except Exception as error:
            raise ModelRefused(f"{path}: fails on its golden input ({error})", "broken") from error
        if not abs(got - expected) <= TOLERANCE:
            raise ModelRefused(f"{path}: answers {got:.6f} where its card has {expected:.6f}; this runtime computes it wrongly")
