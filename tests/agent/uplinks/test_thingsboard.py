"""ThingsBoard's gateway API over a real broker, heard by mosquitto_sub."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.errors import Unreachable
from agent.forward import Arrivals, Link, Plan, forward
from agent.records import Envelope, Reading, Receipt, Stamp
from agent.store.lane_store import Bounds, LaneStore
from agent.store.opening import open_durable
from agent.uplinks import thingsboard
from agent.uplinks.thingsboard import Settings, ThingsboardUplink
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.agent.uplinks.test_mqtt import CONNACK, Listener
from tests.servers import HOST, Server, TcpRelay, mosquitto, program, running, scripted_broker


def uplink(port: int, **settings: Any) -> ThingsboardUplink:
    given = {"ack_timeout": LIMIT, "device_type": "atm", **settings}
    return thingsboard.open_uplink("platform", GATEWAY, Settings(f"mqtt://{HOST}:{port}", **given))


def publish(port: int, topic: str, payload: bytes, *more: str) -> None:
    command = [program("mosquitto_pub", "mosquitto-clients"), "-h", HOST, "-p", str(port), "-t", topic, "-s", *more]
    subprocess.run(command, input=payload, check=True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    with running(mosquitto(tmp_path)) as server:
        yield server


@pytest.fixture
async def ear(broker: Server) -> AsyncIterator[Listener]:
    publish(broker.port, "v1/ready", b"!", "-r")
    listener = Listener(broker.port, "v1/#", "%t %p")
    assert await listener.line() == "v1/ready !"  # it has subscribed
    yield listener
    listener.close()


async def heard(ear: Listener, count: int) -> list[tuple[str, Any]]:
    lines = [(await ear.line()).split(" ", 1) for _ in range(count)]
    return [(topic.removeprefix("v1/gateway/"), json.loads(payload)) for topic, payload in lines]


async def test_a_machine_is_connected_once_then_its_records_come(broker: Server, ear: Listener) -> None:
    async with uplink(broker.port) as link:
        assert (await link.send([alarm(1), alarm(2)])).accepted == (1, 2)
        assert (await link.send([summary(1)])).accepted == (1,)
    connect, telemetry, attributes, more = await heard(ear, 4)
    assert connect == ("connect", {"device": "ATM-7", "type": "atm"})
    assert telemetry[0] == "telemetry"
    assert [entry["values"]["alarms.position"] for entry in telemetry[1]["ATM-7"]] == ["e1f2/1", "e1f2/2"]
    assert attributes == ("attributes", {"ATM-7": {"alarm.black_box": 4}})
    assert more[1]["ATM-7"][0]["ts"] == 120_000
    assert more[1]["ATM-7"][0]["values"]["motion.rms3.mean"] == 0.02


async def test_a_lost_acknowledgement_means_the_same_again_at_the_same_time(broker: Server, ear: Listener) -> None:
    async with TcpRelay(broker.port) as relay:
        link = uplink(relay.port, ack_timeout=SHORT)
        async with link:
            relay.swallow_down = True
            with pytest.raises(Unreachable, match="no PUBACK"):
                await link.send([alarm(1)])
        relay.heal()
        async with link:
            assert (await link.send([alarm(1)])).accepted == (1,)
    messages = await heard(ear, 6)
    assert messages[:3] == messages[3:]


async def test_killed_between_two_values_of_one_millisecond_both_stand(broker: Server, ear: Listener, tmp_path: Path) -> None:
    """The lines that came in one chunk have one time. The agent ends after some of them were delivered, without a word."""
    readings = [Reading("ATM-7", "environment.temperature_c", float(number), 1_760_000_000.0) for number in range(20)]
    bounds = Bounds(32 * 1024 * 1024, 0, 7.0, 16 * 1024 * 1024)
    for delivered in (8, 20):
        store, _ = open_durable(tmp_path / "store", GATEWAY, ["platform"], bounds, lambda: "life")
        if delivered == 8:
            store.append("readings", readings, Stamp(1_760_000_000.0, 1.0, "boot", synced=True))
        link = Link("platform", lambda _: None, lambda: 0.0)
        outbox = Limited(store, delivered)
        task = asyncio.create_task(forward(uplink(broker.port, batch=4), outbox, Arrivals(), link, Plan(), Random(1)))
        await outbox.done.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.tidy(Stamp(1_760_000_001.0, 2.0, "boot", synced=True))  # the cursor is on the disk
        store.let_go()
    entries = [
        (entry["ts"], entry["values"]["environment.temperature_c"])
        for topic, told in await heard(ear, 7)
        if topic == "telemetry"
        for entry in told["ATM-7"]
    ]
    assert sorted(entries) == [(1_760_000_000_000 + number, float(number)) for number in range(20)]


class Limited:
    """A store's writer, as far as forwarding needs it; `done` once so many readings were settled, and no more is given."""

    def __init__(self, store: LaneStore, until: int) -> None:
        self._store, self._until = store, until
        self.done = asyncio.Event()

    async def first(self, uplink: str, lanes: Sequence[str], limit: int, max_bytes: int) -> list[Envelope]:
        found = [each for lane in lanes for each in self._store.read(uplink, lane, limit, max_bytes)]
        return [each for each in found if each.position <= self._until]

    async def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        return self._store.settled(uplink, lane, count)

    async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
        self._store.settle(uplink, lane, receipt)
        if self._until in receipt.accepted:
            self.done.set()


