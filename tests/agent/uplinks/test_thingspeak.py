"""ThingSpeak's MQTT API over a real broker; the conformance suite has it too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Unreachable
from agent.records import Reading
from agent.uplinks import thingspeak
from agent.uplinks.thingspeak import ChannelSettings, Settings, ThingspeakUplink
from tests.agent.envelopes import GATEWAY, alarm, envelope, summary
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.agent.uplinks.thingspeak_end import Thingspeak
from tests.servers import HOST, mosquitto, running

CHANNEL = ChannelSettings(1417, "ATM-7", {"field1": "environment.temperature_c", "field3": "auxiliaries.cabinetDoor"})


def reading(position: int, value: Any) -> Any:
    return envelope("readings", position, Reading("ATM-7", "environment.temperature_c", value, 1_760_000_000.0 + position))


def uplink(end: Thingspeak, **settings: Any) -> ThingspeakUplink:
    given = {"channels": (CHANNEL,), "every": 1.0, "ack_timeout": LIMIT, **settings}
    return thingspeak.open_uplink("platform", GATEWAY, Settings(f"mqtt://{HOST}:{end.port}", **given))


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Thingspeak]:
    with running(mosquitto(tmp_path)) as server:
        made = Thingspeak(server.port, 1.0)
        yield made
        made.stop()


async def test_an_update_is_delivered_by_its_entry_and_none_comes_too_soon(platform: Thingspeak) -> None:
    async with uplink(platform) as link:
        assert (await link.send([summary(1)])).accepted == (1,)  # it has no field here
        assert (await link.send([alarm(1)])).accepted == (1,)
        assert (await link.send([reading(1, 21.5)])).accepted == (1,)
    status = "black_box severity 4 auxiliaries.cabinetDoor open"
    assert platform.entries == [
        {"field3": "open", "status": status, "created_at": "2025-10-09T08:53:21Z"},
        {"field1": "21.5", "created_at": "2025-10-09T08:53:21Z"},
    ]
    assert platform.dropped == 0


async def test_what_the_platform_drops_is_kept(platform: Thingspeak) -> None:
    async with uplink(platform) as other:
        await other.send([reading(1, 20.0)])
    link = uplink(platform, ack_timeout=SHORT / 2)
    async with link:
        with pytest.raises(Unreachable, match=r"channel 1417: no entry of this update came back within 0\.3 s; check"):
            await link.send([reading(2, 21.0)])
    assert platform.dropped == 1


async def test_what_may_not_be_heard_is_never_thought_to_be_delivered(tmp_path: Path) -> None:
    with running(mosquitto(tmp_path, "allow_anonymous true", f"acl_file {_access(tmp_path)}")) as server:
        settings = Settings(f"mqtt://{HOST}:{server.port}", channels=(CHANNEL,), ack_timeout=SHORT)
        with pytest.raises(Unreachable):
            async with thingspeak.open_uplink("platform", GATEWAY, settings) as link:
                await link.send([alarm(1)])


def _access(folder: Path) -> Path:
    file = folder / "access"
    file.write_text("topic write channels/#\n")
    return file


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"channels": ()}, "channels: missing"),
        ({"channels": (CHANNEL, ChannelSettings(1418, "ATM-7", {"field1": "a"}))}, "channels: two have one machine"),
        ({"channels": (CHANNEL, ChannelSettings(1417, "ATM-8", {"field1": "a"}))}, "channels: two have one channel"),
        ({"every": 0.5}, "every: expected 1s to 5m"),
        ({"ack_timeout": 0.0}, "ack_timeout: expected"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Settings("mqtt://127.0.0.1", **{"channels": (CHANNEL,), **settings})


@pytest.mark.parametrize(("fields", "number"), [({}, 1), ({"field9": "a"}, 1), ({"field1": "a"}, 0)])
def test_a_wrong_channel_is_named(fields: dict[str, str], number: int) -> None:
    with pytest.raises(ValueError, match=r"fields: expected field1 to field8|channel: expected"):
        ChannelSettings(number, "ATM-7", fields)
