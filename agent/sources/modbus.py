"""A Modbus RTU device on RS-485: climate, energy, whatever has registers. They are read; nothing is ever written."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from agent.records import Value
from agent.settings import Duration
from agent.sources import Context
from agent.sources.bus import PolledSource
from agent.sources.exchange import Request, Round
from agent.sources.ports import LineSettings
from agent.sources.registers import Block, Register, blocks, shipped
from agent.wire import modbus
from agent.wire.modbus import Refusal, Registers

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings(LineSettings):
    """A device on a bus, and its registers."""

    baud: int = 9_600
    unit: int = 1
    """Its address on the bus."""
    map: str = ""
    """A map that comes with the agent: xy-md02, sdm120, sdm230."""
    registers: tuple[Register, ...] = ()
    """Registers of a device of your own, or beside those of the map."""
    gap: int = 0
    """How many registers between two that are wanted may be read with them; some devices refuse any that they do not have."""
    every: Duration = 5.0
    within: Duration = 0.5
    """How long the device may take to answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unit not in modbus.UNITS:
            raise ValueError(f"unit: {self.unit} is no address; expected 1 to 247")
        if self.map and self.map not in shipped():
            raise ValueError(f"map: no map is called {self.map!r}; there are {', '.join(shipped())}, or list the registers")
        if not self.map and not self.registers:
            raise ValueError("registers: is empty; list the device's registers, or name a map")
        twice = [name for name, times in Counter(each.point for each in self.all).items() if times > 1]
        if twice:
            raise ValueError(f"registers: {twice[0]} stands there twice; each point has one register")
        if not 0 <= self.gap <= modbus.COUNT_LIMIT:
            raise ValueError("gap: expected 0 to 125")
        if not 0.2 <= self.every <= 86_400.0:
            raise ValueError("every: expected 200ms to 1d")
        if not 0.05 <= self.within <= 10.0:
            raise ValueError("within: expected 50ms to 10s")

    @property
    def shared(self) -> bool:
        """It is asked."""
        return True

    @property
    def all(self) -> tuple[Register, ...]:
        """The registers of the map and its own."""
        return (*(shipped()[self.map].registers if self.map else ()), *self.registers)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What is read at once."""
        return blocks(self.all, max(self.gap, shipped()[self.map].gap if self.map else 0))


class Device:
    """One device on the bus. See `Polled`."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.identity = f"unit {settings.unit}" + (f" ({settings.map})" if settings.map else "")
        self.every = settings.every
        self._name = name
        self._within = settings.within
        self._asked = {modbus.request(settings.unit, each.function, each.address, each.size): each for each in settings.blocks}
        self._refused: set[bytes] = set()  # of which the log has heard

    def may_send(self, data: bytes) -> bool:
        """The reads that were configured. Writing is another function, and so is everything else."""
        return data in self._asked

    def round(self) -> Round:
        """Every block; what the device does not answer is left out, what it refuses has no value."""
        values: dict[str, Value] = {}
        for asked, block in self._asked.items():
            answer = yield Request(asked, modbus.reader(asked), self._within, echo=True)
            if isinstance(answer, Registers):
                values |= block.values(answer.data)
            elif isinstance(answer, Refusal):
                values |= dict.fromkeys(each.point for each in block.registers)
                self._tell(asked, block, answer)
        return values

    def _tell(self, asked: bytes, block: Block, refusal: Refusal) -> None:
        if asked not in self._refused:
            self._refused.add(asked)
            last = block.address + block.size - 1
            log.warning(
                "source %s: it refuses %s registers %d to %d (%s): are map, table and address right? A smaller gap may help",
                self._name,
                block.registers[0].table,
                block.address,
                last,
                refusal,
            )

    def away(self, word: str) -> Mapping[str, Value]:
        """Its points grow stale by themselves."""
        del word
        return {}


def open_source(context: Context, settings: Settings) -> PolledSource:
    """A device as configured. Touches no hardware."""
    return PolledSource(context, settings, Device(context.name, settings))
