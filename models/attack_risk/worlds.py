"""Which worlds the model learns from and is judged on: machines, places, seasons and scenarios drawn from one seed each.

    attack    one scripted attack on a machine whose ordinary life goes on
    trouble   one scripted fault or visit that is no attack, or a single contact whose wire breaks
    often     days in which nothing is scripted, and what is rare at a machine happens often
    life      a week of ordinary life

A group (train, choose, report) has seeds of its own, so no world is met twice. The report group draws the settings of its
attacks from ranges that are wider than those of the other two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random

from firmware_sim.params import Parameters
from firmware_sim.scenarios import Setting
from firmware_sim.world import World


class Group(StrEnum):
    """What a world is for."""

    TRAIN = "train"
    CHOOSE = "choose"
    REPORT = "report"


class Kind(StrEnum):
    """What a world shows."""

    ATTACK = "attack"
    TROUBLE = "trouble"
    LIFE = "life"
    OFTEN = "often"


# scenario -> its settings, each drawn between the two (on a logarithmic scale)
ATTACKS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "black_box": {"presents": (6, 25), "gap_s": (15.0, 90.0)},
    "gas_attack": {"seconds": (45.0, 200.0)},
    "drilling": {"minutes": (5.0, 25.0)},
    "ram_raid": {"tilt_deg": (18.0, 50.0)},
    "skimming_overlay": {"drag": (1.25, 1.6), "detect_s": (700.0, 2_400.0), "hours": (2.0, 5.0)},
    "cash_trap": {"hauls": (1, 4)},
}
WIDER = 1.25  # the report group's ranges reach further by this factor at both ends
SHORT = 2.0  # hours, of a trouble that is watched closely
BY_DAY = ("skimming_overlay", "cash_trap")  # need customers
LONG_BEFORE = ("skimming_overlay", "dirty_reader")  # want most of a day in which to learn what is usual
WHOLE = ("presents", "hauls")

TROUBLES: Mapping[str, float] = {  # scenario -> hours worth watching after its moment
    "technician_visit": 1.5,
    "replenishment": 1.0,
    "cable_cut": 4.5,
    "sensor_stuck": 3.0,
    "flood_of_events": 1.0,
    "overheating": 6.0,
    "receipt_out": 6.0,
    "clock_step": 1.0,
    "broken_loop": 2.0,
    "road_works": 10.0,
    # what comes by itself and looks like an attack (LOOK_ALIKES)
    "glare": 26.0,
    "dirty_reader": 24.0,
    "stuck_shutter": 6.0,
    "dispenser_reset": 3.0,
    "cleaning": 6.0,
    "brown_out": 3.0,
    "forgotten_cash": 6.0,
    "rain": 8.0,
    "paint": 8.0,
    "exhaust": 3.0,
    "construction": 9.0,
    "earthquake": 3.0,
    "software_update": 14.0,
}
LOOK_ALIKES: Mapping[str, Mapping[str, float]] = {  # trouble -> what is so frequent there that it comes in the hours watched
    "road_works": {"road_works": 48.0, "glares": 2.0},
    "glare": {"glares": 48.0},
    "dirty_reader": {"dirty_readers": 1.5, "glares": 3.0},
    "stuck_shutter": {"stuck_shutters": 24.0},
    "dispenser_reset": {"dispenser_resets": 48.0, "link_losses": 6.0},
    "cleaning": {"cleanings": 24.0, "cleaning_fumes_share": 0.7},
    "brown_out": {"brown_outs": 48.0, "mains_failures": 6.0, "pc_hangs": 6.0},
    "forgotten_cash": {"forgotten_cash_per_present": 0.04, "link_losses": 6.0, "pc_hangs": 3.0},
    "rain": {"rains": 12.0, "dirty_readers": 2.0},
    "paint": {"paints": 12.0, "door_slams": 200.0},
    "exhaust": {"exhausts": 48.0, "lorries": 200.0},
    "construction": {"constructions": 24.0},
    "earthquake": {"earthquakes": 48.0},
    "software_update": {"software_updates": 12.0, "link_losses": 3.0},
}
LOOPS = (  # closed loops: a broken wire looks like an alarm
    "auxiliaries.cabinetDoor",
    "auxiliaries.safeDoor",
    "auxiliaries.tamperSensor",
    "auxiliaries.internalTamperSensor",
    "auxiliaries.seismicSensor",
    "auxiliaries.heatSensor",
)
STUCK = ("motion.drill_band_ms2", "motion.rms_ms2", "environment.temperature_c", "auxiliaries.proximitySensor")
WITHOUT_ANTI_FRAUD = 0.3  # share of the machines whose card reader has no such module
CALENDAR_KNOWN = 0.75  # share of the gateways that are told of planned visits
OFTEN = {  # what is rare at a machine happens so much more often
    "technician_visits": 8.0, "road_works": 8.0, "cleanings": 5.0, "cleaning_fumes_share": 3.0, "brown_outs": 5.0,
    "mains_failures": 10.0, "link_losses": 3.0, "pc_hangs": 10.0, "forgotten_cash_per_present": 10.0, "jams_per_note": 5.0,
    "card_jams_per_card": 5.0, "paper_jams_per_receipt": 3.0, "glares": 30.0, "dirty_readers": 30.0, "stuck_shutters": 40.0,
    "dispenser_resets": 30.0, "rains": 10.0, "paints": 30.0, "exhausts": 5.0, "constructions": 30.0, "earthquakes": 100.0,
    "software_updates": 8.0,
}  # fmt: skip
ALIKE = 25.0
"""In the report group all of it happens so much more often, each as the other, so that a day stands for so many."""
RARE = tuple(name for name in OFTEN if name != "cleaning_fumes_share")
FIRST_SEED = {Group.TRAIN: 1_000_000, Group.CHOOSE: 2_000_000, Group.REPORT: 3_000_000}


@dataclass(frozen=True)
class Plot:
    """One world, and how long to watch it."""

    kind: Kind
    scenario: str
    seed: int
    start: datetime
    moment: datetime
    """When the scripted part begins; with ordinary life the start."""
    hours: float
    """To be watched from the moment on."""
    parameters: Parameters
    settings: Mapping[str, Setting] = field(default_factory=dict)
    calendar_known: bool = True
    broken_loop: str = ""

    @property
    def lives(self) -> bool:
        """Nothing particular is meant to happen."""
        return self.kind in (Kind.LIFE, Kind.OFTEN)

    @property
    def near(self) -> bool:
        """Whether seconds matter, so that the board samples closely. Averages over hours want samples that are alike."""
        return not self.lives and self.scenario not in BY_DAY and (self.kind is Kind.ATTACK or self.hours <= SHORT)

    @property
    def scripted(self) -> bool:
        """Whether the scenario is one of the simulator's own."""
        return not self.lives and self.scenario not in LOOK_ALIKES and self.scenario != "broken_loop"

    def world(self) -> World:
        """The world at its start."""
        script = self.scenario if self.scripted else "normal_week"
        return World(script, self.seed, parameters=self.parameters, settings=self.settings, start=self.start)


