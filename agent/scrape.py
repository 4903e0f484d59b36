"""`/metrics` and `/healthz` for a collector on this machine: a few lines of HTTP/1.1, on loopback alone, only when configured."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable
from typing import NamedTuple

from agent.errors import ConfigError

HEAD_LIMIT = 8 * 1024  # bytes of a request; what is longer is refused
PATIENCE = 5.0  # s that a request may take to be said, and its answer to be taken
VISITORS = 8  # at once; more are turned away
HELD = 32  # connections; more are closed unheard, or any user of this machine could take every file descriptor of the agent
TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Page(NamedTuple):
    """What a path answers."""

    status: str
    body: str


class ScrapeServer:
    """Use as `async with`. `pages`: path -> who answers, called for each request."""

    def __init__(self, address: str, pages: dict[str, Callable[[], Page]]) -> None:
        self._address = address
        self._pages = pages
        self._visitors = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> ScrapeServer:
        """Listen. Raises ConfigError when the port is not to be had."""
        host, port = parse(self._address)
        try:
            self._server = await asyncio.start_server(self._welcome, host, port, limit=HEAD_LIMIT)
        except OSError as error:
            remedy = "name a free port of this machine"
            raise ConfigError([f"gateway.metrics: {self._address}: {error.strerror}; {remedy}"]) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def port(self) -> int:
        """Where it listens; the configuration may have asked for any (0)."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._visitors >= HELD:
            writer.close()
            return
        self._visitors += 1
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    page, head = await self._answer(reader)
                    body = page.body.encode()
                    fields = f"Content-Type: {TEXT}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
                    writer.write(f"HTTP/1.1 {page.status}\r\n{fields}\r\n".encode() + (b"" if head else body))
                    await writer.drain()
        finally:
            self._visitors -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[Page, bool]:
        """What to say, and whether without its body."""
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return Page("431 Request Header Fields Too Large", ""), False
        except asyncio.IncompleteReadError:
            return Page("400 Bad Request", ""), False
        words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or words[0] not in ("GET", "HEAD"):
            return Page("405 Method Not Allowed", ""), False
        if self._visitors > VISITORS:
            return Page("503 Service Unavailable", "too many ask at once\n"), False
        page = self._pages.get(words[1].partition("?")[0])
        found = page() if page is not None else Page("404 Not Found", f"known: {' '.join(self._pages)}\n")
        return found, words[0] == "HEAD"


def parse(address: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9464` or `[::1]:9464`. Raises ValueError when it is not of this machine alone."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not colon or not loopback or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"expected an address of this machine alone such as 127.0.0.1:9464, got {address!r}")
    return host, int(port)
