"""What every uplink must do, whatever its protocol, against real servers and a line that fails on command."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.errors import Unreachable
from agent.records import Envelope
from agent.uplinks import Refused, Uplink
from tests.agent.envelopes import alarm, summary
from tests.agent.uplinks.platforms import (
    MESSAGE_LIMIT,
    SHORT,
    CoapPlatform,
    MqttPlatform,
    Platform,
    SparkplugPlatform,
    ThingsboardPlatform,
)

KINDS = ["mqtt5-json", "mqtt3-cbor", "coap-cbor", "sparkplug-", "thingsboard-"]
SAY_STATUS = [kind for kind in KINDS if kind != "thingsboard-"]  # which has no word for it
OWN_WORDS = {"sparkplug": SparkplugPlatform, "thingsboard": ThingsboardPlatform}
CAN_REFUSE = ["mqtt5-json", "coap-cbor"]  # MQTT 3.1.1 has no word for it


@pytest.fixture(params=KINDS)
async def platform(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Platform]:
    kind, encoding = request.param.split("-")
    made: Platform
    if kind in OWN_WORDS:
        made = OWN_WORDS[kind](tmp_path)
    else:
        made = CoapPlatform(encoding) if kind == "coap" else MqttPlatform(tmp_path, "5" if kind == "mqtt5" else "3.1.1", encoding)
    async with made.open():
        yield made


async def send_all(uplink: Uplink, batch: list[Envelope]) -> tuple[list[int], list[int]]:
    """What forwarding does: send what no receipt has named yet, until all is named. Accepted, and rejected."""
    accepted: list[int] = []
    rejected: list[int] = []
    while waiting := [each for each in batch if each.position not in {*accepted, *rejected}]:
        receipt = await uplink.send(waiting)
        assert receipt.accepted or receipt.rejected, "a receipt that names nothing"
        accepted += receipt.accepted
        rejected += receipt.rejected
    return accepted, rejected


async def test_what_is_acknowledged_has_arrived_once_and_whole(platform: Platform) -> None:
    batch = [alarm(position) for position in range(1, 31)]
    async with platform.uplink() as uplink:
        receipt = await uplink.send(batch)
    assert receipt.accepted == tuple(range(1, 31))
    assert receipt.rejected == ()
    account = await platform.account(30)
    assert (account.received, account.duplicates, account.missing) == (30, 0, 0)
    assert [each.position for each in account.alarms] == list(range(1, 31))
    assert account.alarms[4].at == batch[4].body.at  # type: ignore[union-attr]
    assert account.alarms[4].stored_at == batch[4].at


async def test_a_long_batch_arrives_whole(platform: Platform) -> None:
    batch = [summary(position) for position in range(1, 61)]  # 64 KiB: one MQTT message, 60 CoAP blocks
    async with platform.uplink() as uplink:
        accepted, _ = await send_all(uplink, batch)
    assert accepted == list(range(1, 61))
    assert (await platform.account(60)).received == 60


async def test_a_lost_acknowledgement_means_sending_again_and_the_platform_drops_the_duplicates(platform: Platform) -> None:
    batch = [alarm(1), alarm(2)]  # one MQTT message, one CoAP block
    uplink = platform.uplink(ack_timeout=SHORT)
    async with uplink:
        platform.relay.swallow_down = True
        with pytest.raises(Unreachable):
            await uplink.send(batch)
        assert (await platform.account(2)).received == 2
    platform.relay.heal()
    async with uplink:
        assert await send_all(uplink, batch) == ([1, 2], [])
    account = await platform.account(4)
    assert (account.received, account.duplicates, account.missing) == (2, 2, 0)


async def test_a_link_that_goes_silent_is_a_failed_link_and_stays_one(platform: Platform) -> None:
    uplink = platform.uplink(ack_timeout=SHORT)
    async with uplink:
        await uplink.send([alarm(1)])
        platform.relay.silence()
        with pytest.raises(Unreachable):
            await uplink.send([alarm(2), alarm(3)])
        platform.relay.heal()
        with pytest.raises(Unreachable):  # at once: what came before it may still be under way
            await uplink.send([alarm(2), alarm(3)])
    assert (await platform.account(1)).received in (1, 3)  # a repetition may have come through; nobody counts on it


async def test_a_silent_peer_is_unreachable_and_says_so(platform: Platform) -> None:
    platform.relay.silence()
    with pytest.raises(Unreachable, match=r"within 0\.6 s"):
        async with platform.uplink(ack_timeout=SHORT):
            pytest.fail("connected through a line that carries nothing")


async def test_a_platform_that_is_away_is_unreachable_and_can_come_back(platform: Platform) -> None:
    uplink = platform.uplink(ack_timeout=SHORT)
    async with uplink:
        await uplink.send([alarm(1)])
    await platform.account(1)  # a broker that is killed before it has passed a message on forgets it
    await platform.stop()
    with pytest.raises(Unreachable) as caught:
        async with uplink:
            pytest.fail("connected to nobody")
    assert not isinstance(caught.value, Refused)
    await platform.start()
    async with uplink:
        accepted, _ = await send_all(uplink, [alarm(2)])
    assert accepted == [2]
    assert (await platform.account(2)).received == 2


async def test_a_platform_that_goes_away_in_the_middle_loses_nothing(platform: Platform) -> None:
    uplink = platform.uplink(ack_timeout=SHORT)
    async with uplink:
        await uplink.send([alarm(1)])
        await platform.account(1)
        await platform.stop()
        with pytest.raises(Unreachable):
            await uplink.send([alarm(2)])
    await platform.start()
    async with uplink:
        assert await send_all(uplink, [alarm(2)]) == ([2], [])
    assert (await platform.account(2)).missing == 0


async def test_cancelled_in_the_middle_it_leaves_nothing_behind(platform: Platform) -> None:
    async def work() -> None:
        async with platform.uplink() as uplink:
            platform.relay.swallow_down = True
            await uplink.send([summary(position) for position in range(1, 41)])

    task = asyncio.create_task(work())
    await platform.relay.carries(1500)  # bytes: it is under way
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_while_connecting_it_leaves_nothing_behind(platform: Platform) -> None:
    platform.relay.silence()

    async def work() -> None:
        async with platform.uplink():
            pytest.fail("connected through a line that carries nothing")

    task = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("platform", CAN_REFUSE, indirect=True)
async def test_one_bad_envelope_never_condemns_its_neighbours(platform: Platform) -> None:
    batch = [alarm(position) for position in range(1, 17)]
    if isinstance(platform, MqttPlatform):
        batch[10] = alarm(11, text="x" * (MESSAGE_LIMIT + 1))  # more than the broker takes in one message
    else:
        batch[10] = alarm(2**60)  # a position that the platform cannot keep exact
    bad = batch[10].position
    async with platform.uplink() as uplink:
        accepted, rejected = await send_all(uplink, batch)
    assert rejected == [bad]
    assert sorted([*accepted, bad]) == sorted(each.position for each in batch)
    account = await platform.account(15)
    assert account.received == 15
    assert account.duplicates == 0


@pytest.mark.parametrize("platform", ["coap-cbor"], indirect=True)
async def test_all_bad_envelopes_are_found_one_by_one(platform: Platform) -> None:
    batch = [alarm(position + 2**60) for position in range(1, 6)]
    async with platform.uplink() as uplink:
        assert await send_all(uplink, batch) == ([], [each.position for each in batch])


@pytest.mark.parametrize("platform", SAY_STATUS, indirect=True)
async def test_it_says_how_the_link_is(platform: Platform) -> None:
    async with platform.uplink():
        pass
    for _ in range(200):
        if len(platform.lines) >= 2:
            break
        await asyncio.sleep(0.01)
    assert [line.split(": ")[-1] for line in platform.lines] == ["up", "down"]


async def test_a_lost_link_is_noticed_while_there_is_nothing_to_send(platform: Platform) -> None:
    async with platform.uplink() as uplink:
        losing = asyncio.create_task(uplink.lost())
        platform.relay.cut()
        if isinstance(platform, MqttPlatform):
            async with asyncio.timeout(5):
                assert "broke" in await losing
        else:
            await asyncio.sleep(0)
            assert not losing.done()
        losing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await losing
