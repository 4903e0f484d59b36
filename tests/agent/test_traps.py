"""The usual false alarms of each attack: what looks like its first evidence raises no alarm of an attack, and the attack does.

A row a trap, named after the attack and what is mistaken for it. Both are played in the same world: ordinary life around them is
there where it matters (customers, hours to learn from), and still otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, TypeAlias

import pytest

from agent.config import shipped_rules
from agent.records import Alarm, EventClass
from benchmarks.machines import lived
from firmware_sim import attacks, lookalikes, mishaps, visits
from firmware_sim.agenda import Script
from firmware_sim.climate import HOUR
from firmware_sim.site import Site, Visit
from firmware_sim.world import World
from tests.firmware_sim.conftest import NOBODY, QUIET

Play: TypeAlias = Callable[[Site, Random], Script]
RULES = shipped_rules()
MONDAY = datetime(2025, 3, 10, tzinfo=UTC)
SUMMER = datetime(2025, 7, 14, tzinfo=UTC)
WINTER = datetime(2025, 1, 13, tzinfo=UTC)


def planned(play: Play) -> Play:
    """The same work, announced in the operator's calendar."""

    def announced(site: Site, rng: Random) -> Script:
        site.plan.append(Visit("technician", site.now - HOUR, site.now + 3 * HOUR))
        yield 1.0
        yield from play(site, rng)

    return announced


# What is mistaken -------------------------------------------------------------------------------------------------------------


def again(play: Play, times: int) -> Play:
    """Several times in a row."""

    def repeated(site: Site, rng: Random) -> Script:
        for _ in range(times):
            yield from play(site, rng)

    return repeated


def nothing(site: Site, rng: Random) -> Script:
    """What the world itself does, with the parameters of the row."""
    yield 1.0


def service_at_the_fascia(site: Site, rng: Random) -> Script:
    """The technician takes the fascia off while the cabinet is open."""
    site.play(visits.service(site, rng, 20.0))
    yield 240.0
    site.housing.tampered = True
    site.motion.shake(3.0, 0.8, 6.0)


def glare_on_dirt(site: Site, rng: Random) -> Script:
    """Cards go in slowly for hours, as slowly as dirt makes them, and meanwhile the sun shines into the slot for minutes."""
    site.reader.drag, site.reader.error_factor = 1.3, 4.0
    yield 8.0 * HOUR
    site.reader.anti_fraud = "deviceDetected"
    yield 400.0
    site.reader.anti_fraud = "ok"


def sensor_comes_free(site: Site, rng: Random) -> Script:
    """The sensor of the temperature sticks before dawn, and shows at noon by how much it was wrong."""
    site.board.stuck.add("environment.temperature_c")
    yield 9.0 * HOUR
    site.board.stuck.discard("environment.temperature_c")


def forgotten_card(site: Site, rng: Random) -> Script:
    """The card is offered for as long as the reader waits, and captured."""
    site.reader.media = "entering"
    yield site.params.take_timeout_s
    site.reader.captures += 1
    site.reader.media = "notPresent"


def note_jam(site: Site, rng: Random) -> Script:
    """Notes get stuck before they are presented; the next customer finds out."""
    site.dispenser.jam_next = True
    yield 1.0


# What it is mistaken for ------------------------------------------------------------------------------------------------------


def shim(site: Site, rng: Random) -> Script:
    """A thin device in the chip path: card after card fails."""
    for _ in range(40):
        site.reader.chip_power = "hardwareError"
        yield 4.0
        site.reader.chip_power = "noCard"
        yield 200.0


def eavesdropper(site: Site, rng: Random) -> Script:
    """The fascia is levered off and drilled through, quickly, and put back so that its contact stays open."""
    site.housing.tampered = True
    site.motion.shake(8.0, 1.2, 7.0, drill=0.9)
    yield 1_200.0


def card_trap(site: Site, rng: Random) -> Script:
    """A sleeve in the throat holds the card."""
    site.reader.media = "entering"
    yield 600.0


def reversals(site: Site, rng: Random) -> Script:
    """Most notes are taken out of the slot, the rest is left to be retracted; three times."""
    for _ in range(3):
        while site.serving or site.cash.slot:
            yield 5.0
        site.dispenser.stack({5_000: 8})
        site.dispenser.present()
        yield 30.0
        site.dispenser.trapped = True
        site.dispenser.retract()
        site.dispenser.trapped = False
        yield 5.0
        site.truth.note(site.now, "stolen", site.dispenser.take())
        yield 400.0


