"""From sources through the pipelines into the store. Nothing here waits for the disk: a slow fsync never stalls a serial line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from agent.pipeline import Pipeline
from agent.records import Alarm, Body, Quality, Reading, Stamp, Value
from agent.sources import Given, Source
from agent.stages import Documents
from agent.stages.guard import SHORTEST, looks_like_card_data, refuses
from agent.store.notes import Changes

log = logging.getLogger(__name__)

SOURCES_TABLE = "sources"
AHEAD = 60.0  # s that a Reading may be newer than the gateway's own clock; beyond it the clock of its source is wrong


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
        now = self._stamp().at
        for reading in readings:
            pipeline = self._pipelines.get(reading.machine)
            if pipeline is None:
                self.unknown_machines += 1
                continue
            guarded = self._guarded(reading)
            if guarded is None:
                continue
            if not guarded.at <= now + AHEAD:  # also what is no time at all
                guarded = msgspec.structs.replace(guarded, at=now, quality=guarded.quality.doubted, reason="clockAhead")
            bodies += pipeline.feed(guarded)
            touched.setdefault(reading.machine, set()).add(reading.point)
        return bodies, touched

    def _guarded(self, reading: Reading) -> Reading | None:
        """The Reading without anything that looks like card data; None when its very name does."""
        point, value, reason = reading.point, reading.value, reading.reason
        if _bears_card_data(point):
            self.guard_hits += 1
            log.error("a point of %s has a name that looks like card data; what it says is dropped", reading.machine)
            return None
        if not refuses(point, value) and not (reason and _bears_card_data(reason)):
            return reading
        self.guard_hits += 1
        log.error("something that looks like card data came at the point %s of %s; it was dropped", point, reading.machine)
        return Reading(reading.machine, point, None, reading.at, Quality.BAD, "cardData")

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
        alarm = any(isinstance(body, Alarm) for body in bodies)
        done.add_done_callback(lambda done: self._announce(alarm=alarm) if _is_on_disk(done) and bodies else None)
        return done


@lru_cache(maxsize=4_096)
def _bears_card_data(text: str) -> bool:
    return len(text) >= SHORTEST and looks_like_card_data(text)


def _is_on_disk(done: asyncio.Future[None]) -> bool:
    return not done.cancelled() and done.exception() is None
