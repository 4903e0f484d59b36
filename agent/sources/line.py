"""The one owner of a serial line, for every driver: opened, read, written, lost, looked for and opened again, for ever.

    async with aclosing(line.arrivals()) as arrivals:
        async for arrival in arrivals:            Opened | LineLost | bytes
            ...

A `Tap` only listens: the type has no way to write. A `Line` writes too, but nothing that its driver's allow-list does not know.
A driver is a state machine without I/O that is fed with arrivals (`board_link` is one). So a bus with several devices is one
`Line`, one loop and several such machines, and that loop gives each its turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import NamedTuple, TypeAlias

from agent.errors import LineLost
from agent.sources.opening import close_descriptor, open_descriptor
from agent.sources.ports import LineSettings, parse
from agent.sources.rfc2217 import Rfc2217

CHUNK = 64 * 1024  # bytes read at once; more than a kernel keeps for a serial line
SMALL = 1024  # bytes; after a smaller chunk the line is left alone for a moment, so that the next is larger
MOMENT = 0.02  # s; the time of 230 bytes at 115200 baud. Bytes that come one by one would each wake the loop otherwise
READ_LIMIT = 256 * 1024  # bytes that may wait for the driver; beyond it the kernel keeps them, then the sender
WRITE_LIMIT = 4 * 1024  # bytes that may wait for the line; a line that has taken none of them is not listening
SETTLE_TIMEOUT = 3.0  # s for a device server to confirm the line's settings
BACKOFF_FIRST = 0.25  # s; most replugs are a cable that slipped
BACKOFF_LIMIT = 4.0  # s; a port that is back is open within this
BACKOFF_LEAST = 0.05  # s; full jitter may draw nothing at all


class Opened(NamedTuple):
    """The port is open: for the first time, or `again` for the nth time after that."""

    again: int


Arrival: TypeAlias = Opened | LineLost | bytes
"""What a line tells its driver. Empty bytes: nothing came for the driver's `patience`."""


class Port:
    """An open port: one descriptor, watched by the loop. Closed once, never opened again."""

    def __init__(self, descriptor: int, name: str, telnet: Rfc2217 | None = None) -> None:
        self._descriptor = descriptor
        self._name = name
        self._telnet = telnet
        self._loop = asyncio.get_running_loop()
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._unsent = bytearray()
        self._closed = False
        self._nap: asyncio.TimerHandle | None = None  # until the line is looked at again
        self._lost: LineLost | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watched = False
        self._watch(watch=True)

    async def read(self, patience: float) -> bytes:
        """All that has arrived; empty when nothing does for `patience` seconds. Raises LineLost once the port is gone."""
        if not self._chunks and self._lost is None:
            await self._wait(patience)
        if self._chunks:
            data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
            self._watch_again()
            return data
        if self._lost is not None:
            raise self._lost
        return b""

    async def _wait(self, patience: float) -> None:
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(patience, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _watch_again(self) -> None:
        """The driver has taken what waited for it."""
        if self._waiting > READ_LIMIT and self._lost is None:
            self._watch(watch=True)
        self._waiting = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            self._watch(watch=True)
            return
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        if not data:
            self._lose("unplugged, or closed at its other end")
            return
        if self._telnet is not None:
            data, answer = self._telnet.received(data)
            self.write_raw(answer)
            if self._lost is not None:
                return
        if data:
            self._chunks.append(data)
            self._waiting += len(data)
        self._wake()
        if self._waiting > READ_LIMIT:
            self._watch(watch=False)
        elif len(data) < SMALL:
            self._watch(watch=False)
            self._nap = self._loop.call_later(MOMENT, self._readable)
        else:
            self._watch(watch=True)

    def _watch(self, *, watch: bool) -> None:
        """Be called when something comes, or not. A line that says little at a time is looked at now and then, without that."""
        if watch and not self._watched:
            self._loop.add_reader(self._descriptor, self._readable)
        elif self._watched and not watch:
            self._loop.remove_reader(self._descriptor)
        self._watched = watch

    def write(self, data: bytes) -> bool:
        """Send bytes as soon as the line takes them; False when it is gone or has not taken those before. Never waits."""
        return self.write_raw(data if self._telnet is None else self._telnet.escaped(data))

    def write_raw(self, data: bytes) -> bool:
        """As `write`, past the telnet of a device server."""
        if self._lost is not None or self._closed or len(self._unsent) + len(data) > WRITE_LIMIT:
            return False
        if data:
            idle = not self._unsent
            self._unsent += data
            if idle:
                self._writable()
        return True

    def _writable(self) -> None:
        try:
            sent = os.write(self._descriptor, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._descriptor, self._writable)
        else:
            self._loop.remove_writer(self._descriptor)

    def _lose(self, why: str) -> None:
        """Stop watching at once: a gone descriptor is always ready, and would keep the loop busy."""
        self._unwatch()
        self._lost = LineLost(f"{self._name} is gone ({why}): check cable and power; it is looked for until it is back")
        self._wake()

    def close(self) -> None:
        """Let go of the descriptor, at once. May be called again."""
        if not self._closed:
            self._closed = True
            self._unwatch()
            close_descriptor(self._descriptor)

    def _unwatch(self) -> None:
        if self._nap is not None:
            self._nap.cancel()
        self._watch(watch=False)
        self._loop.remove_writer(self._descriptor)

    async def settle(self) -> None:
        """Agree on the line's settings with a device server; other ports have them already. Raises LineLost."""
        if self._telnet is None:
            return
        self.write_raw(self._telnet.opening())
        early = []
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT):
                while not self._telnet.settled and not self._telnet.refused:
                    early.append(await self.read(SETTLE_TIMEOUT))
        except TimeoutError:
            raise LineLost(f"{self._name} does not speak RFC 2217: use socket:// for a raw TCP port", "broken") from None
        if self._telnet.refused:
            raise LineLost(f"{self._name}: {self._telnet.refused}", "broken")
        self._chunks[:0] = filter(None, early)


