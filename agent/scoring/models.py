"""The models of a running agent: proved, attached to the pipelines, watched, and replaced when another one is installed.

    configured file, or else  shelf: current, then those before it, then the one that came with the agent

The first of these that proves itself scores. When a new one is refused, that is said, and the one that runs goes on. A model
that learns at the machine has a `Watch` for each of them, which an order on the shelf makes learn again. A model of demand scores
nothing: it is handed to whoever asks about the days to come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agent.errors import ModelRefused
from agent.records import Value
from agent.scoring import foretells, prove, prove_demand
from agent.scoring.card import MOST_ROWS, Card
from agent.scoring.demand_card import DemandCard
from agent.scoring.drift import Drift
from agent.scoring.shelf import Copy, Shelf
from agent.stages.features import parse
from agent.stages.score import Score, Scoring

if TYPE_CHECKING:
    from agent.scoring.demand import DemandModel
    from agent.scoring.learning import LearningModel
    from agent.scoring.loading import AnyModel
    from agent.scoring.session import LoadedModel
    from agent.scoring.watch import Watch

log = logging.getLogger(__name__)

DEMAND_BUDGET = 5.0  # s that a model of demand may take for an answer, which it gives once a day
DRIFT_EVERY = 60.0  # s between two rows that are counted for drift


@dataclass(frozen=True)
class Wanted:
    """One model that is configured."""

    name: str
    came_with: Path
    """The file that came with the agent."""
    file: Path | None = None
    """The one file that may be used, where the configuration names one; the shelf is not looked at then."""
    sha256: str | None = None
    keys: tuple[Path, ...] = ()
    """Public keys of the operator. Without any, the hash that was given at the installation vouches for a file."""
    threshold: float | None = None
    every: float | None = None
    shadow: bool = False
    budget: float = 0.05
    features: tuple[str, ...] = ()
    """What a model that learns at the machine watches; without any, what its card names."""
    window: float | None = None
    """Seconds of its commissioning; without, its card's rows."""


@dataclass(frozen=True)
class _Candidate:
    path: Path
    sha256: str | None
    keys: tuple[Path, ...]


