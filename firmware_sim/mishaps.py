"""What happens around the machine by itself: failing mains, lost links, lorries, passers-by, road works.

Each is an endless script with a generator of its own, so that one rate can be changed without moving the others.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from firmware_sim import lookalikes
from firmware_sim.agenda import Script
from firmware_sim.chance import log_uniform
from firmware_sim.climate import DAY, HOUR, hour_of
from firmware_sim.site import Site, label
from firmware_sim.truth import Kind
from firmware_sim.visits import working_time

SLAM_PEAK = (2.0, 15.0)  # m/s²; the door of the shop or of the lobby


def start_all(site: Site) -> None:
    """Let all of them begin."""
    params = site.params
    for name, per_day, happen in (
        ("mains", params.mains_failures, mains_failure),
        ("brownOut", params.brown_outs, brown_out),
        ("link", params.link_losses, link_loss),
        ("pc", params.pc_hangs, pc_hang),
        ("lorries", params.lorries, lorry),
        ("slams", params.door_slams, door_slam),
        ("passers", params.passers_by, passer_by),
        ("works", params.road_works, road_works),
        ("fix", params.fix_losses, fix_loss),
        ("glare", params.glares, glare),
        ("dirt", params.dirty_readers, dirty_reader),
        ("shutter", params.stuck_shutters, stuck_shutter),
        ("reset", params.dispenser_resets, dispenser_reset),
        ("rain", params.rains, lookalikes.rain),
        ("paint", params.paints, lookalikes.paint),
        ("exhaust", params.exhausts, lookalikes.exhaust),
        ("construction", params.constructions, lookalikes.construction),
        ("earthquake", params.earthquakes, lookalikes.earthquake),
        ("update", params.software_updates, lookalikes.software_update),
    ):
        if per_day > 0:
            site.play(_again(site, site.stream(name), per_day, happen))


def _again(site: Site, rng: Random, per_day: float, happen: Callable[[Site, Random], Script]) -> Script:
    while True:
        yield rng.expovariate(per_day) * DAY
        yield from happen(site, rng)


def mains_failure(site: Site, rng: Random) -> Script:
    """Minutes without mains; the UPS carries the machine as long as it can."""
    if not site.power.mains:
        return
    params = site.params
    with label(site, Kind.FAULT, "mainsFailure"):
        site.power.fail()
        yield log_uniform(rng, params.mains_failure_shortest_s, params.mains_failure_longest_s)
        site.power.come_back()


def brown_out(site: Site, rng: Random) -> Script:
    """The mains sag for seconds."""
    with label(site, Kind.DISTURBANCE, "brownOut"):
        site.power.sag_v = rng.uniform(25.0, 70.0)
        yield log_uniform(rng, 1.0, 90.0)
        site.power.sag_v = 0.0


def link_loss(site: Site, rng: Random) -> Script:
    """The host cannot be reached."""
    params = site.params
    if site.computer.link == "down":
        return
    with label(site, Kind.FAULT, "linkDown"):
        site.computer.link = "down"
        yield log_uniform(rng, params.link_loss_shortest_s, params.link_loss_longest_s)
        site.computer.link = "up"


def pc_hang(site: Site, rng: Random) -> Script:
    """The PC stops; its watchdog starts it again."""
    with label(site, Kind.FAULT, "pcHang"):
        site.computer.running = False
        yield rng.uniform(180.0, 1_200.0)
        if site.power.supplied:
            yield from site.restart()


def lorry(site: Site, rng: Random) -> Script:
    """A lorry: a rumble and a slight rocking; few at night."""
    if 6.0 <= hour_of(site.now) < 22.0 or rng.random() < 0.15:
        rms = log_uniform(rng, 0.03, 0.5)
        site.motion.shake(rng.uniform(2.0, 9.0), rms, rms * rng.uniform(3.0, 5.0), drill=rms * 0.2, tilt=rng.uniform(0.0, 0.3))
    yield 10.0


def door_slam(site: Site, rng: Random) -> Script:
    """A door near by falls shut."""
    if 7.0 <= hour_of(site.now) < 21.0 or rng.random() < 0.1:
        site.motion.shake(0.3, rng.uniform(0.3, 1.5), rng.uniform(*SLAM_PEAK), drill=rng.uniform(0.0, 0.3))
    yield 5.0


def passer_by(site: Site, rng: Random) -> Script:
    """Somebody stands in front of the machine and goes on."""
    if 6.0 <= hour_of(site.now) < 23.0 or rng.random() < 0.15:
        site.housing.near += 1
        yield log_uniform(rng, 1.0, 60.0)
        site.housing.near -= 1


def road_works(site: Site, rng: Random) -> Script:
    """Days of pneumatic hammers in front of the house, in working hours, with pauses."""
    yield max(0.0, working_time(site.now) - site.now)
    days = max(1.0, site.params.road_works_days * rng.uniform(0.5, 1.5))
    over = site.now + days * DAY
    with label(site, Kind.DISTURBANCE, "roadWorks"):
        while site.now < over:
            yield max(0.0, working_time(site.now) - site.now)
            seconds = rng.uniform(5.0, 90.0)
            rms = log_uniform(rng, 0.2, 1.8)
            site.motion.shake(seconds, rms, rms * rng.uniform(4.0, 8.0), drill=rms * rng.uniform(0.5, 0.9), grind=rms * 0.15)
            yield seconds + log_uniform(rng, 20.0, 0.75 * HOUR)


def glare(site: Site, rng: Random) -> Script:
    """Low sun in the card slot: the anti-fraud module sees what is not there."""
    yield (rng.choice((8.0, 16.5)) - hour_of(site.now)) % 24.0 * HOUR
    if site.reader.anti_fraud != "ok":
        return
    with label(site, Kind.DISTURBANCE, "glare"):
        site.reader.anti_fraud = "deviceDetected"
        yield log_uniform(rng, 30.0, 1_500.0)
        site.reader.anti_fraud = "ok"


def dirty_reader(site: Site, rng: Random) -> Script:
    """Dust in the throat: cards go in slower and read worse, until a technician or a damp card has cleaned it."""
    if site.reader.drag != 1.0:
        return
    with label(site, Kind.FAULT, "dirtyReader"):
        drag, errors = rng.uniform(1.08, 1.3), rng.uniform(2.0, 6.0)
        site.reader.drag, site.reader.error_factor = drag, errors
        yield rng.uniform(0.5, 4.0) * DAY
        if site.reader.drag == drag:  # else something has been put over it meanwhile
            site.reader.drag = site.reader.error_factor = 1.0


def stuck_shutter(site: Site, rng: Random) -> Script:
    """The shutter sticks by itself: what a claw looks like, without a claw."""
    while site.serving:
        yield 5.0
    if site.dispenser.shutter == "closed" and site.dispenser.device == "online":
        site.dispenser.shutter = rng.choice(("jammedPartiallyOpen", "jammedClosed"))
        site.break_down("shutterStuck")


def dispenser_reset(site: Site, rng: Random) -> Script:
    """The dispenser's link to the PC starts anew: for seconds it is gone, and no door was opened."""
    while site.serving:
        yield 5.0
    if site.dispenser.device == "online":
        with label(site, Kind.DISTURBANCE, "dispenserReset"):
            site.dispenser.device = "noDevice"
            yield rng.uniform(3.0, 45.0)
            if site.dispenser.device == "noDevice":
                site.dispenser.device = "online"


def fix_loss(site: Site, rng: Random) -> Script:
    """The satellite receiver sees too little sky for a while."""
    site.place.fix = False
    yield log_uniform(rng, 20.0, 1_800.0)
    site.place.fix = True
