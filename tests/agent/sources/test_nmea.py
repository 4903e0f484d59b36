"""The receiver's driver and its twin."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agent.sources import Context
from agent.sources.nmea import Receiver, Settings, distance
from firmware_sim.twins import nmea as sim
from firmware_sim.twins import twin
from firmware_sim.world import World

HOME = (48.20849, 16.37208)
CONTEXT = Context("gps", "atm-1", "gw-1", lambda: 0.0)


class Drive:
    """A receiver that is moved about, a report a second."""

    def __init__(self, **settings: Any) -> None:
        fence: dict[str, Any] = {"latitude": HOME[0], "longitude": HOME[1], **settings}
        self.device = Receiver(CONTEXT, Settings(port="/dev/ttyACM0", **fence))
        self.where = sim.Where(1.7e9, True, *HOME)
        self._sim = sim.Receiver(lambda: self.where)
        self.now = 0.0
        self.given: list[Any] = []

    def run(self, seconds: int, spoil: Any = bytes, **where: Any) -> dict[str, Any]:
        self.where = self.where._replace(**where)
        self.given = []
        for _ in range(seconds):
            self.now += 1.0
            self.given += self.device.hear("device", spoil(self._sim.report()), self.now, self.now)
        return {each.point: each.value for each in self.given}


def test_a_place_inside_its_fence() -> None:
    drive = Drive()
    values = drive.run(30)
    assert values["position.valid"] == "true"
    assert (values["position.lat"], values["position.lon"]) == (
        pytest.approx(HOME[0], abs=1e-6),
        pytest.approx(HOME[1], abs=1e-6),
    )
    assert values["position.geofence"] == "inside"
    assert values["position.hdop"] == 0.9
    assert values["position.distance_m"] < 1.0
    assert sum(each.point == "position.lat" for each in drive.given) <= 5  # every ten seconds, and at the changes


def test_it_is_driven_away() -> None:
    drive = Drive()
    drive.run(10)
    for step in range(1, 30):  # 20 m a second to the north
        values = drive.run(1, lat=HOME[0] + step * 20 / 111_320)
        if values.get("position.geofence") == "outside":
            break
    assert 10 < step <= 16  # 200 m, and five fixes in a row
    assert drive.run(15)["position.geofence"] == "outside"
    assert drive.run(20, lat=HOME[0])["position.geofence"] == "inside"


def test_one_fix_outside_is_no_alarm_and_neither_are_four() -> None:
    drive = Drive()
    drive.run(10)
    for _ in range(5):
        drive.run(4, lat=HOME[0] + 0.003)
        drive.run(2, lat=HOME[0])
    assert drive.run(20)["position.geofence"] == "inside"


def test_a_jump_that_stands_alone_is_not_believed() -> None:
    drive = Drive()
    drive.run(10)
    drive.run(1, lat=10.0)
    values = drive.run(20, lat=HOME[0])
    assert values["position.lat"] == pytest.approx(HOME[0], abs=1e-6)
    assert drive.run(20, lat=10.0)["position.geofence"] == "outside"  # but one that stays is


@pytest.mark.parametrize("why", [{"fix": False}, {"hdop": 9.9}])
def test_without_a_fix_there_is_no_place(why: dict[str, Any]) -> None:
    drive = Drive()
    drive.run(10)
    values = drive.run(3, **why)
    assert values["position.valid"] == "false"
    assert values["position.lat"] is values["position.lon"] is values["position.distance_m"] is None
    assert "position.geofence" not in values
    assert drive.run(3, fix=True, hdop=0.9)["position.valid"] == "true"


def test_a_receiver_that_says_only_gga() -> None:
    drive = Drive()
    values = drive.run(10, lambda data: b"".join(each for each in data.splitlines(keepends=True) if b"GGA" in each))
    assert values["position.valid"] == "true"


def test_without_a_home_there_is_no_fence() -> None:
    values = Drive(latitude=None, longitude=None).run(10)
    assert "position.geofence" not in values
    assert values["position.valid"] == "true"


def test_the_twin_is_where_the_world_is() -> None:
    world = World("ram_raid", seed=1)
    receiver = twin("nmea", world)
    device = Receiver(CONTEXT, Settings(port="/dev/ttyACM0"))
    values = {}
    for now in range(20):
        for _, data in receiver.tick(float(now)):
            values |= {each.point: each.value for each in device.hear("device", data, float(now), float(now))}
    lat, lon = world.site.place.position(world.now)
    assert distance((values["position.lat"], values["position.lon"]), (lat, lon)) < 20.0


def test_distance() -> None:
    assert distance((0.0, 0.0), (0.0, 1.0)) == pytest.approx(111_195, rel=1e-4)
    assert distance((90.0, 0.0), (-90.0, 0.0)) == pytest.approx(20_015_087, rel=1e-4)
    assert distance(HOME, HOME) == 0.0


def test_a_receiver_that_is_gone() -> None:
    assert {each.point: each.value for each in Drive().device.away("missing", 0.0)} == {
        "position.valid": None,
        "position.lat": None,
        "position.lon": None,
    }


def test_one_byte_in_a_hundred_corrupted(wrong: Any) -> None:
    """10,200 sentences under an XOR: no place that is not where the receiver is, and no alarm of the fence."""
    rng = random.Random(2)
    drive = Drive(every=1.0)
    drive.run(3_400, lambda data: wrong(data, rng))
    places = [each for each in drive.given if each.point in ("position.lat", "position.lon") and each.value is not None]
    off = [each for each in places if abs(each.value - HOME[each.point == "position.lon"]) > 1e-5]
    assert len(places) > 3_400
    assert len(off) <= 4
    assert {each.value for each in drive.given if each.point == "position.geofence"} == {"inside"}
    assert drive.device.counters()["crcErrors"] > 1_000


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"longitude": None}, "^longitude: goes with latitude"),
        ({"latitude": 91.0}, "^latitude:"),
        ({"longitude": 181.0}, "^longitude:"),
        ({"radius": 1.0}, "^radius:"),
        ({"consecutive": 0}, "^consecutive:"),
        ({"max_hdop": 0.0}, "^max_hdop:"),
        ({"every": 0.1}, "^every:"),
    ],
)
def test_mistakes_name_the_key(settings: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        Drive(**settings)
