"""WebSocket: vectors of RFC 6455, frames in any pieces, and MQTT through mosquitto's WebSocket listener."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Unreachable
from agent.uplinks import Refused, mqtt, websocket
from agent.uplinks.mqtt import Settings
from agent.uplinks.websocket import BINARY, CLOSE, PING, PONG, HandshakeRefused, WebSocket, check_answer, frame, masked
from tests.agent.envelopes import GATEWAY, alarm
from tests.agent.uplinks.certificates import certificates
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.servers import HOST, free_port, mosquitto, running, scripted_broker

assert certificates
KEY = b"the sample nonce"  # RFC 6455, 1.3: its base 64 is the key of the example
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt"
)


def test_the_handshake_of_the_standard() -> None:
    asked = websocket.request("server.example.com", "mqtt", KEY).decode()
    assert asked.startswith("GET /mqtt HTTP/1.1\r\nHost: server.example.com\r\n")
    assert "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in asked
    assert "\r\nSec-WebSocket-Version: 13\r\n" in asked
    assert asked.endswith("\r\n\r\n")
    check_answer(ANSWER, KEY)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "no web server"),
        (b"\x20\x02\x00\x00", "no web server"),
        (b"HTTP/1.1 404 Not Found", "404 Not Found; check the path"),
        (ANSWER.replace(b"s3p", b"x3p"), "does not speak WebSocket"),
        (ANSWER.replace(b"Upgrade: websocket", b"Upgrade: h2c"), "does not speak WebSocket"),
        (ANSWER.replace(b"mqtt", b"chat"), "does not speak MQTT"),
    ],
)
def test_an_answer_that_is_none(answer: bytes, message: str) -> None:
    with pytest.raises(HandshakeRefused, match=message):
        check_answer(answer, KEY)


def test_the_frames_of_the_standard() -> None:
    """RFC 6455, 5.7: a masked text message, and the lengths of 256 bytes and of 64 KiB."""
    mask = bytes.fromhex("37fa213d")
    assert frame(0x1, b"Hello", mask) == bytes.fromhex("81 85 37fa213d 7f9f4d5158")
    assert frame(BINARY, bytes(256), mask)[:4] == bytes.fromhex("82 fe 0100")
    assert frame(BINARY, bytes(65536), mask)[:10] == bytes.fromhex("82 ff 0000000000010000")


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_is_undone_by_itself(payload: bytes, mask: bytes) -> None:
    assert masked(payload, mask) == bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    assert masked(masked(payload, mask), mask) == payload


@contextlib.contextmanager
def pair() -> Iterator[tuple[WebSocket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.settimeout(1)
        yield WebSocket(near), far


def from_server(opcode: int, payload: bytes, fin: int = 0x80) -> bytes:
    length = len(payload)
    head = bytes((fin | opcode, length)) if length < 126 else bytes((fin | opcode, 126)) + length.to_bytes(2, "big")
    return head + payload


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.integers(1, 50), st.integers(1, 40))
def test_data_come_whole_however_the_frames_are_cut(payloads: list[bytes], piece: int, asked: int) -> None:
    stream = b"".join(from_server(BINARY, payload) for payload in payloads)
    came = b""
    with pair() as (web, far):
        for start in range(0, len(stream), piece):
            far.send(stream[start : start + piece])
            with contextlib.suppress(BlockingIOError):
                while chunk := web.recv(asked):
                    came += chunk
    assert came == b"".join(payloads)


def test_a_ping_is_answered_and_a_close_is_an_end() -> None:
    with pair() as (web, far):
        far.send(from_server(PING, b"beat") + from_server(BINARY, b"x") + from_server(CLOSE, b"\x03\xe8"))
        assert web.recv(10) == b"x"
        pong = far.recv(100)
        assert pong[:2] == bytes((0x80 | PONG, 0x84))
        assert masked(pong[6:], pong[2:6]) == b"beat"
        assert web.recv(10) == b""


@pytest.mark.parametrize("bad", [bytes.fromhex(each) for each in ("8280", "c200", "827f7fffffffffffffff")])
def test_a_frame_that_no_broker_sends_ends_the_link(bad: bytes) -> None:
    with pair() as (web, far):
        far.send(bad)
        with pytest.raises(ConnectionAbortedError):
            web.recv(10)


def test_a_frame_that_does_not_fit_is_finished_before_the_next() -> None:
    with pair() as (web, far):
        web.below.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        data, came, sent = bytes(range(256)) * 400, b"", 0
        while not sent:
            try:
                sent = web.send(data)
            except BlockingIOError:
                came += far.recv(65536)
        far.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            while True:
                came += far.recv(65536)
        assert sent == len(data)
        assert masked(came[14:], came[10:14]) == data


@contextlib.contextmanager
def listening(folder: Path, *lines: str) -> Iterator[int]:
    """The port of a WebSocket listener. mosquitto 2.0.11 wants another one beside it."""
    port = free_port()
    web = (f"listener {port} {HOST}", "socket_domain ipv4", "protocol websockets")
    server = mosquitto(folder, "allow_anonymous true", *web, *lines)
    server.port = port  # the one to wait for
    with running(server):
        yield port


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with listening(tmp_path_factory.mktemp("ws")) as port:
        yield port


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_mqtt_in_a_websocket(broker: int, protocol: str) -> None:
    settings_ = Settings(f"ws://{HOST}:{broker}/mqtt", ack_timeout=LIMIT, protocol=protocol, batch=10)  # type: ignore[arg-type]
    async with mqtt.open_uplink("platform", GATEWAY, settings_) as link:
        batch = [alarm(position, text="x" * 3000) for position in range(1, 101)]
        assert len((await link.send(batch)).accepted) == 100


async def test_mqtt_in_a_websocket_over_tls(tmp_path: Path, certificates: Path) -> None:
    with listening(tmp_path, f"certfile {certificates}/localhost.pem", f"keyfile {certificates}/localhost.key") as port:
        url = f"wss://localhost:{port}/mqtt"
        async with mqtt.open_uplink("p", GATEWAY, Settings(url, ack_timeout=LIMIT, ca=certificates / "ca.pem")) as link:
            batch = [alarm(position, text="x" * 3000) for position in range(1, 101)]
            assert len((await link.send(batch)).accepted) == 100
        with pytest.raises(Refused, match="its certificate"):
            async with mqtt.open_uplink("p", GATEWAY, Settings(url, ack_timeout=LIMIT)):
                pytest.fail("connected to a stranger")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Refused),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", Unreachable),
        (b"\x20\x02\x00\x00", Unreachable),
        (b"", Unreachable),
    ],
)
async def test_what_is_no_websocket_server(answer: bytes, error: type[Unreachable]) -> None:
    async def answer_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer_http, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(Unreachable) as caught:
            async with mqtt.open_uplink("p", GATEWAY, Settings(f"ws://{HOST}:{port}/mqtt", ack_timeout=SHORT)):
                pytest.fail("connected to nobody")
        assert type(caught.value) is error
    finally:
        server.close()
        await asyncio.sleep(0)


async def test_a_broker_without_websocket_is_refused_or_unreachable() -> None:
    async with scripted_broker() as port:
        with pytest.raises(Unreachable):
            async with mqtt.open_uplink("p", GATEWAY, Settings(f"ws://{HOST}:{port}", ack_timeout=SHORT)):
                pytest.fail("connected to nobody")