def jackpot(site: Site, rng: Random) -> Script:
    """The PC starts anew with software of the attacker's, which pays out without the host."""
    site.computer.link = "down"
    yield 60.0
    yield from site.restart()
    for _ in range(8):
        site.dispenser.stack({5_000: 20})
        site.dispenser.present()
        yield 4.0
        site.dispenser.take()
        yield 20.0


def blast(site: Site, rng: Random) -> Script:
    """A solid charge at the safe: one blow, the ink fires."""
    site.motion.shake(0.2, 120.0, 600.0, drill=60.0, grind=40.0)
    site.neutralization.mode = "neutralizationTriggered"
    yield 60.0


def torch(site: Site, rng: Random) -> Script:
    """A torch at the safe."""
    site.climate.heat(70.0, 500.0)
    yield 1_200.0


GAS: Play = lambda site, rng: attacks.gas(site, rng, 90.0)  # noqa: E731
SKIMMER: Play = lambda site, rng: attacks.skimming(site, rng, 1.4, 1_200.0, 5.0)  # noqa: E731
BOX: Play = lambda site, rng: attacks.black_box(site, rng, 15, 40.0)  # noqa: E731
DRILL: Play = lambda site, rng: attacks.drilling(site, rng, 15.0)  # noqa: E731
RAID: Play = lambda site, rng: attacks.ram_raid(site, rng, 35.0)  # noqa: E731
CLAW: Play = lambda site, rng: attacks.cash_trap(site, rng, 2)  # noqa: E731


@dataclass(frozen=True)
class Trap:
    """What is mistaken, for what, and the world of both: it begins at `at` o'clock after `before` hours, and lasts `hours`."""

    trap: Play
    attack: str
    real: Play
    at: float = 10.0
    before: float = 0.1
    hours: float = 2.0
    sample: float = 60.0
    seed: int = 1
    customers: bool = False
    day: datetime = MONDAY
    settings: Mapping[str, Any] = field(default_factory=dict)


USED: dict[str, Any] = {"customers": True, "sample": 120.0}
LEARNED: dict[str, Any] = {**USED, "at": 8.0, "before": 25.0, "hours": 13.0}  # a day of ordinary cards comes before it
HOT: dict[str, Any] = {"sun_rise_c": 25.0, "weather_c": 4.0}
DAWN: dict[str, Any] = {"at": 4.0, "hours": 10.0, "day": SUMMER, "settings": HOT}
TRAPS = {
    "skimming, dirt": Trap(mishaps.dirty_reader, "SKIMMING", SKIMMER, **LEARNED),
    "skimming, rain": Trap(lookalikes.rain, "SKIMMING", SKIMMER, **LEARNED),
    "skimming, sun glare": Trap(mishaps.glare, "SKIMMING", SKIMMER, **LEARNED),
    "skimming, sun glare on dirt": Trap(glare_on_dirt, "SKIMMING", SKIMMER, seed=3, **LEARNED),
    "shimming, worn cards": Trap(nothing, "SHIMMING", shim, at=8.0, hours=14.0, **USED, settings={"read_errors_per_card": 0.04}),
    "eavesdropping, service": Trap(planned(service_at_the_fascia), "EAVESDROPPING", eavesdropper),
    "card trapping, forgotten card": Trap(forgotten_card, "CARD_TRAPPING", card_trap),
    "cash trapping, real jam": Trap(mishaps.stuck_shutter, "CASH_TRAPPING", CLAW, at=12.0, hours=6.0, **USED),
    "transaction reversal fraud, jam": Trap(note_jam, "TRF", reversals, at=12.0, hours=6.0, **USED),
    "black box, technician": Trap(
        planned(lambda site, rng: visits.service(site, rng, 25.0, power_cycle=True, presents=8)), "BLACK_BOX", BOX
    ),
    "malware, update": Trap(lookalikes.software_update, "MALWARE", jackpot, at=0.5, hours=5.0),
    "gas, cleaning fluid": Trap(again(visits.clean, 3), "X1", GAS, settings={"cleaning_fumes_share": 1.0}),
    "gas, paint": Trap(lookalikes.paint, "X1", GAS, hours=7.0),
    "gas, exhaust": Trap(again(lookalikes.exhaust, 3), "X1", GAS),
    "solid explosive, construction": Trap(lookalikes.construction, "X2", blast, hours=8.5),
    "torch, sun on the housing": Trap(nothing, "B1", torch, at=12.0, hours=8.0, sample=60.0, day=SUMMER, settings=HOT),
    "torch, heater": Trap(nothing, "B1", torch, at=12.0, hours=8.0, sample=60.0, day=WINTER, settings={"mean_c": 0.0}),
    "torch, stuck sensor": Trap(sensor_comes_free, "B1", torch, **DAWN),
    "drill, road works": Trap(mishaps.road_works, "B2", DRILL, sample=10.0),
    "drill, door slam": Trap(again(mishaps.door_slam, 30), "B2", DRILL, hours=0.6, sample=10.0),
    "rip-out, cleaning": Trap(again(visits.clean, 3), "RIP_OUT", RAID, sample=10.0),
    "rip-out, lorry": Trap(again(mishaps.lorry, 60), "RIP_OUT", RAID, hours=0.6, sample=10.0),
    "rip-out, earthquake": Trap(again(lookalikes.earthquake, 3), "RIP_OUT", RAID, hours=0.6, sample=10.0),
}


