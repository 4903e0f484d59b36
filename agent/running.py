"""What somebody outside may ask of the running agent: plain callables, and nothing that loads what is not configured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agent.config.settings import Settings
from agent.records import Value
from agent.stages.calendar import Visit


@dataclass(frozen=True)
class Running:
    """Of one agent."""

    settings: Callable[[], Settings]
    now: Callable[[], float]
    values: Callable[[], Mapping[str, Mapping[str, Value]]]
    """The newest value of every point, by machine; the gateway is one."""
    announce: Callable[[str, Visit | None], None]
    """Somebody is expected at a machine; None: nobody any more."""
    configure: Callable[[str, str], Awaitable[list[str]]]
    """Apply the text of another configuration file, asked for by somebody; what changed. Raises ConfigError: nothing has."""
    flush: Callable[[], None]
    """Try every link now."""
    stop: Callable[[], None]
    """End in good order."""
    backlog: Callable[[], Mapping[str, int]]
    store_word: Callable[[], str]
    audit: Callable[[str, str, str, str], None]
    """What happened, how it ended, who brought it about, and more."""
