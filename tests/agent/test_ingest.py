"""From a source into the pipelines: what is no Reading of this gateway, what looks like card data, clocks that are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agent.ingest import AHEAD, Ingest
from agent.pipeline import Forwarded, Pipeline, PipelineSettings
from agent.records import Body, Quality, Reading, Stamp
from agent.sources import Given
from agent.stages import Documents

NOW = 1_760_000_000.0
PAN = "4111111111111111"
MEDIA = "cardReader.media"


class Room:
    """An ingest with one machine, and what it puts into the store."""

    def __init__(self) -> None:
        self.put_bodies: list[Body] = []
        pipelines = {name: Pipeline(PipelineSettings(name, readings=Forwarded.ALL)) for name in ("m", "gw")}
        self.ingest = Ingest(pipelines, "gw", self._put, lambda: Stamp(NOW, 0.0, "boot", synced=True), lambda *, alarm: None)

    def _put(self, bodies: Sequence[Body], changes: Mapping[str, Documents], stamp: Stamp) -> asyncio.Future[None]:
        self.put_bodies += bodies
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def hear(self, point: str, value: Any, at: float = NOW, machine: str = "m", reason: str = "") -> Reading | None:
        """What is kept of a Reading."""
        self.put_bodies.clear()
        self.ingest.take(None, Given([Reading(machine, point, value, at, reason=reason)]))  # type: ignore[arg-type]
        return next((body for body in self.put_bodies if isinstance(body, Reading) and body.point == point), None)


@pytest.fixture
async def room() -> Room:
    return Room()


@pytest.mark.parametrize("value", [PAN, "4111 1111 1111 1111", f";{PAN}=2512", int(PAN), float(PAN)])
async def test_card_data_is_dropped_at_the_source_counted_and_never_logged(
    room: Room, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    kept = room.hear(MEDIA, value)
    assert kept is not None
    assert (kept.value, kept.quality, kept.reason) == (None, Quality.BAD, "cardData")
    assert room.ingest.guard_hits == 1
    assert MEDIA in caplog.text
    assert "4111" not in caplog.text + repr(room.put_bodies)


async def test_card_data_in_a_reason_or_in_a_name_is_dropped_too(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    kept = room.hear(MEDIA, "jammed", reason=f"got {PAN}")
    assert kept is not None
    assert kept.reason == "cardData"
    assert room.hear(f"cardReader.{PAN}", 1) is None
    assert room.ingest.guard_hits == 2
    assert "4111" not in caplog.text + repr(room.put_bodies)


@pytest.mark.parametrize("value", ["imei:490154203237518", "iccid:89430300000012345674", "ns:1741745400123456789", 12.5, None])
async def test_what_only_resembles_it_is_no_hit(room: Room, value: Any) -> None:
    room.hear("gateway.source.modem", value)
    assert room.ingest.guard_hits == 0


async def test_a_machine_that_is_not_configured_is_counted_and_passed_over(room: Room) -> None:
    assert room.hear(MEDIA, "present", machine="somebody") is None
    assert room.ingest.unknown_machines == 1


@pytest.mark.parametrize("at", [NOW + 2 * AHEAD, 9e10, 1e300, float("inf"), float("nan")])
async def test_a_clock_far_ahead_is_not_believed(room: Room, at: float) -> None:
    room.hear(MEDIA, "present")
    kept = room.hear(MEDIA, "jammed", at)
    assert kept is not None
    assert (kept.at, kept.value, kept.quality, kept.reason) == (NOW, "jammed", Quality.UNCERTAIN, "clockAhead")


async def test_a_little_ahead_is_as_clocks_are(room: Room) -> None:
    kept = room.hear(MEDIA, "present", NOW + 1.0)
    assert kept is not None
    assert (kept.at, kept.quality) == (NOW + 1.0, Quality.GOOD)
