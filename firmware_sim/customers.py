"""Customers: when they come, what they want, and each step of a visit."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, count
from math import exp
from random import Random

from firmware_sim.agenda import Script
from firmware_sim.climate import DAY, HOUR
from firmware_sim.demand import Demand
from firmware_sim.dispenser import Jam
from firmware_sim.params import Parameters
from firmware_sim.site import Site
from firmware_sim.truth import Kind

# share of a day's customers in each hour: peaks at noon and after work, later and flatter at the weekend
WEEKDAY = (0.4, 0.2, 0.2, 0.2, 0.3, 0.8, 2, 4, 5, 5, 5.5, 6.5, 9, 9, 6, 5.5, 6.5, 9.5, 9.5, 5.5, 3.5, 2.5, 1.8, 0.9)
WEEKEND = (1.2, 0.9, 0.6, 0.4, 0.3, 0.4, 0.8, 1.8, 3.5, 6, 8, 8.5, 8.5, 7.5, 6, 6, 6.5, 7.5, 7.5, 6, 4.5, 3, 2.5, 2.1)
# wishes in the smallest note, and how often each: the median is 100 when that note is a 10
WISHES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50)
WEIGHTS = (2, 8, 5, 6, 12, 6, 3, 5, 2, 18, 3, 8, 12, 3, 5, 2, 2)
TOUCH_MS2, MOTOR_MS2 = 0.04, 0.08  # what keys and the dispenser's motors do to the accelerometer


@dataclass(frozen=True, slots=True)
class Customer:
    """One visit, drawn before it begins, so that what the machine does cannot change who comes."""

    at: float
    wish: int  # minor units; 0 asks for the balance
    insertion: float  # factor on the usual insertion time
    thinking_s: float
    taking_s: float
    host_s: float
    receipt: bool
    refused: bool
    read_error: float  # uniform draws, compared with rates that may change meanwhile
    card_jam: float
    forgets_card: bool
    forgets_cash: bool
    paper_jam: bool


def payday(day: datetime) -> bool:
    """Wages come on the last working day of the month."""
    last = day.replace(day=28) + timedelta(days=4)
    last -= timedelta(days=last.day)
    while last.weekday() >= 5:
        last -= timedelta(days=1)
    return day.date() == last.date()


def mean_wish(on_payday: bool) -> float:
    """Expected wish in smallest notes; on payday each takes the greater of two wishes."""
    total = sum(WEIGHTS)
    below = [0.0, *(part / total for part in accumulate(WEIGHTS))]
    power = 2 if on_payday else 1
    return sum(wish * (upper**power - lower**power) for wish, lower, upper in zip(WISHES, below, below[1:], strict=False))


def customers_of(day: datetime, total: int, params: Parameters, rng: Random) -> list[Customer]:
    """The customers of one day (its midnight, UTC), who together want `total` minor units on average."""
    smallest = min(load.denomination for load in params.cassettes)
    rich = payday(day)
    expected = total / (mean_wish(rich) * smallest * (1.0 - params.inquiry_share))
    profile = list(accumulate(WEEKEND if day.weekday() >= 5 else WEEKDAY))
    found, mass = [], rng.expovariate(1.0)
    while mass < expected:  # a Poisson process of rate 1, bent so that it runs with the hours
        share = mass / expected * profile[-1]
        hour = bisect_right(profile, share)
        before = profile[hour - 1] if hour else 0.0
        at = day.timestamp() + (hour + (share - before) / (profile[hour] - before)) * HOUR
        found.append(_customer(at, smallest, rich, params, rng))
        mass += rng.expovariate(1.0)
    return found


def _customer(at: float, smallest: int, rich: bool, params: Parameters, rng: Random) -> Customer:
    wishes = rng.choices(WISHES, WEIGHTS, k=2)
    wish = max(wishes) if rich else wishes[0]
    return Customer(
        at=at,
        wish=0 if rng.random() < params.inquiry_share else wish * smallest,
        insertion=exp(rng.gauss(0.0, params.insertion_scatter)),
        thinking_s=rng.uniform(14.0, 40.0),
        taking_s=rng.uniform(1.5, 6.0),
        host_s=rng.uniform(0.8, 4.0),
        receipt=rng.random() < params.receipt_share,
        refused=rng.random() < params.refused_share,
        read_error=rng.random(),
        card_jam=rng.random(),
        forgets_card=rng.random() < params.captures_per_transaction,
        forgets_cash=rng.random() < params.forgotten_cash_per_present,
        paper_jam=rng.random() < params.paper_jams_per_receipt,
    )


class Customers:
    """The queue in front of the machine. One is served at a time; the others wait, or go away."""

    def __init__(self, site: Site, demand: Demand) -> None:
        self._site = site
        self._demand = demand
        self._queue: deque[Customer] = deque()
        site.play(self._days())

    def _days(self) -> Script:
        site = self._site
        today = datetime.fromtimestamp(site.now // DAY * DAY, UTC)
        for number in count():
            day = today + timedelta(days=number)
            rng = site.stream(f"customers/{day.date()}")
            for one in customers_of(day, self._demand.on(day.date()), site.params, rng):
                if one.at >= site.now:
                    site.play(self._arrive(one), one.at)
            yield day.timestamp() + DAY - site.now

    def _arrive(self, customer: Customer) -> Script:
        site = self._site
        site.housing.near += 1
        site.truth.note(site.now, "customer", customer.wish)
        if site.serving:
            self._queue.append(customer)
            yield site.params.patience_s
            if customer in self._queue:
                self._queue.remove(customer)
                site.truth.note(site.now, "gaveUp", customer.wish)
                site.housing.near -= 1
            return
        yield from self._turn(customer)

    def _turn(self, customer: Customer) -> Script:
        """One customer's turn, then the next in the queue."""
        site = self._site
        site.serving = True
        yield 3.0
        if site.in_service():
            yield from self._visit(customer)
        else:
            site.truth.note(site.now, "unserved", customer.wish)
        yield 2.0
        site.housing.near -= 1
        site.serving = False
        if self._queue:
            site.play(self._turn(self._queue.popleft()))

    def _visit(self, customer: Customer) -> Script:
        """Card in, choose, ask the host, card out, cash out."""
        site = self._site
        yield from self._insert(customer)
        if site.reader.media != "present":
            return
        site.motion.shake(customer.thinking_s, TOUCH_MS2, 8 * TOUCH_MS2)
        yield customer.thinking_s
        yield customer.host_s
        if not self._alive():
            return
        if customer.refused or site.computer.link != "up":
            self._failed(customer)
            yield from self._return_card(customer)
            return
        amount = site.cash.nearest(customer.wish)
        if customer.wish and not amount:
            self._failed(customer)
            yield from self._return_card(customer)
            return
        yield from self._withdraw(customer, amount)

    def _alive(self) -> bool:
        return self._site.computer.running and not self._site.computer.starting

    def _failed(self, customer: Customer) -> None:
        site = self._site
        site.computer.failed += 1
        site.truth.note(site.now, "failed", customer.wish)

    def _insert(self, customer: Customer) -> Script:
        site, reader, params = self._site, self._site.reader, self._site.params
        reader.media = "entering"
        seconds = params.insertion_s * customer.insertion * reader.drag
        yield seconds
        reader.insertion_s = seconds
        if customer.card_jam < params.card_jams_per_card:
            reader.media, reader.device = "jammed", "hardwareError"
            site.break_down("cardJam")
            return
        reader.media = "present"
        if customer.read_error < params.read_errors_per_card * reader.error_factor:
            reader.read_errors += 1
            reader.chip_power = "hardwareError"
            yield 4.0  # the chip is tried again, then the stripe
        reader.chip_power = "online"

    def _return_card(self, customer: Customer) -> Script:
        site, reader = self._site, self._site.reader
        reader.chip_power, reader.media = "noCard", "entering"
        if customer.forgets_card:
            yield site.params.take_timeout_s
            if self._alive() and reader.media == "entering":
                reader.captures += 1
                site.truth.note(site.now, "captured")
        else:
            yield customer.taking_s / 2
        if reader.media == "entering" and self._alive():
            reader.media = "notPresent"

    def _withdraw(self, customer: Customer, amount: int) -> Script:
        site, dispenser = self._site, self._site.dispenser
        mix = site.cash.mix(amount) or {}
        seconds = dispenser.seconds(sum(mix.values())) if mix else 0.0
        site.motion.shake(seconds + 1.0, MOTOR_MS2, 5 * MOTOR_MS2)
        yield seconds
        if not self._alive():
            return
        if not self._stacked(mix):
            self._failed(customer)
            yield from self._return_card(customer)
            return
        yield from self._return_card(customer)
        if mix:
            yield from self._present(customer, amount)
        if self._alive():
            self._complete(customer, amount)
            yield 1.0

    def _stacked(self, mix: dict[int, int]) -> bool:
        site = self._site
        if mix and site.dispenser.device != "online":
            return False
        try:
            return site.dispenser.stack(mix)
        except Jam:
            site.break_down("noteJam")
            return False
        finally:
            site.check_cash()

    def _complete(self, customer: Customer, amount: int) -> None:
        site = self._site
        site.computer.transactions += 1
        site.truth.note(site.now, "transaction", amount)
        if customer.receipt:
            if customer.paper_jam:
                site.printer.jammed = True
                site.break_down("paperJam")
            if site.printer.print() and site.printer.paper == "out":
                site.break_down("paperOut")

    def _present(self, customer: Customer, amount: int) -> Script:
        site, dispenser = self._site, self._site.dispenser
        if not self._alive() or dispenser.device != "online":
            return
        site.truth.note(site.now, "present", amount)
        dispenser.present()
        if not customer.forgets_cash and not dispenser.trapped:
            yield customer.taking_s
            if site.cash.slot:
                site.truth.note(site.now, "taken", dispenser.take())
            return
        yield site.params.take_timeout_s
        if self._alive() and site.cash.slot:
            if not dispenser.trapped:
                number = site.truth.begin(Kind.DISTURBANCE, "forgottenCash", site.now - site.params.take_timeout_s)
                site.truth.see(number, site.now - site.params.take_timeout_s)
                site.truth.end(number, site.now)
            site.truth.note(site.now, "retracted", dispenser.retract())
            site.check_cash()