def attacks_told(row: Trap, play: Play, seed: int) -> Sequence[Alarm]:
    """The alarms of attacks, outside planned work, when this is played in the row's world."""
    begins = row.day + timedelta(hours=row.at)
    world = (row.customers, tuple(row.settings.items()), begins - timedelta(hours=row.before), begins)
    return _told(play, seed, world, row.sample, row.hours)


@cache  # some attacks are in several rows
def _told(
    play: Play, seed: int, of: tuple[bool, tuple[tuple[str, Any], ...], datetime, datetime], sample: float, hours: float
) -> Sequence[Alarm]:
    customers, changes, start, begins = of
    settings = {**QUIET, **dict(changes)}
    world = World("normal_week", seed, None if customers else NOBODY, settings=settings, start=start)
    world.site.play(play(world.site, Random(f"trap/{seed}")), begins.timestamp())
    life = lived(world, RULES, sample=sample, until=begins.timestamp() + hours * HOUR)
    security = (alarm for alarm in life.alarms if alarm.class_ is EventClass.SECURITY and not alarm.cleared)
    return [alarm for alarm in security if alarm.attack is not None]


@pytest.mark.parametrize("name", TRAPS)
def test_what_is_mistaken_for_an_attack_is_not_told_as_one(name: str) -> None:
    row = TRAPS[name]
    assert [(alarm.rule, alarm.attack) for alarm in attacks_told(row, row.trap, row.seed)] == []


@pytest.mark.parametrize("name", TRAPS)
def test_the_attack_itself_is_told(name: str) -> None:
    row = TRAPS[name]
    assert row.attack in {alarm.attack for alarm in attacks_told(row, row.real, row.seed)}


def test_a_battery_that_was_run_down_is_not_worn() -> None:
    """An aged battery carries the machine through twenty minutes without mains, and rests low for hours afterwards."""
    world = World("normal_week", 1, NOBODY, settings={**QUIET, "ups_health": 0.5}, start=MONDAY)

    def failure() -> Script:
        world.site.power.fail()
        yield 1_200.0
        world.site.power.come_back()

    world.site.play(failure(), world.start + 31 * HOUR)
    life = lived(world, RULES, sample=150.0, until=world.start + 39 * HOUR)
    told = {alarm.rule for alarm in life.alarms}
    assert {"mainsFailure", "batteryLow"} <= told
    assert "batteryWorn" not in told


def test_a_sensor_that_comes_free_is_no_fan_that_stands_still() -> None:
    world = World("normal_week", 1, NOBODY, settings={**QUIET, **HOT}, start=SUMMER + timedelta(hours=3.9))
    world.site.play(sensor_comes_free(world.site, Random(1)), world.start + 0.1 * HOUR)
    life = lived(world, RULES, sample=60.0, until=world.start + 10.1 * HOUR)
    told = {alarm.rule for alarm in life.alarms}
    assert "sensorStuck" in told
    assert "fanFailed" not in told
