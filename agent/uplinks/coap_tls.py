"""CoAP over TLS (RFC 8323): aiocoap's connection, on a TLS context and an address that are ours."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiocoap.transports.tcp import TcpConnection
from aiocoap.transports.tls import TLSClient

from agent.errors import Unreachable
from agent.uplinks.dial import connect, handshake_failed
from agent.uplinks.endpoint import Endpoint


class Connection(TcpConnection):  # type: ignore[misc]  # aiocoap publishes no types
    """One connection, and the moment that it is gone."""

    def __init__(self, client: Any, log: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(client, log, loop, is_server=False)
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        if self._ctx._tokenmanager is not None:  # noqa: SLF001  the link was left: there is nobody any more to give it to
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        super().connection_lost(exc)


async def open_connection(context: Any, endpoint: Endpoint, tls: ssl.SSLContext, limit: float) -> Connection:
    """A connection that requests can be sent over, as their `remote`. Raises Unreachable or Refused."""
    loop = asyncio.get_running_loop()
    log = context.log
    clients: list[Any] = []

    async def create(manager: Any) -> Any:
        clients.append(await TLSClient.create_client_transport(manager, log, loop, None))
        return clients[0]

    await context._append_tokenmanaged_transport(create)  # noqa: SLF001  it has no door for a connection that is ours
    tls.set_alpn_protocols(["coap"])  # RFC 8323, 8.2
    sock = await connect(endpoint, None, limit)
    try:
        async with asyncio.timeout(limit):
            _, connection = await loop.create_connection(
                lambda: Connection(clients[0], log, loop), sock=sock, ssl=tls, server_hostname=endpoint.host
            )
    except TimeoutError:
        sock.close()
        raise Unreachable(f"{endpoint}: does TLS live on this port? No answer to the handshake within {limit:g} s") from None
    except OSError as error:
        raise handshake_failed(endpoint, error) from None
    clients[0]._pool[endpoint.host, endpoint.port] = connection  # noqa: SLF001  so that it is released with the context
    return connection
