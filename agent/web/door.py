"""The page's front door: so many connections at once, and none that is held open without asking anything.

Whoever can reach the page could otherwise take every file descriptor of the agent, and with them its disk and its lines.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

MOST = 64  # connections at once: eight open pages, and the six that a browser makes for each
PATIENCE = 10.0  # s for a handshake, and again for the first request
BACKLOG = 16
BREATH = 1.0  # s without a free file descriptor before the next look


class Server(Protocol):
    """What makes the protocol of a connection and knows those that are open (`aiohttp.web.Server`)."""

    @property
    def connections(self) -> Sequence[object]:
        """Those that are open."""

    def __call__(self) -> asyncio.BaseProtocol:
        """For a new one."""


class Door:
    """Use as `async with`, with a socket that is bound."""

    def __init__(self, server: Server, bound: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._server, self._bound, self._tls = server, bound, tls
        self._arriving: set[asyncio.Task[None]] = set()
        self._asked: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._accepting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Door:
        """Listen. Raises OSError."""
        self._bound.setblocking(False)
        self._bound.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._arriving] + ([self._accepting] if self._accepting is not None else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._bound.close()

    def asked(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request has come over this connection."""
        if transport is not None:
            self._asked.add(transport)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._bound)
            except OSError:
                await asyncio.sleep(BREATH)
                continue
            if len(self._arriving) + len(self._server.connections) >= MOST:
                connection.close()
                continue
            arriving = asyncio.create_task(self._let_in(connection))
            self._arriving.add(arriving)
            arriving.add_done_callback(self._arriving.discard)

    async def _let_in(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        patience = PATIENCE if self._tls is not None else None
        with suppress(OSError):  # of the handshake: whoever it was has gone, or speaks something else
            transport, _ = await loop.connect_accepted_socket(
                self._server, connection, ssl=self._tls, ssl_handshake_timeout=patience
            )
            loop.call_later(PATIENCE, self._dismiss, transport)

    def _dismiss(self, transport: asyncio.Transport) -> None:
        if transport not in self._asked:
            transport.abort()
