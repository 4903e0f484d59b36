"""What is MQTT's own: reason codes, the status, sizes, TLS, brokers that are none. Packets are literal bytes of MQTT 5."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.encode import ENCODINGS
from agent.errors import ConfigError, Unreachable
from agent.uplinks import Refused, mqtt
from agent.uplinks.mqtt import MqttUplink, Settings
from tests.agent.envelopes import GATEWAY, alarm
from tests.agent.uplinks.certificates import certificates
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.servers import (
    HOST,
    Server,
    TcpRelay,
    answering_broker,
    mosquitto,
    mosquitto_password,
    program,
    running,
    scripted_broker,
)

assert certificates  # a fixture

CONNACK = bytes.fromhex("20 03 00 00 00")  # session absent, Success, no properties (3.2)
STATUS_TAKEN = bytes.fromhex("40 02 00 01")  # PUBACK of packet 1, the status, Success (3.4)


def uplink(port: int, **settings: Any) -> MqttUplink:
    return mqtt.open_uplink("platform", GATEWAY, Settings(f"mqtt://{HOST}:{port}", **{"ack_timeout": LIMIT, **settings}))


def puback(reason: int) -> bytes:
    """Of packet 2, the first batch."""
    return bytes((0x40, 3, 0, 2, reason))


class Listener:
    """mosquitto_sub, which stands outside of everything that is ours."""

    def __init__(self, port: int, topic: str, form: str = "%r %q %t %p", version: str = "mqttv5") -> None:
        where = ["-V", version, "-h", HOST, "-p", str(port), "-t", topic]
        command = [program("mosquitto_sub", "mosquitto-clients"), *where, "-F", form]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace")

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT):
            return (await asyncio.to_thread(self._process.stdout.readline)).strip()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    with running(mosquitto(tmp_path)) as server:
        yield server


# The status ------------------------------------------------------------------------------------------------------------


async def test_the_status_is_retained_and_the_last_will_speaks_for_a_link_that_broke(broker: Server) -> None:
    async with TcpRelay(broker.port) as relay, uplink(relay.port):
        listener = Listener(broker.port, "atm/#")
        try:
            assert await listener.line() == '1 0 atm/gw-1/status {"link":"up"}'
            relay.cut()
            assert await listener.line() == '0 0 atm/gw-1/status {"link":"lost"}'
        finally:
            listener.close()
    async with uplink(broker.port):
        pass
    listener = Listener(broker.port, "atm/#")
    try:
        assert await listener.line() == '1 0 atm/gw-1/status {"link":"down"}'
    finally:
        listener.close()


async def test_without_a_status_topic_there_is_no_status_and_no_will() -> None:
    async with scripted_broker(CONNACK, bytes.fromhex("40 02 00 01")) as port, uplink(port, status_topic="") as link:
        assert (await link.send([alarm(1)])).accepted == (1,)


@pytest.mark.parametrize(("encoding", "properties"), [("json", "application/json 1"), ("cbor", "application/cbor 0")])
async def test_topics_and_properties_are_as_configured(broker: Server, encoding: str, properties: str) -> None:
    listener = Listener(broker.port, "bank/#", "%t %C %F")
    try:
        async with uplink(broker.port, topic="bank/{lane}/{gateway}", status_topic="bank/{gateway}", encoding=encoding) as link:
            assert (await listener.line()).split() == ["bank/gw-1"]
            assert (await link.send([alarm(1)])).accepted == (1,)
            assert await listener.line() == f"bank/alarms/gw-1 {properties}"
    finally:
        listener.close()


# What the broker refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_wrong_password_is_refused_with_the_remedy(tmp_path: Path, protocol: str) -> None:
    users = mosquitto_password(tmp_path, gateway="right")
    password = tmp_path / "password"
    with running(mosquitto(tmp_path, f"password_file {users}")) as server:
        link = uplink(server.port, username="gateway", password_file=password, protocol=protocol)
        password.write_text("wrong\n")
        with pytest.raises(Refused, match=r"refuses the connection: .*check `username`"):
            async with link:
                pytest.fail("connected with a wrong password")
        password.write_text("right\n")  # read anew for each connection
        async with link:
            assert (await link.send([alarm(1)])).accepted == (1,)
        with pytest.raises(Refused):
            async with uplink(server.port, protocol=protocol):
                pytest.fail("connected without a password")


async def test_a_password_file_that_is_missing_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    link = uplink(1, username="gateway", password_file=tmp_path / "none")
    with pytest.raises(ConfigError, match=r"uplink platform: password_file: .*none: No such file"):
        async with link:
            pytest.fail("connected without its password")


async def test_a_topic_that_is_not_allowed_is_a_wrong_set_up_and_nothing_is_given_up(tmp_path: Path) -> None:
    access = tmp_path / "access"
    access.write_text("topic write atm/gw-1/status\n")
    with running(mosquitto(tmp_path, "allow_anonymous true", f"acl_file {access}")) as server:
        async with uplink(server.port) as link:
            with pytest.raises(Refused, match=r"atm/gw-1/alarms: not authorised \(0x87\); let this user publish"):
                await link.send([alarm(1), alarm(2)])


async def test_the_access_list_of_the_documentation_gives_each_gateway_its_own_topics(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "platform-link.md").read_text()
    access = tmp_path / "access"
    access.write_text(page.split("by user name:\n\n```\n")[1].split("```")[0])
    users = mosquitto_password(tmp_path, **{"gw-1": "one", "gw-2": "two"})
    (tmp_path / "two").write_text("two")
    (tmp_path / "one").write_text("one")
    with running(mosquitto(tmp_path, f"password_file {users}", f"acl_file {access}")) as server:
        async with uplink(server.port, username="gw-1", password_file=tmp_path / "one") as link:
            assert (await link.send([alarm(1)])).accepted == (1,)
        async with uplink(server.port, username="gw-2", password_file=tmp_path / "two", status_topic="") as link:
            with pytest.raises(Refused, match="0x87"):
                await link.send([alarm(1)])


async def test_a_status_that_is_not_allowed_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    access = tmp_path / "access"
    access.write_text("topic write atm/gw-1/alarms\n")
    with running(mosquitto(tmp_path, "allow_anonymous true", f"acl_file {access}")) as server:
        async with uplink(server.port) as link:
            assert (await link.send([alarm(1)])).accepted == (1,)
    assert "uplink platform: status: atm/gw-1/status: not authorised" in caplog.text
    assert len(caplog.records) == 1


async def test_a_client_id_that_two_gateways_have_is_a_lost_link_to_the_first(broker: Server) -> None:
    async with uplink(broker.port) as first, uplink(broker.port) as second:
        assert "another client" in await first.lost()  # mosquitto closes without a word, or from 2.0.21 on with 0x8e
        with pytest.raises(Unreachable):
            await first.send([alarm(1)])
        assert (await second.send([alarm(1)])).accepted == (1,)


@pytest.mark.parametrize("reason", [0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x9A, 0x9B, 0x9C, 0x9D])
async def test_a_connack_that_somebody_must_do_something_about(reason: int) -> None:
    async with scripted_broker(bytes((0x20, 3, 0, reason, 0))) as port:
        with pytest.raises(Refused, match=f"0x{reason:02x}\\); "):
            async with uplink(port):
                pytest.fail("connected")


@pytest.mark.parametrize("reason", [0x80, 0x83, 0x88, 0x89, 0x97, 0x9F])
async def test_a_connack_that_may_pass(reason: int) -> None:
    async with scripted_broker(bytes((0x20, 3, 0, reason, 0))) as port:
        with pytest.raises(Unreachable, match=f"0x{reason:02x}") as caught:
            async with uplink(port):
                pytest.fail("connected")
    assert not isinstance(caught.value, Refused)


async def test_a_broker_that_offers_no_qos_1_is_refused() -> None:
    async with scripted_broker(bytes.fromhex("20 05 00 00 02 24 00")) as port:  # Maximum QoS 0 (3.2.2.3.4)
        with pytest.raises(Refused, match="QoS 1"):
            async with uplink(port):
                pytest.fail("connected")


@pytest.mark.parametrize("reason", [0x00, 0x10])
async def test_a_puback_that_takes(reason: int) -> None:
    async with scripted_broker(CONNACK, STATUS_TAKEN, puback(reason)) as port, uplink(port) as link:
        assert (await link.send([alarm(1), alarm(2)])).accepted == (1, 2)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize(
    "packet",
    ["50 02 0002", "70 02 0002", "62 02 0002", "30 05 0001 ff 00 00", "40 01 00", "40 02 0000", "f0 00"],
    ids=["PUBREC", "PUBCOMP", "PUBREL", "PUBLISH, topic not UTF-8", "half a PUBACK", "PUBACK of nothing", "AUTH"],
)
async def test_what_answers_no_message_of_qos_1_acknowledges_none(packet: str, protocol: str) -> None:
    connack = CONNACK if protocol == "5" else bytes.fromhex("20 02 00 00")
    answers = (connack, STATUS_TAKEN, bytes.fromhex(packet))
    async with scripted_broker(*answers) as port, uplink(port, protocol=protocol, ack_timeout=SHORT) as link:
        with pytest.raises(Unreachable):
            await link.send([alarm(1)])


async def test_a_message_that_nobody_hears_can_be_kept() -> None:
    async with scripted_broker(CONNACK, STATUS_TAKEN, puback(0x10)) as port, uplink(port, unheard="keep") as link:
        with pytest.raises(Refused, match=r"nobody subscribes to it \(0x10\); .*unheard: accept"):
            await link.send([alarm(1)])


@pytest.mark.parametrize("reason", [0x80, 0x83, 0x91, 0x97])
async def test_a_puback_that_may_pass(reason: int) -> None:
    async with scripted_broker(CONNACK, STATUS_TAKEN, puback(reason)) as port, uplink(port) as link:
        with pytest.raises(Unreachable, match=f"0x{reason:02x}") as caught:
            await link.send([alarm(1)])
    assert not isinstance(caught.value, Refused)


@pytest.mark.parametrize("reason", [0x87, 0x90])
async def test_a_puback_about_the_topic_gives_nothing_up(reason: int) -> None:
    async with scripted_broker(CONNACK, STATUS_TAKEN, puback(reason)) as port, uplink(port) as link:
        with pytest.raises(Refused, match=f"atm/gw-1/alarms: .*0x{reason:02x}"):
            await link.send([alarm(1)])


@pytest.mark.parametrize("reason", [0x95, 0x99])
async def test_a_puback_about_the_payload_rejects_a_single_envelope(reason: int) -> None:
    async with scripted_broker(CONNACK, STATUS_TAKEN, puback(reason)) as port, uplink(port) as link:
        receipt = await link.send([alarm(7)])
    assert receipt.rejected == (7,)
    assert f"0x{reason:02x}" in receipt.why


async def test_a_puback_for_another_message_acknowledges_nothing() -> None:
    stray = bytes.fromhex("40 02 00 63")  # of packet 99
    async with scripted_broker(CONNACK, STATUS_TAKEN, stray) as port, uplink(port, ack_timeout=SHORT) as link:
        with pytest.raises(Unreachable, match="no PUBACK"):
            await link.send([alarm(1)])


@pytest.mark.parametrize(("reason", "error"), [(0x8B, Unreachable), (0x98, Unreachable), (0x8E, Refused), (0x87, Refused)])
async def test_a_disconnect_in_the_middle(reason: int, error: type[Unreachable]) -> None:
    async with scripted_broker(CONNACK, STATUS_TAKEN, bytes((0xE0, 1, reason))) as port, uplink(port) as link:
        with pytest.raises(Unreachable, match=f"0x{reason:02x}") as caught:
            await link.send([alarm(1)])
    assert type(caught.value) is error


# Sizes -----------------------------------------------------------------------------------------------------------------


async def test_the_largest_packet_that_a_broker_announces_is_never_exceeded(tmp_path: Path) -> None:
    batch = [alarm(position) for position in range(1, 41)]
    batch[20] = alarm(21, text="x" * 5000)
    with running(mosquitto(tmp_path, "allow_anonymous true", "max_packet_size 3000", "log_type all")) as server:
        async with uplink(server.port) as link:
            accepted: list[int] = []
            rejected: list[int] = []
            while waiting := [each for each in batch if each.position not in {*accepted, *rejected}]:
                receipt = await link.send(waiting)
                accepted += receipt.accepted
                rejected += receipt.rejected
        assert "oversize" not in server.log()
    assert rejected == [21]
    assert len(accepted) == 39


async def test_a_broker_that_takes_hardly_anything_is_a_wrong_set_up_and_condemns_no_record() -> None:
    tiny = bytes.fromhex("20 08 00 00 05 27 000000c8")  # CONNACK, Maximum Packet Size 200 (3.2.2.3.6)
    async with scripted_broker(tiny) as port:
        with pytest.raises(Refused, match="takes 200 bytes in a packet at most"):
            async with uplink(port):
                pytest.fail("connected")


ENDED_FOR_SIZE = bytes.fromhex("e0 01 95")  # DISCONNECT, Packet too large (3.14.2.1)
LONG = "x" * 1500


async def test_a_broker_that_ends_the_link_for_a_large_packet_gets_a_smaller_one_next_time() -> None:
    batch = [alarm(1, text=LONG), alarm(2, text=LONG)]
    async with scripted_broker(CONNACK, STATUS_TAKEN, ENDED_FOR_SIZE, CONNACK, STATUS_TAKEN, puback(0)) as port:
        link = uplink(port)
        with pytest.raises(Unreachable, match="0x95"):
            async with link:
                await link.send(batch)
        async with link:
            assert (await link.send(batch[:1])).accepted == (1,)
        assert 2000 < link._largest.bytes < 5000


async def test_a_single_envelope_that_ends_the_link_is_rejected_the_next_time() -> None:
    async with scripted_broker(CONNACK, STATUS_TAKEN, ENDED_FOR_SIZE, CONNACK, STATUS_TAKEN) as port:
        link = uplink(port)
        with pytest.raises(Unreachable):
            async with link:
                await link.send([alarm(1, text=LONG)])
        async with link:
            assert (await link.send([alarm(1, text=LONG)])).rejected == (1,)


async def test_a_broker_that_ends_the_link_for_any_packet_condemns_no_record() -> None:
    async with scripted_broker(*(CONNACK, STATUS_TAKEN, ENDED_FOR_SIZE) * 3) as port:
        link = uplink(port)
        for _ in range(3):
            with pytest.raises(Unreachable, match="0x95"):
                async with link:
                    await link.send([alarm(1)])


async def test_what_was_on_its_way_beside_a_packet_that_ended_the_link_is_not_to_blame() -> None:
    """The broker takes 2,500 bytes and does not say so: 16 messages are on their way when it ends the link for one of them."""
    batch = [alarm(1), alarm(2, text=LONG), alarm(3, text=LONG * 2), alarm(4), alarm(5, text=LONG)]
    came: set[int] = set()

    def answer(packet: bytes) -> bytes:
        if packet[0] >> 4 != 3:
            return CONNACK if packet[0] >> 4 == 1 else b""
        if len(packet) > 2500:
            return ENDED_FOR_SIZE
        if (begin := packet.find(b'{"gateway"')) > 0:
            came.update(each.position for each in ENCODINGS["json"].decode(packet[begin:]))
        topic = packet.index(b"atm/")
        place = topic + packet[topic - 1]
        return bytes((0x40, 2)) + packet[place : place + 2]

    async with answering_broker(answer) as port:
        link = uplink(port, batch=1)
        settled: dict[int, str] = {}
        for _ in range(6):
            with contextlib.suppress(Unreachable):
                async with link:
                    while waiting := [each for each in batch if each.position not in settled]:
                        receipt = await link.send(waiting)
                        settled |= dict.fromkeys(receipt.accepted, "taken") | dict.fromkeys(receipt.rejected, "rejected")
    assert settled == {1: "taken", 2: "taken", 3: "rejected", 4: "taken", 5: "taken"}
    assert came == {1, 2, 4, 5}


async def test_what_a_3_1_1_broker_drops_counts_as_delivered_for_it_has_no_word_for_it(tmp_path: Path) -> None:
    with running(mosquitto(tmp_path, "allow_anonymous true", "message_size_limit 500")) as server:
        async with uplink(server.port, protocol="3.1.1") as link:
            assert (await link.send([alarm(1, text="x" * 1000)])).accepted == (1,)


# Links -----------------------------------------------------------------------------------------------------------------


async def test_a_link_that_dies_silently_while_idle_is_noticed_by_its_keepalive(broker: Server) -> None:
    async with TcpRelay(broker.port) as relay, uplink(relay.port, keepalive=1.0) as link:
        relay.silence()
        async with asyncio.timeout(10):
            assert "keepalive" in await link.lost()
        with pytest.raises(Unreachable):
            await link.send([alarm(1)])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x20\x7f",
        b"\x20\xff\xff\xff\xff\xff",
        b"\x20\x03\x00\x77\x00",
        b"\x00",
    ],
)
async def test_what_is_no_broker_is_unreachable(answer: bytes) -> None:
    async with scripted_broker(answer) as port:
        with pytest.raises(Unreachable):
            async with uplink(port, ack_timeout=SHORT):
                pytest.fail("connected to no broker")


async def test_a_name_that_does_not_resolve_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    link = mqtt.open_uplink("platform", GATEWAY, Settings("mqtts://platform.invalid", ack_timeout=SHORT))
    with pytest.raises(Unreachable, match=r"platform.invalid"):
        async with link:
            pytest.fail("connected to nobody")


async def test_a_resolver_that_hangs_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        answer.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    link = mqtt.open_uplink("platform", GATEWAY, Settings("mqtts://platform.example", ack_timeout=SHORT))
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    turning = asyncio.create_task(turn())
    try:
        with pytest.raises(Unreachable, match="no answer from the name servers"):
            async with link:
                pytest.fail("connected to nobody")
        assert turns > 10
    finally:
        answer.set()
        turning.cancel()
        for thread in threading.enumerate():
            if thread.name.startswith("resolve"):
                await asyncio.to_thread(thread.join)


# TLS -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure_broker(tmp_path: Path, certificates: Path) -> Iterator[Server]:
    """Asks for a client certificate."""
    lines = (
        "allow_anonymous true",
        f"cafile {certificates}/ca.pem",
        f"certfile {certificates}/localhost.pem",
        f"keyfile {certificates}/localhost.key",
        "require_certificate true",
    )
    with running(mosquitto(tmp_path, *lines)) as server:
        yield server


def secure(port: int, host: str = "localhost", **settings: Any) -> MqttUplink:
    return mqtt.open_uplink("platform", GATEWAY, Settings(f"mqtts://{host}:{port}", **{"ack_timeout": LIMIT, **settings}))


async def test_tls_with_a_client_certificate(secure_broker: Server, certificates: Path) -> None:
    mine = {"certificate": certificates / "gw-1.pem", "key": certificates / "gw-1.key"}
    async with secure(secure_broker.port, ca=certificates / "ca.pem", **mine) as link:
        batch = [alarm(position, text="x" * 2000) for position in range(1, 61)]  # many TLS records
        for _ in range(5):
            assert len((await link.send(batch)).accepted) == 60


async def test_tls_without_the_client_certificate_that_the_broker_wants(secure_broker: Server, certificates: Path) -> None:
    with pytest.raises(Unreachable, match=r"does it want TLS, or a client certificate\?|check `certificate` and `key`"):
        async with secure(secure_broker.port, ca=certificates / "ca.pem"):
            pytest.fail("connected without a certificate")


@pytest.mark.parametrize("ca", ["stranger.pem", None])
async def test_tls_with_a_stranger_is_refused(secure_broker: Server, certificates: Path, ca: str | None) -> None:
    with pytest.raises(Refused, match=r"its certificate: .*check `ca`"):
        async with secure(secure_broker.port, ca=certificates / ca if ca else None):
            pytest.fail("connected to a stranger")


@pytest.mark.parametrize(("name", "why"), [("expired", "has expired"), ("future", "is not yet valid")])
async def test_a_certificate_that_is_not_valid_now_names_this_clock_too(
    tmp_path: Path, certificates: Path, name: str, why: str
) -> None:
    """To a gateway that has woken in 1970 every certificate is one of the future."""
    lines = ("allow_anonymous true", f"certfile {certificates}/{name}.pem", f"keyfile {certificates}/{name}.key")
    told = f"its certificate: certificate {why}; check `ca`, the name, this clock"
    with running(mosquitto(tmp_path, *lines)) as server, pytest.raises(Refused, match=told):
        async with secure(server.port, ca=certificates / "ca.pem"):
            pytest.fail("connected to a server whose certificate is not valid now")


async def test_tls_under_another_name_is_refused(secure_broker: Server, certificates: Path) -> None:
    with pytest.raises(Refused, match=r"its certificate: .*mismatch"):
        async with secure(secure_broker.port, HOST, ca=certificates / "ca.pem"):
            pytest.fail("connected under another name")


async def test_tls_to_a_port_without_tls(broker: Server, certificates: Path) -> None:
    with pytest.raises(Unreachable):
        async with secure(broker.port, ca=certificates / "ca.pem", ack_timeout=SHORT):
            pytest.fail("connected without TLS")


async def test_no_tls_to_a_port_with_tls(secure_broker: Server) -> None:
    with pytest.raises(Unreachable, match="closed before it answered; is that the broker's port, does it want TLS"):
        async with uplink(secure_broker.port, ack_timeout=SHORT):
            pytest.fail("connected in the clear")
