"""Not one note is lost, and no sum is paid with more notes than it needs."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware_sim.cash import Cash
from firmware_sim.dispenser import Dispenser, Jam
from firmware_sim.params import Load, Parameters

COUNTS = st.lists(st.integers(0, 6), min_size=4, max_size=4)


def machine(seed: int = 1, **changes: object) -> tuple[Cash, Dispenser]:
    params = Parameters(**changes)  # type: ignore[arg-type]
    cash = Cash(params, Random(seed))
    return cash, Dispenser(cash, params, Random(seed))


def stocked(counts: list[int]) -> Cash:
    cash, _ = machine()
    for cassette, count in zip(cash.cassettes, counts, strict=True):
        cassette.count = count
    return cash


@settings(max_examples=60)
@given(COUNTS, st.integers(0, 30))
def test_the_fewest_notes_that_there_are(counts: list[int], tens: int) -> None:
    cash, amount = stocked(counts), tens * 1000
    stock = {1000: counts[0], 2000: counts[1], 5000: counts[2] + counts[3]}
    ways = [
        sum(way)
        for way in product(*(range(notes + 1) for notes in stock.values()))
        if sum(value * notes for value, notes in zip(stock, way, strict=True)) == amount
    ]
    mix = cash.mix(amount)
    if not ways:
        assert mix is None
        return
    assert mix is not None
    assert sum(value * notes for value, notes in mix.items()) == amount
    assert sum(mix.values()) == min(ways)
    assert all(0 < notes <= stock[value] for value, notes in mix.items())


@settings(max_examples=60)
@given(COUNTS, st.integers(1, 30))
def test_a_customer_takes_the_greatest_sum_that_can_be_paid(counts: list[int], tens: int) -> None:
    cash = stocked(counts)
    paid = cash.nearest(tens * 1000)
    assert paid <= tens * 1000
    assert all(cash.mix(more * 1000) is None for more in range(paid // 1000 + 1, tens + 1))
    assert not paid or cash.mix(paid)


def test_never_more_notes_than_one_present_holds() -> None:
    cash = stocked([500, 0, 0, 0])
    assert cash.mix(40 * 1000) == {1000: 40}
    assert cash.mix(41 * 1000) is None


acts = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.integers(1, 40)),
        st.tuples(st.sampled_from(["take", "retract", "purge", "reload", "trap", "free", "loot", "service"]), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(acts, st.integers(0, 1000))
@example([("pay", 23), ("service", 0), ("pay", 1)], 881)  # a jam leaves notes in the transport
def test_every_note_is_somewhere(course: list[tuple[str, int]], seed: int) -> None:
    """Rates a hundred times too high, so that everything that can go wrong does."""
    cash, dispenser = machine(
        seed, jams_per_note=0.01, rejects_per_note=0.1, doubles_per_note=0.05, pick_failures_per_note=0.1, bin_capacity=50
    )
    counters = (0, 0, 0, 0, 0, 0)
    for act, tens in course:
        if act == "pay" and dispenser.usable and not cash.slot and (mix := cash.mix(cash.nearest(tens * 1000))):
            try:
                if dispenser.stack(mix):
                    assert dispenser.present() == sum(mix.values())
            except Jam:
                assert cash.transit
                assert dispenser.transport == "inoperative"
        elif act in ("take", "retract", "purge"):
            getattr(dispenser, act)()
        elif act in ("reload", "loot"):
            getattr(cash, act)()
        elif act in ("trap", "free"):
            dispenser.trapped = act == "trap"
        elif act == "service":
            dispenser.device, dispenser.transport = "online", "ok"
        assert +cash.places() == +cash.loaded
        assert all(0 <= cassette.count <= cassette.capacity for cassette in cash.cassettes)
        grown = (
            dispenser.picks, dispenser.presents, dispenser.retracts, cash.rejected, cash.retracted,
            sum(cassette.presented + cassette.rejected for cassette in cash.cassettes),
        )  # fmt: skip
        assert all(now >= before for now, before in zip(grown, counters, strict=True))
        counters = grown


def test_the_roll_up_follows_the_units() -> None:
    cash, _ = machine()
    assert cash.roll_up(cash.bin_level) == "ok"
    cash.cassettes[0].count = 3
    assert cash.cassettes[0].replenishment == "low"
    assert cash.roll_up(cash.bin_level) == "attention"
    for cassette in cash.cassettes:
        cassette.count = 0
    assert cash.roll_up(cash.bin_level) == "stop"
    cash.reload()
    cash.rejects[5000] = 300
    assert cash.words()["storage.unitReject.replenishmentStatus"] == "full"
    assert cash.words()["cashManagement.dispenser"] == "stop"


def test_cassettes_moved_outside_an_exchange_are_manipulated() -> None:
    cash, _ = machine()
    cash.reload(outside_exchange=True)
    assert {cash.words()[f"storage.unit{number}.status"] for number in range(1, 5)} == {"manipulated"}
    assert cash.dispensable() == 0
    assert cash.mix(10_000) is None


def test_two_cassettes_of_one_denomination_empty_together() -> None:
    cash, dispenser = machine(jams_per_note=0.0)
    for _ in range(200):
        assert dispenser.stack({5000: 3})
        dispenser.present()
        dispenser.take()
    left = [cassette.count for cassette in cash.cassettes if cassette.denomination == 5000]
    assert abs(left[0] - left[1]) <= 1


@pytest.mark.parametrize(
    ("rate", "counter", "expected"),
    [
        ("rejects_per_note", lambda cash, _: cash.rejects.total(), 0.003),
        ("pick_failures_per_note", lambda _, dispenser: dispenser.pick_failures, 1 / 5_000),
    ],
)
def test_rates_per_note(rate: str, counter: object, expected: float) -> None:
    """20,000 notes at ten times the rate; the count stays within four deviations."""
    notes, times = 20_000, 10
    changes = {rate: expected * times, "wear": 1.0, "jams_per_note": 0.0, "doubles_per_note": 0.0}
    if rate != "rejects_per_note":
        changes["rejects_per_note"] = 0.0
    cash, dispenser = machine(cassettes=(Load(1000, 30_000, 30_000),), start_fill=1.0, **changes)
    before = counter(cash, dispenser)  # type: ignore[operator]
    for _ in range(notes // 40):
        assert dispenser.stack({1000: 40})
        dispenser.present()
        dispenser.take()
    seen = counter(cash, dispenser) - before  # type: ignore[operator]
    mean = notes * expected * times
    assert abs(seen - mean) < 4 * mean**0.5


def test_a_claw_holds_most_of_what_is_retracted() -> None:
    cash, dispenser = machine(jams_per_note=0.0)
    dispenser.trapped = True
    assert dispenser.stack({5000: 40})
    dispenser.present()
    come = dispenser.retract()
    assert come < 20
    assert cash.slot.total() == 40 - come
    assert dispenser.words()["cashDispenser.outDefault.shutter"] == "jammedPartiallyOpen"
    assert dispenser.words()["cashDispenser.outDefault.positionStatus"] == "notEmpty"
    assert not dispenser.usable


def test_notes_that_run_out_in_the_middle_go_to_the_bin() -> None:
    cash, dispenser = machine(rejects_per_note=0.0, jams_per_note=0.0, doubles_per_note=0.0)
    cash.cassettes[0].count = 2
    assert not dispenser.stack({1000: 3})
    assert cash.rejects[1000] == 2
    assert not cash.transit
