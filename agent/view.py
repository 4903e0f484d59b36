"""What the technician's page shows of the running agent: states from the pipelines, curves and past alarms from the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from agent.config.settings import MachineSettings
from agent.control.commands import ServiceWindow
from agent.records import Alarm, Body, Summary, Value
from agent.requests import Requests
from agent.running import Running
from agent.store import ALARMS, SUMMARIES
from agent.store.history import Span, history

ALARMS_SHOWN = 50
CURVE_POINTS = 600  # of one curve; a screen has hardly more
FRESH = 30.0  # s for which a curve is not reckoned anew, however many look


class View:
    """`agent.web.server.Gateway` over one running agent."""

    def __init__(self, running: Running, requests: Requests) -> None:
        self._running = running
        self._requests = requests
        self._alarms: deque[Alarm] = deque(maxlen=ALARMS_SHOWN)
        self._curves: dict[tuple[str, float], tuple[float, dict[str, Any]]] = {}
        self._reading = asyncio.Lock()  # one at a time: it reads the disk

    async def remember(self) -> None:
        """The alarms of earlier days, from the store."""
        found = await asyncio.to_thread(self._past, Span(), ALARMS)
        past = [body for body in found if isinstance(body, Alarm) and not body.rule.startswith("audit.")]
        self._alarms = deque([*past, *self._alarms], maxlen=ALARMS_SHOWN)

    def note(self, bodies: Sequence[Body]) -> None:
        """Records on their way into the store."""
        self._alarms.extend(body for body in bodies if isinstance(body, Alarm) and not body.rule.startswith("audit."))

    def view(self) -> dict[str, Any]:
        settings, values = self._running.settings(), self._running.values()
        own = values[settings.gateway.id]
        return {
            "gateway": settings.gateway.id,
            "machines": [_machine(machine, values[machine.id]) for machine in settings.machines],
            "uplinks": {each.name: own.get(f"gateway.uplink.{each.name}") for each in settings.uplinks},
            "sources": {each.name: own.get(f"gateway.source.{each.name}") for each in settings.sources},
            "backlog": dict(self._running.backlog()),
            "store": self._running.store_word(),
            "alarms": [msgspec.to_builtins(alarm) for alarm in reversed(self._alarms)],
        }

    async def curves(self, machine: str, span: float) -> dict[str, Any]:
        now = self._running.now()
        async with self._reading:
            kept = self._curves.get((machine, span))
            if kept is not None and abs(now - kept[0]) < FRESH:
                return kept[1]
            if machine not in {each.id for each in self._running.settings().machines}:
                return {"at": [], "curves": {}}
            bodies = await asyncio.to_thread(self._past, Span(now - span, machine=machine), SUMMARIES)
            found = curves([body for body in bodies if isinstance(body, Summary)])
            self._curves[machine, span] = now, found
            return found

    async def service(self, machine: str, minutes: int) -> None:
        await self._requests.service_window(ServiceWindow(machine, minutes, who="page"))

    def audit(self, text: str) -> None:
        what, _, rest = text.partition(": ")
        self._running.audit(what, "refused" if rest.startswith("a wrong") else "noted", "page", rest)

    def _past(self, span: Span, lane: str) -> list[Body]:
        try:
            return [envelope.body for envelope in history(self._running.settings().store.path, span, (lane,))]
        except OSError:
            return []  # the disk does not answer; the page goes on with what is in memory


def _machine(machine: MachineSettings, points: Mapping[str, Value]) -> dict[str, Any]:
    cassettes = {
        unit: {
            "count": points.get(f"storage.{unit}.count"),
            "of": cassette.capacity or None,
            "value": cassette.value,
            "currency": cassette.currency,
            "status": points.get(f"storage.{unit}.replenishmentStatus"),
        }
        for unit, cassette in machine.cassettes.items()
    }
    cash, currency = points.get("machine.cash"), next((each.currency for each in machine.cassettes.values()), "")
    return {
        "id": machine.id,
        "points": dict(points),
        "cassettes": cassettes,
        "cash": {"currency": currency, "value": cash} if isinstance(cash, int | float) else None,
    }


def curves(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Cash (minor units) and every score over time, at most `CURVE_POINTS` of each: {"at": […], "curves": {name: […]}}."""
    kept = list(_thinned(summaries))
    names = sorted({name for summary in kept for name in summary.scores or ()})
    found: dict[str, list[float | None]] = {}
    if any(summary.cash is not None for summary in kept):
        found["cash"] = [summary.cash.value if summary.cash is not None else None for summary in kept]
    for name in names:
        found[name] = [(summary.scores or {}).get(name) for summary in kept]
    return {"at": [summary.end for summary in kept], "curves": found}


def _thinned(summaries: Sequence[Summary]) -> Iterable[Summary]:
    """Of each group of windows the one that matters most: the highest score."""
    size = -(-len(summaries) // CURVE_POINTS) or 1
    for start in range(0, len(summaries), size):
        yield max(summaries[start : start + size], key=lambda summary: max((summary.scores or {}).values(), default=0.0))
