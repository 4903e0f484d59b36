"""What a server's limits and a gateway's settings make of the packets: mosquitto's own word, and literal bytes of MQTT 5."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agent.errors import Unreachable
from agent.records import Envelope, Reading
from agent.uplinks import mqtt
from agent.uplinks.mqtt import MqttUplink, Settings
from tests.agent.envelopes import GATEWAY, alarm, envelope, loss, summary
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.agent.uplinks.test_mqtt import CONNACK, STATUS_TAKEN, Listener
from tests.servers import HOST, Server, mosquitto, running, scripted_broker


def uplink(port: int, **settings: Any) -> MqttUplink:
    return mqtt.open_uplink("platform", GATEWAY, Settings(f"mqtt://{HOST}:{port}", **{"ack_timeout": LIMIT, **settings}))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = ("allow_anonymous true", "max_inflight_messages 3", "log_type all")
    with running(mosquitto(tmp_path_factory.mktemp("mqtt5"), *limits)) as server:
        yield server


class Slow:
    """A broker that answers when it is told to, and counts what is on its way."""

    def __init__(self, connack: bytes) -> None:
        self._connack = connack
        self.waiting: list[int] = []
        self.came = asyncio.Event()

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while True:
                head = (await reader.readexactly(1))[0]
                length, shift = 0, 0
                while True:
                    byte = (await reader.readexactly(1))[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if not byte & 0x80:
                        break
                self._packet(head, await reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return

    def _packet(self, head: int, body: bytes) -> None:
        if head >> 4 == 1:
            self._writer.write(self._connack)
        elif head >> 4 == 3:
            topic = int.from_bytes(body[:2], "big")
            mid = int.from_bytes(body[2 + topic : 4 + topic], "big")
            if body[2 : 2 + topic].endswith(b"status"):
                self.answer(mid)
            else:
                self.waiting.append(mid)
                self.came.set()

    def answer(self, mid: int) -> None:
        self._writer.write(bytes((0x40, 2)) + mid.to_bytes(2, "big"))

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(LIMIT):
            while len(self.waiting) < count:
                self.came.clear()
                await self.came.wait()


async def test_no_more_is_on_its_way_than_the_broker_takes() -> None:
    receive_maximum_2 = bytes.fromhex("20 06 00 00 03 21 0002")  # CONNACK, Receive Maximum 2 (MQTT 5, 3.2.2.3.3)
    slow = Slow(receive_maximum_2)
    async with slow as port, uplink(port, batch=1) as link:
        sending = asyncio.create_task(link.send([alarm(position) for position in range(1, 6)]))
        for _ in range(5):
            await slow.holds(min(2, 5 - _))
            await asyncio.sleep(0.01)
            assert len(slow.waiting) <= 2
            slow.answer(slow.waiting.pop(0))
        assert (await sending).accepted == (1, 2, 3, 4, 5)


async def test_the_window_is_our_own_where_the_broker_sets_none() -> None:
    slow = Slow(CONNACK)
    async with slow as port, uplink(port, batch=1, window=3) as link:
        sending = asyncio.create_task(link.send([alarm(position) for position in range(1, 10)]))
        await slow.holds(3)
        await asyncio.sleep(0.01)
        assert len(slow.waiting) == 3
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_an_acknowledgement_that_comes_too_late_settles_nothing() -> None:
    slow = Slow(CONNACK)
    async with slow as port, uplink(port, ack_timeout=SHORT) as link:
        with pytest.raises(Unreachable, match=r"no PUBACK from the broker within 0\.6 s"):
            await link.send([alarm(1)])
        slow.answer(slow.waiting[0])
        with pytest.raises(Unreachable):
            await link.send([alarm(1)])


async def test_what_was_acknowledged_counts_when_a_later_message_is_not() -> None:
    slow = Slow(CONNACK)
    async with slow as port, uplink(port, ack_timeout=SHORT, batch=1, window=3) as link:
        sending = asyncio.create_task(link.send([alarm(position) for position in range(1, 4)]))
        await slow.holds(3)
        slow.answer(slow.waiting[0])
        slow.answer(slow.waiting[2])
        assert (await sending).accepted == (1, 3)


async def test_a_broker_that_takes_few_at_once_takes_all(broker: Server) -> None:
    async with uplink(broker.port, batch=1) as link:
        assert link._welcome.receive_maximum == 3
        assert len((await link.send([alarm(position) for position in range(1, 101)])).accepted) == 100
    assert "Receive Maximum exceeded" not in broker.log()
    assert "disconnected due to" not in broker.log()


async def test_a_broker_that_retains_nothing_is_still_told_the_status() -> None:
    no_retain = bytes.fromhex("20 05 00 00 02 25 00")  # Retain Available 0 (3.2.2.3.5)
    async with scripted_broker(no_retain, STATUS_TAKEN) as port, uplink(port) as link:
        assert not link._welcome.retains


async def test_message_expiry_and_user_properties(broker: Server) -> None:
    listener = Listener(broker.port, "+/gw-1/alarms", "%t %E %P")
    try:
        more = {"message_expiry": 3600.0, "user_properties": {"region": "north", "model": "X1"}}
        async with uplink(broker.port, status_topic="ready/{gateway}/alarms", **more) as link:
            await listener.line()  # the status: it has subscribed
            await link.send([alarm(1)])
            line = await listener.line()
    finally:
        listener.close()
    topic, expiry, *properties = line.split()
    assert (topic, properties) == ("atm/gw-1/alarms", ["region:north", "model:X1"])
    assert 3590 < int(expiry) <= 3600


async def test_topics_of_tenant_machine_and_kind(broker: Server) -> None:
    listener = Listener(broker.port, "bank/#", "%t")
    batch = [alarm(1), alarm(2), loss(3, "summaries", 1, 2), alarm(4)]
    try:
        topics = {"tenant": "north", "topic": "bank/{tenant}/{machine}/{kind}", "status_topic": "bank/{tenant}/{gateway}/status"}
        async with uplink(broker.port, **topics) as link:
            assert await listener.line() == "bank/north/gw-1/status"
            assert (await link.send(batch)).accepted == (1, 2, 3, 4)
            assert (await link.send([summary(1)])).accepted == (1,)
        assert [await listener.line() for _ in range(4)] == [
            "bank/north/ATM-7/alarm", "bank/north/gw-1/loss", "bank/north/ATM-7/alarm", "bank/north/ATM-7/summary",
        ]  # fmt: skip
    finally:
        listener.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_requests_of_the_platform_come_also_those_from_while_it_was_away(broker: Server, protocol: str) -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()
    topic = f"atm/gw-1/request{protocol}"
    link = uplink(broker.port, protocol=protocol, request_topic=topic, session_expiry=60.0, client_id=f"gw{protocol}")
    link.on_request = asked.put_nowait
    async with link:
        async with uplink(broker.port, client_id="platform", topic=topic + "/{gateway}/{lane}", status_topic="") as other:
            await other._link.publish(topic, b"read now", int)
        async with asyncio.timeout(LIMIT):
            assert await asked.get() == b"read now"
    async with uplink(broker.port, client_id="platform", status_topic="") as other:
        await other._link.publish(topic, b"while away", int)
    async with link, asyncio.timeout(LIMIT):
        assert await asked.get() == b"while away"


@pytest.mark.parametrize("encoding", ["json", "cbor", "senml+json", "senml+cbor"])
async def test_compressed_the_content_type_says_so(broker: Server, encoding: str) -> None:
    name = encoding.replace("+", "-")
    listener = Listener(broker.port, f"+/{name}/gw-1/summaries", "%C %F %l")
    try:
        topics = {"topic": f"atm/{name}/{{gateway}}/{{lane}}", "status_topic": f"ready/{name}/{{gateway}}/summaries"}
        async with uplink(broker.port, encoding=encoding, compress=True, **topics) as link:
            await listener.line()  # the status: it has subscribed
            await link.send([summary(position) for position in range(1, 31)])
            words = (await listener.line()).split()
    finally:
        listener.close()
    assert words[:3] == [f"application/{encoding};", "coding=deflate", "0"]
    assert int(words[3]) < 10_000


async def test_messages_are_no_longer_than_they_should_be(broker: Server) -> None:
    listener = Listener(broker.port, "+/gw-1/readings", "%l")
    batch: list[Envelope] = [
        envelope("readings", position, Reading("ATM-7", "printer.media", "x" * 200, 1e9)) for position in range(1, 201)
    ]
    try:
        more = {"batch": 1000, "batch_bytes": 4096, "status_topic": "ready/{gateway}/readings"}
        async with uplink(broker.port, **more) as link:
            await listener.line()  # the status: it has subscribed
            assert len((await link.send(batch)).accepted) == 200
            sizes = [int(await listener.line()) for _ in range(12)]
    finally:
        listener.close()
    assert max(sizes) <= 4096
    assert sorted(sizes)[2] > 3000  # but the last ones of what was cut
