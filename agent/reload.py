"""Another configuration for a running agent: what has changed ends and begins again, everything else goes on as it was.

    file, or what the platform sent ──mistakes?──> refused, and nothing happened
                     │
                     v
    open what is new ──> save what is open ──> end what changed ──> pipelines go on in new ones ──> begin what is new

Everything that can be refused comes first. No Reading is lost on the way: those that come meanwhile wait in their sources, or
are in the notes that the new pipelines start from.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent import rooms, watchdog
from agent.audit import Audit
from agent.change import NOTHING, Change, change
from agent.config.file import ConfigurationFile
from agent.config.settings import Settings, SourceSettings, UplinkSettings
from agent.errors import AgentError, ConfigError, StoreUnavailable
from agent.forward import Link
from agent.ingest import SOURCES_TABLE, Ingest
from agent.pipeline import Pipeline
from agent.records import Value
from agent.scorers import Scorers
from agent.sources import Source
from agent.store.notes import overlaid
from agent.store.writer import Writer
from agent.tasks import Tasks
from agent.uplinks import Uplink

log = logging.getLogger(__name__)

DISK_STUCK = 10.0  # s that the disk may take to save the open state before a reload is refused
MODELS = "models"  # the task that looks after them


@dataclass(frozen=True)
class Parts:
    """What another configuration touches of a running agent, and how its parts are opened and their tasks made."""

    gateway: str
    pipelines: dict[str, Pipeline]
    links: dict[str, Link]
    ingest: Ingest
    writer: Writer
    scorers: Scorers
    tasks: Tasks
    audit: Audit
    say: Callable[[str, Value], None]
    """A Reading of the gateway's own."""
    now: Callable[[], float]
    """Seconds since the epoch."""
    source: Callable[[SourceSettings], Source]
    uplink: Callable[[Sequence[UplinkSettings]], Uplink]
    link: Callable[[str], Link]
    follow: Callable[[Source, Any], Coroutine[Any, Any, None]]
    """A source's task, from a position on."""
    forward: Callable[[Uplink], Coroutine[Any, Any, None]]
    look_after_models: Callable[[], Coroutine[Any, Any, None]]
    forget_models: Callable[[], None]


