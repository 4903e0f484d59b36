"""The scenarios: when each begins, how long it lasts, what differs from an ordinary week, and what is done when.

A scenario's settings and all parameters of the machine can be changed by name (`change`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, time
from difflib import get_close_matches
from random import Random
from types import MappingProxyType
from typing import TypeAlias

from agent.wire.board_points import POINTS
from firmware_sim import attacks, troubles, visits
from firmware_sim.agenda import Script
from firmware_sim.climate import DAY, HOUR
from firmware_sim.params import ParameterError, Parameters
from firmware_sim.site import Site, Visit

Setting: TypeAlias = float | int | bool | str | time


class SettingError(ValueError):
    """A scenario, a setting or a parameter cannot be used; the message names it and what would be right."""


class Settings(dict[str, Setting]):
    """The settings of one run, by name."""

    def number(self, name: str) -> float:
        """A setting that is a number."""
        value = self[name]
        assert isinstance(value, int | float)
        return float(value)

    def count(self, name: str) -> int:
        """A setting that is a whole number."""
        return round(self.number(name))


Play: TypeAlias = Callable[[Site, Random, Settings], Script]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One situation. `play` runs at the first time of day `settings["at"]` after the start."""

    name: str
    summary: str
    start: datetime
    days: float
    play: Play | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    parameters: Mapping[str, float] = field(default_factory=dict)

    def begin(self, site: Site, settings: Settings) -> None:
        """Put what the scenario tells on the agenda of `site`."""
        if self.play is not None:
            moment = first_after(site.now, settings)
            site.play(self.play(site, site.stream(f"scenario/{self.name}"), settings), moment)


def first_after(now: float, settings: Settings) -> float:
    """The first moment from `now` on at the time of day (UTC) of `at`."""
    at = settings["at"]
    assert isinstance(at, time)
    seconds = at.hour * HOUR + at.minute * 60.0 + at.second
    return now + (seconds - now) % DAY


def change(scenario: Scenario, parameters: Parameters, changes: Mapping[str, str | Setting]) -> tuple[Settings, Parameters]:
    """The settings and parameters of a run: the scenario's own, then `changes`. Raises SettingError."""
    settings = Settings(scenario.settings)
    parameters = replace(parameters, **scenario.parameters)  # type: ignore[arg-type]  # a test builds every scenario
    known = {one.name: getattr(parameters, one.name) for one in fields(parameters)}
    tunable = {name: value for name, value in known.items() if isinstance(value, int | float)}
    chosen: dict[str, Setting] = {}
    for name, value in changes.items():
        if name in settings:
            settings[name] = _in_range(name, _parsed(name, value, settings[name]))
        elif name in tunable:
            chosen[name] = _parsed(name, value, tunable[name])
        else:
            near = get_close_matches(name, [*settings, *tunable], n=1, cutoff=0.0)[0]
            raise SettingError(f"{scenario.name}: unknown setting {name!r}; did you mean {near!r}?")
    try:
        return settings, replace(parameters, **chosen)  # type: ignore[arg-type]  # types were matched to the defaults
    except ParameterError as error:
        raise SettingError(str(error)) from error


def _in_range(name: str, value: Setting) -> Setting:
    """Counts are 0 or more, measures above 0; only a clock may jump back as well."""
    if isinstance(value, int | float) and not isinstance(value, bool) and name != "by_s":
        least = 0 if isinstance(value, int) else 1e-6
        if not least <= value <= 1e6:
            raise SettingError(f"{name}: {value} is out of range; give a number from {least} to a million")
    return value


def _parsed(name: str, value: str | Setting, default: Setting) -> Setting:
    """`value` as the type of `default`."""
    if isinstance(value, str) and not isinstance(default, str):
        try:
            if isinstance(default, time):
                return time.fromisoformat(value)
            if isinstance(default, bool):
                return {"true": True, "yes": True, "false": False, "no": False}[value.lower()]
            value = int(value) if isinstance(default, int) else float(value)
        except (ValueError, KeyError):
            raise SettingError(f"{name}: expected something like {_shown(default)}, got {value!r}") from None
    fits = isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int))
    if not fits or (isinstance(value, bool) and not isinstance(default, bool)):
        raise SettingError(f"{name}: expected something like {_shown(default)}, got {value!r}")
    if name == "point" and value not in POINTS.values():
        near = get_close_matches(str(value), POINTS.values(), n=1, cutoff=0.0)[0]
        raise SettingError(f"point: the board has no {value!r}; did you mean {near!r}?")
    return value


def _shown(value: Setting) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:%H:%M}" if isinstance(value, time) else str(value)


def find(name: str) -> Scenario:
    """The scenario of that name. Raises SettingError, which names the nearest."""
    if name in SCENARIOS:
        return SCENARIOS[name]
    near = get_close_matches(name, SCENARIOS, n=1, cutoff=0.0)[0]
    raise SettingError(f"unknown scenario {name!r}; did you mean {near!r}? --list shows them all")


def _planned(site: Site, what: str, settings: Settings) -> None:
    at = first_after(site.now, settings)
    site.plan.append(Visit(what, at - 0.5 * HOUR, at + 2 * HOUR))


def _replenishment(site: Site, rng: Random, settings: Settings) -> Script:
    _planned(site, "replenishment", settings)
    return visits.replenish(site, rng, settings.number("minutes"), exchange=bool(settings["exchange"]))


def _technician(site: Site, rng: Random, settings: Settings) -> Script:
    _planned(site, "technician", settings)
    return visits.service(
        site, rng, settings.number("minutes"), power_cycle=bool(settings["power_cycle"]), presents=settings.count("presents")
    )


