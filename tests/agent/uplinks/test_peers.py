"""Other people's servers: NATS with its MQTT port, mosquitto restarted and with a quota, and black holes in front of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.encode import ENCODINGS
from agent.errors import Unreachable
from agent.forward import Arrivals, Link, Plan, forward
from agent.records import Envelope, Receipt
from agent.uplinks import Uplink, coap, mqtt
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.test_forward import Outbox
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.agent.uplinks.test_mqtt import Listener
from tests.servers import HOST, Server, TcpRelay, UdpRelay, libcoap, mosquitto, nats, running


def over_mqtt(port: int, **settings: Any) -> Uplink:
    return mqtt.open_uplink("platform", GATEWAY, mqtt.Settings(f"mqtt://{HOST}:{port}", **{"ack_timeout": LIMIT, **settings}))


def over_coap(port: int, **settings: Any) -> Uplink:
    return coap.open_uplink("platform", GATEWAY, coap.Settings(f"coap://{HOST}:{port}/atm", **{"ack_timeout": LIMIT, **settings}))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):  # a minute, on a busy machine
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came to that")


# NATS ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(nats(tmp_path_factory.mktemp("nats"))) as server:
        yield server


async def test_nats_takes_batches_and_gives_them_to_a_subscriber_of_its_own(nats_server: Server) -> None:
    listener = Listener(nats_server.port, "atm/gw-1/alarms", "%x", version="mqttv311")
    try:
        async with over_mqtt(nats_server.port, protocol="3.1.1", encoding="cbor", batch=7) as link:
            batch = [alarm(position) for position in range(1, 31)]
            await asyncio.sleep(0.5)  # until it has subscribed
            assert len((await link.send(batch, lambda: False)).accepted) == 30
            came: list[Envelope] = []
            while len(came) < 30:
                came += ENCODINGS["cbor"].decode(bytes.fromhex(await listener.line()))
        assert came == batch
    finally:
        listener.close()


async def test_nats_that_speaks_no_mqtt_5_says_so(nats_server: Server) -> None:
    with pytest.raises(Unreachable):
        async with over_mqtt(nats_server.port, ack_timeout=SHORT):
            pytest.fail("connected with MQTT 5")


# mosquitto -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("persistence", ["true", "false"])
async def test_a_broker_that_was_restarted_gets_what_it_had_not_acknowledged(tmp_path: Path, persistence: str) -> None:
    folder = f"persistence_location {tmp_path}/"
    with running(mosquitto(tmp_path, "allow_anonymous true", f"persistence {persistence}", folder)) as server:
        link = over_mqtt(server.port, batch=1, window=4)
        async with link:
            assert len((await link.send([alarm(1), alarm(2)], lambda: False)).accepted) == 2
            await asyncio.to_thread(server.stop)
            with pytest.raises(Unreachable):
                await link.send([alarm(3)], lambda: False)
        await asyncio.to_thread(server.start)
        async with link:
            assert (await link.send([alarm(3)], lambda: False)).accepted == (3,)


async def test_a_quota_of_the_broker_keeps_everything(tmp_path: Path) -> None:
    """A full queue of a subscriber that is away: mosquitto takes the message, and says 0x97 where it can say anything."""
    with running(mosquitto(tmp_path, "allow_anonymous true", "max_queued_messages 2", "max_inflight_messages 1")) as server:
        async with over_mqtt(server.port, batch=1, window=8) as link:
            accepted: set[int] = set()
            with contextlib.suppress(Unreachable):
                while len(accepted) < 20:
                    waiting = [alarm(position) for position in range(1, 21) if position not in accepted]
                    accepted |= {*(await link.send(waiting, lambda: False)).accepted}
            assert accepted <= {*range(1, 21)}


# Black holes -----------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def line_to(kind: str, folder: Path) -> AsyncIterator[tuple[Any, Uplink]]:
    server = mosquitto(folder) if kind.startswith("mqtt") else libcoap(folder, "-d", "100")
    with running(server):
        async with TcpRelay(server.port) if kind.startswith("mqtt") else UdpRelay(server.port) as relay:
            made = {
                "mqtt5": over_mqtt,
                "mqtt3": lambda port, **more: over_mqtt(port, protocol="3.1.1", **more),
                "coap": over_coap,
            }
            yield relay, made[kind](relay.port, ack_timeout=SHORT)


@pytest.mark.parametrize("kind", ["mqtt5", "mqtt3", "coap"])
@pytest.mark.parametrize("swallowed", ["swallow_up", "swallow_down"])
async def test_a_black_hole_settles_nothing_and_once_it_is_gone_everything_is_delivered(
    tmp_path: Path, kind: str, swallowed: str
) -> None:
    outbox, arrivals = Outbox(), Arrivals()
    outbox.put(*(summary(position) for position in range(1, 41)))
    async with line_to(kind, tmp_path) as (relay, uplink):
        link = Link("platform", lambda _: None, asyncio.get_running_loop().time)
        plan = Plan(batch=10, first_pause=0.01, longest_pause=0.05)
        setattr(relay, swallowed, True)  # it accepts bytes, and says nothing
        task = asyncio.create_task(forward(uplink, outbox, arrivals, link, plan, Random(1)))
        try:
            await until(lambda: link.word == "down")
            assert outbox.settled == []
            assert len(outbox.waiting["summaries"]) == 40
            relay.heal()
            await until(lambda: not outbox.waiting["summaries"])
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert sorted({position for _, receipt in outbox.settled for position in receipt.accepted}) == list(range(1, 41))


# A day -----------------------------------------------------------------------------------------------------------------


async def test_a_day_s_outage_at_200_a_second_ends_with_everything_delivered_in_order() -> None:
    """17 million envelopes as a store counts them: by position. The platform is a plain function; nothing waits for time."""
    total, step = 86_400 * 200, 5_000
    delivered = 0

    class Counted(Outbox):
        async def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
            return [alarm(delivered + 1), alarm(min(total, delivered + step))] if lane == "readings" and delivered < total else []

        async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
            nonlocal delivered
            first, last = receipt.accepted
            assert first == delivered + 1
            delivered = last

    class Away:
        """Away for 2900 attempts: a day of pauses of half a minute."""

        name, attempts = "platform", 0

        async def __aenter__(self) -> Any:
            self.attempts += 1
            if self.attempts <= 2900:
                raise Unreachable("nobody answers")
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

        async def send(self, batch: list[Envelope], urgent: Any) -> Receipt:
            await asyncio.sleep(0)
            return Receipt(tuple(each.position for each in batch))

        async def lost(self) -> str:
            return await asyncio.get_running_loop().create_future()

    class NoTime(Random):
        def random(self) -> float:
            return 0.0

    words: list[str] = []
    link = Link("platform", words.append, lambda: 0.0)
    task = asyncio.create_task(forward(Away(), Counted(), Arrivals(), link, Plan(look=3600.0), NoTime()))  # type: ignore[arg-type]
    try:
        await until(lambda: delivered == total)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (delivered, words) == (total, ["down", "up"])
