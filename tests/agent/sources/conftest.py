"""Real ends of lines: a pty that can be unplugged and comes back under another name, and a check that nothing leaks."""

from __future__ import annotations

import asyncio
import os
import random
import select
import tempfile
import threading
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from agent.sources import Context
from agent.wire.board import Decoder, Frame

NOW = 1_750_000_000.0  # some moment, seconds since the epoch


class Plug:
    """A serial adapter: a pty behind a name that stays the same while the device name changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.devices: list[str] = []
        self._decoder = Decoder()
        self.master = -1

    def plug(self) -> None:
        """Plug it in; the name points to the new device."""
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        tty.setraw(slave)
        os.set_blocking(self.master, False)
        self.devices.append(os.ttyname(slave))
        with suppress(FileNotFoundError):
            self.path.unlink()
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self) -> None:
        """Pull it out: the open descriptor hangs up, and the name is gone."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self.master)
        self.master = -1

    def say(self, data: bytes) -> None:
        """Send to the agent."""
        assert os.write(self.master, data) == len(data)

    def heard_raw(self) -> bytes:
        """What the agent has sent since the last call, as far as it has arrived."""
        with suppress(BlockingIOError, OSError):
            return os.read(self.master, 65536)
        return b""

    def hear(self, size: int) -> bytes:
        """So many bytes that the agent has sent; a pty hands them over a little later than they were written."""
        data = b""
        while len(data) < size and select.select([self.master], [], [], 5)[0]:
            data += self.heard_raw()
        return data

    def heard(self) -> list[Frame]:
        """The frames that the agent has sent since the last call."""
        return list(self._decoder.feed(self.heard_raw()))

    def close(self) -> None:
        """Let go of everything."""
        if self.master >= 0:
            self.unplug()


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    """An adapter that is plugged in."""
    adapter = Plug(tmp_path / "ttyUSB0")
    adapter.plug()
    yield adapter
    adapter.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; those of pytest are closed to all others, again and again."""
    with tempfile.TemporaryDirectory(prefix="agent-sources-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def context() -> Context:
    """A source named board of machine atm-1, at a fixed time."""
    return Context("board", "atm-1", "gateway-1", lambda: NOW)


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


@pytest.fixture
async def nothing_leaks() -> AsyncIterator[None]:
    """No thread, descriptor or task is left after a test. For every module that opens something."""
    threads, files = set(threading.enumerate()), _descriptors()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(1.0)
    assert set(threading.enumerate()) <= threads
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert _descriptors().keys() <= files.keys()


class Wired(MockPin):
    """A simulated pin with a loop on it, which pulls against the resistor while it is closed."""

    closed: ClassVar[set[int]] = set()

    def _set_pull(self, value: str) -> None:
        super()._set_pull(value)
        if self._number in self.closed:
            self.drive(closed=True)

    def drive(self, *, closed: bool) -> None:
        """Open or close the loop."""
        if closed == (self._get_pull() == "up"):
            self.drive_low()
        else:
            self.drive_high()


@pytest.fixture
def loops() -> Iterator[MockFactory]:
    """Simulated pins; numbers in `Wired.closed` have a loop that is closed from the start."""
    factory = MockFactory(pin_class=Wired)
    factory.reset()
    yield factory
    factory.reset()
    Wired.closed.clear()


@pytest.fixture
def wrong() -> Callable[[bytes, random.Random], bytes]:
    """One byte in a hundred is changed: one bit of it, any other byte in its place, lost, or said twice."""

    def spoil(data: bytes, rng: random.Random) -> bytes:
        spoilt = bytearray()
        for byte in data:
            if rng.random() >= 0.01:
                spoilt.append(byte)
                continue
            kind = rng.randrange(8)
            if kind < 4:
                spoilt.append(byte ^ 1 << rng.randrange(8))
            elif kind < 6:
                spoilt.append((byte + rng.randrange(1, 256)) % 256)
            elif kind == 7:
                spoilt += bytes((byte, byte))
        return bytes(spoilt)

    return spoil
