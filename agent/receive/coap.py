"""A CoAP server that takes batches: POST /…/{gateway}/{lane} is answered 2.04 when it is written down, 4.00 when it is none."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiocoap
import aiocoap.error
import aiocoap.resource

from agent.encode import BY_CONTENT_FORMAT, ENCODINGS, MAX_BYTES, Undecodable
from agent.receive.intake import STATUS, Intake

logging.getLogger("coap-server").setLevel(logging.ERROR)  # aiocoap warns of every odd datagram


class _Inbox(aiocoap.resource.Resource):  # type: ignore[misc]  # aiocoap publishes no types
    """Every path is one place: the whole server."""

    def __init__(self, intake: Intake, fail: Callable[[OSError], None]) -> None:
        super().__init__()
        self._intake = intake
        self._fail = fail

    async def needs_blockwise_assembly(self, request: Any) -> bool:
        """True, unless it would grow longer than any batch."""
        block = request.opt.block1
        if (block is not None and block.start > MAX_BYTES) or (request.opt.size1 or 0) > MAX_BYTES:
            raise aiocoap.error.RequestEntityTooLarge
        return True

    async def render_post(self, request: Any) -> Any:
        path = list(request.opt.uri_path)
        if getattr(request.remote, "gateway", None) not in (None, *path):
            return aiocoap.Message(code=aiocoap.FORBIDDEN, payload=b"the security context is another gateway's")
        encoding = BY_CONTENT_FORMAT.get(request.opt.content_format)
        if len(path) < 2:
            return aiocoap.Message(code=aiocoap.NOT_FOUND, payload=b"POST to /{gateway}/{lane}")
        if encoding is None and path[-1] != STATUS:
            known = ", ".join(str(each) for each in BY_CONTENT_FORMAT)
            return aiocoap.Message(code=aiocoap.UNSUPPORTED_CONTENT_FORMAT, payload=f"expected {known}".encode())
        try:
            self._intake.take(encoding or ENCODINGS["json"], request.payload, path)
        except Undecodable as error:
            return aiocoap.Message(code=aiocoap.BAD_REQUEST, payload=str(error).encode())
        except OSError as error:
            self._fail(error)
            return aiocoap.Message(code=aiocoap.INTERNAL_SERVER_ERROR)
        return aiocoap.Message(code=aiocoap.CHANGED)


async def serve(
    intake: Intake,
    host: str,
    port: int,
    ready: Callable[[str], None],
    stop: asyncio.Event,
    oscore: Path | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Take batches until told to stop. `ready` is given the URL, with the real port when `port` is 0.

    With `oscore`, a directory of security contexts, nobody else is heard; raises ValueError when it is none. With `tls` it is
    CoAP over TLS (RFC 8323), otherwise CoAP over UDP.

    Raises OSError when the address cannot be listened on, or when what came in cannot be written down.
    """
    failed: list[OSError] = []

    def fail(error: OSError) -> None:
        failed.append(error)
        stop.set()

    port = _bindable(host, port, socket.SOCK_STREAM if tls else socket.SOCK_DGRAM)
    site: Any = _Inbox(intake, fail)
    contexts: dict[str, Any] = {}
    if oscore is not None:
        from agent.receive.oscore import Guarded, open_contexts  # noqa: PLC0415  loads what only this wants

        contexts = open_contexts(oscore)
        site = Guarded(site, contexts)
    context = await (_over_tls(site, host, port, tls) if tls else _over_udp(site, host, port))
    try:
        ready(f"{'coaps+tcp' if tls else 'coap'}://{f'[{host}]' if ':' in host else host}:{port}")
        await stop.wait()
    finally:
        if tls:
            _forget_half_open(context)
        await context.shutdown()
        if contexts:
            from agent.receive.oscore import close_contexts  # noqa: PLC0415

            close_contexts(contexts)
    if failed:
        raise failed[0]


async def _over_udp(site: Any, host: str, port: int) -> Any:
    return await aiocoap.Context.create_server_context(site, bind=(host, port), transports=["udp6"])


async def _over_tls(site: Any, host: str, port: int, tls: ssl.SSLContext) -> Any:
    tls.set_alpn_protocols(["coap"])  # RFC 8323, 8.2
    bind = (host, port - 1)  # aiocoap counts from CoAP's own port, and TLS has the one above it
    return await aiocoap.Context.create_server_context(site, bind=bind, transports=["tlsserver"], _ssl_context=tls)


def _forget_half_open(context: Any) -> None:
    """Connections whose handshake is not over: aiocoap would say goodbye to them, and cannot."""
    for interface in context.request_interfaces:
        server = interface.token_interface
        server._pool = {each for each in server._pool if each._transport is not None}  # noqa: SLF001  it has no door for this


def _bindable(host: str, port: int, kind: socket.SocketKind) -> int:
    """A port that nobody listens on. aiocoap itself would share a busy one, and every second datagram would go elsewhere."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, error.strerror) from None
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:  # connections of an earlier receiver may still linger there
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return int(probe.getsockname()[1])
