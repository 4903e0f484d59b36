"""What is CoAP's own: libcoap as the peer, blocks, response codes, resets, DTLS, a kernel without IPv6."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiocoap
import aiocoap.resource
import pytest

from agent.encode import ENCODINGS
from agent.errors import ConfigError, Unreachable
from agent.uplinks import Busy, Refused, coap, coap_session
from agent.uplinks.coap import CoapUplink, Settings
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.servers import HOST, UdpRelay, free_port, libcoap, running

DTLS = importlib.util.find_spec("DTLSSocket") is not None
KEY = "sesame-open-16by"


def uplink(port: int, path: str = "/atm", scheme: str = "coap", **settings: Any) -> CoapUplink:
    return coap.open_uplink(
        "platform", GATEWAY, Settings(f"{scheme}://{HOST}:{port}{path}", **{"ack_timeout": LIMIT, **settings})
    )


async def content(port: int, path: str) -> bytes:
    """What stands at a resource, read by another client."""
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    try:
        response = await context.request(aiocoap.Message(code=aiocoap.GET, uri=f"coap://{HOST}:{port}/{path}")).response
        return bytes(response.payload)
    finally:
        await context.shutdown()


class Peer(aiocoap.resource.Resource):  # type: ignore[misc]
    """Answers POSTs as a test tells it to; keeps what came, block by block."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__()
        self._answer = answer
        self.requests: list[Any] = []

    async def needs_blockwise_assembly(self, request: Any) -> bool:
        return False

    async def render_post(self, request: Any) -> Any:
        if request.opt.uri_path[-1] == "status":
            return aiocoap.Message(code=aiocoap.CHANGED)
        self.requests.append(request)
        return self._answer(request)


@contextlib.asynccontextmanager
async def peer(answer: Callable[[Any], Any]) -> AsyncIterator[tuple[Peer, int]]:
    resource, port = Peer(answer), free_port(socket.SOCK_DGRAM)
    context = await aiocoap.Context.create_server_context(resource, bind=(HOST, port), transports=["udp6"])
    try:
        yield resource, port
    finally:
        await context.shutdown()


# libcoap ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["cbor", "json"])
async def test_libcoap_takes_a_batch_whole(tmp_path: Path, encoding: str) -> None:
    batch = [alarm(1), alarm(2)]
    with running(libcoap(tmp_path, "-d", "100")) as server:
        async with uplink(server.port, encoding=encoding) as link:
            assert (await link.send(batch)).accepted == (1, 2)
            assert await content(server.port, "atm/gw-1/status") == b'{"link":"up"}'
        assert ENCODINGS[encoding].decode(await content(server.port, "atm/gw-1/alarms")) == batch
        assert await content(server.port, "atm/gw-1/status") == b'{"link":"down"}'


async def test_libcoap_takes_a_long_batch_block_by_block(tmp_path: Path) -> None:
    batch = [summary(position) for position in range(1, 61)]
    with running(libcoap(tmp_path, "-d", "100")) as server:
        async with uplink(server.port, batch_bytes=512 * 1024) as link:
            assert len((await link.send(batch)).accepted) == 60
        assert ENCODINGS["cbor"].decode(await content(server.port, "atm/gw-1/summaries")) == batch


async def test_libcoap_through_loss(tmp_path: Path) -> None:
    """Some datagrams of the server are lost: confirmable messages are sent again (RFC 7252, 4.2)."""
    with running(libcoap(tmp_path, "-d", "100", "-l", "3,6,7,11")) as server:
        async with uplink(server.port, path="", ack_timeout=2.0) as link:
            assert len((await link.send([summary(position) for position in range(1, 9)])).accepted) == 8


async def test_libcoap_without_room_for_another_resource_keeps_everything(tmp_path: Path) -> None:
    with running(libcoap(tmp_path, "-d", "2")) as server:
        async with uplink(server.port) as link:
            assert (await link.send([alarm(1)])).accepted == (1,)
            with pytest.raises(Refused, match=r"/atm/gw-1/summaries: not acceptable \(4\.06"):
                await link.send([summary(1)])


async def test_libcoap_that_takes_no_new_resources_is_a_wrong_set_up(tmp_path: Path) -> None:
    with running(libcoap(tmp_path)) as server:
        async with uplink(server.port) as link:
            with pytest.raises(Refused, match=r"/atm/gw-1/alarms: .*\(4\.0[45]"):
                await link.send([alarm(1)])


