"""Every rate, size and physical constant of a simulated machine and its surroundings, in one frozen value.

The defaults are believable assumptions, not measured statistics. Rates are per day unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from random import Random
from typing import NamedTuple


class ParameterError(ValueError):
    """A parameter is out of its range; the message names it and the range."""


class Load(NamedTuple):
    """What a replenishment puts into one cassette."""

    denomination: int  # minor units a note
    notes: int
    capacity: int  # notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """One machine at one place. `dataclasses.replace` changes single fields; `randomised` draws another machine."""

    # cash: 166,000.00 in three denominations
    cassettes: tuple[Load, ...] = (
        Load(1000, 600, 2000),
        Load(2000, 1000, 2000),
        Load(5000, 1400, 2000),
        Load(5000, 1400, 2000),
    )
    start_fill: float = 0.8  # share of the load that is there when the world begins
    near_end_notes: float = 150.0  # where the near-end switch of a cassette acts
    near_end_scatter: float = 25.0  # deviation between two loads: the switch is a lever on a stack
    wear: float = 0.5  # condition of the cassettes, 0 new to 1 worn out
    bin_capacity: int = 300  # notes in the reject and retract bin
    bin_high_share: float = 0.8
    max_notes: int = 40  # of one present

    # dispenser
    notes_per_s: float = 5.0
    dispense_overhead_s: float = 2.0
    pick_failures_per_note: float = 1 / 5_000  # times wear
    rejects_per_note: float = 3 / 1_000
    jams_per_note: float = 1 / 20_000
    doubles_per_note: float = 1 / 10_000
    take_timeout_s: float = 30.0  # then cash is retracted, a card captured

    # customers
    inquiry_share: float = 0.15  # visits without cash
    patience_s: float = 300.0  # in the queue
    receipt_share: float = 0.6
    refused_share: float = 0.01  # wrong PIN, no funds: transaction.failed
    forgotten_cash_per_present: float = 1 / 4_000
    captures_per_transaction: float = 1 / 3_000

    # card reader
    insertion_s: float = 1.1
    insertion_scatter: float = 0.18  # of the logarithm
    read_errors_per_card: float = 0.005
    card_jams_per_card: float = 1 / 20_000

    # receipt printer
    receipts_per_roll: int = 1_200
    paper_low_share: float = 0.1
    paper_jams_per_receipt: float = 1 / 10_000

    # power
    mains_v: float = 230.0
    mains_failures: float = 1 / 60
    mains_failure_shortest_s: float = 6.0
    mains_failure_longest_s: float = 7_200.0
    brown_outs: float = 1 / 10
    ups_float_v: float = 27.4
    ups_empty_v: float = 21.0
    ups_runtime_s: float = 1_800.0  # at 30 % load with a good battery
    ups_recharge_s: float = 14_400.0
    ups_health: float = 1.0  # share of the runtime that an aged battery still gives
    idle_power_w: float = 120.0
    restart_s: float = 150.0  # from power to "in service"

    # PC and host
    link_losses: float = 1 / 10
    link_loss_shortest_s: float = 30.0
    link_loss_longest_s: float = 3_600.0
    pc_hangs: float = 1 / 60

    # climate
    mean_c: float = 11.0
    annual_swing_c: float = 9.0
    day_swing_c: float = 4.0
    weather_c: float = 3.0
    inside_rise_c: float = 8.0
    sun_rise_c: float = 6.0  # the sun on the housing, on a clear afternoon
    heater_on_c: float = 5.0
    heater_off_c: float = 8.0
    heater_rise_c: float = 12.0
    heater_w: float = 150.0
    humidity_pct: float = 55.0

    # motion and passers-by
    background_ms2: float = 0.01
    lorries: float = 40.0
    door_slams: float = 30.0
    passers_by: float = 120.0
    road_works: float = 1 / 90
    road_works_days: float = 3.0
    cleanings: float = 1 / 7
    cleaning_fumes_share: float = 0.1  # of the cleanings set off the gas detector's lowest level

    # what looks like an attack on the card slot or the dispenser and is none
    glares: float = 1 / 45  # low sun: the anti-fraud module sees a foreign device
    dirty_readers: float = 1 / 120  # dust in the throat, for days
    stuck_shutters: float = 1 / 200
    dispenser_resets: float = 1 / 90  # its link to the PC starts anew

    # the same, rare or local: `firmware_sim.lookalikes`
    rains: float = 0.0  # that reach the card slot
    paints: float = 0.0
    exhausts: float = 0.0
    constructions: float = 0.0  # days of demolition next door
    earthquakes: float = 0.0
    software_updates: float = 0.0

    # visits
    replenish_every_days: int = 7
    replenish_weekday: int = 1  # Monday is 0
    replenish_hour: float = 9.5
    technician_visits: float = 1 / 30  # planned maintenance
    response_shortest_h: float = 1.5  # from a fault to a technician, within working hours
    response_longest_h: float = 6.0
    power_cycle_share: float = 0.5  # of the technicians switch the dispenser off and on
    mistaken_hold_ups: float = 1 / 150  # of the replenishments

    # place
    lat: float = 48.20849
    lon: float = 16.37208
    fix_losses: float = 1.0

    not_fitted: frozenset[str] = frozenset()  # points that this machine does not have

    def __post_init__(self) -> None:
        """Refuse what no machine can be. Raises ParameterError."""
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, int | float):
                low, high = _LIMITS.get(one.name, (0.0, 1e6))
                if not low <= value <= high:
                    raise ParameterError(f"{one.name}: {value} is not between {low:g} and {high:g}")

    def replenished_for(self, per_day: int) -> Parameters:
        """The same machine, visited so often that a load lasts a third longer when `per_day` minor units are asked of it."""
        load = sum(load.denomination * load.notes for load in self.cassettes)
        days = int(load / (4 / 3 * per_day)) if per_day > 0 else 14
        return replace(self, replenish_every_days=min(14, max(1, days)))

    def exposed(self) -> Parameters:
        """The same machine at a place where everything happens that some places know and others do not."""
        return replace(self, **LOCAL)  # type: ignore[arg-type]  # a test names every one of them

    def randomised(self, rng: Random) -> Parameters:
        """Another believable machine at another place: rates and sizes drawn around these, some sensors left out."""
        drawn: dict[str, object] = {
            name: getattr(self, name) * spread ** rng.uniform(-1.0, 1.0) for name, spread in _SPREADS.items()
        }
        drawn |= {name: getattr(self, name) + rng.uniform(-width, width) for name, width in _SHIFTS.items()}
        scale = rng.uniform(0.75, 1.25)
        drawn["cassettes"] = tuple(load._replace(notes=min(load.capacity, round(load.notes * scale))) for load in self.cassettes)
        drawn["start_fill"] = rng.uniform(0.5, 1.0)
        drawn["wear"] = rng.uniform(0.2, 1.0)
        drawn["ups_health"] = rng.uniform(0.5, 1.0)
        drawn["replenish_weekday"] = rng.randrange(5)
        drawn["not_fitted"] = self.not_fitted | {name for name in OPTIONAL if rng.random() < 0.15}
        return replace(self, **drawn)  # type: ignore[arg-type]  # names and types come from this very class


# a day: `firmware_sim.lookalikes`, as often as they come where they come at all
LOCAL: Mapping[str, float] = {
    "rains": 1 / 20,
    "paints": 1 / 180,
    "exhausts": 1 / 10,
    "constructions": 1 / 180,
    "earthquakes": 1 / 730,
    "software_updates": 1 / 30,
}
# what a field may be, where that is not simply 0 to a million
_LIMITS = {
    "start_fill": (0.0, 1.0),
    "wear": (0.0, 1.0),
    "inquiry_share": (0.0, 0.95),
    "notes_per_s": (0.1, 100.0),
    "insertion_s": (0.1, 10.0),
    "receipts_per_roll": (10, 100_000),
    "mains_failure_shortest_s": (0.001, 1e6),
    "mains_failure_longest_s": (0.001, 1e6),
    "link_loss_shortest_s": (0.001, 1e6),
    "link_loss_longest_s": (0.001, 1e6),
    "ups_runtime_s": (1.0, 1e6),
    "ups_recharge_s": (1.0, 1e6),
    "ups_health": (0.001, 1.0),
    "mean_c": (-40.0, 50.0),
    "replenish_weekday": (0, 6),
    "replenish_hour": (1.0, 23.0),
    "lat": (-85.0, 85.0),
    "lon": (-180.0, 180.0),
}
# how far a field may be from its default, as a factor up or down
_SPREADS = {
    "near_end_notes": 1.3,
    "notes_per_s": 1.3,
    "pick_failures_per_note": 3.0,
    "rejects_per_note": 2.0,
    "jams_per_note": 2.0,
    "doubles_per_note": 2.0,
    "inquiry_share": 1.5,
    "receipt_share": 1.4,
    "refused_share": 2.0,
    "forgotten_cash_per_present": 2.0,
    "captures_per_transaction": 2.0,
    "insertion_s": 1.25,
    "insertion_scatter": 1.5,
    "read_errors_per_card": 3.0,
    "card_jams_per_card": 2.0,
    "paper_jams_per_receipt": 2.0,
    "mains_failures": 4.0,
    "brown_outs": 4.0,
    "link_losses": 4.0,
    "pc_hangs": 3.0,
    "idle_power_w": 1.4,
    "day_swing_c": 1.5,
    "weather_c": 1.5,
    "sun_rise_c": 2.0,
    "background_ms2": 2.5,
    "lorries": 4.0,
    "door_slams": 4.0,
    "passers_by": 4.0,
    "road_works": 3.0,
    "cleanings": 2.0,
    "cleaning_fumes_share": 2.0,
    "glares": 4.0,
    "dirty_readers": 3.0,
    "stuck_shutters": 3.0,
    "dispenser_resets": 4.0,
    "technician_visits": 2.0,
    "power_cycle_share": 1.5,
    "fix_losses": 4.0,
}
# how far a field may be from its default, in its own unit
_SHIFTS = {
    "mains_v": 5.0,
    "mean_c": 8.0,
    "annual_swing_c": 3.0,
    "inside_rise_c": 3.0,
    "humidity_pct": 10.0,
    "replenish_hour": 1.5,
    "lat": 8.0,
    "lon": 12.0,
}
# what many machines do without
OPTIONAL = (
    "auxiliaries.internalTamperSensor",
    "auxiliaries.heatSensor",
    "auxiliaries.proximitySensor",
    "auxiliaries.ambientLightSensor",
    "auxiliaries.vandalShield",
    "auxiliaries.bootSwitchSensor",
    "motion.grind_band_ms2",
    "environment.humidity_pct",
    "energy.active_power_w",
    "banknoteNeutralization.light",
    "banknoteNeutralization.tilt",
    "cardReader.insertionTime_s",
    "cardReader.chipPower",
    "position.lat",
    "position.lon",
    "position.valid",
)