class Models:
    """See the module. `look` is called every few seconds; nothing here is called by the sensors' side.

    `attach` and `detach` reach every pipeline, `say` makes a Reading of the gateway itself, `foretell` takes a model of demand.
    """

    def __init__(
        self,
        wanted: Sequence[Wanted],
        shelf: Shelf,
        attach: Callable[[Scoring], None],
        detach: Callable[[str], None],
        say: Callable[[str, Value], None],
        perf_counter: Callable[[], float],
        foretell: Callable[[DemandModel], None],
    ) -> None:
        self.running: dict[str, AnyModel | DemandModel] = {}
        """By the name under which it scores; a shadow's is its model's with `-shadow`."""
        self._wanted = wanted
        self._shelf = shelf
        self._attach = attach
        self._detach = detach
        self._say = say
        self._perf_counter = perf_counter
        self._foretell = foretell
        self._seen: dict[str, tuple[int, int]] = {}  # the state of the shelf that has been acted upon
        self._words: dict[str, str] = {}  # why the newest candidate does not run
        self._drifts: dict[str, Drift] = {}
        self._watches: dict[str, dict[str, Watch]] = {}  # by name and machine
        self._complaints: dict[str, str] = {}  # what was logged last of a machine's learning

    async def look(self) -> None:
        """Act on what has been installed since the last call, and say how each model is."""
        for wanted in self._wanted:
            stamp = self._shelf.stamp(wanted.name)
            if self._seen.get(wanted.name) != stamp:
                self._seen[wanted.name] = stamp
                await self._choose(wanted)
                await self._choose_shadow(wanted)
            self._commission(wanted)
            self._tell(wanted.name)

    async def _choose(self, wanted: Wanted) -> None:
        self._words.pop(wanted.name, None)
        for candidate in self._candidates(wanted):
            model = await self._prove(wanted, candidate, wanted.name)
            if model is not None:
                self._start(wanted, wanted.name, model, shadow=wanted.shadow)
                return
            if wanted.name in self.running:
                return  # the last good one goes on

    async def _choose_shadow(self, wanted: Wanted) -> None:
        name = f"{wanted.name}-shadow"
        self._words.pop(name, None)
        copy = self._shadow_copy(wanted)
        if copy is None:
            if self.running.pop(name, None) is not None:
                self._drifts.pop(name, None)
                self._watches.pop(name, None)
                self._detach(name)
            return
        model = await self._prove(wanted, _Candidate(self._shelf.path(wanted.name, copy), copy.sha256, wanted.keys), name)
        if model is not None:
            self._start(wanted, name, model, shadow=True)

    def _shadow_copy(self, wanted: Wanted) -> Copy | None:
        if wanted.file is not None:
            return None
        try:
            return self._shelf.row(wanted.name).shadow
        except ModelRefused:
            return None  # said already, when the current one was looked for

    def _candidates(self, wanted: Wanted) -> list[_Candidate]:
        if wanted.file is not None:
            return [_Candidate(wanted.file, wanted.sha256, wanted.keys)]
        try:
            row = self._shelf.row(wanted.name)
            copies = [copy for copy in (row.current, *row.previous) if copy is not None]
        except ModelRefused as error:
            self._refuse(wanted.name, error)
            copies = []
        found = [_Candidate(self._shelf.path(wanted.name, copy), copy.sha256, wanted.keys) for copy in copies]
        return [*found, _Candidate(wanted.came_with, wanted.sha256, ())]

    async def _prove(self, wanted: Wanted, candidate: _Candidate, name: str) -> AnyModel | DemandModel | None:
        running = self.running.get(name)
        if running is not None and running.word == "ok" and running.sha256 == candidate.sha256:
            return running
        try:
            if await asyncio.to_thread(foretells, candidate.path):
                _check_foretelling(wanted, shadow=wanted.shadow or name != wanted.name)
                return await prove_demand(candidate.path, candidate.sha256, DEMAND_BUDGET, candidate.keys)
            model = await prove(candidate.path, candidate.sha256, wanted.budget, self._perf_counter, candidate.keys)
            _check_wanted(wanted, model.card)
        except ModelRefused as error:
            self._refuse(name, error)
            return None
        return model

    def _refuse(self, name: str, error: ModelRefused) -> None:
        log.error("model %s: %s", name, error)
        self._words.setdefault(name, error.word)

    def _start(self, wanted: Wanted, name: str, model: AnyModel | DemandModel, *, shadow: bool) -> None:
        if self.running.get(name) is model:
            return
        self.running[name] = model
        self._watches[name] = {}
        self._drifts.pop(name, None)
        if isinstance(model.card, DemandCard):
            self._foretell(model)
            log.info("model %s: %s foretells the demand", name, model.id)
            return
        self._attach(self._scoring(wanted, name, model, shadow=shadow))
        log.info("model %s: %s scores%s", name, model.id, " as a shadow" if shadow else "")

    def _scoring(self, wanted: Wanted, name: str, model: AnyModel, *, shadow: bool) -> Scoring:
        card = model.card
        every = _every(wanted, card)
        threshold = wanted.threshold if wanted.threshold is not None else card.threshold
        if card.learns:
            features = wanted.features or card.features
            rows = _rows(wanted, card)
            learner = partial(self._watch, name, cast("LearningModel", model), features, every, rows)
            scoring = Scoring(name, tuple(parse(text) for text in features), _nothing, card.threshold, every, learner=learner)
        else:
            drift = self._drifts[name] = Drift(card)
            seldom = max(1, round(DRIFT_EVERY / every))
            loaded = cast("LoadedModel", model)
            loaded.explain_from = threshold
            scoring = Scoring(name, model.parsed, _counted(loaded, drift, seldom), card.threshold, every)
        return replace(scoring, threshold=threshold, shadow=shadow, event=card.event, says=card.says)

    def _watch(self, name: str, model: LearningModel, features: Sequence[str], every: float, rows: int, machine: str) -> Watch:
        watch = self._watches[name][machine] = model.watch(features, every, rows)
        return watch

    def _commission(self, wanted: Wanted) -> None:
        """Have machines learn again whose order is a new one, and say once what is wrong with their learning."""
        watches = [
            (name, machine, watch)
            for name in (wanted.name, f"{wanted.name}-shadow")
            for machine, watch in self._watches.get(name, {}).items()
        ]
        if not watches:
            return
        try:
            orders = self._shelf.orders(wanted.name)
        except ModelRefused as error:
            self._complain(wanted.name, str(error))
            orders = {}
        for name, machine, watch in watches:
            watch.obey(orders.get(machine, watch.order))
            self._complain(f"{name} of {machine}", watch.error)

    def _complain(self, whose: str, error: str) -> None:
        if error and self._complaints.get(whose) != error:
            log.error("model %s: %s", whose, error)
        self._complaints[whose] = error

    def _tell(self, name: str) -> None:
        """How a model and its shadow are, and how far what they are given has drifted."""
        for each in (name, f"{name}-shadow"):
            model = self.running.get(each)
            word = self._words.get(each) or (model.word if model is not None else None)
            if word is None:
                continue
            if model is not None and model.word != "ok" and self._words.get(each) != model.word:
                log.error("model %s gives no scores any more: %s", each, model.error)
                self._words[each] = model.word
            self._say(f"gateway.model.{each}", word)
            drift = self._drifts.get(each)
            for feature, index in (drift.report() if drift is not None else {}).items():
                self._say(f"model.{each}.drift.{feature}", round(index, 4))


