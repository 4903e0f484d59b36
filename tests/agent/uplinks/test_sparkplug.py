"""Sparkplug over a real broker: what a host hears, and in which order."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.encode.sparkplug import Metric, Payload, Type, decode, encode
from agent.encode.sparkplug_node import REBIRTH, REQUEST
from agent.errors import ConfigError, Unreachable
from agent.records import Envelope
from agent.uplinks import Refused, sparkplug
from agent.uplinks.sparkplug import Settings, SparkplugUplink
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.agent.uplinks.test_mqtt import Listener
from tests.servers import HOST, Server, TcpRelay, mosquitto, program, running

NOW = 1_760_000_050.0  # s: the alarms of positions below 50 are history


def uplink(port: int, **settings: Any) -> SparkplugUplink:
    given = {"group": "bank", "ack_timeout": LIMIT, **settings}
    link = sparkplug.open_uplink("platform", GATEWAY, Settings(f"mqtt://{HOST}:{port}", **given))
    link.now = lambda: NOW
    return link


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    with running(mosquitto(tmp_path)) as server:
        yield server


class Host:
    """What a host application hears: mosquitto_sub, and our decoder behind it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.raw: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}
        self.publish("spBv1.0/ready", b"!", retain=True)
        self._listener = Listener(port, "spBv1.0/#", "%q %r %t %x")

    async def ready(self) -> None:
        """Once it has what is retained, it has subscribed."""
        assert "spBv1.0/ready" in await self._listener.line()

    async def next(self) -> tuple[str, Payload]:
        """The next message but our own."""
        while True:
            _, _, topic, payload = (await self._listener.line()).split(" ")
            if "CMD" not in topic and "STATE" not in topic:
                self.raw.append((topic, payload))
                return topic.removeprefix("spBv1.0/bank/"), self._named(topic, decode(bytes.fromhex(payload)))

    def _named(self, topic: str, message: Payload) -> Payload:
        """Data with the names that births have told for their aliases."""
        if "BIRTH" in topic:
            self._names |= {each.alias: each.name for each in message.metrics if each.alias is not None}
        if "DATA" not in topic:
            return message
        return replace(message, metrics=tuple(replace(each, name=self._names[each.alias or 0]) for each in message.metrics))

    async def topics(self, count: int) -> list[str]:
        return [(await self.next())[0] for _ in range(count)]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        command = [program("mosquitto_pub", "mosquitto-clients"), "-V", "mqttv5", "-h", HOST, "-p", str(self._port), "-t", topic]
        subprocess.run([*command, "-s", *(["-r"] if retain else [])], input=payload, check=True)

    def command(self, *metrics: Metric) -> None:
        self.publish("spBv1.0/bank/NCMD/gw-1", encode(Payload(metrics, 1)))

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
async def host(broker: Server) -> Any:
    made = Host(broker.port)
    await made.ready()
    yield made
    made.close()


async def test_birth_data_and_death(broker: Server, host: Host) -> None:
    link = uplink(broker.port)
    async with link:
        assert (await link.send([alarm(49), alarm(50)])).accepted == (49, 50)
    birth, device, data, death = [await host.next() for _ in range(4)]
    assert [birth[0], device[0], data[0], death[0]] == ["NBIRTH/gw-1", "DBIRTH/gw-1/ATM-7", "DDATA/gw-1/ATM-7", "NDEATH/gw-1"]
    assert [each[1].seq for each in (birth, device, data, death)] == [0, 1, 2, None]
    assert {(each.name, each.value) for each in birth[1].metrics} == {("bdSeq", 0), (REBIRTH, False)}
    assert death[1].metrics[0].value == 0
    severities = [(each.value, each.historical) for each in data[1].metrics if each.name == "alarm/black_box"]
    assert severities == [(4, True), (4, False)]
    assert [each.value for each in data[1].metrics if each.name == "alarms/position"] == ["e1f2/49", "e1f2/50"]
    async with link:
        birth, device = await host.next(), await host.next()
    assert birth[1].metrics[0].value == 1
    assert (birth[1].seq, device[1].seq) == (0, 1)  # what is known is born at once


