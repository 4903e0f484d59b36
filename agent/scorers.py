"""The models of a running agent, given to its pipelines and taken from them. What comes and goes stands in the trail too.

Those that score are asked by the pipelines. One that foretells demand is asked here, in a thread: its answer takes a while, and
holds for a day.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent import rooms
from agent.audit import Audit
from agent.config.settings import Settings
from agent.pipeline import Pipeline
from agent.records import Body, Value
from agent.stages.score import Scoring

if TYPE_CHECKING:
    from agent.scoring.demand import DemandModel


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
        self._demand: DemandModel | None = None

    async def look_after(self, settings: Settings, running: Callable[[dict[str, Any]], None], pause: float) -> None:
        """Let models score every machine once they have been proved, and take what is installed; without any the rules go on.

        `running` is handed the mapping of those that score; `pause` in seconds lies between two looks at the shelf.
        """
        from agent.scoring.models import Models, Wanted  # noqa: PLC0415  a gateway without models never loads their runtime
        from agent.scoring.shelf import Shelf, shelf_of  # noqa: PLC0415

        wanted = [Wanted(came_with=rooms.came_with(each.name), **vars(each)) for each in settings.models]
        shelf = Shelf(shelf_of(settings.store.path))
        used = time.thread_time  # what the loop computes: that the machine stood still for a second is no fault of a model's
        models = Models(wanted, shelf, self._attach, self.detach, self._told, used, self._foretelling)
        running(models.running)
        self._demand = None
        countries = {each.id: each.location.country for each in settings.machines}
        while True:
            await models.look()
            await self._foretell(countries)
            await asyncio.sleep(pause)

    def _foretelling(self, model: DemandModel) -> None:
        self._demand = model

    async def _foretell(self, countries: Mapping[str, str]) -> None:
        """Foretell the demand of every machine that has a new day. A model that breaks is asked no more: the past foretells."""
        if (model := self._demand) is None:
            return
        from agent.analysis.holidays import COUNTRIES, Holidays  # noqa: PLC0415  only with such a model

        for pipeline in self._scored():
            asked = pipeline.asks_demand()
            if model.word != "ok" or asked is None:
                continue
            country = countries.get(pipeline.machine, "")
            holidays = Holidays(country if country in COUNTRIES else "")
            started = time.perf_counter()
            try:
                forecast = await asyncio.to_thread(model.forecast, *asked, holidays)
            except Exception as error:  # noqa: BLE001  whatever a runtime raises costs its forecasts, and nothing else
                model.word, model.error = "broken", " ".join(f"{type(error).__name__}: {error}".split())[:200]
                continue
            model.times.append(time.perf_counter() - started)
            pipeline.foretell(asked[1], forecast)

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
