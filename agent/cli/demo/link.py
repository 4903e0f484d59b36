"""The link between the agent and the platform, which the demo can cut: it then swallows what comes, as a dead modem does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any


class UdpLink(asyncio.DatagramProtocol):
    """Carries datagrams between clients and one server. Each client has its own socket towards the server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._transport: asyncio.DatagramTransport | None = None
        self._ways: dict[Any, asyncio.DatagramTransport] = {}
        self.cut = False

    async def open(self) -> int:
        """Listen on a free port of the loopback; returns it."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return int(self._transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, address: Any) -> None:
        if not self.cut:
            asyncio.ensure_future(self._carry(data, address))  # noqa: RUF006  done before the next one can matter

    async def _carry(self, data: bytes, address: Any) -> None:
        if address not in self._ways:
            loop = asyncio.get_running_loop()
            way, _ = await loop.create_datagram_endpoint(lambda: _Back(self, address), remote_addr=self._target)
            self._ways[address] = way
        self._ways[address].sendto(data)

    def answer(self, data: bytes, address: Any) -> None:
        """Carry a datagram back to a client."""
        if not self.cut and self._transport is not None:
            self._transport.sendto(data, address)

    async def close(self) -> None:
        """Let go of every socket."""
        for way in self._ways.values():
            way.close()
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)


class _Back(asyncio.DatagramProtocol):
    def __init__(self, link: UdpLink, address: Any) -> None:
        self._link, self._address = link, address

    def datagram_received(self, data: bytes, _: Any) -> None:
        self._link.answer(data, self._address)


class TcpLink:
    """Carries connections to one server. While it is cut, bytes stand still and new connections get no answer."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def cut(self) -> bool:
        """Whether nothing passes."""
        return not self._whole.is_set()

    @cut.setter
    def cut(self, cut: bool) -> None:
        if cut:
            self._whole.clear()
        else:
            self._whole.set()

    async def open(self) -> int:
        """Listen on a free port of the loopback; returns it."""
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        try:
            await self._whole.wait()
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
            there_writer.close()
        except OSError:
            pass  # the server is away: the client finds its connection closed
        finally:
            writer.close()
            self._pumps.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def close(self) -> None:
        """Let go of every connection."""
        if self._server is not None:
            self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