# Blocks and codes ------------------------------------------------------------------------------------------------------


async def test_blocks_are_numbered_and_sized_as_the_peer_wants_them() -> None:
    def smaller(request: Any) -> Any:
        number, more, _ = request.opt.block1
        code = aiocoap.CONTINUE if more else aiocoap.CHANGED
        return aiocoap.Message(code=code, block1=(number, more, min(4, request.opt.block1.size_exponent)))

    batch = [summary(1), summary(2)]
    whole = ENCODINGS["cbor"].encode(batch)
    async with peer(smaller) as (resource, port), uplink(port) as link:
        assert (await link.send(batch)).accepted == (1, 2)
    blocks = [(request.opt.block1.block_number, request.opt.block1.size_exponent) for request in resource.requests]
    assert blocks[0] == (0, 6)
    assert blocks[1] == (4, 4)  # 1024 bytes are four blocks of 256 (RFC 7959, 2.3)
    assert [number for number, _ in blocks[1:]] == list(range(4, 4 + len(blocks) - 1))
    assert b"".join(request.payload for request in resource.requests) == whole
    assert resource.requests[0].opt.size1 == len(whole)
    assert [request.opt.block1.more for request in resource.requests] == [True] * (len(blocks) - 1) + [False]


async def test_a_peer_that_says_too_large_with_a_smaller_block_gets_it_in_smaller_blocks() -> None:
    def picky(request: Any) -> Any:
        number, more, exponent = request.opt.block1
        if exponent > 5:
            return aiocoap.Message(code=aiocoap.REQUEST_ENTITY_TOO_LARGE, block1=(0, False, 5))
        return aiocoap.Message(code=aiocoap.CONTINUE if more else aiocoap.CHANGED, block1=(number, more, exponent))

    async with peer(picky) as (resource, port), uplink(port) as link:
        assert (await link.send([summary(1), summary(2)])).accepted == (1, 2)
    assert len(resource.requests[1].payload) == 512


async def test_a_peer_with_a_limit_gets_less_at_a_time_and_only_what_never_fits_is_rejected() -> None:
    def small(request: Any) -> Any:
        if request.opt.block1 is not None:
            return aiocoap.Message(code=aiocoap.REQUEST_ENTITY_TOO_LARGE)
        return aiocoap.Message(code=aiocoap.CHANGED)

    batch = [alarm(1), alarm(2), alarm(3), alarm(4), alarm(5, text="x" * 2000), alarm(6)]
    settled: dict[int, str] = {}
    async with peer(small) as (_, port), uplink(port) as link:
        while waiting := [each for each in batch if each.position not in settled]:
            receipt = await link.send(waiting)
            settled |= dict.fromkeys(receipt.accepted, "") | dict.fromkeys(receipt.rejected, receipt.why)
    assert [position for position, why in settled.items() if why] == [5]
    assert "4.13" in settled[5]


async def test_a_peer_that_says_how_much_it_takes_is_asked_for_too_much_once() -> None:
    """4.13 with Size1 (RFC 7959, 2.9.3)."""
    refused = 0

    def small(request: Any) -> Any:
        nonlocal refused
        if len(request.payload) <= 900 and request.opt.block1 is None:
            return aiocoap.Message(code=aiocoap.CHANGED)
        refused += 1
        return aiocoap.Message(code=aiocoap.REQUEST_ENTITY_TOO_LARGE, size1=900)

    batch = [alarm(position) for position in range(1, 41)]
    async with peer(small) as (_, port), uplink(port) as link:
        settled: set[int] = set()
        while waiting := [each for each in batch if each.position not in settled]:
            receipt = await link.send(waiting)
            assert receipt.rejected == ()
            settled |= {*receipt.accepted}
    assert refused == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [(aiocoap.UNAUTHORIZED, Refused), (aiocoap.NOT_FOUND, Refused), (aiocoap.UNSUPPORTED_CONTENT_FORMAT, Refused),
     (aiocoap.REQUEST_ENTITY_INCOMPLETE, Unreachable), (aiocoap.SERVICE_UNAVAILABLE, Unreachable)],
)  # fmt: skip
async def test_codes_that_are_not_about_the_payload(code: Any, error: type[Unreachable]) -> None:
    async with peer(lambda _: aiocoap.Message(code=code, payload=b"why\nso")) as (_, port), uplink(port) as link:
        with pytest.raises(Unreachable, match="why so") as caught:
            await link.send([alarm(1), alarm(2)])
    assert type(caught.value) is error


