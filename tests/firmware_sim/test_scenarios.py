"""Each scenario tells the truth about itself, and leaves its signature in what the board can see."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from agent.records import Value
from firmware_sim.board import Board, Edge
from firmware_sim.scenarios import SCENARIOS
from firmware_sim.truth import Kind, Label
from firmware_sim.world import World

Items = list[tuple[float, dict[str, Value]]]
Played = Callable[..., tuple[World, Items]]
TOLD = {
    "normal_week": ("visit", "replenishment", ""),
    "cash_out_weekend": ("fault", "cashOut", ""),
    "slow_jam_degradation": ("fault", "wornTransport", ""),
    "replenishment": ("visit", "replenishment", ""),
    "receipt_out": ("fault", "paperOut", ""),
    "ups_battery_worn": ("fault", "upsBatteryWorn", ""),
    "overheating": ("fault", "fanFailed", ""),
    "skimming_overlay": ("attack", "skimming", "SKIMMING"),
    "cash_trap": ("attack", "cashTrap", "CASH_TRAPPING"),
    "black_box": ("attack", "blackBox", "BLACK_BOX"),
    "gas_attack": ("attack", "gas", "X1"),
    "drilling": ("attack", "drilling", "B2"),
    "ram_raid": ("attack", "ramRaid", "RIP_OUT"),
    "sensor_stuck": ("fault", "sensorStuck", ""),
    "cable_cut": ("fault", "cableCut", ""),
    "technician_visit": ("visit", "technician", ""),
    "clock_step": ("fault", "clockStep", ""),
    "flood_of_events": ("fault", "contactChatter", ""),
}


def label(world: World, name: str) -> Label:
    return next(one for one in world.truth if one.name == name)


def words(items: Items, point: str, start: float = 0.0, end: float = float("inf")) -> list[Value]:
    """What `point` said between two moments, each word once until it changes."""
    told: list[Value] = []
    for at, values in sorted(items, key=lambda item: item[0]):
        if start <= at <= end and point in values and (not told or told[-1] != values[point]):
            told.append(values[point])
    return told


def numbers(items: Items, point: str, start: float = 0.0, end: float = float("inf")) -> list[float]:
    return [value for at, values in items if start <= at <= end and isinstance(value := values.get(point), int | float)]


def growth(items: Items, point: str, start: float, end: float) -> float:
    """Of a counter, from the last sample before `start` to the first after `end`."""
    before = numbers(items, point, end=start)[-1]
    return numbers(items, point, start=end)[0] - before


def test_all_eighteen_are_there() -> None:
    assert set(TOLD) == set(SCENARIOS)


@pytest.mark.parametrize("name", sorted(TOLD))
@pytest.mark.parametrize("seed", [1, 3])
def test_the_truth_is_told_and_lies_within_the_scenario(name: str, seed: int) -> None:
    world = World(name, seed)
    world.run_to(world.end)
    kind, what, attack = TOLD[name]
    told = [one for one in world.truth if (one.kind, one.name, one.attack) == (kind, what, attack)]
    assert told
    for one in world.truth:
        assert world.start <= one.start <= world.end
        assert one.seen is None or one.start <= one.seen
        assert one.end is None or one.start <= one.end
    assert told[0].seen is not None
    attacks = [one for one in world.truth if one.kind is Kind.ATTACK]
    assert [one.name for one in attacks] == ([what] if kind == "attack" else [])
    assert next(change.what for change in world.changes if change.label.name == what) == "begin"


def test_normal_week(played: Played) -> None:
    world, items = played("normal_week", sample=600.0, until_day=2)
    assert growth(items, "transaction.count", world.start, world.now) > 100
    assert not any(one.kind is Kind.ATTACK for one in world.truth)
    assert set(words(items, "banknoteNeutralization.gas")) <= {"notDetected", "partialWarningLevel"}
    assert set(words(items, "auxiliaries.safeDoor")) == {"bolted", "closed", "open"}


def test_cash_out_weekend(played: Played) -> None:
    world, items = played("cash_out_weekend")
    out = label(world, "cashOut")
    assert words(items, "cashManagement.dispenser")[-1] == "stop"
    for unit in (3, 4):
        assert words(items, f"storage.unit{unit}.replenishmentStatus")[:2] == ["ok", "low"]
        assert words(items, f"storage.unit{unit}.replenishmentStatus")[-1] == "empty"
    assert growth(items, "transaction.count", out.start + 60, world.end) == 0
    assert any(entry.what == "unserved" for entry in world.journal if entry.at > out.start)


def test_slow_jam_degradation(played: Played) -> None:
    world, items = played("slow_jam_degradation", sample=600.0, until_day=2, days="1")
    jam = label(world, "noteJam")
    assert words(items, "cashDispenser.outDefault.transport", jam.start, jam.start + 60) == ["inoperative"]
    assert words(items, "cashDispenser.outDefault.transport", jam.end or 0)[-1] == "ok"


def test_the_reject_rate_grows_tenfold() -> None:
    """Four machines together, since one rejects only a few notes a day."""
    rates = []
    worlds = [World("slow_jam_degradation", seed) for seed in range(4)]
    for _ in range(5):
        before = [(one.site.cash.rejected, one.site.dispenser.picks) for one in worlds]
        for one in worlds:
            one.step(86_400)
        after = [(one.site.cash.rejected, one.site.dispenser.picks) for one in worlds]
        rejected, picked = (sum(now[at] - then[at] for now, then in zip(after, before, strict=True)) for at in (0, 1))
        rates.append(1000 * rejected / picked)
    assert rates[0] < 10
    assert 17 < rates[4] < 45


@pytest.mark.parametrize("exchange", ["yes", "no"])
def test_replenishment(played: Played, exchange: str) -> None:
    world, items = played("replenishment", exchange=exchange)
    visit = label(world, "replenishment")
    end = visit.end or 0.0
    assert any(one.what == "replenishment" and one.start < visit.start and end < one.end for one in world.plan)
    assert words(items, "auxiliaries.safeDoor", visit.start, end) == ["bolted", "closed", "open", "closed", "bolted"]
    assert words(items, "banknoteNeutralization.mode", visit.start, end) == ["armed", "disarmed", "armed"]
    exchanges = words(items, "cashDispenser.exchange", visit.start, end)
    status = words(items, "storage.unit3.status", end, end + 60)
    if exchange == "yes":
        assert exchanges == ["inactive", "active", "inactive"]
        assert status == ["ok"]
        assert numbers(items, "storage.unit3.count", end)[0] == 1_400
        assert words(items, "storage.unit3.accuracy", end)[0] == "accurateSet"
    else:
        assert exchanges == ["inactive"]
        assert status == ["manipulated"]
        assert words(items, "cashManagement.dispenser", end, end + 60) == ["stop"]


def test_receipt_out(played: Played) -> None:
    world, items = played("receipt_out")
    out = label(world, "paperOut")
    assert words(items, "printer.paper.upper")[-3:] == ["full", "low", "out"] or words(items, "printer.paper.upper") == [
        "low",
        "out",
    ]
    assert growth(items, "printer.receipts", out.start + 60, world.end) == 0
    assert growth(items, "transaction.count", out.start + 60, world.end) > 5  # cash still works


def test_ups_battery_worn(played: Played) -> None:
    world, items = played("ups_battery_worn", sample=300.0, until_day=1.5, days="1")
    worn = label(world, "upsBatteryWorn")
    failure = next(one for one in world.truth if one.name == "mainsFailure" and one.start > worn.start)
    volts = numbers(items, "powerManagement.batteryVoltage_v", end=failure.start)
    assert volts[0] == pytest.approx(27.4, abs=0.1)
    assert volts[-1] < 26.4
    during = words(items, "cashDispenser.device", failure.start, failure.start + 900)
    assert during[0] == "online"
    assert "powerOff" in during  # a good battery carries it for half an hour
    assert words(items, "powerManagement.powerInStatus", failure.start, failure.end or 0) == ["noPower", "powering"]
    assert "critical" in words(items, "powerManagement.batteryStatus", failure.start, failure.end or 0)


def test_overheating(played: Played) -> None:
    world, items = played("overheating")
    fan = label(world, "fanFailed")
    before = fmean(numbers(items, "environment.temperature_c", end=fan.start))
    hot = max(numbers(items, "environment.temperature_c", fan.start))
    assert hot - before > 20
    assert "tooHot" in words(items, "banknoteNeutralization.temperature")
    assert words(items, "auxiliaries.heatSensor") == ["off"]  # warm, but no torch


def test_skimming_overlay(played: Played) -> None:
    world, items = played("skimming_overlay")
    overlay = label(world, "skimming")
    start, end = overlay.seen or 0.0, overlay.end or 0.0
    before = fmean(numbers(items, "cardReader.insertionTime_s", end=start))
    during = fmean(numbers(items, "cardReader.insertionTime_s", start + 600, end))
    assert 1.2 < during / before < 1.7
    detected = next(at for at, values in items if values.get("cardReader.antiFraudModule") == "deviceDetected")
    assert 900 < detected - start < 1_600
    assert words(items, "cardReader.antiFraudModule") == ["ok", "deviceDetected", "ok"]


def test_cash_trap(played: Played) -> None:
    world, items = played("cash_trap")
    trap = label(world, "cashTrap")
    shutter = words(items, "cashDispenser.outDefault.shutter", trap.start, trap.end or 0)
    assert shutter.count("jammedPartiallyOpen") == 3
    assert shutter.count("jammedOpen") == 3
    assert growth(items, "cashDispenser.retracts", trap.start, trap.end or 0) >= 3
    presents = [entry for entry in world.journal if entry.what == "present" and trap.start < entry.at < (trap.end or 0)]
    taken = [entry for entry in world.journal if entry.what == "taken" and trap.start < entry.at < (trap.end or 0)]
    assert len(presents) - len(taken) == 3
    assert sum(entry.amount for entry in world.journal if entry.what == "stolen") > 0


def test_black_box(played: Played) -> None:
    world, items = played("black_box")
    attack = label(world, "blackBox")
    start, end = attack.start, attack.end or 0.0
    opened = next(at for at, values in items if values.get("auxiliaries.cabinetDoor") == "open")
    assert opened == attack.seen
    assert 0 < opened - (world.start + 4 * 3600 + 600) < 120  # 02:10, and the time to lever it open
    assert not any(one.start < opened < one.end for one in world.plan)
    device = words(items, "cashDispenser.device", start, end)
    assert device[:4] == ["online", "powerOff", "noDevice", "online"] or device[:3] == ["powerOff", "noDevice", "online"]
    gone = [at for at, values in items if at > start and "cashDispenser.device" in values and len(values) < 60]
    assert 34 < gone[2] - gone[1] < 46
    presents = growth(items, "cashDispenser.presents", start, end)
    assert 12 <= presents <= 18
    assert growth(items, "cashDispenser.picks", start, end) == 40 * presents
    fallen = sum(growth(items, f"storage.unit{unit}.count", start, end) for unit in range(1, 5))
    assert fallen == -40 * presents
    assert growth(items, "transaction.count", start, end) == 0
    assert growth(items, "transaction.failed", start, end) == 0
    assert words(items, "vendorMode.service", start, end) == ["inactive"]
    assert words(items, "auxiliaries.operatorSwitch", start, end) == ["run"]


def test_technician_visit_has_the_same_doors_but_is_planned(played: Played) -> None:
    world, items = played("technician_visit")
    visit = label(world, "technician")
    start, end = visit.start, visit.end or 0.0
    assert any(one.start < start and end < one.end for one in world.plan)
    assert "open" in words(items, "auxiliaries.cabinetDoor", start, end)
    assert words(items, "vendorMode.service", start, end) == ["enterPending", "active", "exitPending", "inactive"]
    assert words(items, "auxiliaries.operatorSwitch", start, end)[-2:] == ["maintenance", "run"]
    assert "noDevice" in words(items, "cashDispenser.device", start, end)
    presents = growth(items, "cashDispenser.presents", start, end)
    rejected = growth(items, "storage.unitReject.rejected", start, end)
    assert presents >= 6
    assert rejected >= 6  # they went to the tray
    assert sum(entry.what == "testPresent" for entry in world.journal) == 6
    assert words(items, "cashDispenser.outDefault.shutter", start + 120, end - 60).count("open") == 0


def test_gas_attack(played: Played) -> None:
    world, items = played("gas_attack")
    attack = label(world, "gas")
    levels = [(at, values["banknoteNeutralization.gas"]) for at, values in items if len(values) < 60 and "banknoteNeutralization.gas" in values]  # noqa: E501  # fmt: skip
    assert [level for _, level in levels] == ["partialWarningLevel", "warningLevel", "partialCriticalLevel", "criticalLevel"]
    assert levels[-1][0] - levels[0][0] == pytest.approx(90.0, abs=1.0)
    assert words(items, "auxiliaries.tamperSensor", attack.seen or 0) == ["on"]
    last = max(at for at, _ in items)
    assert last < (attack.end or 0) - 50  # then nothing answers
    assert world.end - last > 3 * 3600


def test_drilling(played: Played) -> None:
    world, items = played("drilling", sample=20.0)
    attack = label(world, "drilling")
    start, end = attack.seen or 0.0, attack.end or 0.0
    assert 8 * 60 < end - start < 30 * 60
    drilled = numbers(items, "motion.drill_band_ms2", start, end)
    assert sum(one > 1.0 for one in drilled) > len(drilled) / 3
    assert max(numbers(items, "motion.drill_band_ms2", end=attack.start)) < 0.8
    assert "warningLevel" in words(items, "banknoteNeutralization.seismic", start, end)
    assert words(items, "auxiliaries.tamperSensor", end)[-1] in ("on", "off")


def test_ram_raid(played: Played) -> None:
    world, items = played("ram_raid", sample=20.0)
    attack = label(world, "ramRaid")
    start, end = attack.start, attack.end or 0.0
    assert 25 < max(numbers(items, "motion.tilt_deg", start)) < 60
    assert max(numbers(items, "motion.peak_ms2", start)) > 60
    assert words(items, "banknoteNeutralization.tilt", start)[-1] == "tilted"
    assert words(items, "powerManagement.powerInStatus", start)[-1] == "noPower"
    assert words(items, "link.host", start)[-1] == "down"
    lats, lons = numbers(items, "position.lat", start), numbers(items, "position.lon", start)
    assert abs(lats[-1] - lats[0]) + abs(lons[-1] - lons[0]) > 0.02  # kilometres away
    assert max(at for at, _ in items) <= end


def test_sensor_stuck(played: Played) -> None:
    world, items = played("sensor_stuck")
    stuck = label(world, "sensorStuck")
    frozen = numbers(items, "environment.temperature_c", stuck.start + 60, (stuck.end or 0) - 60)
    assert len(frozen) > 400
    assert pstdev(frozen) == 0.0
    assert pstdev(numbers(items, "environment.temperature_c", end=stuck.start)) > 0.0
    assert pstdev(numbers(items, "environment.temperature_c", start=(stuck.end or 0) + 60)) > 0.0


def test_cable_cut(played: Played) -> None:
    world, items = played("cable_cut")
    cut = label(world, "cableCut")
    values: dict[str, Value] = {}
    for at, edge in items:
        values |= edge if at == cut.start and len(edge) < 60 else {}
    assert values["auxiliaries.cabinetDoor"] == values["auxiliaries.safeDoor"] == "open"
    assert values["auxiliaries.tamperSensor"] == "on"
    sample = next(values for at, values in items if at > cut.start and len(values) > 60)
    assert sample["motion.rms_ms2"] is sample["environment.temperature_c"] is None
    assert sample["powerManagement.inputVoltage_v"] is not None
    assert words(items, "auxiliaries.cabinetDoor", cut.end or 0)[-1] == "locked"


def test_clock_step() -> None:
    world = World("clock_step")
    world.run_to(world.start + 2 * 3600 - 10)
    items = list(Board(world).run_to(world.now + 20))
    steps = [(after.uptime - before.uptime) / 1000 - (after.at - before.at) for before, after in pairwise(items)]
    assert 3600 <= max(steps) <= 3601
    assert sum(abs(one) > 0.01 for one in steps) == 1
    assert label(world, "clockStep").start == world.start + 2 * 3600


def test_flood_of_events() -> None:
    world = World("flood_of_events")
    world.run_to(world.start + 2 * 3600)
    edges = [
        item.values["auxiliaries.cabinetDoor"]
        for item in Board(world).run_to(world.now + 60)
        if isinstance(item, Edge) and "auxiliaries.cabinetDoor" in item.values
    ]
    assert 200 < len(edges) < 400
    assert all(one != other for one, other in pairwise(edges))


def test_attacks_differ_from_seed_to_seed() -> None:
    lengths = set()
    for seed in range(8):
        world = World("black_box", seed)
        world.run_to(world.end)
        attack = label(world, "blackBox")
        lengths.add((attack.end or 0) - attack.start)
    assert len(lengths) == 8
    assert min(lengths) > 60
    assert max(lengths) < 15 * 60


def test_settings_move_the_attack() -> None:
    world = World("black_box", settings={"at": "23:30", "presents": 4})
    world.run_to(world.end)
    attack = label(world, "blackBox")
    assert attack.start == world.start + 1.5 * 3600
    assert 3 <= sum(entry.what == "illicitPresent" for entry in world.journal) <= 5
