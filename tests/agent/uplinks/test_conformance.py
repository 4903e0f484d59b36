"""What every uplink must do, whatever its protocol and encoding, against real servers and a line that fails on command.

No case waits for time to pass: the loop's clock is put forward where a timeout is what the case is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from agent.errors import Unreachable
from agent.forward import Arrivals, Link, Plan, forward
from agent.records import Envelope
from agent.uplinks import Refused, Uplink
from tests.agent.envelopes import alarm, summary
from tests.agent.test_forward import Outbox
from tests.agent.uplinks.certificates import certificates
from tests.agent.uplinks.platforms import (
    DTLS,
    LIMIT,
    MESSAGE_LIMIT,
    CoapPlatform,
    MqttPlatform,
    Platform,
    SparkplugPlatform,
    ThingsboardPlatform,
    ThingspeakPlatform,
)
from tests.servers import TcpRelay, UdpRelay

assert certificates  # a fixture

OWN_WORDS = {"sparkplug": SparkplugPlatform, "thingsboard": ThingsboardPlatform, "thingspeak": ThingspeakPlatform}
KINDS = ["mqtt5-json", "mqtt3-cbor", "mqtts-cbor", "ws-senml+cbor", "wss-json"]
KINDS += ["coap-cbor", "oscore-senml+cbor", "coaps+tcp-json", *(["coaps-cbor"] if DTLS else []), *OWN_WORDS]
OTHER_ENCODINGS = ["mqtt5-senml+json", "coap-json", "coap-senml+json"]  # where it is what they carry that matters


def made(kind: str, folder: Path, certificates: Path) -> Platform:
    """The platform of a transport and an encoding."""
    transport, _, encoding = kind.partition("-")
    if transport in OWN_WORDS:
        return OWN_WORDS[transport](folder)
    if transport.startswith("coap") or transport == "oscore":
        return CoapPlatform(folder, transport, certificates, encoding=encoding)
    scheme, protocol = {"mqtt5": ("mqtt", "5"), "mqtt3": ("mqtt", "3.1.1")}.get(transport, (transport, "5"))
    return MqttPlatform(folder, scheme, certificates, encoding=encoding, protocol=protocol)


@pytest.fixture(params=KINDS)
async def platform(request: pytest.FixtureRequest, tmp_path: Path, certificates: Path) -> AsyncIterator[Platform]:
    platform = made(request.param, tmp_path, certificates)
    async with platform.open():
        yield platform


every_encoding = pytest.mark.parametrize("platform", [*KINDS, *OTHER_ENCODINGS], indirect=True)


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


# It accepts ------------------------------------------------------------------------------------------------------------


@every_encoding
async def test_what_is_acknowledged_has_arrived_once_and_whole(platform: Platform) -> None:
    batch = [alarm(position) for position in range(1, 31)]
    async with platform.uplink() as uplink:
        assert await send_all(uplink, batch) == (list(range(1, 31)), [])
    account = await platform.account(30)
    assert (account.received, account.duplicates, account.missing) == (30, 0, 0)
    assert [each.position for each in account.alarms] == list(range(1, 31))
    assert account.alarms[4].at == batch[4].body.at  # type: ignore[union-attr]
    assert account.alarms[4].stored_at == batch[4].at


@every_encoding
async def test_a_long_batch_arrives_whole(platform: Platform) -> None:
    batch = [summary(position) for position in range(1, 61)]  # 64 KiB: one MQTT message, 60 CoAP blocks
    async with platform.uplink() as uplink:
        accepted, _ = await send_all(uplink, batch)
    assert accepted == list(range(1, 61))
    assert (await platform.account(60)).received == 60


async def test_what_is_accepted_twice_stands_there_once(platform: Platform) -> None:
    batch = [alarm(position) for position in range(1, 6)]
    async with platform.uplink() as uplink:
        for _ in range(2):
            assert await send_all(uplink, batch) == ([1, 2, 3, 4, 5], [])
    account = await platform.account(10)
    assert (account.received, account.duplicates, account.missing) == (5, 5, 0)


async def test_an_acknowledgement_that_comes_twice_settles_nothing_else(platform: Platform) -> None:
    uplink, accepted = platform.uplink(), list[int]()

    async def send_six() -> None:
        while len(accepted) < 6:
            accepted.extend((await uplink.send([alarm(len(accepted) + 1)])).accepted)
            await asyncio.sleep(0.01)

    async with uplink:
        platform.relay.twice = True
        if platform.can_repeat:
            await send_six()
        else:  # a sealed stream breaks when somebody repeats what was said
            with pytest.raises(Unreachable):
                await send_six()
        platform.relay.twice = False
    async with uplink:
        accepted += (await send_all(uplink, [alarm(position) for position in range(len(accepted) + 1, 8)]))[0]
        platform.relay.silence()
        await platform.gives_up(uplink.send([alarm(8)]))
    assert accepted == [1, 2, 3, 4, 5, 6, 7]
    account = await platform.account(7)
    assert (account.received, account.missing) == (7, 0)
    assert account.duplicates <= (not platform.can_repeat)


async def test_it_says_how_the_link_is(platform: Platform) -> None:
    async with platform.uplink():
        pass
    if not platform.says_status:  # these platforms have no word for it
        assert platform.lines == []
        return
    for _ in range(500):
        if len(platform.lines) >= 2:
            break
        await asyncio.sleep(0.01)
    assert [line.split(": ")[-1] for line in platform.lines] == ["up", "down"]


# It rejects ------------------------------------------------------------------------------------------------------------


@every_encoding
async def test_one_bad_envelope_never_condemns_its_neighbours(platform: Platform) -> None:
    batch = [alarm(position) for position in range(1, 17)]
    if isinstance(platform, MqttPlatform):
        batch[10] = alarm(11, text="x" * (MESSAGE_LIMIT + 1))  # more than the broker takes in one message
    else:
        batch[10] = alarm(2**60)  # a position that the platform cannot keep exact
    bad = batch[10].position
    async with platform.uplink() as uplink:
        accepted, rejected = await send_all(uplink, batch)
    if not platform.can_refuse:
        assert (sorted(accepted), rejected) == (list(range(1, 17)), [])
        return
    assert rejected == [bad]
    assert sorted([*accepted, bad]) == sorted(each.position for each in batch)
    account = await platform.account(15)
    assert account.received == 15
    assert account.duplicates == 0


async def test_all_bad_envelopes_are_found_one_by_one(platform: Platform) -> None:
    if isinstance(platform, MqttPlatform):
        batch = [alarm(position, text="x" * (MESSAGE_LIMIT + 1)) for position in range(1, 4)]
    else:
        batch = [alarm(position + 2**60) for position in range(1, 6)]
    bad = [each.position for each in batch]
    async with platform.uplink() as uplink:
        told = await send_all(uplink, batch)
    assert told == (([], bad) if platform.can_refuse else (bad, []))  # it has no word for refusing: docs/platform-link.md, 4


# It loses the acknowledgement, it is slow, it is silent ----------------------------------------------------------------


async def test_a_lost_acknowledgement_means_sending_again_and_the_platform_drops_the_duplicates(platform: Platform) -> None:
    batch = [alarm(1), alarm(2)]  # one MQTT message, one CoAP block
    uplink = platform.uplink()
    async with uplink:
        platform.relay.swallow_down = True
        await platform.gives_up(uplink.send(batch))
        before = (await platform.account(1)).received
    platform.relay.heal()
    async with uplink:
        assert await send_all(uplink, batch) == ([1, 2], [])
    account = await platform.account(2 + before)
    assert (account.received, account.duplicates, account.missing) == (2, before, 0)
    assert before > 0


async def test_a_slow_platform_is_waited_for_and_nothing_is_sent_again(platform: Platform) -> None:
    batch = [alarm(1), alarm(2), alarm(3)]
    async with platform.uplink() as uplink:
        for again in range(3):
            platform.relay.hold()
            sending = asyncio.create_task(send_all(uplink, batch))
            await platform.relay.holds()
            platform.clock.skip(LIMIT * 0.6)
            await asyncio.sleep(0)
            assert not sending.done()
            platform.relay.release()
            assert await sending == ([each.position for each in batch], []), again
            batch = [alarm(each.position + 3) for each in batch]
    account = await platform.account(9)
    assert (account.received, account.duplicates, account.missing) == (9, 0, 0)


async def test_a_platform_that_is_too_slow_settles_nothing_however_late_it_answers(platform: Platform) -> None:
    uplink = platform.uplink()
    async with uplink:
        platform.relay.hold()
        sending = asyncio.create_task(uplink.send([alarm(1)]))
        await platform.relay.holds()
        platform.clock.skip(LIMIT)
        with pytest.raises(Unreachable):
            await sending
        platform.relay.release()
        with pytest.raises(Unreachable):  # the link is dead, whatever comes now
            await uplink.send([alarm(2)])
    async with uplink:
        assert await send_all(uplink, [alarm(1), alarm(2)]) == ([1, 2], [])
    account = await platform.account(3)
    assert (account.received, account.duplicates, account.missing) == (2, 1, 0)


async def test_a_link_that_goes_silent_is_a_failed_link_and_stays_one(platform: Platform) -> None:
    uplink = platform.uplink()
    async with uplink:
        await uplink.send([alarm(1)])
        platform.relay.silence()
        await platform.gives_up(uplink.send([alarm(2), alarm(3)]))
        platform.relay.heal()
        with pytest.raises(Unreachable):  # at once: what came before it may still be under way
            await uplink.send([alarm(2), alarm(3)])
    assert (await platform.account(1)).received in (1, 3)  # a repetition may have come through; nobody counts on it


async def test_a_platform_that_is_silent_after_the_connect_is_unreachable_and_says_so(platform: Platform) -> None:
    async def work() -> None:
        async with platform.uplink():
            pytest.fail("connected through a line that carries nothing")

    platform.relay.silence()
    assert "within 5 s" in str(await platform.gives_up(work()))


async def test_a_black_hole_settles_nothing_and_once_it_is_gone_everything_is_delivered(platform: Platform) -> None:
    if not platform.survives_half_a_handshake:
        pytest.skip("aiocoap's DTLS server does not: test_peers has libcoap's")
    outbox, arrivals = Outbox(), Arrivals()
    outbox.put(*(alarm(position) for position in range(1, 31)))
    link = Link("platform", lambda _: None, asyncio.get_running_loop().time)
    plan = Plan(batch=10, first_pause=0.001, longest_pause=0.01)
    platform.relay.swallow_up = True  # it accepts bytes, and says nothing
    task = asyncio.create_task(forward(platform.uplink(), outbox, arrivals, link, plan, Random(1)))
    try:
        seen = await platform.relay.swallows()
        platform.clock.skip(LIMIT)
        await until(lambda: link.word == "down")
        platform.relay.swallow_up, platform.relay.swallow_down = False, True  # it hears, and says nothing
        platform.clock.skip(LIMIT)  # of the attempt that has begun meanwhile
        await platform.relay.swallows(seen)
        platform.clock.skip(LIMIT)
        assert outbox.receipts == []
        assert len(outbox.waiting["alarms"]) == 30
        platform.relay.heal()
        platform.clock.skip(LIMIT)  # of the attempt that has begun in the hole
        await until(lambda: not outbox.waiting["alarms"])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [position for _, receipt in outbox.receipts for position in receipt.accepted] == list(range(1, 31))
    account = await platform.account(30)
    assert (account.received, account.missing) == (30, 0)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never came to that")


# It is down, it closes, it comes back ----------------------------------------------------------------------------------


async def test_a_platform_that_is_away_is_unreachable_and_can_come_back(platform: Platform) -> None:
    uplink = platform.uplink()
    async with uplink:
        await uplink.send([alarm(1)])
    await platform.account(1)  # a broker that is killed before it has passed a message on forgets it
    await platform.stop()
    platform.relay.swallow_down = True  # UDP: nobody says that nobody is there
    caught = await fails(platform, enter(uplink))
    assert not isinstance(caught, Refused)
    platform.relay.heal()
    await platform.start()
    async with uplink:
        accepted, _ = await send_all(uplink, [alarm(2)])
    assert accepted == [2]
    assert (await platform.account(2)).received == 2


async def test_a_platform_that_closes_in_the_middle_of_a_batch_loses_nothing(platform: Platform) -> None:
    batch = [summary(position) for position in range(1, 21)]
    uplink = platform.uplink()
    async with uplink:
        await uplink.send([alarm(1)])
        await platform.account(1)
        platform.relay.hold()
        sending = asyncio.create_task(uplink.send(batch))
        await platform.relay.carries(50)
        await platform.stop()
        await fails(platform, sending)
    platform.relay.release()
    await platform.start()
    async with uplink:
        accepted, rejected = await send_all(uplink, batch)
        assert (sorted(accepted), rejected) == (list(range(1, 21)), [])
    account = await platform.account(21)
    assert (account.received, account.missing) == (21, 0)


async def test_a_connection_that_breaks_in_the_middle_of_a_batch_loses_nothing(platform: Platform) -> None:
    batch = [summary(position) for position in range(1, 21)]
    uplink = platform.uplink()
    async with uplink:
        platform.relay.hold()
        sending = asyncio.create_task(uplink.send(batch))
        await platform.relay.carries(50)
        platform.relay.cut()
        await fails(platform, sending)
    platform.relay.release()
    async with uplink:
        accepted, rejected = await send_all(uplink, batch)
        assert (sorted(accepted), rejected) == (list(range(1, 21)), [])
    assert (await platform.account(20)).missing == 0


async def test_a_platform_that_comes_back_at_another_address_is_found_there(platform: Platform) -> None:
    uplink = platform.uplink()
    async with uplink:
        assert await send_all(uplink, [alarm(1)]) == ([1], [])
        await platform.move("127.0.0.2")
        await fails(platform, uplink.send([alarm(2)]))
    async with uplink:
        assert await send_all(uplink, [alarm(2), alarm(3)]) == ([2, 3], [])
    account = await platform.account(3)
    assert (account.received, account.missing) == (3, 0)


async def test_a_gateway_that_has_another_address_goes_on(platform: Platform) -> None:
    uplink = platform.uplink()
    async with uplink:
        assert await send_all(uplink, [alarm(1)]) == ([1], [])
        if isinstance(platform.relay, UdpRelay):
            platform.relay.dial_again()
        else:
            platform.relay.cut()
        if platform.can_move:
            assert await send_all(uplink, [alarm(2)]) == ([2], [])
        else:  # a connection does not outlive it
            await fails(platform, uplink.send([alarm(2)]))
    async with uplink:
        assert await send_all(uplink, [alarm(2), alarm(3)]) == ([2, 3], [])
    assert (await platform.account(3)).missing == 0


async def test_a_lost_link_is_noticed_while_there_is_nothing_to_send(platform: Platform) -> None:
    async with platform.uplink() as uplink:
        losing = asyncio.create_task(uplink.lost())
        await asyncio.sleep(0)
        platform.relay.cut()
        if isinstance(platform.relay, TcpRelay):
            async with asyncio.timeout(LIMIT):
                assert "broke" in (said := await losing) or "gone" in said
        else:
            await asyncio.sleep(0)
            assert not losing.done()  # a datagram link has no end that could be seen
        losing.cancel()
        await asyncio.gather(losing, return_exceptions=True)


async def enter(uplink: Uplink) -> None:
    async with uplink:
        pytest.fail("connected to nobody")


async def fails(platform: Platform, work: object) -> Unreachable:
    """The error of what goes to nobody: at once where somebody says so, otherwise when its time is over."""
    working = asyncio.ensure_future(work)  # type: ignore[call-overload]
    done, _ = await asyncio.wait([working], timeout=0.05)
    if not done:
        platform.clock.skip(LIMIT)
    with pytest.raises(Unreachable) as caught:
        await working
    return caught.value


# It is left ------------------------------------------------------------------------------------------------------------


async def test_cancelled_in_the_middle_it_leaves_nothing_behind(platform: Platform) -> None:
    async def work() -> None:
        async with platform.uplink() as uplink:
            platform.relay.swallow_down = True
            await uplink.send([summary(position) for position in range(1, 21)])

    task = asyncio.create_task(work())
    await platform.relay.swallows()  # it is under way
    task.cancel()
    await asyncio.wait([task], timeout=0.01)
    platform.clock.skip(LIMIT)  # nobody answers its goodbye
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_while_connecting_it_leaves_nothing_behind(platform: Platform) -> None:
    platform.relay.silence()

    async def work() -> None:
        async with platform.uplink():
            pytest.fail("connected through a line that carries nothing")

    task = asyncio.create_task(work())
    await platform.relay.swallows()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