def draw(group: Group, kind: Kind, number: int) -> Plot:
    """World `number` of a group and kind: the same whenever it is drawn."""
    seed = FIRST_SEED[group] + 100_000 * list(Kind).index(kind) + number
    rng = Random(f"attack_risk/{seed}")
    parameters = Parameters().randomised(rng).exposed()
    if rng.random() < WITHOUT_ANTI_FRAUD:
        parameters = replace(parameters, not_fitted=parameters.not_fitted | {"cardReader.antiFraudModule"})
    calendar_known = rng.random() < CALENDAR_KNOWN
    day = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(365))
    if kind is Kind.LIFE:
        return Plot(kind, kind.value, seed, day, day, 168.0, parameters, {}, calendar_known)
    if kind is Kind.OFTEN:
        parameters = alike(parameters) if group is Group.REPORT else often(parameters)
        return Plot(kind, kind.value, seed, day, day, 72.0, parameters, {}, calendar_known)
    names = tuple(ATTACKS if kind is Kind.ATTACK else TROUBLES)
    scenario = names[number % len(names)]
    moment = day + timedelta(seconds=round(3600.0 * _hour(rng, scenario, kind)))
    # hours in which to learn what is usual; below a day, because a script begins at the first such time of day
    before = rng.uniform(16.0, 23.5) if scenario in LONG_BEFORE else rng.uniform(0.4, 1.0)
    start = moment - timedelta(seconds=round(3600.0 * before))
    settings = _settings(rng, scenario, WIDER if group is Group.REPORT else 1.0)
    parameters = replace(parameters, **LOOK_ALIKES.get(scenario, {}))  # type: ignore[arg-type]  # a test draws every scenario
    broken = rng.choice(LOOPS) if scenario == "broken_loop" else ""
    hours = TROUBLES.get(scenario, 8.0)
    plot = Plot(kind, scenario, seed, start, moment, hours, parameters, settings, calendar_known, broken)
    return replace(plot, settings={**settings, "at": moment.time()}) if plot.scripted else plot


def _hour(rng: Random, scenario: str, kind: Kind) -> float:
    """The hour of the day: attackers prefer the night, except those who need customers."""
    if kind is Kind.TROUBLE or scenario in BY_DAY:
        return rng.uniform(8.0, 19.0)
    return rng.uniform(0.0, 5.5) if rng.random() < 0.75 else rng.uniform(6.0, 23.5)


def _settings(rng: Random, scenario: str, wider: float) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for name, (low, high) in ATTACKS.get(scenario, {}).items():
        value = low / wider * (wider * wider * high / low) ** rng.random()
        settings[name] = max(1, round(value)) if name in WHOLE else value
    if scenario == "sensor_stuck":
        settings["point"] = rng.choice(STUCK)
    if scenario == "technician_visit":
        settings |= {"minutes": rng.uniform(10.0, 50.0), "presents": rng.randrange(2, 12), "power_cycle": rng.random() < 0.7}
    if scenario == "replenishment":
        settings["exchange"] = rng.random() < 0.7
    if scenario == "flood_of_events":
        settings |= {"minutes": rng.uniform(3.0, 20.0), "per_minute": rng.uniform(30.0, 400.0)}
    return settings


def often(parameters: Parameters) -> Parameters:
    """The same machine, where what is rare happens often."""
    changed = {name: getattr(parameters, name) * factor for name, factor in OFTEN.items()}
    changed["cleaning_fumes_share"] = min(0.9, changed["cleaning_fumes_share"])
    return replace(parameters, **changed)


def alike(parameters: Parameters) -> Parameters:
    """The same machine, where everything that is rare happens `ALIKE` times as often."""
    return replace(parameters, **{name: getattr(parameters, name) * ALIKE for name in RARE})
