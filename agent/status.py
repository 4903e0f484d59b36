"""What the agent is doing, for whoever may open its local socket: one JSON object a second, as long as they listen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import msgspec

SOCKET = "status.sock"
EVERY = 1.0  # s between two objects to one listener
LINE_LIMIT = 2**20  # bytes of one object; a few machines have some ten thousand
LISTENERS = 8  # at once; more are turned away


class StatusSocket:
    """A Unix socket that its owner and group may read. Use as `async with`."""

    def __init__(self, directory: Path, document: Callable[[], dict[str, Any]]) -> None:
        self._path = directory / SOCKET
        self._document = document
        self._listeners: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> StatusSocket:
        """Listen. Raises OSError when the directory does not allow it."""
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)  # of a run that was killed
        self._server = await asyncio.start_unix_server(self._welcome, self._path)
        self._path.chmod(0o660)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for listener in self._listeners:
            listener.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._listeners.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):  # cancelled only by our own closing
                while len(self._listeners) <= LISTENERS:
                    writer.write(msgspec.json.encode(self._document()) + b"\n")
                    await writer.drain()
                    if await _has_gone(reader):
                        break
        finally:
            self._listeners.discard(task)
            writer.close()


async def _has_gone(reader: asyncio.StreamReader) -> bool:
    """Whether the listener leaves before the next object is due; what it says is not listened to."""
    try:
        async with asyncio.timeout(EVERY):
            while await reader.read(1024):
                pass
    except TimeoutError:
        return False
    return True


async def statuses(directory: Path) -> AsyncGenerator[dict[str, Any]]:
    """What a running agent says, an object a second, until it ends. Raises OSError when none listens."""
    reader, writer = await asyncio.open_unix_connection(directory / SOCKET, limit=LINE_LIMIT)
    try:
        while line := await reader.readline():
            yield msgspec.json.decode(line)
    finally:
        writer.close()
