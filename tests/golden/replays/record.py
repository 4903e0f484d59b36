"""Records the golden replays anew: `python -m tests.golden.replays.record [CASE …]`.

A case is a folder: session.jsonl (what the sources said), config.yaml (the machine), expected.jsonl (the alarms). The session and
the configuration come from the simulator; the alarms are what the pipeline makes of them, to be read by a person before they are
committed. A case of one's own needs no entry here: three files in a folder are enough.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import yaml

from agent import config, rooms
from agent.pipeline import replayed
from agent.records import Alarm, Reading
from agent.stages import session
from agent.vocabulary import point
from firmware_sim.replay import replay
from firmware_sim.world import World

HERE = Path(__file__).parent
MACHINE = "atm-1"
HOUR = 3_600.0
MOTION = ("motion.tilt_deg", "motion.peak_ms2", "motion.drill_band_ms2", "motion.grind_band_ms2")
DISPENSER = ("cashDispenser.presents", "cashDispenser.retracts", "transaction.count")
READER = ("cardReader.insertionTime_s", "cardReader.readErrors", "transaction.count")
SERVICE = ("auxiliaries.operatorSwitch", "vendorMode.", "link.")


CASH = ("cashDispenser.device", "cashDispenser.exchange", "cashDispenser.out", "cashManagement.disp", "storage.", *SERVICE)
POWER = ("powerManagement.", *SERVICE)
SLOW = ("sensorsSilent", "pcDown")  # rules that want to hear every point within minutes


@dataclass(frozen=True)
class Case:
    """Hours [start, end) of a scenario, sampled each `sample` seconds: these numbers, and the words that begin so."""

    scenario: str
    start: float
    end: float
    sample: float
    numbers: tuple[str, ...] = ()
    words: tuple[str, ...] = ("",)
    settings: dict[str, str] = field(default_factory=dict)
    seed: int = 1
    machine: dict[str, object] = field(default_factory=dict)  # more of its configuration


COUNTS = tuple(f"storage.{unit}.count" for unit in ("unit1", "unit2", "unit3", "unit4", "unitReject"))
CASES = {
    "normal_week": Case("normal_week", 33, 35, 120, DISPENSER),
    "cash_out_weekend": Case("cash_out_weekend", 0, 72, 1200, (*DISPENSER, "storage.unit1.count"), CASH),
    "slow_jam_degradation": Case(
        "slow_jam_degradation", 0, 144, 1800, ("cashDispenser.picks", "storage.unitReject.rejected"), CASH
    ),
    "replenishment": Case("replenishment", 3.3, 4.2, 60, (*DISPENSER, "storage.unit1.count")),
    "replenishment_without_exchange": Case("replenishment", 3.3, 4.2, 60, DISPENSER, settings={"exchange": "no"}),
    "over_insured": Case(
        "replenishment", 3.3, 4.2, 60, COUNTS, CASH, machine={"bins": {"unitReject": 5_000}, "insured_limit": 16_580_000}
    ),
    "receipt_out": Case("receipt_out", 0, 15, 600, ("printer.receipts",), ("printer.", *SERVICE)),
    "ups_battery_worn": Case("ups_battery_worn", 0, 120, 900, ("powerManagement.batteryVoltage_v",), POWER),
    "overheating": Case("overheating", 2, 10, 300, ("environment.temperature_c",), ("auxiliaries.", "banknote")),
    "skimming_overlay": Case("skimming_overlay", 5.3, 7, 120, READER),
    "cash_trap": Case("cash_trap", 10.9, 12.6, 60, DISPENSER),
    "black_box": Case("black_box", 4.1, 5.2, 60, DISPENSER),
    "gas_attack": Case("gas_attack", 5.3, 5.55, 20, MOTION),
    "drilling": Case("drilling", 3.65, 4.1, 10, MOTION),
    "ram_raid": Case("ram_raid", 6.05, 6.5, 20, (*MOTION, "position.lat", "position.lon")),
    "sensor_stuck": Case("sensor_stuck", 1.5, 7, 300, ("environment.temperature_c", "environment.humidity_pct"), SERVICE),
    "cable_cut": Case("cable_cut", 6.9, 11, 120, MOTION),
    "technician_visit": Case("technician_visit", 3.9, 4.7, 60, DISPENSER),
    "clock_step": Case("clock_step", 1.95, 2.2, 60, DISPENSER),
    "flood_of_events": Case("flood_of_events", 1.99, 2.06, 60, settings={"per_minute": "120"}),
}


def world_of(case: Case) -> World:
    """The world of a case, not begun."""
    return World(case.scenario, case.seed, settings=case.settings)


def told(case: Case, world: World) -> Iterator[list[Reading]]:
    """What the sources say of a case."""
    wanted = frozenset(case.numbers)
    begin = world.start + case.start * HOUR
    for at, values in replay(world, case.sample, world.start + case.end * HOUR):
        said = {
            name: value for name, value in values.items() if name in wanted or (_is_word(name) and name.startswith(case.words))
        }
        if at >= begin and said:
            yield [Reading(MACHINE, name, value, at) for name, value in said.items()]


def _is_word(name: str) -> bool:
    entry = point(name)
    return entry is not None and bool(entry.words)


def configuration(case: Case, world: World) -> dict[str, object]:
    """The machine as its operator would have configured it. The world has been lived through, so its visits are known."""
    loads = enumerate(world.site.params.cassettes, start=1)
    visits = [
        {"from": _iso(visit.start), "to": _iso(visit.end), "who": visit.what}
        for visit in world.plan
        if visit.end > world.start + case.start * HOUR
    ]
    machine: dict[str, object] = {
        "id": MACHINE,
        "cassettes": {
            f"unit{number}": {"value": load.denomination, "currency": "EUR", "capacity": load.capacity} for number, load in loads
        },
    }
    if visits:
        machine["visits"] = visits
    machine |= case.machine
    settings: dict[str, object] = {"gateway": {"id": "gw-1"}, "machines": [machine]}
    if case.sample > 60:
        settings["clean"] = {"silent_after": f"{round(3 * case.sample)}s"}
    if case.sample > 120:
        settings["rules"] = {"disable": list(SLOW)}
    return settings


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def record(name: str, case: Case) -> None:
    """Write the three files of a case."""
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    world = world_of(case)
    recorder = session.Recorder(MACHINE, f"{case.scenario}, seed {case.seed}")
    lines = [recorder.head, *(line for readings in told(case, world) for line in recorder.lines(readings))]
    (folder / "session.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(case, world), sort_keys=False))
    (folder / "expected.jsonl").write_bytes(b"".join(msgspec.json.encode(alarm) + b"\n" for alarm in alarms(folder)))


def alarms(folder: Path, step: float = 60.0) -> list[Alarm]:
    """The alarms of a case's session with its configuration."""
    settings = config.load(folder / "config.yaml")
    pipeline = rooms.pipeline(settings.machines[0].id, settings)
    with (folder / "session.jsonl").open("rb") as lines:
        found = replayed(pipeline, session.read(lines, str(folder.name)), step)
        return [body for body in found if isinstance(body, Alarm)]


if __name__ == "__main__":
    for chosen in sys.argv[1:] or CASES:
        record(chosen, CASES[chosen])
        print(chosen, len(alarms(HERE / chosen)), (HERE / chosen / "session.jsonl").stat().st_size)
