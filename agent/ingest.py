"""From sources through the pipelines into the store. Nothing here waits for the disk: a slow fsync never stalls a serial line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from agent.pipeline import Pipeline
from agent.records import Alarm, Body, Quality, Reading, Stamp, Value
from agent.sources import Given, Source
from agent.stages import Documents
from agent.stages.guard import looks_like_card_data, number_looks_like_card
from agent.store.notes import Changes

log = logging.getLogger(__name__)

SOURCES_TABLE = "sources"


class Put(Protocol):
    """Hands records and notes to the store (`agent.store.writer.Writer.put`)."""

    def __call__(self, bodies: Sequence[Body], changes: Mapping[str, Documents], stamp: Stamp) -> asyncio.Future[None]: ...


class Announce(Protocol):
    """Tells those who forward that records are in the store (`agent.forward.Arrivals.announce`)."""

    def __call__(self, *, alarm: bool) -> None: ...


class Ingest:
    """Feeds every machine's pipeline, and puts what comes out into the store."""

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        gateway: str,
        put: Put,
        stamp: Callable[[], Stamp],
        announce: Announce,
    ) -> None:
        self._pipelines = pipelines
        self._gateway = gateway
        self._put = put
        self._stamp = stamp
        self._announce = announce
        self._noted: dict[str, dict[str, dict[str, Any] | None]] | None = None  # changes since `note_changes`
        self.guard_hits = 0
        self.unknown_machines = 0

    def take(self, source: Source, given: Given) -> None:
        """Feed what a source gave at once; it hears of it when the effect is on disk, if it asked for that."""
        bodies, touched = self._feed(given.readings)
        if given.position is None:
            if bodies:
                self.keep(bodies, {})
            return
        changes = self._changes(touched)
        changes[SOURCES_TABLE] = {source.name: given.position}
        position = given.position

        def acknowledge(done: asyncio.Future[None]) -> None:
            if _is_on_disk(done):
                source.acknowledge(position)

        self.keep(bodies, changes).add_done_callback(acknowledge)

    def _feed(self, readings: Sequence[Reading]) -> tuple[list[Body], dict[str, set[str]]]:
        bodies: list[Body] = []
        touched: dict[str, set[str]] = {}
        for reading in readings:
            pipeline = self._pipelines.get(reading.machine)
            if pipeline is None:
                self.unknown_machines += 1
                continue
            bodies += pipeline.feed(self._guarded(reading))
            touched.setdefault(reading.machine, set()).add(reading.point)
        return bodies, touched

    def _guarded(self, reading: Reading) -> Reading:
        value = reading.value
        if isinstance(value, str):
            hit = len(value) > 12 and looks_like_card_data(value)
        else:
            hit = value is not None and value >= 1e12 and number_looks_like_card(value)
        if not hit:
            return reading
        self.guard_hits += 1
        log.error(
            "something that looks like card data came at the point %s of %s; it was dropped", reading.point, reading.machine
        )
        return Reading(reading.machine, reading.point, None, reading.at, Quality.BAD, "cardData")

    def tick(self, now: float) -> None:
        """Let time pass in every pipeline."""
        bodies = [body for pipeline in self._pipelines.values() for body in pipeline.tick(now)]
        if bodies:
            self.keep(bodies, {})

    def note(self, point: str, value: Value, now: float) -> None:
        """Take a Reading of the gateway itself."""
        bodies, _ = self._feed([Reading(self._gateway, point, value, now)])
        if bodies:
            self.keep(bodies, {})

    def checkpoint(self) -> asyncio.Future[None]:
        """Save every pipeline's open state."""
        return self.keep((), self._changes(dict.fromkeys(self._pipelines)))

    def _changes(self, touched: Mapping[str, Collection[str] | None]) -> dict[str, Documents]:
        changes: dict[str, Documents] = {}
        for machine, points in touched.items():
            changes.update(self._pipelines[machine].changed(points))
        return changes

    @contextlib.contextmanager
    def noting(self) -> Iterator[Changes]:
        """What is given to the store as changes from here on, the latest of each name: for whoever reads the disk meanwhile."""
        self._noted = {}
        try:
            yield self._noted
        finally:
            self._noted = None

    def keep(self, bodies: Sequence[Body], changes: Mapping[str, Documents]) -> asyncio.Future[None]:
        """Put records and notes into the store, and tell those who forward once records are there."""
        if self._noted is not None:
            for table, documents in changes.items():
                self._noted.setdefault(table, {}).update(documents)
        done = self._put(bodies, changes, self._stamp())
        if bodies:
            alarm = any(isinstance(body, Alarm) for body in bodies)
            done.add_done_callback(lambda done: self._announce(alarm=alarm) if _is_on_disk(done) else None)
        return done


def _is_on_disk(done: asyncio.Future[None]) -> bool:
    return not done.cancelled() and done.exception() is None
