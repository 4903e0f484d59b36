"""Where Readings come from. One driver a file, each with its own settings class; imported only when configured."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, MutableMapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from agent.records import Reading

Position: TypeAlias = dict[str, Any]
"""How far a source has come, in its own words; a small JSON object."""


class Given(NamedTuple):
    """What a source gives at once. With a `position` it wants to hear when the effect of these Readings is on disk."""

    readings: Sequence[Reading]
    position: Position | None = None


class Source(Protocol):
    """A line into the machine, observed. Its methods are called on the event loop, by whoever runs the source.

    Its own state and the health of its line are Readings too (`gateway.source.NAME`, `gateway.line.NAME.*`), of the
    machine that is the gateway itself. The state is given at each change and at least once a minute.
    """

    name: str

    @property
    def identity(self) -> str:
        """Who the device says it is, as far as it has said so; bounded, printable, without long numbers."""

    def read(self, position: Position | None) -> AsyncGenerator[Given]:
        """Yield for ever what the machine says; called once.

        `position` is the last one whose effect reached the disk before the agent was started, if there was one. A line
        that is missing, denied, busy or gone is no error: it is looked for again, with back-off, for ever. Only a
        mistake in the configuration is raised (ConfigError). Closing the generator lets go of port, tasks and threads
        within a second.
        """

    def acknowledge(self, position: Position) -> None:
        """Called once the effect of what was given with `position` is on disk: in order, each position by itself.

        Not called for what the disk refused. Never blocks.
        """


class Context(NamedTuple):
    """What every driver is handed beside its settings."""

    name: str  # of the source
    machine: str  # whose Readings it gives
    gateway: str  # the machine of `gateway.*` Readings
    now: Callable[[], float]  # seconds since the epoch
    lines: MutableMapping[str, Any] | None = None
    """Lines that several sources share, by the name of their port (`agent.sources.bus`); one mapping an agent."""
    turned: Callable[[str, str], object] | None = None
    """Told each change of the source's state, and why it is so with the remedy, beside the log: for `atm-agent probe`."""


SOURCES = {
    "board": "agent.sources.board",
    "ccnet": "agent.sources.ccnet",
    "cctalk": "agent.sources.cctalk",
    "ebds": "agent.sources.ebds",
    "gpio": "agent.sources.gpio",
    "id003": "agent.sources.id003",
    "lcdm": "agent.sources.lcdm",
    "lines": "agent.sources.lines",
    "mdb": "agent.sources.mdb",
    "modbus": "agent.sources.modbus",
    "nmea": "agent.sources.nmea",
    "replay": "agent.sources.replay",
    "ups": "agent.sources.ups",
    "xfs4iot": "agent.sources.xfs4iot",
}
"""kind -> module with `Settings` and `open_source(context, settings) -> Source`; opening touches no hardware yet"""
