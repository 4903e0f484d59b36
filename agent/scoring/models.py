"""The models of a running agent: proved, attached to the pipelines, watched, and replaced when another one is installed.

    configured file, or else  shelf: current, then those before it, then the one that came with the agent

The first of these that proves itself scores. When a new one is refused, that is said, and the one that runs goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ModelRefused
from agent.records import Value
from agent.scoring import prove
from agent.scoring.drift import Drift
from agent.scoring.shelf import Copy, Shelf
from agent.stages.score import Score, Scoring

if TYPE_CHECKING:
    from agent.scoring.session import LoadedModel

log = logging.getLogger(__name__)

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
    every: float = 5.0
    shadow: bool = False
    budget: float = 0.05


@dataclass(frozen=True)
class _Candidate:
    path: Path
    sha256: str | None
    keys: tuple[Path, ...]


class Models:
    """See the module. `look` is called every few seconds; nothing here is called by the sensors' side.

    `attach` and `detach` reach every pipeline, `say` makes a Reading of the gateway itself.
    """

    def __init__(
        self,
        wanted: Sequence[Wanted],
        shelf: Shelf,
        attach: Callable[[Scoring], None],
        detach: Callable[[str], None],
        say: Callable[[str, Value], None],
        perf_counter: Callable[[], float],
    ) -> None:
        self.running: dict[str, LoadedModel] = {}
        """By the name under which it scores; a shadow's is its model's with `-shadow`."""
        self._wanted = wanted
        self._shelf = shelf
        self._attach = attach
        self._detach = detach
        self._say = say
        self._perf_counter = perf_counter
        self._seen: dict[str, tuple[int, int]] = {}  # the state of the shelf that has been acted upon
        self._words: dict[str, str] = {}  # why the newest candidate does not run
        self._drifts: dict[str, Drift] = {}

    async def look(self) -> None:
        """Act on what has been installed since the last call, and say how each model is."""
        for wanted in self._wanted:
            stamp = self._shelf.stamp(wanted.name)
            if self._seen.get(wanted.name) != stamp:
                self._seen[wanted.name] = stamp
                await self._choose(wanted)
                await self._choose_shadow(wanted)
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

    async def _prove(self, wanted: Wanted, candidate: _Candidate, name: str) -> LoadedModel | None:
        running = self.running.get(name)
        if running is not None and running.word == "ok" and running.sha256 == candidate.sha256:
            return running
        try:
            return await prove(candidate.path, candidate.sha256, wanted.budget, self._perf_counter, candidate.keys)
        except ModelRefused as error:
            self._refuse(name, error)
            return None

    def _refuse(self, name: str, error: ModelRefused) -> None:
        log.error("model %s: %s", name, error)
        self._words.setdefault(name, error.word)

    def _start(self, wanted: Wanted, name: str, model: LoadedModel, *, shadow: bool) -> None:
        if self.running.get(name) is model:
            return
        self.running[name] = model
        drift = self._drifts[name] = Drift(model.card)
        seldom = max(1, round(DRIFT_EVERY / wanted.every))
        threshold = wanted.threshold if wanted.threshold is not None else model.card.threshold
        self._attach(Scoring(name, model.parsed, _counted(model, drift, seldom), threshold, wanted.every, shadow=shadow))
        log.info("model %s: %s scores%s", name, model.id, " as a shadow" if shadow else "")

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
