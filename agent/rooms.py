"""The rooms of the house as the settings want them: drivers, stores, pipelines. Opening them touches nothing but the disk."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent import config
from agent.config.settings import Settings, SourceSettings, UplinkSettings
from agent.errors import AgentError, ConfigError
from agent.pipeline import Pipeline, PipelineSettings
from agent.sources import SOURCES, Context, Source
from agent.store import ALARMS, Store
from agent.store.history import history
from agent.store.lane_store import LaneStore
from agent.store.late import LateStore
from agent.store.opening import STATE, open_durable, open_memory
from agent.store.room import Bounds
from agent.store.writer import NO_UPLINK
from agent.uplinks import UPLINKS, Asked, Timed, Uplink

log = logging.getLogger(__name__)


def machines(settings: Settings) -> set[str]:
    """Every machine, and the gateway itself: each has a pipeline."""
    return {*(machine.id for machine in settings.machines), settings.gateway.id}


def pipeline(name: str, settings: Settings) -> Pipeline:
    """The pipeline of one machine, or of the gateway itself."""
    rules = config.rules(settings.rules)
    machine = next((each for each in settings.machines if each.id == name), None)
    more: dict[str, Any] = {}
    if machine is not None:
        more = {
            "plan": machine.plan(),
            "cassettes": machine.cassettes,
            "bins": machine.bins,
            "insured_limit": machine.insured_limit,
        }
    forward = settings.forward
    return Pipeline(PipelineSettings(name, forward.summaries, forward.readings, settings.clean, rules, **more))


def source(settings: SourceSettings, context: Context) -> Source:
    """A source, which touches no hardware yet."""
    opened: Source = import_module(SOURCES[settings.kind]).open_source(context, settings.settings)
    return opened


def uplink(
    ways: Sequence[UplinkSettings],
    gateway: str,
    report: Callable[[str, str], None],
    now: Callable[[], float],
    wall: Callable[[], float],
    on_request: Callable[[bytes], None] | None,
) -> Uplink:
    """An uplink, not connected yet, together with those that stand in for it. `report` is told which way carries; `now` is a
    monotonic clock, `wall` tells seconds since the epoch.

    `on_request` is given what the platform asks for, over whichever way; None: nothing is listened to.
    """
    opened: list[Uplink] = [import_module(UPLINKS[each.kind]).open_uplink(each.name, gateway, each.settings) for each in ways]
    for each in opened:
        if isinstance(each, Asked):
            each.on_request = on_request
        if isinstance(each, Timed):
            each.now = wall
    if len(opened) == 1:
        return opened[0]
    from agent.uplinks.failover import Choice, FailOver  # noqa: PLC0415

    return FailOver(ways[0].name, opened, report, now, Choice(len(opened)))


CARRIERS = ("mqtt", "coap")  # kinds of uplinks that send envelopes as they are


def carrier(settings: Settings) -> str | None:
    """The uplink that carries files to the platform: the first that sends envelopes, whichever way it goes."""
    ways = settings.ways().items()
    return next((name for name, each in ways if all(way.kind in CARRIERS for way in each)), None)


def disk(settings: Settings) -> Store:
    """The store on disk. One that cannot be opened now but may be later does not keep the agent from watching.

    It is opened anew each time that the disk failed and came back.
    """
    path, gateway = settings.store.path, settings.gateway.id
    bounds = Bounds(settings.store.budget, settings.store.free_floor, settings.store.keep_days, settings.store.keep_bytes)
    names = list(settings.ways())

    def opened() -> LaneStore:
        store, repairs = open_durable(path, gateway, names, bounds, new_epoch)
        for name, repair in repairs.items():
            log.warning("%s was damaged and is repaired: %s", path / name, repair)
        return store

    anew = Reopening(path, opened)
    try:
        with contextlib.suppress(PermissionError):
            return LateStore(anew, anew.first())
        _set_unreadable_aside(path)
        return LateStore(anew, anew.first())
    except BlockingIOError as error:
        raise AgentError(f"store.path: {path} is in use by another agent; stop that one first") from error
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        place = error.filename or path
        raise ConfigError([f"store.path: {place}: {error.strerror}; name a directory that this user may write to"]) from error
    except OSError as error:
        log.error("store.path: %s: %s; records are kept in memory until it opens", path, error.strerror)  # noqa: TRY400
        return LateStore(anew)


class Reopening:
    """Opens the store in a directory, again and again. What no restart would pass is an error of the settings at first alone."""

    def __init__(self, path: Path, opened: Callable[[], LaneStore]) -> None:
        self._path, self._opened = path, opened
        self._device: int | None = None  # of the file system that held it

    def first(self) -> LaneStore:
        """Raises ConfigError, OSError."""
        store = self._opened()
        self._device = self._path.stat().st_dev
        return store

    def __call__(self) -> LaneStore:
        """Raises OSError. Makes no new store where the file system is missing that held the old one."""
        if self._device is not None and not (self._path / STATE).exists() and _device(self._path) != self._device:
            raise OSError(errno.ENODEV, "the file system that held it is not mounted", str(self._path))
        try:
            return self.first()
        except ConfigError as error:  # the card of another gateway
            raise OSError(errno.ESTALE, str(error), str(self._path)) from error


def _device(path: Path) -> int:
    """The file system on which a path is, or would be made."""
    return next(place for place in (path, *path.parents) if place.exists()).stat().st_dev


def _set_unreadable_aside(path: Path) -> None:
    """Another user's file in our own directory keeps no agent from starting: the store tells what is missing without it."""
    beside = path.with_name(f"{path.name}-unreadable")  # not in the store, which would stumble over it again
    for file in sorted(path.rglob("*.journal")):
        if not os.access(file, os.R_OK | os.W_OK):
            beside.mkdir(mode=0o750, exist_ok=True)
            aside = beside / f"{file.parent.name}-{file.name}-{secrets.token_hex(4)}"
            log.error("%s: this user may not read and write it; it is set aside as %s and lost", file, aside)
            file.rename(aside)


def memory(settings: Settings) -> LaneStore:
    """The store for an outage of the disk."""
    size = settings.store.memory
    names = list(settings.ways()) or [NO_UPLINK]
    return open_memory(settings.gateway.id, names, Bounds(size, 0, 0.0, size), new_epoch())


def control_keys(settings: Settings) -> dict[str, Any]:
    """The operator's keys by their id; none where none are configured. Raises ConfigError."""
    if not settings.control.keys:
        return {}  # and the library for them is not loaded
    from agent.control.request import public_keys  # noqa: PLC0415

    return {**public_keys(settings.control.keys)}


def answered(settings: Settings) -> set[str]:
    """The requests whose answers are in the store."""
    from agent.control.desk import answered as answers_in  # noqa: PLC0415

    try:
        return answers_in(envelope.body for envelope in history(settings.store.path, lanes=(ALARMS,)))
    except OSError:
        return set()


def new_epoch() -> str:
    """A name for one life of a store."""
    return secrets.token_hex(8)


def came_with(name: str) -> Path:
    """Where the model of that name is that came with the agent; a file that is not there when none came."""
    found = find_spec("models")
    places = (found.submodule_search_locations if found is not None else None) or ["models"]
    return Path(next(iter(places))) / name / f"{name}.onnx"
