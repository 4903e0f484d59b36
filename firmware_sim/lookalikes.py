"""What looks like the first evidence of an attack and is none: weather, neighbours, and the operator's own software.

Rare or local, so no machine has them unless its parameters say so; each is labelled as a disturbance.
"""

from __future__ import annotations

from random import Random

from firmware_sim.agenda import Script
from firmware_sim.chance import log_uniform
from firmware_sim.climate import HOUR, hour_of
from firmware_sim.site import Site, label
from firmware_sim.truth import Kind
from firmware_sim.visits import working_time


def rain(site: Site, rng: Random) -> Script:
    """Rain drives into the card slot: in spells the anti-fraud module sees drops for a foreign device."""
    with label(site, Kind.DISTURBANCE, "rain"):
        over = site.now + log_uniform(rng, 600.0, 4 * HOUR)
        while site.now < over:
            drag = site.reader.drag
            if site.reader.anti_fraud == "ok":
                site.reader.anti_fraud = "deviceDetected"
                yield log_uniform(rng, 5.0, 900.0)
                if site.reader.drag == drag:  # else something has been put over it meanwhile
                    site.reader.anti_fraud = "ok"
            yield log_uniform(rng, 30.0, 1_800.0)


def paint(site: Site, rng: Random) -> Script:
    """Painters are at work near by: for hours the gas detector shows its lowest level."""
    yield max(0.0, working_time(site.now) - site.now)
    yield from _fumes(site, "paint", log_uniform(rng, 1_200.0, 5 * HOUR))


def exhaust(site: Site, rng: Random) -> Script:
    """A car stands in front with its engine running: it shakes the machine a little, and its fumes reach the gas detector."""
    seconds = log_uniform(rng, 30.0, 900.0)
    rms = rng.uniform(0.03, 0.15)
    site.motion.shake(seconds, rms, rms * 4.0, drill=rms * 0.3)
    yield from _fumes(site, "exhaust", seconds)


def _fumes(site: Site, name: str, seconds: float) -> Script:
    if site.neutralization.gas != "notDetected":
        return
    with label(site, Kind.DISTURBANCE, name):
        site.neutralization.gas = "partialWarningLevel"
        yield seconds
        if site.neutralization.gas == "partialWarningLevel":
            site.neutralization.gas = "notDetected"


def construction(site: Site, rng: Random) -> Script:
    """A day of demolition next door: single heavy blows through the wall, in working hours."""
    yield max(0.0, working_time(site.now) - site.now)
    with label(site, Kind.DISTURBANCE, "construction"):
        while 8.0 <= hour_of(site.now) < 18.0:
            rms = log_uniform(rng, 0.5, 3.0)
            site.motion.shake(rng.uniform(0.2, 0.6), rms, min(32.0, rms * rng.uniform(6.0, 12.0)), drill=rms * 0.2, tilt=0.3)
            yield log_uniform(rng, 30.0, 0.5 * HOUR)


def earthquake(site: Site, rng: Random) -> Script:
    """The ground shakes for half a minute; the machine sways and stands again as it stood."""
    with label(site, Kind.DISTURBANCE, "earthquake"):
        rms, seconds = rng.uniform(0.3, 1.5), rng.uniform(8.0, 40.0)
        site.motion.shake(seconds, rms, rms * rng.uniform(3.0, 4.0), drill=rms * 0.1, tilt=rng.uniform(0.5, 3.5))
        yield seconds


def software_update(site: Site, rng: Random) -> Script:
    """By night the operator installs software: the link goes, the PC starts anew, once or twice. Nobody is at the machine."""
    yield (rng.uniform(1.0, 4.0) - hour_of(site.now)) % 24.0 * HOUR
    while site.serving:
        yield 5.0
    if site.computer.link == "down" or not site.computer.running:
        return
    with label(site, Kind.DISTURBANCE, "softwareUpdate"):
        for _ in range(rng.randrange(1, 3)):
            site.computer.link = "down"
            yield rng.uniform(30.0, 240.0)
            if site.power.supplied:
                yield from site.restart()
            site.computer.link = "up"
            yield rng.uniform(60.0, 300.0)