async def test_the_will_is_the_death_of_that_connection(broker: Server, host: Host) -> None:
    async with TcpRelay(broker.port) as relay:
        link = uplink(relay.port)
        async with link:
            await host.next()
            relay.cut()
            topic, death = await host.next()
    assert (topic, death.metrics[0].value, death.seq) == ("NDEATH/gw-1", 0, None)


async def test_born_again_on_command_with_the_same_number_of_the_connection(broker: Server, host: Host) -> None:
    async with uplink(broker.port) as link:
        await link.send([alarm(50)])
        assert await host.topics(3) == ["NBIRTH/gw-1", "DBIRTH/gw-1/ATM-7", "DDATA/gw-1/ATM-7"]
        host.command(Metric(REBIRTH, Type.BOOLEAN, value=True))
        birth, device = await host.next(), await host.next()
        assert [(birth[0], birth[1].seq), (device[0], device[1].seq)] == [("NBIRTH/gw-1", 0), ("DBIRTH/gw-1/ATM-7", 1)]
        assert birth[1].metrics[0].value == 0
        assert "e1f2/50" in [each.value for each in device[1].metrics]
        await link.send([alarm(51)])
        assert (await host.next())[1].seq == 2


async def test_commands_do_nothing_but_what_is_signed(broker: Server, host: Host, caplog: pytest.LogCaptureFixture) -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()
    link = uplink(broker.port)
    link.on_request = asked.put_nowait
    async with link:
        birth = await host.next()
        assert REQUEST in {each.name for each in birth[1].metrics}
        host.publish("spBv1.0/bank/NCMD/gw-1", b"\xff\xff")
        host.command(Metric("auxiliaries.safeDoor", Type.STRING, "open"), Metric(REBIRTH, Type.BOOLEAN, value=False))
        host.command(Metric(REQUEST, Type.STRING, "a.b.c"))
        async with asyncio.timeout(LIMIT):
            assert await asked.get() == b"a.b.c"
    assert asked.empty()
    assert "a command of 2 bytes that is none" in caplog.text
    assert caplog.text.count("a command that this gateway does not have") == 2


async def test_a_lost_acknowledgement_means_the_same_again(broker: Server, host: Host) -> None:
    async with TcpRelay(broker.port) as relay:
        link = uplink(relay.port, ack_timeout=SHORT)
        async with link:
            relay.swallow_down = True
            with pytest.raises(Unreachable, match="no PUBACK"):
                await link.send([alarm(50)])
        relay.heal()
        async with link:
            assert (await link.send([alarm(50)])).accepted == (50,)
    payloads = [payload async for topic, payload in _heard(host, 7) if topic.startswith("DDATA")]
    first, second = [{each.name: each.value for each in payload.metrics} for payload in payloads]
    assert first == second


async def _heard(host: Host, count: int) -> Any:
    for _ in range(count):
        yield await host.next()


async def test_what_is_larger_than_the_broker_takes_goes_in_pieces(tmp_path: Path) -> None:
    batch = [summary(position) for position in range(1, 25)]
    batch[10] = alarm(11, text="x" * 9000)
    with running(mosquitto(tmp_path, "allow_anonymous true", "max_packet_size 8000", "log_type all")) as server:
        async with uplink(server.port) as link:
            accepted, rejected = await _all(link, batch)
        assert "oversize" not in server.log()
    assert rejected == [11]
    assert len(accepted) == 23


@pytest.mark.parametrize("limit", ["max_packet_size 1900", "message_size_limit 1900"])
async def test_a_birth_that_the_broker_does_not_take_is_a_wrong_set_up_and_condemns_nothing(tmp_path: Path, limit: str) -> None:
    """A birth tells every name in one message. One limit is announced by the broker, the other is its PUBACK 0x95."""
    with running(mosquitto(tmp_path, "allow_anonymous true", limit)) as server:
        async with uplink(server.port) as link:
            with pytest.raises(Refused, match=r"DBIRTH/gw-1/ATM-7.* nothing can be told without it"):
                await link.send([summary(1)])
        with pytest.raises(Refused, match="DBIRTH"):
            async with link:
                pytest.fail("entered without its births")