async def open_port(settings: LineSettings) -> Port:
    """The port, open and ready. Raises LineLost. Cancelling it leaves nothing open."""
    descriptor = await open_descriptor(settings)
    telnet = Rfc2217(settings) if parse(settings.port).kind == "rfc2217" else None
    port = Port(descriptor, settings.port, telnet)
    try:
        await port.settle()
    except BaseException:
        port.close()
        raise
    return port


def backoff(failures: int, rng: Random) -> float:
    """Seconds to wait after so many failures in a row: exponential up to a limit, full jitter."""
    return max(BACKOFF_LEAST, rng.uniform(0.0, min(BACKOFF_LIMIT, BACKOFF_FIRST * 2.0 ** min(failures - 1, 16))))


class Tap:
    """A line that is listened to and never written to."""

    def __init__(
        self, settings: LineSettings, rng: Random | None = None, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self.settings = settings
        self.patience = 1.0  # s without a byte until the driver is given empty bytes; it may set this at any time
        self.reconnects = 0  # times that the port was opened again
        self._rng = rng if rng is not None else Random()
        self._sleep = sleep
        self._port: Port | None = None

    async def arrivals(self) -> AsyncGenerator[Arrival]:
        """What happens on the line, for ever. Close the generator to close the port."""
        failures = openings = 0
        while True:
            try:
                self._port = await open_port(self.settings)
                self.reconnects = openings
                openings += 1
                yield Opened(self.reconnects)
                while True:
                    chunk = await self._port.read(self.patience)
                    if chunk:
                        failures = 0  # not at the opening: some ports open and are gone at once
                    yield chunk
            except LineLost as error:
                lost = error
            finally:
                self._let_go()
            failures += 1
            yield lost
            await self._sleep(backoff(failures, self._rng))

    def _let_go(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None


class Line(Tap):
    """A line that is written to as well, but only what `may_send` allows: a driver's allow-list of requests."""

    def __init__(
        self,
        settings: LineSettings,
        may_send: Callable[[bytes], bool],
        rng: Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__(settings, rng, sleep)
        self.timeouts = 0  # requests that the line did not take, or that nobody answered: the driver counts those
        self._may_send = may_send

    def write(self, data: bytes) -> bool:
        """Send a request. False when the port is closed or takes nothing; never waits.

        Raises ValueError for bytes that are not on the allow-list: that is a bug of the driver.
        """
        if not self._may_send(data):
            raise ValueError(f"{self.settings.port}: {len(data)} bytes are not on the allow-list of this driver")
        if self._port is None:
            return False
        taken = self._port.write(data)
        self.timeouts += not taken
        return taken
