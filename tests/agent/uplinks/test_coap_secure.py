"""CoAP over TLS against libcoap, requests of the platform by observation, blocks that fit the path."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiocoap
import aiocoap.resource
import pytest

from agent.encode import BY_CONTENT_FORMAT
from agent.errors import Unreachable
from agent.receive.oscore import Guarded, close_contexts, open_contexts
from agent.uplinks import Refused, coap
from agent.uplinks.coap import CoapUplink, Settings
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.uplinks.certificates import certificates
from tests.agent.uplinks.contexts import context
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.agent.uplinks.test_coap import peer
from tests.servers import HOST, Server, TcpRelay, UdpRelay, free_port, libcoap, running

assert certificates


def uplink(url: str, **settings: Any) -> CoapUplink:
    return coap.open_uplink("platform", GATEWAY, Settings(url, **{"ack_timeout": LIMIT, **settings}))


# TLS -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Server]:
    """libcoap, which speaks TLS on the port above; it wants a client certificate."""
    files = ("-c", f"{certificates}/localhost.pem", "-j", f"{certificates}/localhost.key", "-C", f"{certificates}/ca.pem")
    with running(libcoap(tmp_path_factory.mktemp("libcoap"), "-d", "100", *files)) as started:
        yield started


def mine(certificates: Path) -> dict[str, Path]:
    return {"ca": certificates / "ca.pem", "certificate": certificates / "gw-1.pem", "key": certificates / "gw-1.key"}


async def test_a_batch_over_tls_with_both_certificates(server: Server, certificates: Path) -> None:
    link = uplink(f"coaps+tcp://localhost:{server.port + 1}/atm", **mine(certificates))
    for _ in range(2):
        async with link:
            assert len((await link.send([summary(position) for position in range(1, 31)])).accepted) == 30


async def test_a_stranger_s_certificate_is_refused(server: Server, certificates: Path) -> None:
    with pytest.raises(Refused, match=r"its certificate: .*check `ca`"):
        async with uplink(f"coaps+tcp://localhost:{server.port + 1}/atm", ca=certificates / "stranger.pem"):
            pytest.fail("connected to a stranger")


async def test_a_certificate_of_ours_that_is_missing_or_unknown_is_a_wrong_set_up(server: Server, certificates: Path) -> None:
    url = f"coaps+tcp://localhost:{server.port + 1}/atm"
    strange = {"certificate": certificates / "stranger.pem", "key": certificates / "stranger.key"}
    for shown in ({}, strange):
        with pytest.raises(Unreachable) as caught:
            async with uplink(url, ca=certificates / "ca.pem", **shown):
                pytest.fail("connected without a certificate that the platform knows")
        assert "check `certificate` and `key`" in str(caught.value) or "gone" in str(caught.value)  # it may just hang up


@pytest.mark.parametrize(("name", "why"), [("expired", "has expired"), ("future", "is not yet valid")])
async def test_a_certificate_that_is_not_valid_now_names_this_clock_too(
    tmp_path: Path, certificates: Path, name: str, why: str
) -> None:
    files = ("-c", f"{certificates}/{name}.pem", "-j", f"{certificates}/{name}.key")
    told = f"certificate {why}; check `ca`, the name, this clock"
    with running(libcoap(tmp_path, "-d", "100", *files)) as server, pytest.raises(Refused, match=told):
        async with uplink(f"coaps+tcp://localhost:{server.port + 1}/atm", ca=certificates / "ca.pem"):
            pytest.fail("connected to a server whose certificate is not valid now")


async def test_a_tls_connection_that_breaks_is_noticed_and_made_anew(server: Server, certificates: Path) -> None:
    async with TcpRelay(server.port + 1) as relay:
        link = uplink(f"coaps+tcp://localhost:{relay.port}/atm", **mine(certificates))
        async with link:
            losing = asyncio.create_task(link.lost())
            await asyncio.sleep(0)
            relay.cut()
            async with asyncio.timeout(LIMIT):
                assert "gone" in await losing
            with pytest.raises(Unreachable):
                await link.send([alarm(1)])
        async with link:
            assert (await link.send([alarm(1)])).accepted == (1,)


async def test_tls_to_nobody_and_to_a_line_that_says_nothing(certificates: Path) -> None:
    with pytest.raises(Unreachable, match="refused"):
        async with uplink(f"coaps+tcp://localhost:{free_port()}", ca=certificates / "ca.pem"):
            pytest.fail("connected to nobody")
    async with TcpRelay(1) as relay:
        relay.silence()
        with pytest.raises(Unreachable):
            async with uplink(f"coaps+tcp://localhost:{relay.port}", ca=certificates / "ca.pem", ack_timeout=SHORT):
                pytest.fail("connected to nobody")


# Requests --------------------------------------------------------------------------------------------------------------


class Requests(aiocoap.resource.ObservableResource):  # type: ignore[misc]
    """What a platform asks of a gateway: a resource whose state changes."""

    def __init__(self, state: bytes) -> None:
        super().__init__()
        self.state = state

    async def render_get(self, _: Any) -> Any:
        return aiocoap.Message(payload=self.state)

    def ask(self, state: bytes) -> None:
        self.state = state
        self.updated_state()


@contextlib.asynccontextmanager
async def platform(requests: Requests, contexts: Path | None = None) -> AsyncIterator[int]:
    site: Any = aiocoap.resource.Site()
    site.add_resource(["atm", GATEWAY, "request"], requests)
    opened = open_contexts(contexts) if contexts else {}
    port = free_port(socket.SOCK_DGRAM)
    served = Guarded(site, opened) if opened else site
    server = await aiocoap.Context.create_server_context(served, bind=(HOST, port), transports=["udp6"])
    try:
        yield port
    finally:
        await server.shutdown()
        close_contexts(opened)


@pytest.mark.parametrize("secured", [False, True])
async def test_requests_of_the_platform_come_by_observation(tmp_path: Path, secured: bool) -> None:
    more: dict[str, Any] = {}
    contexts = None
    if secured:
        context(tmp_path / "server" / GATEWAY, "01", "")
        more, contexts = {"oscore": context(tmp_path / "mine", "", "01")}, tmp_path / "server"
    requests, asked = Requests(b"read now"), asyncio.Queue[bytes]()
    async with platform(requests, contexts) as port:
        link = uplink(f"coap://{HOST}:{port}/atm", request_path="request", **more)
        link.on_request = asked.put_nowait
        async with link, asyncio.timeout(LIMIT):
            assert await asked.get() == b"read now"
            requests.ask(b"configuration 7")
            assert await asked.get() == b"configuration 7"
            requests.ask(b"configuration 8")
            assert await asked.get() == b"configuration 8"
        assert asked.empty()


# Blocks and formats ----------------------------------------------------------------------------------------------------


class Narrow(UdpRelay):
    """A path that swallows large packets and tells nobody."""

    def __init__(self, target: int, largest: int) -> None:
        super().__init__(target)
        self.largest = largest

    async def up(self, data: bytes, client: tuple[str, int]) -> None:
        if len(data) <= self.largest:
            await super().up(data, client)


async def test_blocks_become_smaller_on_a_path_that_swallows_large_packets() -> None:
    took: Callable[[Any], Any] = lambda request: aiocoap.Message(  # noqa: E731
        code=aiocoap.CONTINUE if request.opt.block1 and request.opt.block1.more else aiocoap.CHANGED, block1=request.opt.block1
    )
    async with peer(took) as (resource, port), Narrow(port, 400) as relay:
        link = uplink(f"coap://{HOST}:{relay.port}/atm", ack_timeout=0.3)
        failures = 0
        while True:
            try:
                async with link:
                    assert (await link.send([summary(1)])).accepted == (1,)
                    break
            except Unreachable:
                failures += 1
                assert failures < 6
        assert failures == 2  # 1024, 512, 256
        assert max(len(request.payload) for request in resource.requests) == 256


@pytest.mark.parametrize(
    ("encoding", "compress", "number"),
    [("json", False, 50), ("cbor", False, 60), ("senml+json", False, 110), ("senml+cbor", False, 112), ("json", True, 11050),
     ("cbor", True, 11060)],
)  # fmt: skip
async def test_the_content_format_says_what_it_is(encoding: str, compress: bool, number: int) -> None:
    batch = [alarm(1, text="tick " * 20), alarm(2, text="tick " * 20)]
    async with (
        peer(lambda _: aiocoap.Message(code=aiocoap.CHANGED)) as (resource, port),
        uplink(f"coap://{HOST}:{port}/atm", encoding=encoding, compress=compress, batch_bytes=1024) as link,
    ):
        await link.send(batch)
    request = resource.requests[0]
    assert request.opt.content_format == number
    if request.opt.block1 is None and len(resource.requests) == 1:
        assert BY_CONTENT_FORMAT[number].decode(request.payload) == batch
