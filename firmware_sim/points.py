"""Every point of the machine, by name, as it is in truth: before any sensor has measured it."""

from __future__ import annotations

from agent.records import Value
from firmware_sim.site import Site

READER_W, DISPENSER_W = 15.0, 60.0  # drawn while a customer is served


def words(site: Site) -> dict[str, Value]:
    """All points that say words, in a dict of the caller's own. They change only when something happens, never between."""
    found = site.housing.words()
    found.update(site.neutralization.words(site.housing.safe))
    found.update(site.motion.words())
    found.update(site.climate.words())
    found.update(site.power.words())
    found.update(site.place.words())
    found.update(_status_lines(site))
    return found


def state(site: Site) -> tuple[object, ...]:
    """All that the words are made of: while it is the same, so are they. It takes a fraction of the time to ask for."""
    return (
        *vars(site.housing).values(),
        *vars(site.neutralization).values(),
        *vars(site.computer).values(),
        *vars(site.reader).values(),
        *vars(site.printer).values(),
        *vars(site.dispenser).values(),
        bool(site.cash.slot),
        site.cash.words(),
        site.motion.words(),
        site.climate.words(),
        site.power.words(),
        site.power.supplied,
        site.place.fix,
    )


def numbers(site: Site) -> dict[str, Value]:
    """All points that are numbers, at the site's time."""
    now = site.now
    load = site.params.idle_power_w if site.computer.running else 0.0
    load += site.params.heater_w if site.climate.heating else 0.0
    load += READER_W + DISPENSER_W if site.serving else 0.0
    return {
        **site.motion.numbers(now),
        **site.climate.numbers(now),
        **site.power.numbers(now, load),
        **site.place.numbers(now),
        **_counters(site),
    }


def _status_lines(site: Site) -> dict[str, Value]:
    """What a listener on the machine's status lines hears; without a PC nothing but which devices have power."""
    computer = site.computer
    heard = site.cash.words().copy()
    heard.update(site.dispenser.words())
    heard.update(site.reader.words())
    heard.update(site.printer.words())
    heard.update(computer.words())
    if not computer.running or computer.starting:
        device = "starting" if computer.starting else None if site.power.supplied else "powerOff"
        heard = {name: device if name.endswith(".device") else None for name in heard}
        heard["link.host"] = "down"
    elif site.dispenser.device != "online":
        heard["cashManagement.dispenser"] = "unknown"
        if site.dispenser.device in ("noDevice", "powerOff"):
            for name in ("shutter", "positionStatus", "transport"):
                heard[f"cashDispenser.outDefault.{name}"] = "unknown"
    return heard


def _counters(site: Site) -> dict[str, Value]:
    counters = {
        **site.cash.numbers(),
        **site.dispenser.numbers(),
        **site.reader.numbers(),
        **site.printer.numbers(),
        **site.computer.numbers(),
    }
    if not site.computer.running or site.computer.starting:
        return dict.fromkeys(counters)
    return counters
