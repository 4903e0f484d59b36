"""The coin hopper of a machine: change for notes, an empty hopper, a jam, and who mends them."""

from __future__ import annotations

import pytest

from firmware_sim.coins import CoinHabits, CoinHopper, hopper
from firmware_sim.deposits import Habits, NoteAcceptor, acceptor
from firmware_sim.world import World


def machine(**habits: float) -> tuple[World, CoinHopper, NoteAcceptor]:
    world = World(seed=3)
    notes = acceptor(world.site, Habits(deposits_per_day=2000.0, capacity=100_000))
    return world, hopper(world.site, CoinHabits(**habits)), notes  # type: ignore[arg-type]  # each is a number


def stacking(world: World, notes: NoteAcceptor, seconds: int) -> None:
    """Let time pass, with a controller that takes every note."""
    for _ in range(seconds):
        if notes.doing == "escrow":
            notes.stack()
        world.step(1.0)


def test_who_puts_notes_in_gets_change() -> None:
    world, coins, notes = machine()
    before = coins.coins, coins.paid
    stacking(world, notes, 600)
    assert notes.accepted > 10
    assert before[0] - coins.coins == coins.paid - before[1] > 10


@pytest.mark.parametrize(("what", "habits"), [("hopperEmpty", {"filled": 100}), ("hopperJam", {"jams_per_coin": 0.02})])
def test_what_goes_wrong_is_true_until_somebody_mends_it(what: str, habits: dict[str, float]) -> None:
    world, coins, notes = machine(**habits)
    stacking(world, notes, 1800)
    (label,) = [label for label in world.truth if label.name == what][:1]
    assert label.seen == label.start
    while label.end is None:
        stacking(world, notes, 60)
        label = next(each for each in world.truth if each.name == what)
    assert 0.5 * 3600 <= label.end - label.start <= 3.0 * 3600
    assert not coins.jammed or what != "hopperEmpty"


def test_a_machine_that_nobody_asks_for_its_hopper_is_as_it_was() -> None:
    worlds = [World(seed=5), World(seed=5)]
    hopper(worlds[1].site)
    for world in worlds:
        world.step(6 * 3600.0)
    assert worlds[0].points() == worlds[1].points()
