"""Where a gateway finds the board: a pseudo terminal, or a TCP socket. Neither ever makes the world wait for its reader.

Both are used as `async with`; `send` may be called from then on, and `on_data` is called with what the gateway sends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

from firmware_sim.outbox import Outbox
from firmware_sim.uart import Shape, shape_of

READ = 4096  # bytes at a time
UNREAD = 1.0  # s; a serial line does not keep what nobody reads
TCP_BUFFER = 16 * 1024  # bytes given to the kernel beyond its own buffer


def _deaf(_data: bytes) -> None:
    """Nobody listens yet."""


class Port(Protocol):
    """One place where one gateway at a time may listen."""

    on_data: Callable[[bytes], None]

    @property
    def address(self) -> str:
        """What the gateway has to open."""

    @property
    def shape(self) -> Shape | None:
        """How the gateway has set its end of the line; None where there is nothing to set."""

    def send(self, data: bytes, droppable: bool) -> None:
        """Give bytes to the reader, now or as soon as it takes them. Called by the shell alone; never waits."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class PortRefusedError(ValueError):
    """The address cannot be used; the message says why and what would do."""


class PtyPort:
    """A pseudo terminal whose other end has a name: `path` becomes a symbolic link to it, for as long as it is open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outbox = Outbox()
        self._blocked_since: float | None = None
        self._master = self._slave = -1
        self.on_data: Callable[[bytes], None] = _deaf

    @property
    def address(self) -> str:
        return str(self._path)

    @property
    def shape(self) -> Shape | None:
        return shape_of(self._master)

    async def __aenter__(self) -> Self:
        if self._path.exists() and not self._path.is_symlink():
            raise PortRefusedError(f"{self._path} exists and is no symbolic link; name another path or remove it")
        self._loop = asyncio.get_running_loop()
        self._master, self._slave = os.openpty()  # our own slave keeps the line up while no gateway is there
        try:
            tty.setraw(self._master)
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self._target = os.ttyname(self._slave)
            beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            beside.symlink_to(self._target)
            beside.replace(self._path)
        except BaseException:
            self._close()
            raise
        self._loop.add_reader(self._master, self._readable)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._loop.remove_reader(self._master)
        self._loop.remove_writer(self._master)
        with suppress(OSError):
            if str(self._path.readlink()) == self._target:
                self._path.unlink()
        self._close()

    def _close(self) -> None:
        os.close(self._master)
        os.close(self._slave)

    def _readable(self) -> None:
        with suppress(BlockingIOError):
            self.on_data(os.read(self._master, READ))

    def send(self, data: bytes, droppable: bool) -> None:
        self._outbox.put(data, droppable)
        if self._blocked_since is None:
            self._flush()
        elif self._loop.time() - self._blocked_since > UNREAD:
            termios.tcflush(self._slave, termios.TCIFLUSH)
            self._flush()

    def _flush(self) -> None:
        while chunk := self._outbox.first():
            try:
                self._outbox.sent(os.write(self._master, chunk))
            except BlockingIOError:
                if self._blocked_since is None:
                    self._loop.add_writer(self._master, self._flush)
                self._blocked_since = self._loop.time()
                return
        if self._blocked_since is not None:
            self._loop.remove_writer(self._master)
            self._blocked_since = None


class TcpPort:
    """A listening socket. One gateway at a time: a second is turned away until the first has gone."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._outbox = Outbox()
        self._gateway: asyncio.Transport | None = None
        self._paused = False
        self.on_data: Callable[[bytes], None] = _deaf

    @property
    def address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    @property
    def shape(self) -> Shape | None:
        return None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Visitor(self), self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        if self._gateway is not None:
            self._gateway.abort()
            await asyncio.sleep(0)  # connection_lost runs in the next turn of the loop
        await self._server.wait_closed()

    def send(self, data: bytes, droppable: bool) -> None:
        if self._gateway is not None:
            self._outbox.put(data, droppable)
            self._flush()

    def _flush(self) -> None:
        while self._gateway is not None and not self._paused and (chunk := self._outbox.first()):
            self._gateway.write(chunk)
            self._outbox.sent(len(chunk))

    def welcome(self, transport: asyncio.Transport) -> bool:
        """A gateway comes; False when there is one already."""
        if self._gateway is not None:
            return False
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        transport.set_write_buffer_limits(high=TCP_BUFFER)
        self._gateway, self._paused = transport, False
        return True

    def gone(self) -> None:
        """The gateway has left; what it did not read is lost, as on any line."""
        self._gateway = None
        self._outbox.clear()

    def pause(self, paused: bool) -> None:
        """The kernel takes no more for now, or again."""
        self._paused = paused
        self._flush()


class _Visitor(asyncio.Protocol):
    def __init__(self, port: TcpPort) -> None:
        self._port = port
        self._welcome = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._welcome = self._port.welcome(transport)
        if not self._welcome:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._welcome:
            self._port.gone()

    def data_received(self, data: bytes) -> None:
        if self._welcome:
            self._port.on_data(data)

    def pause_writing(self) -> None:
        self._port.pause(paused=True)

    def resume_writing(self) -> None:
        self._port.pause(paused=False)
