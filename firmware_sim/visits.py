"""People who come to work at the machine: cash in transit, technicians, cleaners. They have a plan, and they make noise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from firmware_sim.agenda import Script
from firmware_sim.climate import DAY, HOUR, hour_of, weekday_of
from firmware_sim.dispenser import Jam
from firmware_sim.site import Site, Visit
from firmware_sim.truth import Kind

OPENS, CLOSES = 8.0, 18.0  # working hours of technicians, UTC
DESK_LOOKS = 600.0  # s between two looks of the operations desk at the machine
CALLS_TECHNICIAN = frozenset(
    {
        "noteJam", "shutterStuck", "cardJam", "paperOut", "paperJam", "rejectFull", "manipulated", "overTemperature",
        "upsBatteryFailed", "damaged",
    }
)  # fmt: skip
SLAM_MS2 = 12.0  # peak of a door of the machine itself falling shut


def working_time(at: float, last_weekday: int = 5) -> float:
    """The first moment from `at` on that lies within working hours; Sunday is free, Saturday too if `last_weekday` is 4."""
    while weekday_of(at) > last_weekday or hour_of(at) >= CLOSES:
        at = (at // DAY + 1) * DAY
    return max(at, at // DAY * DAY + OPENS * HOUR)


def swing_door(site: Site, seconds_open: float, *, safe: bool = False) -> Script:
    """Unlock, open, leave open, close and lock the cabinet, or the safe."""
    door, locked = ("safe", "bolted") if safe else ("cabinet", "locked")
    setattr(site.housing, door, "closed")
    yield 4.0
    setattr(site.housing, door, "open")
    site.motion.shake(1.0, 0.3, 3.0, tilt=0.1)
    yield seconds_open
    site.motion.shake(0.4, 1.0, SLAM_MS2, tilt=0.2)
    setattr(site.housing, door, "closed")
    yield 5.0
    setattr(site.housing, door, locked)


class Visits:
    """Everybody who comes with a key, and the desk that sends them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rng = site.stream("visits")
        self._under_way: set[str] = set()  # visits that are on their way or at work
        site.play(self._replenishments())
        site.play(self._maintenance())
        site.play(self._desk())
        site.play(self._cleaning())

    def _desk(self) -> Script:
        """Sees what is broken and sends somebody, within working hours."""
        site, params = self._site, self._site.params
        while True:
            yield DESK_LOOKS
            if CALLS_TECHNICIAN & site.breakdowns.keys() and "technician" not in self._under_way:
                response = self._rng.uniform(params.response_shortest_h, params.response_longest_h) * HOUR
                self.send("technician", working_time(site.now + response))
            if "cashOut" in site.breakdowns and "replenishment" not in self._under_way:
                self.send("replenishment", working_time(site.now + 4 * HOUR, last_weekday=4))

    def send(self, what: str, at: float) -> None:
        """Put a visit into the operator's calendar and let it happen."""
        self._under_way.add(what)
        self._site.plan.append(Visit(what, at - 0.5 * HOUR, at + 2 * HOUR))
        self._site.play(self._come(what), at)

    def _come(self, what: str) -> Script:
        rng = self._rng
        yield from replenish(self._site, rng) if what == "replenishment" else service(self._site, rng)
        self._under_way.discard(what)

    def _replenishments(self) -> Script:
        params = self._site.params
        if params.replenish_every_days <= 0:
            return
        day = datetime.fromtimestamp(self._site.now // DAY * DAY, UTC)
        day += timedelta(days=(params.replenish_weekday - day.weekday()) % 7)
        while True:
            at = day.timestamp() + (params.replenish_hour + self._rng.uniform(-0.5, 0.5)) * HOUR
            if at > self._site.now and "replenishment" not in self._under_way:
                self.send("replenishment", at)
            day += timedelta(days=params.replenish_every_days)
            yield max(0.0, day.timestamp() - self._site.now)

    def _maintenance(self) -> Script:
        if self._site.params.technician_visits <= 0:
            return
        while True:
            yield self._rng.expovariate(self._site.params.technician_visits) * DAY
            at = working_time(self._site.now + DAY)
            if "technician" not in self._under_way:
                self.send("technician", at)

    def _cleaning(self) -> Script:
        if self._site.params.cleanings <= 0:
            return
        while True:
            yield self._rng.expovariate(self._site.params.cleanings) * DAY
            yield max(0.0, working_time(self._site.now) - self._site.now)
            yield from clean(self._site, self._rng)


def _machine_free(site: Site) -> Script:
    while site.serving or site.housing.operator_switch != "run":
        yield 5.0


def service(
    site: Site, rng: Random, minutes: float = 0.0, *, power_cycle: bool | None = None, presents: int | None = None
) -> Script:
    """A technician: vendor mode, cabinet open, test presents into the reject tray, repairs. Ends with all in order."""
    number = site.truth.begin(Kind.VISIT, "technician", site.now)
    site.housing.near += 1
    yield from _machine_free(site)
    site.housing.operator_switch = "maintenance"
    site.truth.see(number, site.now)
    site.computer.vendor_mode = "enterPending"
    yield rng.uniform(4.0, 15.0)
    site.computer.vendor_mode = "active"
    yield rng.uniform(10.0, 40.0)
    work = (minutes or rng.uniform(15.0, 45.0)) * 60.0
    site.play(swing_door(site, work))
    if "noteJam" in site.breakdowns or "rejectFull" in site.breakdowns:
        yield from _clear_path(site, rng)
    if power_cycle if power_cycle is not None else rng.random() < site.params.power_cycle_share:
        yield from _power_cycle(site, rng)
    mend(site)
    yield from _test(site, rng, rng.randrange(2, 7) if presents is None else presents)
    while site.housing.cabinet != "locked":
        yield 10.0
    site.computer.vendor_mode = "exitPending"
    yield rng.uniform(4.0, 10.0)
    site.computer.vendor_mode = "inactive"
    site.housing.operator_switch = "run"
    yield 20.0
    site.housing.near -= 1
    site.truth.end(number, site.now)


def _clear_path(site: Site, rng: Random) -> Script:
    """First-line work: the safe is opened, the path cleared, the bin emptied."""
    site.neutralization.mode = "disarmed"
    yield from swing_door(site, rng.uniform(120.0, 480.0), safe=True)
    site.dispenser.purge()
    site.cash.empty_bin()
    site.neutralization.mode = "armed"


def _power_cycle(site: Site, rng: Random) -> Script:
    yield rng.uniform(30.0, 200.0)
    site.dispenser.device = "powerOff"
    yield rng.uniform(2.0, 6.0)
    site.dispenser.device = "noDevice"
    yield rng.uniform(15.0, 60.0)
    site.dispenser.device = "starting"
    yield 12.0
    site.dispenser.device = "online"


def _test(site: Site, rng: Random, presents: int) -> Script:
    """Test presents: the counters of the dispenser grow, the shutter stays shut, the notes go to the reject tray."""
    for _ in range(presents):
        yield rng.uniform(6.0, 25.0)
        fullest = max(site.cash.cassettes, key=lambda one: one.count)
        if site.dispenser.device != "online" or not fullest.usable:
            continue
        try:
            site.dispenser.stack({fullest.denomination: rng.randrange(1, 5)})
        except Jam:
            site.dispenser.transport, site.dispenser.device = "ok", "online"
        site.dispenser.presents += 1
        site.dispenser.purge()
        site.check_cash()
        site.truth.note(site.now, "testPresent")


def mend(site: Site) -> None:
    """A technician leaves nothing broken behind: each fault known by name is put right."""
    dispenser, reader = site.dispenser, site.reader
    if dispenser.device != "online" or dispenser.transport != "ok":
        dispenser.purge()
    dispenser.device, dispenser.transport, dispenser.shutter = "online", "ok", "closed"
    dispenser.trapped, dispenser.reject_factor, dispenser.jam_next = False, 1.0, False
    if site.cash.slot:
        dispenser.retract()
    reader.device, reader.anti_fraud, reader.drag, reader.error_factor = "online", "ok", 1.0, 1.0
    if reader.media == "jammed":
        reader.media, reader.chip_power = "notPresent", "noCard"
    if site.printer.paper != "full":
        site.printer.renew()
    if "upsBatteryFailed" in site.breakdowns:
        site.power.new_battery()
    site.housing.tampered = site.housing.tampered_inside = False
    if "damaged" in site.breakdowns:
        site.housing.safe, site.neutralization.mode = "bolted", "armed"
    site.motion.tilt = 0.0
    for cassette in site.cash.cassettes:
        if cassette.status == "manipulated":
            cassette.status = "ok"
    for what in sorted(CALLS_TECHNICIAN & site.breakdowns.keys()):
        site.mend(what)


def replenish(site: Site, rng: Random, minutes: float = 0.0, *, exchange: bool = True) -> Script:
    """Cash in transit: supervisor mode, exchange, safe open, all cassettes swapped. Without the exchange they count as
    manipulated, and nothing can be paid out until a technician has put that right."""
    number = site.truth.begin(Kind.VISIT, "replenishment", site.now)
    site.housing.near += 2
    yield from _machine_free(site)
    site.housing.operator_switch = "supervisor"
    site.truth.see(number, site.now)
    yield rng.uniform(10.0, 40.0)
    if exchange:
        site.dispenser.exchange = "active"
        yield rng.uniform(5.0, 20.0)
    site.neutralization.mode = "disarmed"
    work = (minutes or rng.uniform(6.0, 15.0)) * 60.0
    site.play(swing_door(site, work, safe=True))
    yield work / 2
    site.cash.reload(outside_exchange=not exchange)
    if site.printer.paper == "low":
        site.printer.renew()
    while site.housing.safe != "bolted":
        yield 10.0
    site.neutralization.mode = "armed"
    if rng.random() < site.params.mistaken_hold_ups:
        site.play(_mistaken_hold_up(site, rng))
    yield rng.uniform(5.0, 30.0)
    site.dispenser.exchange = "inactive"
    site.housing.operator_switch = "run"
    if exchange:
        site.mend("cashOut")
        site.mend("rejectFull")
    else:
        site.break_down("manipulated")
    yield 30.0
    site.housing.near -= 2
    site.truth.end(number, site.now)


def _mistaken_hold_up(site: Site, rng: Random) -> Script:
    number = site.truth.begin(Kind.DISTURBANCE, "mistakenHoldUp", site.now)
    site.housing.hold_up = True
    site.truth.see(number, site.now)
    yield rng.uniform(2.0, 20.0)
    site.housing.hold_up = False
    site.truth.end(number, site.now)


def clean(site: Site, rng: Random) -> Script:
    """Somebody wipes the machine: it rocks a little, and now and then the fluid reaches the gas detector."""
    number = site.truth.begin(Kind.DISTURBANCE, "cleaning", site.now)
    site.housing.near += 1
    site.truth.see(number, site.now)
    fumes = rng.random() < site.params.cleaning_fumes_share
    for _ in range(rng.randrange(5, 15)):
        site.motion.shake(rng.uniform(2.0, 8.0), rng.uniform(0.05, 0.25), rng.uniform(0.5, 3.0), tilt=rng.uniform(0.0, 0.8))
        yield rng.uniform(10.0, 25.0)
        if fumes and site.neutralization.gas == "notDetected":
            site.neutralization.gas = "partialWarningLevel"
    yield rng.uniform(20.0, 90.0)
    if fumes:
        site.neutralization.gas = "notDetected"
    site.housing.near -= 1
    site.truth.end(number, site.now)
