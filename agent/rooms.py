"""The rooms of the house as the settings want them: drivers, stores, pipelines. Opening them touches nothing but the disk."""

from __future__ import annotations

import logging
import secrets
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent import config
from agent.config.settings import Settings, SourceSettings, UplinkSettings
from agent.errors import AgentError, ConfigError
from agent.pipeline import Pipeline, PipelineSettings
from agent.sources import SOURCES, Context, Source
from agent.store import Store
from agent.store.lane_store import LaneStore
from agent.store.late import LateStore
from agent.store.opening import open_durable, open_memory
from agent.store.room import Bounds
from agent.store.writer import NO_UPLINK
from agent.uplinks import UPLINKS, Uplink

log = logging.getLogger(__name__)


def machines(settings: Settings) -> set[str]:
    """Every machine, and the gateway itself: each has a pipeline."""
    return {*(machine.id for machine in settings.machines), settings.gateway.id}


def pipeline(name: str, settings: Settings) -> Pipeline:
    """The pipeline of one machine, or of the gateway itself."""
    rules = config.rules(settings.rules)
    machine = next((each for each in settings.machines if each.id == name), None)
    more: dict[str, Any] = {} if machine is None else {"plan": machine.plan(), "cassettes": machine.cassettes}
    forward = settings.forward
    return Pipeline(PipelineSettings(name, forward.summaries, forward.readings, settings.clean, rules, **more))


def source(settings: SourceSettings, context: Context) -> Source:
    """A source, which touches no hardware yet."""
    opened: Source = import_module(SOURCES[settings.kind]).open_source(context, settings.settings)
    return opened


def uplink(settings: UplinkSettings, gateway: str) -> Uplink:
    """An uplink, not connected yet."""
    opened: Uplink = import_module(UPLINKS[settings.kind]).open_uplink(settings.name, gateway, settings.settings)
    return opened


def disk(settings: Settings) -> Store:
    """The store on disk. One that cannot be opened now but may be later does not keep the agent from watching."""
    path, gateway = settings.store.path, settings.gateway.id
    bounds = Bounds(settings.store.budget, settings.store.free_floor, settings.store.keep_days, settings.store.keep_bytes)
    names = [each.name for each in settings.uplinks]

    def opened() -> LaneStore:
        store, repairs = open_durable(path, gateway, names, bounds, new_epoch)
        for name, repair in repairs.items():
            log.warning("%s was damaged and is repaired: %s", path / name, repair)
        return store

    try:
        return opened()
    except BlockingIOError as error:
        raise AgentError(f"store.path: {path} is in use by another agent; stop that one first") from error
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        place = error.filename or path
        raise ConfigError([f"store.path: {place}: {error.strerror}; name a directory that this user may write to"]) from error
    except OSError as error:
        log.error("store.path: %s: %s; records are kept in memory until it opens", path, error.strerror)  # noqa: TRY400
        return LateStore(opened)


def memory(settings: Settings) -> LaneStore:
    """The store for an outage of the disk."""
    size = settings.store.memory
    names = [each.name for each in settings.uplinks] or [NO_UPLINK]
    return open_memory(settings.gateway.id, names, Bounds(size, 0, 0.0, size), new_epoch())


def new_epoch() -> str:
    """A name for one life of a store."""
    return secrets.token_hex(8)


def came_with(name: str) -> Path:
    """Where the model of that name is that came with the agent; a file that is not there when none came."""
    found = find_spec("models")
    places = (found.submodule_search_locations if found is not None else None) or ["models"]
    return Path(next(iter(places))) / name / f"{name}.onnx"
