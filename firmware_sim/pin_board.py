"""The shell around the machine's contacts: a socket for the agent's simulated pins, and a kernel's simulated chip.

A gpio-sim chip (Linux 5.17 and later) is made through configfs; its lines are files that say which way each is pulled. They are
numbered as the pins are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from agent.wire.pins import encode
from firmware_sim.firmware import Pace
from firmware_sim.ports import PortRefusedError
from firmware_sim.twins.contacts import PULSES, Contacts
from firmware_sim.world import World

KERNEL = Path("/sys/devices/platform")
LOOK_EVERY = 0.05  # s between two looks at what the world has changed


class KernelChip:
    """The lines of the kernel's simulated chips: a closed contact pulls its line down, an open one leaves it to the pull-up."""

    def __init__(self, root: Path = KERNEL) -> None:
        found = sorted(root.glob("gpio-sim.*/gpiochip*/sim_gpio*/pull"))
        self._lines = {int(path.parent.name.removeprefix("sim_gpio")): path for path in found}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def show(self, pins: Mapping[int, bool]) -> None:
        """Pull the lines of those pins that the chip has."""
        for pin, closed in pins.items():
            if (line := self._lines.get(pin)) is not None:
                line.write_text("pull-down" if closed else "pull-up")


class PinBoard:
    """The machine's contacts at a socket. Used as `async with`."""

    def __init__(self, world: tuple[World, Pace], path: Path, clock: Callable[[], float], chip: KernelChip | None = None) -> None:
        self._world, self._pace = world
        self._path = path
        self._clock = clock
        self._chip = chip if chip is not None else KernelChip()
        self._contacts = Contacts(self._world)
        self._agents: set[asyncio.StreamWriter] = set()
        self._stopped = asyncio.Event()
        self._server: asyncio.Server

    @property
    def address(self) -> str:
        """What the agent has to name as its pin factory."""
        chip = " and the kernel's gpio-sim chip" if self._chip else ""
        return f"sim:{self._path}{chip}"

    async def __aenter__(self) -> Self:
        if self._path.exists() and not self._path.is_socket():
            raise PortRefusedError(f"{self._path} exists and is no socket; name another path or remove it")
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._welcome, self._path)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for agent in list(self._agents):
            agent.transport.abort()
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """End `run` soon."""
        self._stopped.set()

    async def run(self, until: float, after_each: Callable[[], None]) -> None:
        """Show until the real time `until`, or until `stop`. `after_each` is called whenever the world has moved."""
        pins, channels, owed = self._contacts.pins(), self._contacts.channels(), 0
        self._chip.show(pins)
        while not self._stopped.is_set() and (now := self._clock()) < until:
            self._world.run_to(max(self._pace.world(now), self._world.now))
            before, pins = pins, self._contacts.pins()
            levels, channels = channels, self._contacts.channels()
            changed = {pin: closed for pin, closed in pins.items() if before[pin] != closed}
            self._chip.show(changed)
            self._tell(changed, {channel: level for channel, level in channels.items() if levels[channel] != level})
            owed += self._contacts.pulses()
            if owed:  # one at a time: an output is closed for a while, and open for as long
                owed -= 1
                self._tell({PULSES: True}, {})
                self._tell({PULSES: False}, {})
            after_each()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), LOOK_EVERY)

    def _tell(self, pins: Mapping[int, bool], channels: Mapping[int, float]) -> None:
        if pins or channels:
            for agent in self._agents:
                agent.write(encode(pins, channels))

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(self._contacts.pins() | {PULSES: False}, self._contacts.channels()))
        self._agents.add(writer)
        with suppress(ConnectionError):
            while await reader.read(4096):
                pass  # it has nothing to say
        self._agents.discard(writer)
        writer.close()
