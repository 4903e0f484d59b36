"""The machine and all that touches it, at one place: the state that people, mishaps and attackers act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from firmware_sim import chance
from firmware_sim.agenda import Agenda, Script
from firmware_sim.cash import Cash
from firmware_sim.climate import Climate
from firmware_sim.coins import CoinHopper
from firmware_sim.deposits import NoteAcceptor
from firmware_sim.dispenser import Dispenser
from firmware_sim.housing import Housing, Neutralization
from firmware_sim.motion import Motion
from firmware_sim.params import Parameters
from firmware_sim.peripherals import CardReader, Computer, Printer
from firmware_sim.place import Place
from firmware_sim.power import Power
from firmware_sim.truth import Kind, Truth


@dataclass(frozen=True, slots=True)
class Visit:
    """An announced visit: what the operator's calendar says, seconds since the epoch."""

    what: str  # "replenishment" or "technician"
    start: float
    end: float


class BoardWiring:
    """What can happen to the sensor board itself: its supply, its clock, the wires to its sensors."""

    def __init__(self, start: float) -> None:
        self.on = True
        self.started = start
        self.starts = 1
        self.clock_error_s = 0.0  # how far its millisecond counter has jumped
        self.stuck: set[str] = set()  # points that repeat their last value
        self.cut: set[str] = set()  # points whose wire is broken

    def lose_power(self) -> None:
        """It stops in the middle of whatever it did."""
        self.on = False

    def power_up(self, now: float) -> None:
        """It starts anew: new boot id, uptime from zero."""
        self.on = True
        self.started = now
        self.starts += 1
        self.clock_error_s = 0.0


class Site:
    """All parts, the agenda they share, and what is true about them."""

    def __init__(self, params: Parameters, seed: int, start: float) -> None:
        self.params = params
        self.seed = seed
        self.agenda = Agenda(start)
        self.truth = Truth()
        self.plan: list[Visit] = []
        self.board = BoardWiring(self.now)
        self.cash = Cash(params, self.stream("cash"))
        self.dispenser = Dispenser(self.cash, params, self.stream("dispenser"))
        self.reader = CardReader(params, self.stream("reader"))
        self.printer = Printer(params, self.stream("printer"))
        self.computer = Computer(self.stream("computer"))
        self.housing = Housing()
        self.neutralization = Neutralization()
        self.motion = Motion(self.agenda, seed, params.background_ms2)
        self.climate = Climate(self.agenda, params, seed)
        self.power = Power(self.agenda, params, seed)
        self.power.on_supply = self._on_supply
        self.place = Place(self.agenda, params.lat, params.lon)
        self.breakdowns: dict[str, int] = {}  # what is broken -> number of its label
        self.acceptor: NoteAcceptor | None = None  # fitted when somebody asks for it (`deposits.acceptor`)
        self.hopper: CoinHopper | None = None  # as the acceptor (`coins.hopper`)
        self.serving = False  # a customer is at it

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.agenda.now

    def stream(self, name: str) -> Random:
        """The seeded generator for one use."""
        return chance.stream(self.seed, name)

    def play(self, script: Script, at: float | None = None) -> None:
        """Let somebody act from `at` on, or from now."""
        self.agenda.play(script, at)

    def in_service(self) -> bool:
        """A customer can have cash."""
        return (
            self.computer.running
            and not self.computer.starting
            and self.computer.link == "up"
            and self.housing.operator_switch == "run"
            and self.housing.cabinet != "open"
            and self.reader.device == "online"
            and self.dispenser.usable
        )

    def break_down(self, what: str) -> None:
        """Something is broken from now on and stays so until it is mended; a fault's label has the same name."""
        if what not in self.breakdowns:
            self.breakdowns[what] = self.truth.begin(Kind.FAULT, what, self.now)
            self.truth.see(self.breakdowns[what], self.now)

    def mend(self, what: str) -> None:
        """It works again."""
        number = self.breakdowns.pop(what, None)
        if number is not None:
            self.truth.end(number, self.now)

    def check_cash(self) -> None:
        """Call whenever notes moved: an empty machine and a full bin are faults."""
        if self.cash.bin_level == "full":
            self.break_down("rejectFull")
        if not any(cassette.usable for cassette in self.cash.cassettes):
            self.break_down("cashOut")

    def _on_supply(self, supplied: bool) -> None:
        self.computer.running, self.computer.starting = supplied, False
        if supplied:
            self.play(self.restart())

    def restart(self) -> Script:
        """The PC starts and tests its devices: what was on its way goes to the bin, a card inside is captured."""
        computer = self.computer
        computer.running, computer.starting = True, True
        yield self.params.restart_s
        if not self.power.supplied:
            return
        computer.starting = False
        if self.dispenser.device == "online":
            self.dispenser.purge()
            if self.cash.slot:
                self.dispenser.retract()
        if self.reader.media in ("present", "entering"):
            self.reader.media, self.reader.chip_power = "notPresent", "noCard"
            self.reader.captures += 1
        self.check_cash()


@contextmanager
def label(site: Site, kind: Kind, name: str, attack: str = "") -> Iterator[None]:
    """A label that is visible from its first moment and lasts as long as the block."""
    number = site.truth.begin(kind, name, site.now, attack)
    site.truth.see(number, site.now)
    yield
    site.truth.end(number, site.now)
