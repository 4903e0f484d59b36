"""Faults that a scenario tells step by step: wear, supplies, heat, and what befalls the sensor board itself."""

from __future__ import annotations

from random import Random

from firmware_sim.agenda import Script
from firmware_sim.climate import DAY, HOUR
from firmware_sim.site import Site
from firmware_sim.truth import Kind

# the harness of the housing: contacts are closed loops, so a cut wire looks like an alarm; the rest just ends
HARNESS = (
    "auxiliaries.cabinetDoor",
    "auxiliaries.safeDoor",
    "auxiliaries.tamperSensor",
    "auxiliaries.internalTamperSensor",
    "auxiliaries.seismicSensor",
    "auxiliaries.heatSensor",
    "motion.tilt_deg",
    "motion.rms_ms2",
    "motion.peak_ms2",
    "motion.drill_band_ms2",
    "motion.grind_band_ms2",
    "environment.temperature_c",
    "environment.humidity_pct",
)


def worn_rollers(site: Site, rng: Random, days: float, worst: float) -> Script:
    """The rollers of the transport wear: the reject rate grows to `worst` times its value in `days`, then notes jam."""
    number = site.truth.begin(Kind.FAULT, "wornTransport", site.now)
    steps = max(1, round(days * 48))
    for step in range(1, steps + 1):
        yield days * DAY / steps
        site.dispenser.reject_factor = 1.0 + (worst - 1.0) * step / steps
        if site.dispenser.reject_factor > 2.0:
            site.truth.see(number, site.now)
    site.dispenser.jam_next = True
    while site.dispenser.jam_next:  # until somebody asks for cash
        yield 60.0
    yield rng.uniform(60.0, 600.0)
    site.truth.end(number, site.now)


def paper_ends(site: Site, rng: Random, left: int) -> Script:
    """The roll has `left` receipts left, and nobody brings a new one before it is out."""
    site.printer.left = max(1, round(left * rng.uniform(0.8, 1.2)))
    yield 0.0


def worn_battery(site: Site, rng: Random, days: float, loss_v: float, health: float) -> Script:
    """A cell of the UPS battery dies over `days`: the float voltage falls by `loss_v`, the runtime to `health`; then the
    mains fail, and the machine goes down with them long before they are back."""
    number = site.truth.begin(Kind.FAULT, "upsBatteryWorn", site.now)
    site.power.wear_out(days * DAY, loss_v * rng.uniform(0.8, 1.2), health)
    yield days * DAY / 3
    site.truth.see(number, site.now)  # a third of the loss is more than the voltage wavers
    yield days * DAY * 2 / 3 + rng.uniform(0.0, 4.0) * HOUR
    failure = site.truth.begin(Kind.FAULT, "mainsFailure", site.now)
    site.truth.see(failure, site.now)
    site.power.fail()
    yield rng.uniform(20.0, 60.0) * 60.0
    site.power.come_back()
    site.truth.end(failure, site.now)
    site.truth.end(number, site.now)
    site.break_down("upsBatteryFailed")


def overheating(site: Site, rng: Random, rise: float, hours: float) -> Script:
    """The fan of the housing stops; `hours` later the inside is warmer by most of `rise` K, and a technician is called."""
    number = site.truth.begin(Kind.FAULT, "fanFailed", site.now)
    heat = site.climate.heat(rise * rng.uniform(0.9, 1.15), hours * HOUR / 2.5)
    yield 0.4 * HOUR
    site.truth.see(number, site.now)
    yield hours * HOUR
    site.break_down("overTemperature")
    while "overTemperature" in site.breakdowns:
        yield 60.0
    site.climate.cool(heat)
    site.truth.end(number, site.now)


def sensor_stuck(site: Site, rng: Random, point: str, hours: float) -> Script:
    """The sensor of `point` repeats its last value for `hours`."""
    number = site.truth.begin(Kind.FAULT, "sensorStuck", site.now)
    site.board.stuck.add(point)
    yield 0.5 * HOUR
    site.truth.see(number, site.now)  # nothing real stands still that long
    yield hours * HOUR * rng.uniform(0.9, 1.1)
    site.board.stuck.discard(point)
    site.truth.end(number, site.now)


def cable_cut(site: Site, rng: Random, hours: float) -> Script:
    """The harness to the sensors of the housing is cut, for `hours`: contacts go to alarm together, analog values end."""
    number = site.truth.begin(Kind.FAULT, "cableCut", site.now)
    site.board.cut.update(HARNESS)
    site.truth.see(number, site.now)
    yield hours * HOUR * rng.uniform(0.8, 1.2)
    site.board.cut.difference_update(HARNESS)
    site.truth.end(number, site.now)


def clock_step(site: Site, rng: Random, by_s: float) -> Script:
    """The millisecond counter of the board jumps by `by_s` without a new start."""
    number = site.truth.begin(Kind.FAULT, "clockStep", site.now)
    site.board.clock_error_s += by_s + rng.uniform(0.0, 1.0)
    site.truth.see(number, site.now)
    yield 1.0
    site.truth.end(number, site.now)


def chatter(site: Site, rng: Random, minutes: float, per_minute: float) -> Script:
    """The contact of the cabinet door is loose: `per_minute` edges for `minutes`."""
    number = site.truth.begin(Kind.FAULT, "contactChatter", site.now)
    over = site.now + 60.0 * minutes
    pause = 60.0 / per_minute
    while site.now < over:
        site.housing.cabinet_contact = None if site.housing.cabinet_contact else "open"
        site.truth.see(number, site.now)
        yield pause * rng.uniform(0.6, 1.4)
    site.housing.cabinet_contact = None
    site.truth.end(number, site.now)
