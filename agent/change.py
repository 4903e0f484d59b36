"""What is different between the configuration that runs and a new one: what must end, what must begin, what cannot change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from agent.config.settings import Settings
from agent.errors import ConfigError

LIVE = {"gateway", "machines", "sources", "clean", "rules", "forward", "models", "store", "uplinks"}  # as far as said below
LIVE_STORE = {"checkpoint"}  # keys of `store` that are looked up each time
LIVE_GATEWAY = {"log"}


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Delta(NamedTuple):
    """Names of one kind of part. What changed has gone and comes again."""

    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def ending(self) -> tuple[str, ...]:
        return (*self.gone, *self.changed)

    @property
    def beginning(self) -> tuple[str, ...]:
        return (*self.new, *self.changed)


NOTHING = Delta()


@dataclass(frozen=True)
class Change:
    """From one configuration to the next. Parts that it does not name go on as if nothing had happened."""

    sources: Delta = NOTHING
    uplinks: Delta = NOTHING
    models: Delta = NOTHING
    machines: Delta = NOTHING
    judging: bool = False
    """Rules, cleaning or windows: every machine's pipeline is built anew, and the gateway's own."""
    log: bool = False

    def told(self) -> list[str]:
        """A line for each thing that changes, for people."""
        lines = []
        for kind in ("machines", "sources", "models", "uplinks"):
            delta: Delta = getattr(self, kind)
            for word in ("gone", "new", "changed"):
                lines += [f"{kind.removesuffix('s')} {name}: {word}" for name in getattr(delta, word)]
        if self.judging:
            lines.append("rules, cleaning or windows: changed")
        if self.log:
            lines.append("log level: changed")
        return lines


def change(old: Settings, new: Settings) -> Change:
    """What a running agent has to do. Raises ConfigError with everything that needs a restart."""
    _check_restart(old, new)
    return Change(
        sources=_delta(old.sources, new.sources),
        uplinks=_delta_of(old.ways(), new.ways()),
        models=_delta(old.models, new.models),
        machines=_delta_of({each.id: each for each in old.machines}, {each.id: each for each in new.machines}),
        judging=(old.rules, old.clean, old.forward) != (new.rules, new.clean, new.forward),
        log=old.gateway.log != new.gateway.log,
    )


def _check_restart(old: Settings, new: Settings) -> None:
    keys = [f"gateway.{key}" for key in _changed_keys(old.gateway, new.gateway) if key not in LIVE_GATEWAY]
    keys += [f"store.{key}" for key in _changed_keys(old.store, new.store) if key not in LIVE_STORE]
    keys += [key for key in _changed_keys(old, new) if key not in LIVE]
    if old.ways().keys() != new.ways().keys():
        keys.append("uplinks: the names of the uplinks")  # the store keeps a cursor for each from its opening on
    if keys:
        remedy = "cannot change while the agent runs; restart it to apply the file: systemctl restart atm-agent"
        raise ConfigError([f"{key}: {remedy}" for key in keys])


def _changed_keys(old: Any, new: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(old) if getattr(old, field.name) != getattr(new, field.name)]


def _delta(old: Iterable[_Named], new: Iterable[_Named]) -> Delta:
    return _delta_of({each.name: each for each in old}, {each.name: each for each in new})


def _delta_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> Delta:
    return Delta(
        gone=tuple(name for name in old if name not in new),
        new=tuple(name for name in new if name not in old),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
    )
