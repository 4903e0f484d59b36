"""What attackers do, step by step. Each script labels itself, and the moment at which it first could be noticed.

Timings and magnitudes are drawn anew for each seed, within what is believable. Classes are those of EAST.
"""

from __future__ import annotations

from random import Random

from firmware_sim.agenda import Script
from firmware_sim.climate import HOUR
from firmware_sim.site import Site
from firmware_sim.truth import Kind

GAS_STEPS = ("partialWarningLevel", "warningLevel", "partialCriticalLevel", "criticalLevel")


def black_box(site: Site, rng: Random, presents: int, gap_s: float) -> Script:
    """The cabinet is opened, the dispenser unplugged and put on a box of the attacker's own, which empties it.

    `gap_s`: how long the dispenser is gone. The PC sees no transaction, yet notes leave.
    """
    number = site.truth.begin(Kind.ATTACK, "blackBox", site.now, "BLACK_BOX")
    crew = rng.randrange(1, 3)
    site.housing.near += crew
    yield rng.uniform(15.0, 60.0)
    site.housing.cabinet = "open"  # forced, or with a key that is sold on the web
    site.housing.tampered = rng.random() < 0.5
    site.motion.shake(2.0, rng.uniform(0.2, 0.8), rng.uniform(2.0, 10.0), tilt=0.3)
    site.truth.see(number, site.now)
    yield rng.uniform(45.0, 200.0)
    site.dispenser.device = "powerOff"
    if rng.random() < 0.5:
        site.computer.link = "down"
    yield rng.uniform(2.0, 6.0)
    site.dispenser.device = "noDevice"
    yield gap_s * rng.uniform(0.9, 1.1)
    site.dispenser.device = "online"
    for _ in range(max(1, round(presents * rng.uniform(0.85, 1.15)))):
        yield rng.uniform(6.0, 22.0)
        if not _empty_by_box(site):
            break
        yield rng.uniform(2.0, 4.0)
        site.truth.note(site.now, "stolen", site.dispenser.take())
    yield rng.uniform(5.0, 30.0)
    site.dispenser.device = "powerOff"
    site.housing.near -= crew
    yield rng.uniform(5.0, 20.0)
    site.computer.link = "up"
    site.truth.end(number, site.now)
    site.break_down("damaged")


def _empty_by_box(site: Site) -> bool:
    """One present of as many of the dearest notes as fit, straight from the cassettes; False when there are none left."""
    room = site.params.max_notes
    for cassette in sorted(site.cash.cassettes, key=lambda one: -one.denomination):
        notes = min(room, cassette.count) if cassette.usable else 0
        site.dispenser.picks += notes
        cassette.count -= notes
        site.cash.transit.extend([cassette] * notes)
        room -= notes
    if not site.cash.transit:
        return False
    site.dispenser.present()
    site.truth.note(site.now, "illicitPresent")
    return True


def gas(site: Site, rng: Random, seconds: float) -> Script:
    """A hose through a slot, gas, a spark: from the first trace to the critical level in `seconds`, then nothing answers."""
    number = site.truth.begin(Kind.ATTACK, "gas", site.now, "X1")
    site.housing.near += rng.randrange(2, 4)
    yield rng.uniform(10.0, 40.0)
    site.housing.tampered = True  # the fascia is levered open for the hose
    site.motion.shake(rng.uniform(3.0, 12.0), rng.uniform(0.5, 2.0), rng.uniform(8.0, 25.0), drill=0.4, tilt=0.5)
    site.truth.see(number, site.now)
    yield rng.uniform(15.0, 60.0)
    shares = [rng.uniform(0.7, 1.3) for _ in GAS_STEPS[1:]]
    for step, share in zip(GAS_STEPS, [0.0, *shares], strict=True):
        yield seconds * share / sum(shares)
        site.neutralization.gas = step
    site.neutralization.light_in_safe = rng.random() < 0.5
    yield rng.uniform(3.0, 25.0)
    site.motion.shake(0.2, 120.0, rng.uniform(300.0, 1_500.0), drill=60.0, grind=40.0)
    site.motion.tilt = rng.uniform(5.0, 40.0)
    site.neutralization.mode = "neutralizationTriggered"
    site.housing.safe = "open" if rng.random() < 0.6 else site.housing.safe
    site.power.fail()
    site.computer.running = False
    yield rng.uniform(0.1, 0.6)
    site.board.lose_power()  # and with it everything that could still speak
    yield rng.uniform(60.0, 240.0)
    site.truth.end(number, site.now)