async def test_a_busy_peer_says_when_to_come_back() -> None:
    async with peer(lambda _: aiocoap.Message(code=aiocoap.SERVICE_UNAVAILABLE, max_age=7)) as (_, port), uplink(port) as link:
        with pytest.raises(Busy) as caught:
            await link.send([alarm(1)])
    assert caught.value.wait == 7


async def test_a_peer_that_asks_for_more_after_the_end_is_unreachable() -> None:
    async with peer(lambda _: aiocoap.Message(code=aiocoap.CONTINUE)) as (_, port), uplink(port) as link:
        with pytest.raises(Unreachable, match="after the last block"):
            await link.send([alarm(1)])


async def test_a_peer_that_calls_the_first_block_all_of_it_has_taken_nothing() -> None:
    """Some servers pass over Block1 and hand each block on as a message of its own: none of them could be read."""
    async with peer(lambda _: aiocoap.Message(code=aiocoap.CHANGED)) as (resource, port), uplink(port) as link:
        with pytest.raises(Refused, match=r"puts no blocks together \(2\.04\); .*RFC 7959.*batch_bytes"):
            await link.send([summary(1), summary(2)])
        assert len(resource.requests) == 1
        assert (await link.send([alarm(1)])).accepted == (1,)


async def test_silence_in_the_middle_of_the_blocks_is_found_there() -> None:
    relay = UdpRelay(0)

    def go_silent(request: Any) -> Any:
        number, more, exponent = request.opt.block1
        if number == 3:
            relay.silence()
        return aiocoap.Message(code=aiocoap.CONTINUE, block1=(number, more, exponent))

    async with peer(go_silent) as (resource, relay.target), relay, uplink(relay.port, ack_timeout=SHORT) as link:
        with pytest.raises(Unreachable, match="no answer within"):
            await link.send([summary(position) for position in range(1, 9)])
    assert [request.opt.block1.block_number for request in resource.requests] == [0, 1, 2, 3]


