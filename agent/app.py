"""The one place where everything meets: it reads the clock, starts tasks, handles signals and knows every room.

sources ──> ingest (pipelines) ──> writer (the disk's thread) ──> forward ──> uplinks
                ^                        │
selfwatch ──────┴── gateway.* <──────────┘        status ──> a local socket, for `atm-agent status`
reload ──> what has changed ends and begins again, everything else goes on
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from random import Random
from typing import Any

from agent import __version__, rooms, watchdog
from agent.audit import Audit
from agent.clock import Clock
from agent.config.file import ConfigurationFile
from agent.config.settings import Settings, SourceSettings, UplinkSettings
from agent.control import TABLE as REQUESTED
from agent.errors import EXIT_OK, AgentError, ConfigError, StoreUnavailable
from agent.forward import LONGEST_BATCH, REFUSED, Arrivals, Link, Outbox, Plan, forward
from agent.ingest import SOURCES_TABLE, Ingest
from agent.local import LocalSocket, Told
from agent.outgoing import LANE as BACKUP
from agent.outgoing import Outgoing, outgoing_of
from agent.outside import Outside
from agent.power import PowerWatch
from agent.quiet import Quiet
from agent.records import Body, Stamp
from agent.reload import MODELS, Parts, Reload
from agent.running import Running
from agent.scorers import Scorers
from agent.scrape import Page, ScrapeServer
from agent.selfwatch import SelfWatch
from agent.sources import Context, Source
from agent.stages.calendar import Visit
from agent.status import StatusSocket
from agent.store import LANES
from agent.store.writer import Writer
from agent.tasks import Tasks
from agent.telling import document
from agent.uplinks import Uplink

log = logging.getLogger(__name__)

TICK = 1.0  # s of the agent's own time between two ticks of the pipelines
UPKEEP = 5.0  # s between two rounds: cursors to disk, old history away, the gateway's own Readings
CLOCK_STEP = 2.0  # s by which the wall clock may run apart from the monotonic one between two ticks
DRAIN = 5.0  # s that a link which is up gets at the end, to take what is left, and the disk to take what is open
STORE_STUCK = 60.0  # s that one write may take before systemd should act; SD cards pause for seconds
LOOP_STUCK = 15.0  # s that the event loop may take for one round
MISPLACED = 30.0  # s after which an uplink whose files are wrong looks at them again, once the agent runs


class Agent:
    """One configured agent. `run` returns when a signal told it to stop."""

    def __init__(self, settings: Settings, clock: Clock, quiet: Quiet, file: ConfigurationFile | None = None) -> None:
        self._reload = Reload(settings, file)
        self._quiet = quiet
        self._clock = clock
        self._gateway = settings.gateway.id
        self._stop = asyncio.Event()
        self._hangup = asyncio.Event()
        self._arrivals = Arrivals()
        self._links: dict[str, Link] = {}
        self._lines: dict[str, Any] = {}
        self._turned = time.monotonic()
        self._power = PowerWatch(self._hurry)
        self._pipelines = {name: rooms.pipeline(name, settings) for name in rooms.machines(settings)}
        self._writer: Writer
        self._ingest: Ingest
        self._self: SelfWatch
        self._audit: Audit
        self._scorers: Scorers
        self._outside: Outside
        self._progress: watchdog.Progress
        self._tasks: Tasks

    # Life ---------------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Live until SIGTERM or SIGINT. Raises ConfigError when the settings cannot work, AgentError when nothing does now."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        uplinks = [self._open_uplink(ways) for ways in self._settings.ways().values()]
        sources = [self._open_source(each) for each in self._settings.sources]
        keys = rooms.control_keys(self._settings)
        disk = rooms.disk(self._settings)
        requested = disk.recall(REQUESTED)
        positions = disk.recall(SOURCES_TABLE)
        tables = {name: disk.recall(name) for pipeline in self._pipelines.values() for name in pipeline.tables}
        store = self._settings.store
        async with Writer(
            disk,
            partial(rooms.memory, self._settings),
            [uplink.name for uplink in uplinks],
            store.commit_interval,
            sheltered=lambda alarm: self._arrivals.announce(alarm=alarm),
        ) as self._writer:
            self._ingest = Ingest(self._pipelines, self._gateway, self._put, self._stamp, self._arrivals.announce)
            self._self = SelfWatch(self._ingest.note, self._clock, store.card_endurance)
            self._audit = Audit(self._gateway, lambda alarm: self._ingest.keep([alarm], {}), self._clock.now)
            self._links = {uplink.name: self._link(uplink.name) for uplink in uplinks}
            self._progress = self._turning()
            self._scorers = Scorers(self._gateway, self._pipelines, self._ingest.keep, self._self.say, self._audit)
            self._outside = Outside(self._running(), self._ingest.keep, keys)
            self._restore(tables)
            self._outside.restore(requested)
            try:
                async with asyncio.TaskGroup() as group, AsyncExitStack() as sockets:
                    self._tasks = Tasks(group)
                    self._reload.of(self._parts())
                    await self._open_sockets(sockets)
                    self._reload.begin()
                    watchdog.notify("READY=1")
                    await self._work(sources, uplinks, positions)
            except BaseExceptionGroup as errors:
                raise _foreseen(errors) or errors from None
            watchdog.notify("STOPPING=1")
            await self._save_open_state()
        return EXIT_OK

    def _restore(self, tables: Mapping[str, dict[str, dict[str, Any]]]) -> None:
        """Windows and alarms that were open when the agent ended go on; windows that have ended since are told now."""
        now = self._clock.now()
        for pipeline in self._pipelines.values():
            if bodies := pipeline.restore(tables, now):
                self._ingest.keep(bodies, {})

    async def _work(self, sources: list[Source], uplinks: list[Uplink], positions: Mapping[str, Any]) -> None:
        """Every task, until the signal. A task that fails fails the agent: systemd starts it again."""
        tasks = self._tasks
        for uplink in uplinks:
            tasks.begin(f"uplink {uplink.name}", self._forward(uplink))
        tasks.begin("tick", self._tick())
        tasks.begin("upkeep", self._upkeep())
        tasks.begin("store", self._watch_store())
        tasks.begin("hangup", self._reload.at_each(self._hangup))
        if self._outside.desk is not None:
            tasks.begin("control", self._outside.desk.run())
        for source in sources:
            tasks.begin(f"source {source.name}", self._follow(source, positions.get(source.name)))
        if self._settings.models:
            tasks.begin(MODELS, self._look_after_models())
        if (interval := watchdog.interval()) is not None:
            tasks.begin("watchdog", self._watch(interval))
        await self._stop.wait()
        await tasks.end(tasks.names(lambda name: not name.startswith("uplink ")))
        self._self.say("gateway.run", "stopped")
        await self._drain()
        await tasks.end(tasks.names())

    async def _drain(self) -> None:
        """Let the links that are up take what is left; the rest stays in the store."""
        await self._save_open_state()
        up = [name for name, link in self._links.items() if link.word == "up"]
        try:
            async with asyncio.timeout(DRAIN):
                while up and any([sum((await self._writer.backlog(name)).values()) for name in up]):  # noqa: ASYNC110  nobody tells of it
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log.info("what the platform has not taken stays in the store")

    async def _save_open_state(self) -> None:
        """Everything that is open goes to the disk, if it takes that soon: it may refuse for days, and nobody waits so long."""
        saved = asyncio.shield(self._ingest.checkpoint())
        try:
            async with asyncio.timeout(DRAIN if self._writer.health.word == "ok" else 0.0):
                await saved
        except (TimeoutError, StoreUnavailable):
            log.warning("the disk does not take the open state: windows and alarms go on from where it was last saved")

    def _link(self, name: str) -> Link:
        return Link(name, lambda word: self._self.say(f"gateway.uplink.{name}", word), time.monotonic)

    def _stamp(self) -> Stamp:
        return Stamp(self._clock.now(), self._clock.monotonic(), self._clock.boot, self._clock.synced())

    @property
    def _settings(self) -> Settings:
        """Those that hold now."""
        return self._reload.settings

    # Rooms --------------------------------------------------------------------------------------------------------------

    def _open_source(self, source: SourceSettings) -> Source:
        return rooms.source(source, Context(source.name, source.machine, self._gateway, self._clock.now, self._lines))

    def _open_uplink(self, ways: Sequence[UplinkSettings]) -> Uplink:
        def report(way: str, word: str) -> None:
            if way != ways[0].name:  # the link reports for all of them by this name
                self._self.say(f"gateway.uplink.{way}", word)

        on_request = self._asked if self._settings.control.keys else None
        return rooms.uplink(ways, self._gateway, report, time.monotonic, self._clock.now, on_request)

    def _asked(self, token: bytes) -> None:
        self._outside.ask(token)

    def _parts(self) -> Parts:
        return Parts(
            gateway=self._gateway,
            pipelines=self._pipelines,
            links=self._links,
            ingest=self._ingest,
            writer=self._writer,
            scorers=self._scorers,
            tasks=self._tasks,
            audit=self._audit,
            say=self._self.say,
            now=self._clock.now,
            source=self._open_source,
            uplink=self._open_uplink,
            link=self._link,
            follow=self._follow,
            forward=partial(self._forward, starting=False),
            look_after_models=self._look_after_models,
            forget_models=partial(setattr, self._self, "models", {}),
        )

    async def _open_sockets(self, sockets: AsyncExitStack) -> None:
        """Everything that can be asked from outside. Raises ConfigError, OSError."""
        await sockets.enter_async_context(self._status_socket())
        await sockets.enter_async_context(self._local_socket())
        if self._settings.gateway.metrics:
            await sockets.enter_async_context(self._scrape_server(self._settings.gateway.metrics))
        if self._settings.web is not None:
            await sockets.enter_async_context(await self._outside.page(self._settings.web))

    def _status_socket(self) -> StatusSocket:
        return StatusSocket(self._settings.gateway.runtime, self._status)

    def _scrape_server(self, address: str) -> ScrapeServer:
        from agent.metrics import exposition  # noqa: PLC0415  only where it is asked for

        def metrics() -> Page:
            return Page("200 OK", exposition(self._status(), __version__))

        def health() -> Page:
            stuck = self._progress.stuck()
            return Page("503 Service Unavailable", f"stuck: {', '.join(stuck)}\n") if stuck else Page("200 OK", "ok\n")

        return ScrapeServer(address, {"/metrics": metrics, "/healthz": health})

    def _local_socket(self) -> LocalSocket:
        async def reload(_: Mapping[str, Any], by: str) -> Told:
            return {"changed": await self._reload.from_file(by)}

        async def request(asked: Mapping[str, Any], _: str) -> Told:
            self._outside.ask(str(asked.get("token", "")).encode())
            return {}

        async def take_snapshot(_: Mapping[str, Any], by: str) -> Told:
            from agent.store.snapshot import place, snapshot  # noqa: PLC0415  a backup is taken once a day at most

            store = self._settings.store.path
            target = place(store)
            await self._reload.save_open_state()
            await self._writer.tidy(self._stamp())
            await self._writer.do(partial(snapshot, store, target))
            self._audit.event("backup", "taken", by)
            return {"path": str(target)}

        answers = {"reload": reload, "request": request, "snapshot": take_snapshot}
        return LocalSocket(self._settings.gateway.runtime, answers)

    def _running(self) -> Running:
        return Running(
            settings=lambda: self._settings,
            now=self._clock.now,
            values=lambda: {name: pipeline.values() for name, pipeline in self._pipelines.items()},
            announce=self._announce,
            configure=self._reload.from_platform,
            flush=lambda: self._arrivals.announce(alarm=True),
            stop=self._stop.set,
            backlog=lambda: self._self.backlog,
            store_word=lambda: self._writer.health.word,
            audit=self._audit.event,
        )

    def _announce(self, machine: str, visit: Visit | None) -> None:
        pipeline = self._pipelines[machine]
        if visit is None:
            pipeline.withdraw(self._clock.now())
        else:
            pipeline.announce(visit)
        self._ingest.checkpoint()

    def _put(self, bodies: Sequence[Body], changes: Mapping[str, Any], stamp: Stamp) -> asyncio.Future[None]:
        self._outside.note(bodies)
        return self._writer.put(bodies, changes, stamp)

    # Tasks --------------------------------------------------------------------------------------------------------------

    async def _follow(self, source: Source, position: Any) -> None:
        async with aclosing(source.read(position)) as given_by_source:
            async for given in given_by_source:
                self._power.see(given.readings)
                self._ingest.take(source, given)

    def _hurry(self, failing: bool) -> None:
        """While the power fails every record is on disk at once, and what is open is saved in the moment in which it begins."""
        log.warning("the power fails: everything is written at once" if failing else "the power is back")
        self._writer.hurry = failing
        if failing:
            self._ingest.checkpoint()

    async def _forward(self, uplink: Uplink, *, starting: bool = True) -> None:
        """Deliver for ever. A file of the uplink that is missing ends an agent that is starting, and no other."""
        settings = self._settings.ways()[uplink.name][0]
        outbox, lanes = self._outbox(uplink.name)
        plan = Plan(lanes, first_pause=settings.first_pause, longest_pause=settings.longest_pause)
        chance = Random(secrets.randbits(64))
        link = self._links[uplink.name]
        while True:
            try:
                await forward(uplink, outbox, self._arrivals, link, plan, chance, self._stamp)
            except ConfigError as error:
                if starting:
                    raise
                link.says(REFUSED, str(error))
                link.turn(MISPLACED + LONGEST_BATCH)
                await asyncio.sleep(MISPLACED)

    def _outbox(self, uplink: str) -> tuple[Outbox, tuple[str, ...]]:
        """What an uplink delivers, lane by lane. One of them carries files too."""
        if uplink != rooms.carrier(self._settings):
            return self._writer, LANES
        place = outgoing_of(self._settings.store.path)
        told = partial(self._audit.event, "backup")
        outbox = Outgoing(self._writer, place, self._gateway, self._stamp, lambda outcome, text: told(outcome, uplink, text))
        return outbox, (*LANES, BACKUP)

    async def _look_after_models(self) -> None:
        await self._scorers.look_after(self._settings, partial(setattr, self._self, "models"), UPKEEP / self._clock.speed)

    async def _tick(self) -> None:
        """Time, once a second of the agent's own clock, aligned to it."""
        clock = self._clock
        wall, mono = clock.now(), clock.monotonic()
        saved = mono
        while True:
            wait = TICK - clock.now() % TICK
            await asyncio.sleep(wait / clock.speed)
            now, later = clock.now(), clock.monotonic()
            step = (now - wall) - (later - mono)
            if abs(step) > CLOCK_STEP:
                log.warning("the clock was set by %+.1f s", step)
                self._self.say("gateway.clock", "stepped")
                self._arrivals.steps.add()
            self._ingest.tick(now)
            self._turned = time.monotonic()
            self._self.say("gateway.loopLag", max(0.0, round(later - mono - wait, 4)))
            wall, mono = now, later
            if mono - saved >= self._settings.store.checkpoint:
                saved = mono
                self._ingest.checkpoint()

    async def _upkeep(self) -> None:
        while True:
            await self._writer.tidy(self._stamp())
            self._self.store(self._writer.health)
            self._self.waiting({name: await self._writer.backlog(name) for name in self._settings.ways()})
            self._self.look_at_models()
            hits = (
                self._ingest.guard_hits + self._writer.health.guard_hits + sum(link.guard_hits for link in self._links.values())
            )
            self._self.process(hits, self._quiet.held)
            for name, link in self._links.items():
                if link.word:
                    self._self.say(f"gateway.uplink.{name}", link.word)
            await asyncio.sleep(UPKEEP / self._clock.speed)

    async def _watch_store(self) -> None:
        await self._writer.crashed

    def _turning(self) -> watchdog.Progress:
        """What must turn over: the pipelines, the disk's thread, every uplink's loop."""
        progress = watchdog.Progress(time.monotonic)
        progress.watch("ingest", LOOP_STUCK, lambda: self._turned)
        progress.watch("store", STORE_STUCK, lambda: self._writer.health.turned)
        for name in self._links:
            progress.watch_until(f"uplink {name}", partial(self._due, name))
        return progress

    async def _watch(self, interval: float) -> None:
        """Tell systemd that the agent lives, as long as every part turns over. A dead line or platform stops no part."""
        while True:
            stuck = self._progress.stuck()
            if stuck:
                log.error("no progress in: %s", ", ".join(stuck))
            else:
                watchdog.notify("WATCHDOG=1")
            await asyncio.sleep(interval / 3)

    def _due(self, uplink: str) -> float:
        return self._links[uplink].due

    def _status(self) -> dict[str, Any]:
        now, monotonic = self._clock.now(), time.monotonic()
        return document(self._gateway, now, monotonic, self._pipelines, self._links.values(), self._writer, self._self)


def _foreseen(group: BaseExceptionGroup[BaseException]) -> AgentError | None:
    """The error that this agent foresaw, when there is nothing else in a group of them."""
    errors, others = group.split(AgentError)
    while errors is not None and others is None:
        first = errors.exceptions[0]
        if isinstance(first, AgentError):
            return first
        errors = first if isinstance(first, BaseExceptionGroup) else None
    return None