def drilling(site: Site, rng: Random, minutes: float) -> Script:
    """A drill or a grinder at the safe for `minutes`, with pauses for bits and for listening."""
    number = site.truth.begin(Kind.ATTACK, "drilling", site.now, "B2")
    crew = rng.randrange(1, 3)
    site.housing.near += crew
    yield rng.uniform(20.0, 90.0)
    over = site.now + 60.0 * minutes * rng.uniform(0.8, 1.2)
    while site.now < over:
        seconds = rng.uniform(20.0, 120.0)
        drill, grind = rng.uniform(1.5, 6.0), rng.uniform(0.3, 1.2)
        if rng.random() < 0.25:
            drill, grind = grind, drill  # the grinder's turn
        rms = (drill**2 + grind**2 + 0.2) ** 0.5
        site.motion.shake(seconds, rms, rms * rng.uniform(3.0, 5.0), drill=drill, grind=grind, tilt=rng.uniform(0.0, 0.4))
        site.truth.see(number, site.now)
        yield seconds + rng.uniform(5.0, 45.0)
        site.housing.tampered_inside = site.housing.tampered_inside or rng.random() < 0.05
    site.housing.tampered = True
    if rng.random() < 0.4:
        site.housing.safe = "open"
        site.neutralization.mode = "neutralizationTriggered"
        yield rng.uniform(20.0, 90.0)
        site.truth.note(site.now, "stolen", site.cash.loot())
        site.check_cash()
    site.housing.near -= crew
    site.truth.end(number, site.now)
    site.break_down("damaged")


def ram_raid(site: Site, rng: Random, tilt_deg: float) -> Script:
    """A vehicle rips the machine out and drives away with it: shocks, tilt, mains off, position moves, link gone."""
    number = site.truth.begin(Kind.ATTACK, "ramRaid", site.now, "RIP_OUT")
    for blow in range(rng.randrange(1, 4)):
        site.motion.shake(0.4, rng.uniform(8.0, 30.0), rng.uniform(60.0, 400.0), drill=2.0, tilt=rng.uniform(2.0, 8.0))
        site.truth.see(number, site.now)
        yield rng.uniform(4.0, 15.0) + blow
    site.motion.tilt = tilt_deg * rng.uniform(0.8, 1.2)
    site.motion.shake(3.0, rng.uniform(5.0, 20.0), rng.uniform(50.0, 200.0), drill=1.5, tilt=5.0)
    site.housing.tampered = True
    yield rng.uniform(0.5, 5.0)
    site.power.fail()
    site.computer.link = "down"
    yield rng.uniform(1.0, 10.0)
    site.computer.running = False  # its plugs are torn out; the board lives on its own battery
    yield rng.uniform(10.0, 60.0)
    site.place.move(rng.uniform(8.0, 20.0), rng.uniform(0.0, 360.0))
    driving = rng.uniform(6.0, 20.0) * 60.0
    site.motion.shake(driving, rng.uniform(0.6, 1.5), rng.uniform(8.0, 25.0), drill=0.3)
    yield driving
    site.place.move(0.0, 0.0)
    site.board.lose_power()
    site.truth.end(number, site.now)


def skimming(site: Site, rng: Random, drag: float, detect_s: float, hours: float) -> Script:
    """An overlay on the card slot: cards go in slower and read worse, and after `detect_s` the anti-fraud module sees it."""
    number = site.truth.begin(Kind.ATTACK, "skimming", site.now, "SKIMMING")
    site.housing.near += 1
    yield rng.uniform(8.0, 30.0)
    site.motion.shake(3.0, 0.15, rng.uniform(1.0, 4.0))
    site.reader.drag = drag * rng.uniform(0.95, 1.08)
    site.reader.error_factor = rng.uniform(4.0, 12.0)
    site.truth.see(number, site.now)
    yield 2.0
    site.housing.near -= 1
    yield detect_s * rng.uniform(0.8, 1.25)
    site.reader.anti_fraud = "deviceDetected"
    yield hours * HOUR * rng.uniform(0.8, 1.2)
    site.reader.anti_fraud, site.reader.drag, site.reader.error_factor = "ok", 1.0, 1.0
    site.truth.end(number, site.now)


def cash_trap(site: Site, rng: Random, hauls: int) -> Script:
    """A claw behind the shutter holds what is presented; when the customer has gone, the attacker fetches it. `hauls` times."""
    number = site.truth.begin(Kind.ATTACK, "cashTrap", site.now, "CASH_TRAPPING")
    for _ in range(hauls):
        while site.serving:
            yield 5.0
        site.housing.near += 1
        yield rng.uniform(6.0, 20.0)
        site.dispenser.trapped = True
        site.motion.shake(2.0, 0.2, rng.uniform(1.0, 5.0))
        site.housing.near -= 1
        while site.dispenser.trapped and site.dispenser.shutter != "jammedPartiallyOpen":
            yield 1.0
        if not site.dispenser.trapped:
            continue  # a technician was faster
        site.truth.see(number, site.now)
        yield rng.uniform(40.0, 300.0)
        site.housing.near += 1
        yield rng.uniform(5.0, 15.0)
        site.dispenser.shutter = "jammedOpen"  # bent further for the hand
        yield rng.uniform(2.0, 5.0)
        site.dispenser.trapped = False
        site.truth.note(site.now, "stolen", site.dispenser.take())
        site.housing.near -= 1
        yield rng.uniform(120.0, 900.0)
    site.truth.end(number, site.now)
