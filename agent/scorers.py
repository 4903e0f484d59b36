"""The models of a running agent, given to its pipelines and taken from them. What comes and goes stands in the trail too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent import rooms
from agent.audit import Audit
from agent.config.settings import Settings
from agent.pipeline import Pipeline
from agent.records import Body, Value
from agent.stages.score import Scoring


class Scorers:
    """`pipelines` is the agent's own mapping, which changes with its configuration; the gateway's own is never scored."""

    def __init__(
        self,
        gateway: str,
        pipelines: Mapping[str, Pipeline],
        keep: Callable[[Sequence[Body], Mapping[str, Any]], object],
        say: Callable[[str, Value], None],
        audit: Audit,
    ) -> None:
        self._gateway, self._pipelines = gateway, pipelines
        self._keep, self._say, self._audit = keep, say, audit
        self._scorings: dict[str, Scoring] = {}
        self._words: dict[str, str] = {}

    async def look_after(self, settings: Settings, running: Callable[[dict[str, Any]], None], pause: float) -> None:
        """Let models score every machine once they have been proved, and take what is installed; without any the rules go on.

        `running` is handed the mapping of those that score; `pause` in seconds lies between two looks at the shelf.
        """
        from agent.scoring.models import Models, Wanted  # noqa: PLC0415  a gateway without models never loads their runtime
        from agent.scoring.shelf import Shelf, shelf_of  # noqa: PLC0415

        wanted = [Wanted(came_with=rooms.came_with(each.name), **vars(each)) for each in settings.models]
        shelf = Shelf(shelf_of(settings.store.path))
        models = Models(wanted, shelf, self._attach, self.detach, self._told, time.perf_counter)
        running(models.running)
        while True:
            await models.look()
            await asyncio.sleep(pause)

    def attach_all(self, pipeline: Pipeline) -> None:
        """Give a pipeline that is new everything that scores."""
        for scoring in self._scorings.values():
            pipeline.attach(scoring)

    def detach(self, name: str) -> None:
        """Take a model from every pipeline; an alarm of it that is open ends."""
        self._scorings.pop(name, None)
        if bodies := [body for pipeline in self._scored() for body in pipeline.detach(name)]:
            self._keep(bodies, {})

    def _attach(self, scoring: Scoring) -> None:
        self._scorings[scoring.name] = scoring
        for pipeline in self._scored():
            pipeline.attach(scoring)

    def _scored(self) -> list[Pipeline]:
        return [pipeline for name, pipeline in self._pipelines.items() if name != self._gateway]

    def _told(self, point: str, value: Value) -> None:
        if isinstance(value, str) and self._words.get(point) != value:
            self._words[point] = value
            self._audit.event(point.removeprefix("gateway."), value, "models")
        self._say(point, value)