MONDAY = datetime(2025, 3, 10, tzinfo=UTC)
NIGHT = datetime(2025, 3, 12, 22, tzinfo=UTC)
MORNING = datetime(2025, 3, 12, 6, tzinfo=UTC)
FRIDAY = datetime(2025, 3, 14, 6, tzinfo=UTC)
SUMMER = datetime(2025, 7, 16, 6, tzinfo=UTC)

_ALL = (
    Scenario("normal_week", "a week of customers, one replenishment, nothing scripted", MONDAY, 7),
    Scenario(
        "cash_out_weekend",
        "too little was loaded for the weekend: cassettes run low, then empty",
        FRIDAY,
        3,
        parameters={"start_fill": 0.13, "replenish_every_days": 0},
    ),
    Scenario(
        "slow_jam_degradation",
        "the reject rate grows tenfold in five days, then notes jam",
        MONDAY,
        6,
        lambda site, rng, s: troubles.worn_rollers(site, rng, s.number("days"), s.number("worst")),
        {"at": time(1), "days": 5.0, "worst": 10.0},
    ),
    Scenario(
        "replenishment",
        "cash in transit swaps the cassettes; exchange=no leaves them manipulated",
        MORNING,
        0.5,
        _replenishment,
        {"at": time(9, 30), "minutes": 10.0, "exchange": True},
        {"start_fill": 0.25, "replenish_every_days": 0},
    ),
    Scenario(
        "receipt_out",
        "the receipt paper runs low, then out",
        MORNING,
        1,
        lambda site, rng, s: troubles.paper_ends(site, rng, s.count("left")),
        {"at": time(7), "left": 30},
        {"response_shortest_h": 6.0, "response_longest_h": 9.0, "replenish_every_days": 0},
    ),
    Scenario(
        "ups_battery_worn",
        "a cell of the UPS battery dies over days, then the mains fail",
        MONDAY,
        5,
        lambda site, rng, s: troubles.worn_battery(site, rng, s.number("days"), s.number("loss_v"), s.number("health")),
        {"at": time(2), "days": 4.0, "loss_v": 1.6, "health": 0.08},
    ),
    Scenario(
        "overheating",
        "the fan stops on a summer's day",
        SUMMER,
        1,
        lambda site, rng, s: troubles.overheating(site, rng, s.number("rise"), s.number("hours")),
        {"at": time(9), "rise": 28.0, "hours": 4.0},
    ),
    Scenario(
        "skimming_overlay",
        "an overlay on the card slot: slower cards, read errors, then the anti-fraud module",
        MORNING,
        1,
        lambda site, rng, s: attacks.skimming(site, rng, s.number("drag"), s.number("detect_s"), s.number("hours")),
        {"at": time(11, 30), "drag": 1.4, "detect_s": 1200.0, "hours": 5.0},
    ),
    Scenario(
        "cash_trap",
        "a claw behind the shutter holds what is presented",
        MORNING,
        1,
        lambda site, rng, s: attacks.cash_trap(site, rng, s.count("hauls")),
        {"at": time(17), "hauls": 3},
    ),
    Scenario(
        "black_box",
        "the cabinet is opened at night, the dispenser put on a foreign box and emptied",
        NIGHT,
        0.5,
        lambda site, rng, s: attacks.black_box(site, rng, s.count("presents"), s.number("gap_s")),
        {"at": time(2, 10), "presents": 15, "gap_s": 40.0},
    ),
    Scenario(
        "gas_attack",
        "gas from first trace to critical in 90 s, then nothing answers",
        NIGHT,
        0.5,
        lambda site, rng, s: attacks.gas(site, rng, s.number("seconds")),
        {"at": time(3, 20), "seconds": 90.0},
    ),
    Scenario(
        "drilling",
        "a drill at the safe, in bursts",
        NIGHT,
        0.5,
        lambda site, rng, s: attacks.drilling(site, rng, s.number("minutes")),
        {"at": time(1, 40), "minutes": 15.0},
    ),
    Scenario(
        "ram_raid",
        "a vehicle rips the machine out and drives away with it",
        NIGHT,
        0.5,
        lambda site, rng, s: attacks.ram_raid(site, rng, s.number("tilt_deg")),
        {"at": time(4, 5), "tilt_deg": 35.0},
    ),
    Scenario(
        "sensor_stuck",
        "one sensor repeats its last value",
        MORNING,
        1,
        lambda site, rng, s: troubles.sensor_stuck(site, rng, str(s["point"]), s.number("hours")),
        {"at": time(8), "point": "environment.temperature_c", "hours": 10.0},
    ),
    Scenario(
        "cable_cut",
        "the harness of the housing's sensors is cut: contacts to alarm, values gone",
        MORNING,
        1,
        lambda site, rng, s: troubles.cable_cut(site, rng, s.number("hours")),
        {"at": time(13), "hours": 3.0},
    ),
    Scenario(
        "technician_visit",
        "the doors of black_box, but planned: vendor mode, test presents into the reject tray",
        MORNING,
        0.5,
        _technician,
        {"at": time(10), "minutes": 25.0, "presents": 6, "power_cycle": True},
    ),
    Scenario(
        "clock_step",
        "the clock of the board jumps without a new start",
        MORNING,
        0.5,
        lambda site, rng, s: troubles.clock_step(site, rng, s.number("by_s")),
        {"at": time(8), "by_s": 3600.0},
    ),
    Scenario(
        "flood_of_events",
        "a loose door contact: hundreds of edges a minute",
        MORNING,
        0.25,
        lambda site, rng, s: troubles.chatter(site, rng, s.number("minutes"), s.number("per_minute")),
        {"at": time(8), "minutes": 15.0, "per_minute": 300.0},
    ),
)
SCENARIOS: Mapping[str, Scenario] = MappingProxyType({one.name: one for one in _ALL})
