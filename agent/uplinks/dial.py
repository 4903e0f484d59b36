"""Names into addresses, and TCP and TLS connections, without ever holding up the event loop; everything can be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeAlias

from agent.errors import Unreachable
from agent.uplinks import Refused, websocket
from agent.uplinks.endpoint import Endpoint
from agent.uplinks.websocket import WebSocket

Address: TypeAlias = tuple[int, Any]
"""Address family, and the socket address as it is used there."""


async def resolve(endpoint: Endpoint, kind: socket.SocketKind) -> list[Address]:
    """The addresses of an endpoint, best first. Raises Unreachable.

    A name is looked up on a thread of its own, not on one of the loop's pool: a resolver that hangs for half a minute must not
    hold up the agent's end, and the pool is waited for there.
    """
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(endpoint.host)
        return [(socket.AF_INET6 if address.version == 6 else socket.AF_INET, (endpoint.host, endpoint.port))]
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[list[Address] | OSError] = loop.create_future()

    def look_up() -> None:
        answer: list[Address] | OSError
        try:
            found = socket.getaddrinfo(endpoint.host, endpoint.port, type=kind)
            answer = [(family, address) for family, _, _, _, address in found]
        except OSError as error:
            answer = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_settle, answered, answer)

    threading.Thread(target=look_up, name=f"resolve {endpoint.host}", daemon=True).start()
    answer = await answered
    if isinstance(answer, OSError):
        raise Unreachable(f"{endpoint.host}: {answer.strerror}; check the name, and this gateway's name servers")
    return answer


def routable(addresses: Sequence[Address]) -> list[Address]:
    """Those that this machine has a way to. Connecting a datagram socket asks the kernel and sends nothing."""
    found = []
    for address in addresses:
        with contextlib.suppress(OSError), socket.socket(address[0], socket.SOCK_DGRAM) as probe:
            probe.connect(address[1])
            found.append(address)
    return found


def _settle(answered: asyncio.Future[Any], answer: object) -> None:
    if not answered.done():
        answered.set_result(answer)


async def connect(endpoint: Endpoint, tls: ssl.SSLContext | None, limit: float) -> socket.socket:
    """A connected, non-blocking socket. Raises Unreachable, or Refused when the two ends do not trust each other.

    `limit`, in seconds, is for each of: the name, all addresses together, the handshake.
    """
    async with _limit(limit, f"{endpoint.host}: no answer from the name servers"):
        addresses = await resolve(endpoint, socket.SOCK_STREAM)
    why = ""
    for address in addresses:
        try:
            async with _limit(limit / len(addresses), "no answer"):
                sock = await _connect(address)
            break
        except OSError as error:  # Unreachable is one
            why = why or (os.strerror(error.errno) if error.errno else str(error))
    else:
        raise Unreachable(f"{endpoint}: {why}; check the address, the way there and the firewall")
    if tls is None:
        return sock
    async with _limit(limit, f"{endpoint}: does TLS live on this port? No answer to the handshake"):
        return await _secure(sock, tls, endpoint)


@contextlib.asynccontextmanager
async def _limit(seconds: float, complaint: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unreachable(f"{complaint} within {seconds:g} s") from None


async def _connect(address: Address) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address[1])
    except BaseException:  # the socket is ours until it is returned
        sock.close()
        raise
    return sock


async def _secure(sock: socket.socket, tls: ssl.SSLContext, endpoint: Endpoint) -> ssl.SSLSocket:
    secured: ssl.SSLSocket | None = None
    try:
        secured = tls.wrap_socket(sock, server_hostname=endpoint.host, do_handshake_on_connect=False)
        await _shake_hands(secured)
    except BaseException as error:
        (secured or sock).close()
        if isinstance(error, OSError):
            raise handshake_failed(endpoint, error) from None
        raise
    return secured


def handshake_failed(endpoint: Endpoint, error: OSError) -> Unreachable:
    """What a TLS handshake ended with: Refused when the two ends do not agree, Unreachable when one of them went away."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refused(f"{endpoint}: its certificate: {error.verify_message}; check `ca`, the name, this clock")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Refused(f"{endpoint}: TLS: {error.reason}; check port, certificate and key")
    why = "closed" if isinstance(error, ssl.SSLError) else error.strerror or "closed"
    return Unreachable(f"{endpoint}: {why} during the TLS handshake")


async def upgrade(sock: socket.socket, endpoint: Endpoint, limit: float) -> WebSocket:
    """The connection as a WebSocket that speaks MQTT. Raises Unreachable, or Refused when there is none on this path."""
    key = os.urandom(16)
    try:
        async with _limit(limit, f"{endpoint}: no answer to the WebSocket handshake"):
            answer = await _converse(sock, websocket.request(str(endpoint), endpoint.path, key))
        header, _, rest = answer.partition(b"\r\n\r\n")
        websocket.check_answer(header, key)
    except BaseException as error:  # the socket is ours until it is returned
        sock.close()
        if isinstance(error, websocket.HandshakeRefused):
            raise Refused(f"{endpoint}: {error}") from None
        if isinstance(error, OSError) and not isinstance(error, Unreachable):
            raise Unreachable(f"{endpoint}: {error.strerror or 'closed'} during the WebSocket handshake") from None
        raise
    return WebSocket(sock, rest)


async def _converse(sock: socket.socket, request: bytes) -> bytes:
    """Send a request; what came back, up to the end of its header at least. The loop's own calls do not take TLS sockets."""
    loop = asyncio.get_running_loop()
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < websocket.MAX_HEADER:
        try:
            if request:
                request = request[sock.send(request) :]
                continue
            chunk = sock.recv(websocket.CHUNK)
            if not chunk:
                raise ConnectionAbortedError
            answer += chunk
        except (ssl.SSLWantReadError, BlockingIOError):
            await _ready(loop.add_writer, loop.remove_writer, sock) if request else await _readable(sock)
        except ssl.SSLWantWriteError:
            await _ready(loop.add_writer, loop.remove_writer, sock)
    return answer


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await _ready(loop.add_reader, loop.remove_reader, sock)


async def _shake_hands(sock: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(loop.add_reader, loop.remove_reader, sock)
        except ssl.SSLWantWriteError:
            await _ready(loop.add_writer, loop.remove_writer, sock)
        else:
            return


async def _ready(add: Callable[..., Any], remove: Callable[..., Any], sock: socket.socket) -> None:
    ready = asyncio.get_running_loop().create_future()
    add(sock, _settle, ready, None)
    try:
        await ready
    finally:
        remove(sock)
