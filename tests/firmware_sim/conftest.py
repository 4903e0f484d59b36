"""Worlds in which nothing happens but what a test does, and replays that several tests look at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import cache

import pytest

from agent.records import Value
from firmware_sim.demand import Demand
from firmware_sim.params import Parameters
from firmware_sim.replay import replay
from firmware_sim.world import World

NOBODY = Demand("nobody", date(2025, 1, 6), (0,) * 14)
HAPPENS = (
    "mains_failures", "brown_outs", "link_losses", "pc_hangs", "lorries", "door_slams", "passers_by", "road_works",
    "cleanings", "technician_visits", "fix_losses", "glares", "dirty_readers", "stuck_shutters", "dispenser_resets",
)  # fmt: skip
QUIET: dict[str, float] = dict.fromkeys(HAPPENS, 0.0) | {"replenish_every_days": 0}
Items = list[tuple[float, dict[str, Value]]]


@pytest.fixture
def quiet() -> Callable[..., World]:
    """A world without customers, visits and mishaps, unless a test brings them."""

    def build(scenario: str = "normal_week", seed: int = 1, **settings: float | str | bool) -> World:
        return World(scenario, seed, NOBODY, settings=QUIET | settings)

    return build


@pytest.fixture
def calm() -> Parameters:
    """Parameters without visits and mishaps."""
    return Parameters(**QUIET)  # type: ignore[arg-type]


@cache
def _played(scenario: str, seed: int, sample: float, days: float, settings: tuple[tuple[str, str], ...]) -> tuple[World, Items]:
    world = World(scenario, seed, settings=dict(settings))
    return world, list(replay(world, sample, until=world.start + days * 86_400 if days else None))


@pytest.fixture
def played() -> Callable[..., tuple[World, Items]]:
    """A scenario to its end, or for so many days, with what its board told. Computed once a session."""

    def play(scenario: str, seed: int = 1, sample: float = 60.0, until_day: float = 0.0, **settings: str) -> tuple[World, Items]:
        return _played(scenario, seed, sample, until_day, tuple(settings.items()))

    return play