class Reload:
    """`settings` are those that hold; `file` is where others come from, None for an agent that runs without one."""

    def __init__(self, settings: Settings, file: ConfigurationFile | None) -> None:
        self.settings = settings
        self._file = file
        self._changing = asyncio.Lock()
        self._begun = asyncio.Event()
        self._parts: Parts

    def of(self, parts: Parts) -> None:
        """The agent consists of these parts. Called once, before anything else may be asked."""
        self._parts = parts

    def begin(self) -> None:
        """The agent runs: from here on its configuration may change."""
        self._say()
        self._begun.set()

    def _say(self) -> None:
        """Which configuration runs. One that works is kept as the last good."""
        mistakes = self._file.mistakes if self._file is not None else ()
        for mistake in mistakes:
            log.error("the file is broken, and the last that worked is used: %s", mistake)
        self._parts.say("gateway.configuration", "lastGood" if mistakes else "applied")
        if self._file is not None:
            try:
                self._file.worked()
            except OSError as error:
                log.warning("%s: the configuration that works cannot be kept: %s", self._file.good, error.strerror)

    async def from_file(self, by: str) -> list[str]:
        """Apply what the file says now; returns what changed. Raises ConfigError, and goes on as before, when it cannot be."""
        file = self._own_file()
        await self._begun.wait()
        async with self._changing:
            watchdog.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                changed = await self._apply(file.read())
            except AgentError as error:
                self._parts.say("gateway.configuration", "refused")
                self._parts.audit.event("configuration", "refused", by, str(error))
                raise
            finally:
                watchdog.notify("READY=1")
            self._applied(changed, by)
            return changed

    async def from_platform(self, text: str, by: str) -> list[str]:
        """Apply a configuration that the platform has sent; it holds until somebody changes the file. Raises as `from_file`."""
        file = self._own_file()
        await self._begun.wait()
        async with self._changing:
            settings, waiting = file.draft(text)
            try:
                changed = await self._apply(settings)
                file.adopt(waiting)
            except OSError as error:
                why = f"it runs, but cannot be kept ({error.strerror}): after a restart the one before it holds again"
                raise AgentError(why) from error
            finally:
                waiting.unlink(missing_ok=True)
            self._applied(changed, by)
            return changed

    async def at_each(self, hangup: asyncio.Event) -> None:
        """Apply the file whenever the event is set, for ever. Mistakes go to the log, and the agent goes on."""
        while True:
            await hangup.wait()
            hangup.clear()
            try:
                await self.from_file("SIGHUP")
            except ConfigError as error:
                for mistake in error.mistakes:
                    log.error("the configuration is refused, and the old one goes on: %s", mistake)  # noqa: TRY400
            except AgentError as error:
                log.error("the configuration is not applied: %s", error)  # noqa: TRY400  a line for the operator

    async def save_open_state(self) -> None:
        """Everything that is open is on disk. Raises StoreUnavailable when the disk does not take it soon."""
        try:
            async with asyncio.timeout(DISK_STUCK):
                await asyncio.shield(self._parts.ingest.checkpoint())
        except (TimeoutError, StoreUnavailable) as error:
            raise StoreUnavailable("the disk does not take the open state, so nothing was changed; try again") from error

    def _own_file(self) -> ConfigurationFile:
        if self._file is None:
            raise ConfigError(["this agent runs without a file"])
        return self._file

    def _applied(self, changed: Sequence[str], by: str) -> None:
        self._say()
        self._parts.audit.event("configuration", "applied", by, "; ".join(changed) or "nothing changed")

    # From one to the next -----------------------------------------------------------------------------------------------

    async def _apply(self, new: Settings) -> list[str]:
        parts, what = self._parts, change(self.settings, new)
        sources = [parts.source(each) for each in new.sources if each.name in what.sources.beginning]
        uplinks = [parts.uplink(ways) for name, ways in new.ways().items() if name in what.uplinks.beginning]
        rebuilt = {*what.machines.beginning} | (rooms.machines(new) if what.judging else set())
        pipelines = {name: rooms.pipeline(name, new) for name in rebuilt}
        tables = [SOURCES_TABLE, *(table for pipeline in pipelines.values() for table in pipeline.tables)]
        with parts.ingest.noting() as noted:  # what is on disk and what is said while it is read are, together, all
            await self.save_open_state()
            await parts.tasks.end(f"source {name}" for name in what.sources.ending)
            saved = await parts.writer.recall(tables)
            parts.ingest.checkpoint()
            saved = overlaid(saved, noted)
        self._replace_pipelines(pipelines, saved)
        for name in what.machines.gone:
            del parts.pipelines[name]
        self.settings = new
        await parts.tasks.end(f"uplink {name}" for name in what.uplinks.ending)
        for uplink in uplinks:
            parts.links[uplink.name] = parts.link(uplink.name)
            parts.tasks.begin(f"uplink {uplink.name}", parts.forward(uplink))
        for source in sources:
            parts.tasks.begin(f"source {source.name}", parts.follow(source, saved[SOURCES_TABLE].get(source.name)))
        await self._replace_models(what)
        if what.log:
            logging.getLogger().setLevel(new.gateway.log.upper())
        return what.told()

    def _replace_pipelines(self, pipelines: Mapping[str, Pipeline], saved: Mapping[str, dict[str, dict[str, Any]]]) -> None:
        """Let new pipelines go on where those of the same machines are. No Reading falls between: nothing is awaited here."""
        parts = self._parts
        for name, pipeline in pipelines.items():
            bodies = pipeline.restore(saved, parts.now())
            if (earlier := parts.pipelines.get(name)) is not None:
                bodies += pipeline.succeed(earlier)
            if name != parts.gateway:
                parts.scorers.attach_all(pipeline)
            parts.pipelines[name] = pipeline
            if bodies:
                parts.ingest.keep(bodies, {})

    async def _replace_models(self, what: Change) -> None:
        """A model that has changed scores on until the new one has been proved and takes its place."""
        if what.models == NOTHING:
            return
        parts = self._parts
        await parts.tasks.end([MODELS])
        for name in what.models.gone:
            for each in (name, f"{name}-shadow"):
                parts.scorers.detach(each)
        parts.forget_models()
        if self.settings.models:
            parts.tasks.begin(MODELS, parts.look_after_models())