def _counted(model: LoadedModel, drift: Drift, seldom: int) -> Callable[[Sequence[float]], Score | None]:
    """The model as a plain callable that counts every so-manieth row for drift."""
    asked = 0

    def ask(features: Sequence[float]) -> Score | None:
        nonlocal asked
        asked += 1
        if asked % seldom == 0:
            drift.feed(features)
        return model(features)

    return ask


def _nothing(_: Sequence[float]) -> None:
    """What a model that learns at a machine says of none in particular."""


def _every(wanted: Wanted, card: Card) -> float:
    return wanted.every if wanted.every is not None else card.every


def _rows(wanted: Wanted, card: Card) -> int:
    """Of the commissioning window."""
    return card.window if wanted.window is None else round(wanted.window / _every(wanted, card))


def _check_foretelling(wanted: Wanted, *, shadow: bool) -> None:
    """Nothing, when the configuration suits a model of demand. Raises ModelRefused."""
    given = [name for name in ("threshold", "every", "features", "window") if getattr(wanted, name)]
    if given or shadow:
        what = ", ".join([*given, *(["shadow"] if shadow else [])])
        raise ModelRefused(f"models.{wanted.name}: {what}: for a model that scores; this one foretells demand, once a day")


def _check_wanted(wanted: Wanted, card: Card) -> None:
    """Nothing, when the configuration suits the model. Raises ModelRefused."""
    if not card.learns:
        if wanted.features or wanted.window is not None:
            raise ModelRefused(
                f"models.{wanted.name}: features and window are for a model that learns at the machine; this does not"
            )
        return
    from agent.scoring.baseline import LEAST_ROWS, MOST_FEATURES  # noqa: PLC0415  as in agent.scoring.loading

    if len(wanted.features) > MOST_FEATURES:
        raise ModelRefused(f"models.{wanted.name}.features: {len(wanted.features)}; a baseline is of {MOST_FEATURES} at most")
    if (rows := _rows(wanted, card)) < LEAST_ROWS or rows > MOST_ROWS:
        raise ModelRefused(
            f"models.{wanted.name}.window: makes {rows} rows of {_every(wanted, card):g} s; {LEAST_ROWS} to {MOST_ROWS} are right"
        )
