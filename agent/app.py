"""The one place where everything meets: it reads the clock, starts tasks, handles signals and knows every room.

sources ──> ingest (pipelines) ──> writer (the disk's thread) ──> forward ──> uplinks
                ^                        │
selfwatch ──────┴── gateway.* <──────────┘        status ──> a local socket, for `atm-agent status`
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from agent import config, watchdog
from agent.clock import Clock
from agent.config.settings import ModelSettings, Settings, UplinkSettings
from agent.errors import EXIT_OK, AgentError, ConfigError, ModelRefused
from agent.forward import Arrivals, Link, Plan, forward
from agent.ingest import SOURCES_TABLE, Ingest
from agent.pipeline import Pipeline, PipelineSettings
from agent.quiet import Quiet
from agent.records import Stamp
from agent.selfwatch import SelfWatch
from agent.sources import SOURCES, Context, Source
from agent.stages.score import Scoring
from agent.status import StatusSocket
from agent.store import Store
from agent.store.late import LateStore
from agent.store.opening import open_durable, open_memory
from agent.store.room import Bounds
from agent.store.writer import NO_UPLINK, Writer
from agent.uplinks import UPLINKS, Uplink
from agent.uplinks.failover import Choice, FailOver

log = logging.getLogger(__name__)

TICK = 1.0  # s of the agent's own time between two ticks of the pipelines
UPKEEP = 5.0  # s between two rounds: cursors to disk, old history away, the gateway's own Readings
CLOCK_STEP = 2.0  # s by which the wall clock may run apart from the monotonic one between two ticks
DRAIN = 5.0  # s that a link which is up gets at the end, to take what is left
STORE_STUCK = 60.0  # s that one write may take before systemd should act; SD cards pause for seconds
LOOP_STUCK = 15.0  # s that the event loop may take for one round


class Agent:
    """One configured agent. `run` returns when a signal told it to stop."""

    def __init__(self, settings: Settings, clock: Clock, quiet: Quiet) -> None:
        self._settings = settings
        self._quiet = quiet
        self._clock = clock
        self._gateway = settings.gateway.id
        self._stop = asyncio.Event()
        self._arrivals = Arrivals()
        self._links: dict[str, Link] = {}
        self._turned = time.monotonic()
        self._pipelines = self._build_pipelines()
        self._writer: Writer
        self._ingest: Ingest
        self._self: SelfWatch

    def _build_pipelines(self) -> dict[str, Pipeline]:
        settings = self._settings
        rules = config.rules(settings.rules)

        def pipeline(machine: str, **more: Any) -> Pipeline:
            return Pipeline(
                PipelineSettings(machine, settings.forward.summaries, settings.forward.readings, settings.clean, rules, **more)
            )

        machines = {each.id: pipeline(each.id, plan=each.plan(), cassettes=each.cassettes) for each in settings.machines}
        return {**machines, self._gateway: pipeline(self._gateway)}

    # Life ---------------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Live until SIGTERM or SIGINT. Raises ConfigError when the settings cannot work, AgentError when nothing does now."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        uplinks = [self._open_ways(each) for each in self._preferred()]
        sources = [self._open_source(each.name, each.kind, each.machine, each.settings) for each in self._settings.sources]
        disk = self._open_disk()
        positions = disk.recall(SOURCES_TABLE)
        tables = {name: disk.recall(name) for pipeline in self._pipelines.values() for name in pipeline.tables}
        store = self._settings.store
        async with Writer(disk, self._open_memory, [uplink.name for uplink in uplinks], store.commit_interval) as self._writer:
            self._ingest = Ingest(self._pipelines, self._gateway, self._writer.put, self._stamp, self._arrivals.announce)
            self._self = SelfWatch(self._ingest.note, self._clock, store.card_endurance)
            self._links = {uplink.name: self._link(uplink.name) for uplink in uplinks}
            self._restore(tables)
            async with self._status_socket():
                watchdog.notify("READY=1")
                try:
                    await self._work(sources, uplinks, positions)
                except BaseExceptionGroup as group:
                    raise _foreseen(group) or group from None
            watchdog.notify("STOPPING=1")
            await self._ingest.checkpoint()
        return EXIT_OK

    def _restore(self, tables: Mapping[str, dict[str, dict[str, Any]]]) -> None:
        """Windows and alarms that were open when the agent ended go on; windows that have ended since are told now."""
        now = self._clock.now()
        for pipeline in self._pipelines.values():
            if bodies := pipeline.restore(tables, now):
                self._ingest.keep(bodies, {})

    async def _work(self, sources: list[Source], uplinks: list[Uplink], positions: Mapping[str, Any]) -> None:
        """Every task, until the signal. A task that fails fails the agent: systemd starts it again."""
        inward = {"tick": self._tick(), "upkeep": self._upkeep(), "store": self._watch_store()}
        inward |= {f"source {source.name}": self._follow(source, positions.get(source.name)) for source in sources}
        inward |= {f"model {model.name}": self._prove(model) for model in self._settings.models}
        if (interval := watchdog.interval()) is not None:
            inward["watchdog"] = self._watch(interval)
        async with asyncio.TaskGroup() as group:
            outward = [group.create_task(self._forward(uplink), name=f"uplink {uplink.name}") for uplink in uplinks]
            tasks = [group.create_task(work, name=name) for name, work in inward.items()]
            await self._stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._self.say("gateway.run", "stopped")
            await self._drain()
            for task in outward:
                task.cancel()

    async def _drain(self) -> None:
        """Let the links that are up take what is left; the rest stays in the store."""
        await self._ingest.checkpoint()
        up = [name for name, link in self._links.items() if link.word == "up"]
        try:
            async with asyncio.timeout(DRAIN):
                while up and any([sum((await self._writer.backlog(name)).values()) for name in up]):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log.info("what the platform has not taken stays in the store")

    def _preferred(self) -> list[UplinkSettings]:
        """The uplinks that have a cursor; the others stand in for one of them."""
        return [each for each in self._settings.uplinks if not each.fallback_for]

    def _link(self, name: str) -> Link:
        return Link(name, lambda word: self._self.say(f"gateway.uplink.{name}", word), time.monotonic)

    def _stamp(self) -> Stamp:
        return Stamp(self._clock.now(), self._clock.monotonic(), self._clock.boot, self._clock.synced())

    # Rooms --------------------------------------------------------------------------------------------------------------

    def _open_disk(self) -> Store:
        """The store on disk. One that cannot be opened now but may be later does not keep the agent from watching."""
        path = self._settings.store.path
        settings = self._settings.store
        bounds = Bounds(settings.budget, settings.free_floor, settings.keep_days, settings.keep_bytes)
        names = [uplink.name for uplink in self._preferred()]

        def opened() -> Any:
            store, repairs = open_durable(path, self._gateway, names, bounds, new_epoch)
            for name, repair in repairs.items():
                log.warning("%s was damaged and is repaired: %s", path / name, repair)
            return store

        try:
            return opened()  # type: ignore[no-any-return]
        except BlockingIOError as error:
            raise AgentError(f"store.path: {path} is in use by another agent; stop that one first") from error
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise ConfigError([f"store.path: {path}: {error.strerror}; name a directory that this user may write to"]) from error
        except OSError as error:
            log.error("store.path: %s: %s; records are kept in memory until it opens", path, error.strerror)  # noqa: TRY400
            return LateStore(opened)

    def _open_memory(self) -> Any:
        size = self._settings.store.memory
        names = [uplink.name for uplink in self._preferred()] or [NO_UPLINK]
        return open_memory(self._gateway, names, Bounds(size, 0, 0.0, size), new_epoch())

    def _open_source(self, name: str, kind: str, machine: str, settings: Any) -> Source:
        context = Context(name, machine, self._gateway, self._clock.now)
        source: Source = import_module(SOURCES[kind]).open_source(context, settings)
        return source

    def _open_uplink(self, name: str, kind: str, settings: Any) -> Uplink:
        uplink: Uplink = import_module(UPLINKS[kind]).open_uplink(name, self._gateway, settings)
        return uplink

    def _open_ways(self, preferred: UplinkSettings) -> Uplink:
        """An uplink, together with those that stand in for it."""
        others = [each for each in self._settings.uplinks if each.fallback_for == preferred.name]
        ways = [self._open_uplink(each.name, each.kind, each.settings) for each in (preferred, *others)]
        if not others:
            return ways[0]

        def report(way: str, word: str) -> None:
            if way != preferred.name:  # the link reports for all of them by this name
                self._self.say(f"gateway.uplink.{way}", word)

        return FailOver(preferred.name, ways, report, time.monotonic, Choice(len(ways)))

    def _status_socket(self) -> StatusSocket:
        return StatusSocket(self._settings.gateway.runtime, self._status)

    # Tasks --------------------------------------------------------------------------------------------------------------

    async def _follow(self, source: Source, position: Any) -> None:
        async with aclosing(source.read(position)) as given_by_source:
            async for given in given_by_source:
                self._ingest.take(source, given)

    async def _forward(self, uplink: Uplink) -> None:
        settings = next(each for each in self._preferred() if each.name == uplink.name)
        plan = Plan(first_pause=settings.first_pause, longest_pause=settings.longest_pause)
        chance = Random(secrets.randbits(64))
        await forward(uplink, self._writer, self._arrivals, self._links[uplink.name], plan, chance, self._stamp)

    async def _prove(self, settings: ModelSettings) -> None:
        """Let a model score every machine, once it has been proved; until then and without it the rules go on."""
        from agent.scoring import prove  # noqa: PLC0415  a gateway without models never loads their runtime

        try:
            model = await prove(model_file(settings), settings.sha256, settings.budget, time.perf_counter)
        except ModelRefused as error:
            log.error("model %s: %s", settings.name, error)  # noqa: TRY400  a line for the operator, no stack
            self._self.say(f"gateway.model.{settings.name}", error.word)
            return
        self._self.models[settings.name] = model
        scoring = Scoring(
            settings.name,
            model.card.parsed_features(),
            model,
            settings.threshold or model.card.threshold,
            settings.every,
            shadow=settings.shadow,
        )
        for machine in self._settings.machines:
            self._pipelines[machine.id].attach(scoring)

    async def _tick(self) -> None:
        """Time, once a second of the agent's own clock, aligned to it."""
        clock = self._clock
        wall, mono = clock.now(), clock.monotonic()
        saved = mono
        while True:
            wait = TICK - clock.now() % TICK
            await asyncio.sleep(wait / clock.speed)
            now, later = clock.now(), clock.monotonic()
            self._turned = time.monotonic()
            step = (now - wall) - (later - mono)
            if abs(step) > CLOCK_STEP:
                log.warning("the clock was set by %+.1f s", step)
                self._self.say("gateway.clock", "stepped")
                self._arrivals.steps.add()
            self._ingest.tick(now)
            self._self.say("gateway.loopLag", max(0.0, round(later - mono - wait, 4)))
            wall, mono = now, later
            if mono - saved >= self._settings.store.checkpoint:
                saved = mono
                self._ingest.checkpoint()

    async def _upkeep(self) -> None:
        while True:
            await self._writer.tidy(self._stamp())
            self._self.store(self._writer.health)
            self._self.waiting([await self._writer.backlog(uplink.name) for uplink in self._preferred()])
            self._self.look_at_models()
            self._self.process(self._ingest.guard_hits, self._quiet.held)
            for name, link in self._links.items():
                if link.word:
                    self._self.say(f"gateway.uplink.{name}", link.word)
            await asyncio.sleep(UPKEEP / self._clock.speed)

    async def _watch_store(self) -> None:
        await self._writer.crashed

    async def _watch(self, interval: float) -> None:
        """Tell systemd that the agent lives, as long as every part turns over. A dead line or platform stops no part."""
        progress = watchdog.Progress(time.monotonic)
        progress.watch("loop", LOOP_STUCK, lambda: self._turned)
        progress.watch("store", STORE_STUCK, lambda: self._writer.health.turned)
        for name, link in self._links.items():
            progress.watch_until(f"uplink {name}", partial(getattr, link, "due"))
        while True:
            stuck = progress.stuck()
            if stuck:
                log.error("no progress in: %s", ", ".join(stuck))
            else:
                watchdog.notify("WATCHDOG=1")
            await asyncio.sleep(interval / 3)

    def _status(self) -> dict[str, Any]:
        own = self._pipelines[self._gateway].values()
        words = {
            kind: {
                name.removeprefix(f"gateway.{kind}."): value for name, value in own.items() if name.startswith(f"gateway.{kind}.")
            }
            for kind in ("source", "uplink")
        }
        return {
            "gateway": self._gateway,
            "at": self._clock.now(),
            "store": self._writer.health.word,
            "made": self._writer.made(),
            "sources": words["source"],
            "uplinks": words["uplink"],
            "points": {machine: pipeline.values() for machine, pipeline in self._pipelines.items()},
            **self._self.status(),
        }


def _foreseen(group: BaseExceptionGroup[BaseException]) -> AgentError | None:
    """The error that this agent foresaw, when there is nothing else in a group of them."""
    errors, others = group.split(AgentError)
    while errors is not None and others is None:
        first = errors.exceptions[0]
        if isinstance(first, AgentError):
            return first
        errors = first if isinstance(first, BaseExceptionGroup) else None
    return None


def new_epoch() -> str:
    """A name for one life of a store."""
    return secrets.token_hex(8)


def model_file(settings: ModelSettings) -> Path:
    """The configured file, or the model of that name that comes with the agent. Raises ModelRefused when there is none."""
    if settings.file is not None:
        return settings.file
    found = find_spec("models")
    places = found.submodule_search_locations if found is not None else None
    if not places:
        raise ModelRefused("no models came with this installation; name a file", "missing")
    return Path(next(iter(places))) / settings.name / f"{settings.name}.onnx"