async def test_calls_get_an_error_unless_they_are_signed_requests(broker: Server, ear: Listener) -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()
    link = uplink(broker.port)
    async with link:
        publish(broker.port, "v1/gateway/rpc", b'{"device": "ATM-7", "data": {"id": 1, "method": "open", "params": {}}}')
        messages = [message for message in await heard(ear, 2) if "data" in message[1] and "method" not in message[1]["data"]]
        assert [message[1]["id"] for message in messages] == [1]
        assert "signed by its operator" in messages[0][1]["data"]["error"]
        publish(broker.port, "v1/devices/me/rpc/request/9", b'{"method": "request", "params": "a.b.c"}')
        _, answer = await heard(ear, 2)
        assert answer[0] == "v1/devices/me/rpc/response/9"
        assert "control.keys" in answer[1]["error"]
    link.on_request = asked.put_nowait
    async with link:
        publish(broker.port, "v1/devices/me/rpc/request/10", b'{"method": "request", "params": "a.b.c"}')
        async with asyncio.timeout(LIMIT):
            assert await asked.get() == b"a.b.c"
        assert (await heard(ear, 2))[1][1] == {"taken": "what becomes of it comes as `answer`"}


@pytest.mark.parametrize(
    ("reasons", "accepted", "rejected"), [((0, 0, 0), (7,), ()), ((0, 0x99, 0), (), (7,)), ((0, 0, 0x95), (), (7,))]
)
async def test_a_record_is_delivered_when_every_message_of_it_is(
    reasons: tuple[int, ...], accepted: tuple[int, ...], rejected: tuple[int, ...]
) -> None:
    subscribed = [bytes((0x90, 4, 0, mid, 0, 1)) for mid in (1, 2)]  # SUBACK, QoS 1 (MQTT 5, 3.9)
    taken = [bytes((0x40, 3, 0, mid, reason)) for mid, reason in enumerate(reasons, 3)]  # PUBACK: connect, telemetry, attributes
    async with scripted_broker(CONNACK, *subscribed, *taken) as port, uplink(port) as link:
        receipt = await link.send([alarm(7)])
    assert (receipt.accepted, receipt.rejected) == (accepted, rejected)


async def test_a_record_is_kept_when_one_message_of_it_is_not_answered() -> None:
    subscribed = [bytes((0x90, 4, 0, mid, 0, 1)) for mid in (1, 2)]
    taken = [bytes((0x40, 3, 0, mid, 0)) for mid in (3, 4)]
    async with scripted_broker(CONNACK, *subscribed, *taken) as port, uplink(port, ack_timeout=SHORT) as link:
        with pytest.raises(Unreachable):
            await link.send([alarm(7)])


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"device_type": ""}, "device_type: empty"), ({"batch": 0}, "batch: expected"), ({"key": Path("k")}, "url: ca")],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Settings("mqtt://127.0.0.1", **settings)
