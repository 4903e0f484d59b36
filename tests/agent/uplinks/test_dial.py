"""Names, routes and connections on the loop. TLS is in test_mqtt."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from agent.errors import Unreachable
from agent.uplinks.dial import connect, resolve, routable
from agent.uplinks.endpoint import Endpoint
from tests.servers import HOST, free_port


def endpoint(host: str, port: int = 1) -> Endpoint:
    return Endpoint(host, port, "", secure=False)


async def test_an_address_needs_no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Thread", None)
    assert await resolve(endpoint("127.0.0.1"), socket.SOCK_STREAM) == [(socket.AF_INET, ("127.0.0.1", 1))]
    assert await resolve(endpoint("::1"), socket.SOCK_STREAM) == [(socket.AF_INET6, ("::1", 1))]


async def test_a_name_is_looked_up() -> None:
    assert (socket.AF_INET, (HOST, 1)) in await resolve(endpoint("localhost"), socket.SOCK_STREAM)


async def test_a_name_that_nobody_has() -> None:
    with pytest.raises(Unreachable, match=r"platform.invalid: .*; check the name"):
        await resolve(endpoint("platform.invalid"), socket.SOCK_STREAM)


async def test_the_next_address_is_tried_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        answers = [(socket.AF_INET, 1, 6, "", (HOST, free_port())), (socket.AF_INET, 1, 6, "", (HOST, port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        sock = await connect(endpoint("platform.example"), None, 5.0)
        assert sock.getpeername() == (HOST, port)
        assert not sock.getblocking()
        sock.close()


async def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(Unreachable, match=f"{HOST}:{port}: Connection refused; check the address"):
        await connect(endpoint(HOST, port), None, 5.0)


async def test_a_connection_that_is_not_answered_has_a_limit() -> None:
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # a full backlog: the kernel drops further SYNs
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        await asyncio.sleep(0.05)
        with pytest.raises(Unreachable, match=r"no answer within 0\.3 s"):
            await connect(endpoint(*full.getsockname()), None, 0.3)
        for each in waiting:
            each.close()


def test_routes() -> None:
    here = (socket.AF_INET, (HOST, 9))
    nowhere = (socket.AF_INET, ("255.255.255.255", 9))  # broadcasting is not allowed without asking for it
    assert routable([nowhere, here]) == [here]