async def test_a_reset_is_unreachable() -> None:
    loop = asyncio.get_running_loop()

    class Resetting(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(b"\x70\x00" + data[2:4], addr)  # RST, empty (RFC 7252, 4.2)

    transport, _ = await loop.create_datagram_endpoint(Resetting, local_addr=(HOST, 0))
    try:
        with pytest.raises(Unreachable, match="reset"):
            async with uplink(transport.get_extra_info("sockname")[1]):
                pytest.fail("connected to a peer that resets everything")
    finally:
        transport.close()


@pytest.mark.parametrize("garbage", [b"", b"\xff" * 10, b"\x60", b"HTTP/1.1 400 Bad Request"])
async def test_a_peer_that_talks_nonsense_is_unreachable(garbage: bytes) -> None:
    class Nonsense(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(garbage, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Nonsense, local_addr=(HOST, 0))
    try:
        with pytest.raises(Unreachable, match="no answer"):
            async with uplink(transport.get_extra_info("sockname")[1], ack_timeout=SHORT):
                pytest.fail("connected to a peer that talks nonsense")
    finally:
        transport.close()


async def test_a_kernel_without_ipv6_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coap_session, "plain_transport", lambda: "simple6")
    batch = [summary(position) for position in range(1, 11)]
    with running(libcoap(tmp_path, "-d", "100")) as server:
        link = uplink(server.port, batch_bytes=512 * 1024)
        for _ in range(2):
            async with link:
                assert len((await link.send(batch)).accepted) == 10
        assert ENCODINGS["cbor"].decode(await content(server.port, "atm/gw-1/summaries")) == batch
    with pytest.raises(Unreachable):
        async with link:
            pytest.fail("connected to nobody")


def test_the_transport_follows_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert coap_session.plain_transport() in ("udp6", "simple6")

    def no_ipv6(*_: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", no_ipv6)
    assert coap_session.plain_transport() == "simple6"


async def test_a_named_host_is_told_to_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(lambda _: aiocoap.Message(code=aiocoap.CHANGED)) as (resource, port):
        monkeypatch.setattr(coap, "resolve", _answer([(socket.AF_INET, (HOST, port))]))  # elsewhere it may be ::1 first
        settings = Settings(f"coap://localhost:{port}/a/b", ack_timeout=LIMIT)
        async with coap.open_uplink("platform", GATEWAY, settings) as link:
            await link.send([alarm(1)])
    assert resource.requests[0].opt.uri_host == "localhost"
    assert resource.requests[0].opt.uri_path == ("a", "b", "gw-1", "alarms")
    assert resource.requests[0].opt.content_format == 60


async def test_a_platform_with_several_addresses_is_tried_at_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(lambda _: aiocoap.Message(code=aiocoap.CHANGED)) as (_, port):
        nowhere, here = (socket.AF_INET, (HOST, free_port(socket.SOCK_DGRAM))), (socket.AF_INET, (HOST, port))
        monkeypatch.setattr(coap, "resolve", _answer([nowhere, here]))
        link = coap.open_uplink("platform", GATEWAY, Settings(f"coap://localhost:{port}", ack_timeout=LIMIT))
        with pytest.raises(Unreachable, match="refused"):
            async with link:
                pytest.fail("connected to nobody")
        async with link:
            assert (await link.send([alarm(1)])).accepted == (1,)


async def test_an_address_without_a_route_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(lambda _: aiocoap.Message(code=aiocoap.CHANGED)) as (_, port):
        nowhere, here = (socket.AF_INET6, ("2001:db8::1", port, 0, 0)), (socket.AF_INET, (HOST, port))
        monkeypatch.setattr(coap, "routable", lambda addresses: [each for each in addresses if each != nowhere])
        monkeypatch.setattr(coap, "resolve", _answer([nowhere, here]))
        async with coap.open_uplink("platform", GATEWAY, Settings(f"coap://localhost:{port}", ack_timeout=LIMIT)) as link:
            assert (await link.send([alarm(1)])).accepted == (1,)
        monkeypatch.setattr(coap, "routable", lambda _: [])
        with pytest.raises(Unreachable, match="no route"):
            async with link:
                pytest.fail("connected without a route")


def _answer(addresses: list[Any]) -> Callable[..., Any]:
    async def resolve(*_: object) -> list[Any]:
        return addresses

    return resolve


# DTLS ------------------------------------------------------------------------------------------------------------------


async def test_coaps_with_a_pre_shared_key(tmp_path: Path) -> None:
    """Without the extra it is a mistake of the configuration that names the extra; with it, it is what it should be."""
    file = tmp_path / "psk"
    file.write_text(f"{KEY}\n")
    batch = [summary(position) for position in range(1, 11)]
    with running(libcoap(tmp_path, "-d", "100", "-k", KEY)) as server:
        link = uplink(server.port + 1, scheme="coaps", psk_file=file, batch_bytes=512 * 1024)
        if not DTLS:
            with pytest.raises(ConfigError, match=r"uplink platform: url: .*\[dtls\]"):
                async with link:
                    pytest.fail("coaps:// without DTLS")
            return
        for _ in range(3):
            async with link:
                assert len((await link.send(batch)).accepted) == 10
        assert ENCODINGS["cbor"].decode(await content(server.port, "atm/gw-1/summaries")) == batch


@pytest.mark.skipif(not DTLS, reason='the extra "dtls" is not installed')
async def test_coaps_with_a_wrong_key_is_unreachable(tmp_path: Path) -> None:
    file = tmp_path / "psk"
    file.write_text("another key")
    with running(libcoap(tmp_path, "-d", "100", "-k", KEY)) as server, pytest.raises(Unreachable):
        async with uplink(server.port + 1, scheme="coaps", psk_file=file, ack_timeout=SHORT):
            pytest.fail("connected with a wrong key")
    with pytest.raises(Unreachable):
        async with uplink(server.port + 1, scheme="coaps", psk_file=file, ack_timeout=SHORT):
            pytest.fail("connected to nobody")


@pytest.mark.skipif(not DTLS, reason='the extra "dtls" is not installed')
async def test_coaps_with_a_key_that_the_library_would_write_past_its_buffer(tmp_path: Path) -> None:
    file = tmp_path / "psk"
    file.write_text("x" * 17)
    with pytest.raises(ConfigError, match="a key of 16 bytes"):
        async with uplink(5684, scheme="coaps", psk_file=file):
            pytest.fail("took a key that is too long")


@pytest.mark.skipif(not DTLS, reason='the extra "dtls" is not installed')
async def test_coaps_cancelled_while_shaking_hands_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "psk"
    file.write_text(KEY)

    async def work(port: int) -> None:
        async with uplink(port, scheme="coaps", psk_file=file):
            pytest.fail("connected through a line that carries nothing")

    async with UdpRelay(1) as relay:
        relay.silence()
        task = asyncio.create_task(work(relay.port))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
