"""What people and programs on this machine may ask of the running agent: one JSON line, one JSON line back.

    {"ask": "reload"}  ──>  {"done": true, "changed": ["source board: changed"]}
                            {"done": false, "refused": ["/etc/atm-agent/config.yaml:7: sources[0].prot: unknown key …"]}

Only root and the agent's own user are answered: the kernel says who asks (SO_PEERCRED). Whoever may only look has the status
socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from agent.errors import AgentError, ConfigError, Unavailable

SOCKET = "local.sock"
LINE_LIMIT = 1280 * 1024  # bytes of one request; a signed one that brings a model has up to 1 MiB
PATIENCE = 10.0  # s that a request may take to be written
ASKERS = 4  # at once; more are turned away

Told: TypeAlias = dict[str, Any]
Answering: TypeAlias = Callable[[Mapping[str, Any], str], Awaitable[Told]]
"""Given the request and who asks ("uid 0"). An AgentError that it raises is the answer."""


class LocalSocket:
    """Use as `async with`. `answers`: what is asked -> who answers."""

    def __init__(self, directory: Path, answers: Mapping[str, Answering]) -> None:
        self._path = directory / SOCKET
        self._answers = answers
        self._asking: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> LocalSocket:
        """Listen. Raises OSError when the directory does not allow it."""
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)  # of a run that was killed
        self._server = await asyncio.start_unix_server(self._welcome, self._path, limit=LINE_LIMIT)
        self._path.chmod(0o600)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for asking in self._asking:
            asking.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):  # cancelled only by our own closing
                writer.write(msgspec.json.encode(await self._answer(reader, writer)) + b"\n")
                await writer.drain()
        finally:
            self._asking.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Told:
        uid, line = _peer(writer.get_extra_info("socket")), b""
        with contextlib.suppress(TimeoutError, ValueError):  # whoever says too much, or nothing, has asked nothing
            async with asyncio.timeout(PATIENCE):
                line = await reader.readline()
        if uid not in (0, os.geteuid()):
            return refused(f"only root and the agent's own user may ask; you are uid {uid}")
        if len(self._asking) > ASKERS:
            return refused("too many ask at once; try again")
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            return refused("expected one line: a JSON object with `ask`")
        answering = self._answers.get(str(request.get("ask")))
        if answering is None:
            return refused(f"nothing is known of {request.get('ask')!r}; known are {', '.join(self._answers)}")
        try:
            return {"done": True, **await answering(request, f"uid {uid}")}
        except ConfigError as error:
            return refused(*error.mistakes)
        except AgentError as error:
            return refused(str(error))


def refused(*why: str) -> Told:
    """An answer that says no, a line a reason."""
    return {"done": False, "refused": list(why)}


def _peer(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket (unix(7))."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


async def ask(directory: Path, request: Mapping[str, Any]) -> Told:
    """Ask the running agent. Raises Unavailable when none answers."""
    path = directory / SOCKET
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=2**20)
    except OSError as error:
        hint = "is it running, and are you root or its user?"
        raise Unavailable(f"{path}: no agent answers ({error.strerror}); {hint}") from error
    try:
        writer.write(msgspec.json.encode(dict(request)) + b"\n")
        line = await reader.readline()
    except OSError as error:
        raise Unavailable(f"{path}: the agent ended meanwhile ({error.strerror})") from error
    finally:
        writer.close()
    if not line:
        raise Unavailable(f"{path}: the agent ended meanwhile")
    return msgspec.json.decode(line, type=dict[str, Any])