async def _all(link: SparkplugUplink, batch: list[Envelope]) -> tuple[list[int], list[int]]:
    accepted: list[int] = []
    rejected: list[int] = []
    while waiting := [each for each in batch if each.position not in {*accepted, *rejected}]:
        receipt = await link.send(waiting)
        accepted += receipt.accepted
        rejected += receipt.rejected
    return accepted, rejected


async def test_nothing_is_sent_while_the_primary_host_is_away(broker: Server, host: Host) -> None:
    link = uplink(broker.port, primary_host="scada", ack_timeout=SHORT)
    with pytest.raises(Unreachable, match="primary host scada is not online"):
        async with link:
            pytest.fail("entered without its host")
    host.publish("spBv1.0/STATE/scada", b'{"online": true, "timestamp": 5}', retain=True)
    async with link:
        assert await host.topics(1) == ["NBIRTH/gw-1"]
        host.publish(
            "spBv1.0/STATE/scada", b'{"online": false, "timestamp": 4}'
        )  # the will of an earlier connection of the host's
        host.publish("spBv1.0/STATE/scada", b"ONLINE")
        assert (await link.send([alarm(50)])).accepted == (50,)
        host.publish("spBv1.0/STATE/scada", b'{"online": false, "timestamp": 6}')
        async with asyncio.timeout(LIMIT):
            assert "primary host scada is not online" in await link.lost()
        with pytest.raises(Unreachable):
            await link.send([alarm(51)])
    assert await host.topics(3) == ["DBIRTH/gw-1/ATM-7", "DDATA/gw-1/ATM-7", "NDEATH/gw-1"]


async def test_the_number_of_the_connection_outlives_the_program(broker: Server, tmp_path: Path) -> None:
    file = tmp_path / "bd_seq"
    for expected in ("0\n", "1\n"):
        async with uplink(broker.port, bd_seq_file=file):
            assert file.read_text() == expected
    with pytest.raises(ConfigError, match=r"uplink platform: bd_seq_file: .*; name a file"):
        async with uplink(broker.port, bd_seq_file=tmp_path):
            pytest.fail("entered without its file")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"group": ""}, "group: missing"),
        ({"group": "a/b"}, r"group: expected an id without \+ # and /"),
        ({"node": "#"}, "node: expected"),
        ({"primary_host": "a+"}, "primary_host: expected"),
        ({"window": 0}, "window: expected"),
        ({"keepalive": 0.5}, "keepalive: expected"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Settings("mqtt://127.0.0.1", **{"group": "bank", **settings})


READ = """
import json, sys
from pysparkplug import DBirth, DData, NBirth, NDeath
births = {}
for topic, data in json.load(sys.stdin):
    kind, device = topic.split("/")[2], topic.split("/")[4:]
    key, raw = tuple(device), bytes.fromhex(data)
    if kind == "NDEATH":
        print(json.dumps([kind, None, [["bdSeq", NDeath.decode(raw).bd_seq_metric.value]]]))
        continue
    message = {"NBIRTH": NBirth, "DBIRTH": DBirth, "DDATA": DData}[kind].decode(raw, birth=births.get(key))
    if kind.endswith("BIRTH"):
        births[key] = message
    print(json.dumps([kind, message.seq, [[each.name, each.value] for each in message.metrics]]))
"""


async def test_an_independent_library_reads_what_a_host_hears(broker: Server, host: Host, tmp_path: Path) -> None:
    async with uplink(broker.port) as link:
        await link.send([summary(1), summary(2)])
        await link.send([alarm(50)])
    kinds = await host.topics(6)
    target = tmp_path / "library"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    await asyncio.to_thread(subprocess.run, [*install, "pysparkplug==0.6.1", "protobuf>=5.28"], check=True, capture_output=True)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", READ],
        input=json.dumps(host.raw),
        env={"PYTHONPATH": str(target)},
        check=True,
        capture_output=True,
        text=True,
    )
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each[0] for each in read] == [kind.split("/")[0] for kind in kinds]
    assert [each[1] for each in read] == [0, 1, 2, 3, 4, None]
    assert read[2][2].count(["motion.rms3/mean", 0.02]) == 2
    assert ["alarm/black_box", 4] in read[4][2]
