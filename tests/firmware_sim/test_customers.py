"""Customers come as the series says, at the hours that people keep, and do what customers do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from statistics import fmean, median

import pytest

from firmware_sim.customers import WEIGHTS, WISHES, Customer, customers_of, mean_wish, payday
from firmware_sim.demand import Demand, shipped
from firmware_sim.params import Parameters
from firmware_sim.world import World

MONDAY = datetime(2025, 3, 10, tzinfo=UTC)
TOTAL = 1_400_000


def days(count: int, total: int = TOTAL, first: datetime = MONDAY, **changes: float) -> list[list[Customer]]:
    params = Parameters(**changes)  # type: ignore[arg-type]
    return [customers_of(first + timedelta(days=number), total, params, Random(f"t/{number}")) for number in range(count)]


def wished(customers: list[Customer]) -> int:
    return sum(one.wish for one in customers)


def deviation(total: int, smallest: int = 1000) -> float:
    """Of the sum of a Poisson number of wishes."""
    weight = sum(WEIGHTS)
    squares = sum(part * wish**2 for wish, part in zip(WISHES, WEIGHTS, strict=True)) / weight
    return (total / (mean_wish(False) * smallest) * squares) ** 0.5 * smallest


def test_a_day_asks_for_what_the_series_says_within_poisson_error() -> None:
    sums = [wished(day) for day in days(60, first=datetime(2025, 4, 1, tzinfo=UTC))]
    errors = [(one - TOTAL) / deviation(TOTAL) for one in sums]
    assert max(map(abs, errors)) < 4.0
    assert abs(fmean(errors)) < 4.0 / 60**0.5
    assert 0.7 < fmean(error**2 for error in errors) ** 0.5 < 1.4  # as wide as Poisson, neither more nor less


def test_the_world_follows_the_shipped_series() -> None:
    demand, world = shipped(), World("normal_week", seed=3)
    world.run_to(world.end)
    asked: Counter[date] = Counter()
    for entry in world.journal:
        if entry.what == "customer":
            asked[datetime.fromtimestamp(entry.at, UTC).date()] += entry.amount
    assert len(asked) == 7
    for day, total in asked.items():
        assert abs(total - demand.on(day)) < 4 * deviation(demand.on(day))


def test_nobody_comes_on_a_day_of_zero() -> None:
    assert customers_of(MONDAY, 0, Parameters(), Random(1)) == []


def test_weekdays_peak_at_noon_and_after_work() -> None:
    hours = Counter(int((one.at - MONDAY.timestamp()) % 86_400 // 3600) for day in days(5, 20_000_000) for one in day)
    peaks = {hour for hour, _ in hours.most_common(4)}
    assert peaks == {12, 13, 17, 18}
    assert hours[3] < hours[12] / 20


def test_everybody_comes_on_the_day_and_in_order() -> None:
    (customers,) = days(1, 20_000_000)
    times = [one.at for one in customers]
    assert times == sorted(times)
    assert MONDAY.timestamp() <= times[0]
    assert times[-1] < MONDAY.timestamp() + 86_400


def test_wishes_are_multiples_of_the_smallest_note_with_a_median_of_a_hundred() -> None:
    wishes = [one.wish for day in days(5, 20_000_000) for one in day if one.wish]
    assert all(wish % 1000 == 0 for wish in wishes)
    assert median(wishes) == 10_000


def test_some_only_ask_for_the_balance() -> None:
    customers = [one for day in days(5, 20_000_000) for one in day]
    assert sum(not one.wish for one in customers) / len(customers) == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize(
    ("day", "is_it"),
    [("2025-01-31", True), ("2025-02-28", True), ("2025-03-31", True), ("2025-05-30", True), ("2025-05-31", False),
     ("2025-08-29", True), ("2025-12-31", True), ("2025-03-28", False)],
)  # fmt: skip
def test_payday_is_the_last_working_day(day: str, is_it: bool) -> None:
    assert payday(datetime.fromisoformat(day).replace(tzinfo=UTC)) is is_it


def test_on_payday_wishes_are_greater_and_the_total_the_same() -> None:
    (ordinary,) = days(1, 20_000_000)
    (rich,) = days(1, 20_000_000, first=datetime(2025, 3, 31, tzinfo=UTC))
    assert fmean(one.wish for one in rich if one.wish) > 1.3 * fmean(one.wish for one in ordinary if one.wish)
    assert wished(rich) == pytest.approx(20_000_000, rel=0.1)


def single(at: float, **changes: object) -> Customer:
    """One customer with nothing unusual but `changes`."""
    drawn = {
        "at": at, "wish": 13_000, "insertion": 1.0, "thinking_s": 20.0, "taking_s": 4.0, "host_s": 2.0, "receipt": True,
        "refused": False, "read_error": 1.0, "card_jam": 1.0, "forgets_card": False, "forgets_cash": False, "paper_jam": False,
    }  # fmt: skip
    return Customer(**drawn | changes)  # type: ignore[arg-type]


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """A world in which exactly one customer comes; it is run until that one has gone."""

    def run(stop: float = 200.0, prepare: Callable[[World], None] = lambda _: None, **changes: object) -> World:
        start = datetime(2025, 3, 10, 3, tzinfo=UTC)
        coming = [single(start.timestamp() + 10, **changes)]
        monkeypatch.setattr("firmware_sim.customers.customers_of", lambda *_: coming)
        quiet = dict.fromkeys(("passers_by", "lorries", "door_slams", "fix_losses", "jams_per_note", "brown_outs"), 0)
        world = World("normal_week", settings=quiet, start=start)
        prepare(world)
        world.step(stop)
        coming.clear()
        return world

    return run


def grown(world: World, name: str) -> int:
    before = World("normal_week", 1, Demand("none", date(2025, 1, 1), (0,) * 14)).points()[name]
    after = world.points()[name]
    assert isinstance(after, int)
    assert isinstance(before, int)
    return after - before


def test_an_ordinary_withdrawal(visit: Callable[..., World]) -> None:
    world = visit()
    assert [entry.what for entry in world.journal] == ["customer", "present", "taken", "transaction"]
    assert {entry.amount for entry in world.journal} == {13_000}
    for name in ("cashDispenser.presents", "transaction.count", "printer.receipts", "storage.unit2.presented"):
        assert grown(world, name) == 1
    assert grown(world, "transaction.failed") == 0
    assert world.points()["auxiliaries.proximitySensor"] == "notPresent"
    assert world.points()["cardReader.media"] == "notPresent"
    assert world.points()["cardReader.insertionTime_s"] == pytest.approx(1.1)


def test_cash_that_is_forgotten_is_retracted(visit: Callable[..., World]) -> None:
    world = visit(forgets_cash=True)
    assert [entry.what for entry in world.journal] == ["customer", "present", "retracted", "transaction"]
    assert grown(world, "cashDispenser.retracts") == 1
    assert grown(world, "storage.unitReject.retracted") == 4  # 50 + 50 + 20 + 10
    assert [label.name for label in world.truth] == ["forgottenCash"]


def test_a_forgotten_card_is_captured(visit: Callable[..., World]) -> None:
    assert grown(visit(forgets_card=True), "cardReader.captures") == 1


def test_a_refused_card_costs_no_notes(visit: Callable[..., World]) -> None:
    world = visit(refused=True)
    assert [entry.what for entry in world.journal] == ["customer", "failed"]
    assert grown(world, "transaction.failed") == 1
    assert grown(world, "cashDispenser.picks") == 0


def test_a_card_that_jams_stays_until_a_technician_comes(visit: Callable[..., World]) -> None:
    world = visit(card_jam=0.0)
    assert world.points()["cardReader.media"] == "jammed"
    assert world.points()["cardReader.device"] == "hardwareError"
    assert "cardJam" in world.site.breakdowns
    world.step(12 * 3600)
    assert world.points()["cardReader.media"] == "notPresent"
    assert [label.name for label in world.truth if label.kind == "visit"] == ["technician"]


def test_notes_that_jam_take_the_machine_out_of_service(visit: Callable[..., World]) -> None:
    def prepare(world: World) -> None:
        world.site.dispenser.jam_next = True

    world = visit(prepare=prepare)
    points = world.points()
    assert points["cashDispenser.outDefault.transport"] == "inoperative"
    assert points["cashDispenser.device"] == "hardwareError"
    assert points["cashManagement.dispenser"] == "unknown"
    assert points["cardReader.media"] == "notPresent"
    assert [entry.what for entry in world.journal] == ["customer", "failed"]
    assert not world.site.in_service()


def test_without_a_host_nobody_is_served(visit: Callable[..., World]) -> None:
    def prepare(world: World) -> None:
        world.site.computer.link = "down"

    world = visit(prepare=prepare)
    assert [entry.what for entry in world.journal] == ["customer", "unserved"]


def test_a_customer_whose_machine_dies_loses_the_card(visit: Callable[..., World]) -> None:
    def prepare(world: World) -> None:
        site = world.site
        site.agenda.put(site.now + 25, lambda: site._on_supply(False))
        site.agenda.put(site.now + 100, lambda: site._on_supply(True))

    world = visit(stop=400.0, prepare=prepare)
    assert grown(world, "cardReader.captures") == 1
    assert world.points()["cardReader.media"] == "notPresent"
    assert not world.site.serving
