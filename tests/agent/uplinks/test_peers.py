"""Other people's servers: NATS with its MQTT port, mosquitto restarted and full, libcoap, and black holes in front of each."""

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
from agent.receive.intake import Intake
from agent.receive.mqtt import Broker, Subscriber
from agent.records import Envelope, Receipt
from agent.uplinks import Refused, Uplink, coap, mqtt
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.test_forward import Outbox
from tests.agent.uplinks.certificates import certificates
from tests.agent.uplinks.platforms import DTLS, LIMIT, PSK, SHORT, Clock
from tests.agent.uplinks.test_mqtt import Listener
from tests.servers import HOST, Server, TcpRelay, UdpRelay, libcoap, mosquitto, nats, running

assert certificates  # a fixture


def over_mqtt(port: int, **settings: Any) -> Uplink:
    return mqtt.open_uplink("platform", GATEWAY, mqtt.Settings(f"mqtt://{HOST}:{port}", **{"ack_timeout": LIMIT, **settings}))


def over_coap(port: int, url: str = "", **settings: Any) -> Uplink:
    return coap.open_uplink(
        "platform", GATEWAY, coap.Settings(url or f"coap://{HOST}:{port}/atm", **{"ack_timeout": LIMIT, **settings})
    )


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
    listener = Listener(nats_server.port, "+/gw-1/alarms", "%x", version="mqttv311")
    more = {"protocol": "3.1.1", "encoding": "cbor", "batch": 7, "status_topic": "ready/{gateway}/alarms"}
    try:
        async with over_mqtt(nats_server.port, **more) as link:
            batch = [alarm(position) for position in range(1, 31)]
            await listener.line()  # the status: it has subscribed
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


@contextlib.asynccontextmanager
async def receiving(port: int) -> AsyncIterator[Intake]:
    """A subscriber with a session that outlives it."""
    ready, loop = asyncio.Event(), asyncio.get_running_loop()
    intake = Intake(None, lambda _: None, lambda: 0.0)
    broker = Broker(HOST, port, "receiver", "atm/+/+")
    subscriber = Subscriber(
        intake, broker, lambda _: None, ready=lambda: loop.call_soon_threadsafe(ready.set), ended=lambda: None
    )
    await asyncio.to_thread(subscriber.start)
    try:
        async with asyncio.timeout(LIMIT):
            await ready.wait()
        yield intake
    finally:
        await asyncio.to_thread(subscriber.stop)


async def test_a_broker_that_is_full_says_later_and_takes_everything_once_there_is_room(tmp_path: Path) -> None:
    """mosquitto ends the link of whoever gives it more than its memory_limit holds. Nothing of that is lost."""
    batch = [alarm(position, text="x" * 18_000) for position in range(1, 181)]
    accepted: set[int] = set()
    limits = ("allow_anonymous true", "memory_limit 3000000", "max_queued_messages 0")
    with running(mosquitto(tmp_path, *limits)) as server:
        async with receiving(server.port):
            pass  # it was there, so the broker queues for it
        link = over_mqtt(server.port, batch=1)

        async def send() -> None:
            async with link:
                while len(accepted) < len(batch):
                    waiting = [each for each in batch if each.position not in accepted]
                    accepted.update((await link.send(waiting, lambda: False)).accepted)

        with pytest.raises(Unreachable) as caught:
            await send()
        assert not isinstance(caught.value, Refused)
        assert 0 < len(accepted) < len(batch)
        async with receiving(server.port) as intake:
            await until(lambda: intake.account().received >= len(accepted))
            await send()
            await until(lambda: intake.account().received == len(batch))
            assert intake.account().missing == 0


async def test_what_a_broker_drops_for_a_receiver_that_is_away_is_named_by_the_account(tmp_path: Path) -> None:
    """mosquitto acknowledges what its max_queued_messages does not hold, and drops it. No gateway can know; a receiver does."""
    with running(mosquitto(tmp_path, "allow_anonymous true", "max_queued_messages 2", "max_inflight_messages 1")) as server:
        async with receiving(server.port):
            pass
        async with over_mqtt(server.port, batch=1, window=8) as link:
            assert len((await link.send([alarm(position) for position in range(1, 21)], lambda: False)).accepted) == 20
            async with receiving(server.port) as intake:
                await until(lambda: intake.account().received > 0)
                while not intake.account().streams or intake.account().streams[0].highest < 21:
                    await link.send([alarm(21)], lambda: False)
                    await asyncio.sleep(0.01)
                account = intake.account()
    assert account.missing == 21 - account.received > 10
    assert account.streams[0].holes[-1][1] == 20


# Black holes, in front of servers that are not in the conformance suite -------------------------------------------------


@contextlib.asynccontextmanager
async def line_to(kind: str, folder: Path, files: Path) -> AsyncIterator[tuple[TcpRelay | UdpRelay, Uplink]]:
    tls = ("-c", f"{files}/localhost.pem", "-j", f"{files}/localhost.key", "-C", f"{files}/ca.pem")
    (folder / "psk").write_text(PSK)
    secured = ("-k", PSK) if kind == "libcoap-dtls" else tls
    with running(nats(folder) if kind == "nats" else libcoap(folder, "-d", "100", *secured)) as server:
        port = server.port + ("tls" in kind)
        async with UdpRelay(port) if kind in ("libcoap", "libcoap-dtls") else TcpRelay(port) as relay:
            mine = {"ca": files / "ca.pem", "certificate": files / "gw-1.pem", "key": files / "gw-1.key"}
            uplinks: dict[str, Callable[[], Uplink]] = {
                "nats": lambda: over_mqtt(relay.port, protocol="3.1.1"),
                "libcoap": lambda: over_coap(relay.port),
                "libcoap-dtls": lambda: over_coap(relay.port, f"coaps://{HOST}:{relay.port}/atm", psk_file=folder / "psk"),
                "libcoap-tls": lambda: over_coap(relay.port, f"coaps+tcp://localhost:{relay.port}/atm", **mine),
            }
            yield relay, uplinks[kind]()


@pytest.mark.parametrize("kind", ["nats", "libcoap", "libcoap-tls", *(["libcoap-dtls"] if DTLS else [])])
async def test_a_black_hole_settles_nothing_and_once_it_is_gone_everything_is_delivered(
    tmp_path: Path, certificates: Path, kind: str
) -> None:
    outbox, arrivals, clock = Outbox(), Arrivals(), Clock()
    outbox.put(*(summary(position) for position in range(1, 41)))
    async with line_to(kind, tmp_path, certificates) as (relay, uplink):
        link = Link("platform", lambda _: None, asyncio.get_running_loop().time)
        plan = Plan(batch=10, first_pause=0.01, longest_pause=0.05)
        relay.swallow_up = True  # it accepts bytes, and says nothing
        task = asyncio.create_task(forward(uplink, outbox, arrivals, link, plan, Random(1)))
        try:
            seen = await relay.swallows()
            clock.skip(LIMIT)
            await until(lambda: link.word == "down")
            relay.swallow_up, relay.swallow_down = False, True
            clock.skip(LIMIT)
            await relay.swallows(seen)
            clock.skip(LIMIT)
            assert outbox.receipts == []
            relay.heal()
            clock.skip(LIMIT)
            await until(lambda: not outbox.waiting["summaries"])
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            clock.close()
    assert sorted({position for _, receipt in outbox.receipts for position in receipt.accepted}) == list(range(1, 41))


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
