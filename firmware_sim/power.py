"""Mains, and the UPS with its battery: closed forms between the moments at which something switches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.records import Value
from firmware_sim.agenda import Agenda
from firmware_sim.chance import Noise
from firmware_sim.params import Parameters

FULL, LOW, CRITICAL = 0.98, 0.3, 0.1  # charge at which the UPS changes its word
CHARGING_W = 40.0


@dataclass(frozen=True, slots=True)
class Ageing:
    """A battery that wears out from `start` on: over `seconds` its float voltage loses `loss_v`, its runtime a share."""

    start: float
    seconds: float
    loss_v: float
    health: float  # share of the runtime that is left at the end

    def share(self, now: float) -> float:
        """How far it has come, 0 to 1."""
        return min(1.0, max(0.0, (now - self.start) / self.seconds))


class Power:
    """The supply of the machine. `on_supply` is called when the machine loses its last supply and when one returns."""

    def __init__(self, agenda: Agenda, params: Parameters, seed: int) -> None:
        self._agenda = agenda
        self._params = params
        self._wander = Noise(seed, "power.mains")
        self._charge = 1.0  # at `_since`
        self._since = agenda.now
        self._ageing: Ageing | None = None
        self._stretch = 0  # numbers the stretches between two switchings: an old wake-up says nothing
        self.mains = True
        self.sag_v = 0.0  # how far a brown-out pulls the mains down
        self.supplied = True
        self._words = self._speak(self._charge)
        self.on_supply: Callable[[bool], None] = lambda _supplied: None

    def wear_out(self, seconds: float, loss_v: float, health: float) -> None:
        """The battery ages from now on."""
        self._ageing = Ageing(self._agenda.now, seconds, loss_v, health)

    def new_battery(self) -> None:
        """A technician puts in a new one, charged."""
        self._ageing = None
        self._settle(1.0)

    def health(self, now: float) -> float:
        """Share of a new battery's runtime."""
        start = self._params.ups_health
        if self._ageing is None:
            return start
        return start + (self._ageing.health - start) * self._ageing.share(now)

    def charge(self, now: float) -> float:
        """State of charge, 0 to 1."""
        passed = now - self._since
        if self.mains:
            return min(1.0, self._charge + passed / self._params.ups_recharge_s)
        return max(0.0, self._charge - passed / self._runtime())

    def _runtime(self) -> float:
        return self._params.ups_runtime_s * self.health(self._since)

    def fail(self) -> None:
        """The mains go off."""
        if self.mains:
            charge = self.charge(self._agenda.now)
            self.mains = False
            self._settle(charge)

    def come_back(self) -> None:
        """The mains are on again."""
        if not self.mains:
            charge = self.charge(self._agenda.now)
            self.mains = True
            self._settle(charge)

    def _settle(self, charge: float) -> None:
        """A new stretch begins at `charge`; wake up whenever its words change."""
        self._charge, self._since = charge, self._agenda.now
        self._stretch += 1
        stretch = self._stretch
        speed = 1.0 / self._params.ups_recharge_s if self.mains else -1.0 / self._runtime()
        for level in (0.0, CRITICAL, LOW, FULL, 1.0):
            seconds = (level - charge) / speed
            if seconds > 0.0:
                # a hair later, so that rounding to the millisecond cannot leave the word as it was
                self._agenda.put(self._since + seconds + 0.002, lambda: self._look(stretch))
        self._look(stretch)

    def _look(self, stretch: int) -> None:
        if stretch != self._stretch:
            return
        charge = self.charge(self._agenda.now)
        self._words = self._speak(charge)
        supplied = self.mains or charge > 0.0
        if supplied != self.supplied:
            self.supplied = supplied
            self.on_supply(supplied)

    def input_v(self, now: float) -> float:
        """Mains voltage."""
        if not self.mains:
            return 0.0
        return self._params.mains_v + 2.0 * self._wander.drift(now, 600.0) - self.sag_v

    def battery_v(self, now: float) -> float:
        """Battery voltage: float when full, rising while it charges, falling evenly under load."""
        params, charge = self._params, self.charge(now)
        full = params.ups_float_v - (self._ageing.loss_v * self._ageing.share(now) if self._ageing else 0.0)
        if not self.mains:
            return params.ups_empty_v + (full - params.ups_empty_v) * charge
        return full if charge >= 1.0 else full - 1.9 * (1.0 - charge)

    def words(self) -> dict[str, Value]:
        """What the UPS says; as of the last time that it had something new to say."""
        return self._words

    def _speak(self, charge: float) -> dict[str, Value]:
        if charge < CRITICAL:
            status = "critical"
        elif charge < LOW:
            status = "low"
        else:
            status = "full" if charge >= FULL else "operational"
        if self.mains:
            charging = "charging" if charge < 1.0 else "notCharging"
        else:
            charging = "discharging" if charge > 0.0 else "notCharging"
        return {
            "powerManagement.powerInStatus": "powering" if self.mains else "noPower",
            "powerManagement.batteryStatus": status,
            "powerManagement.batteryChargingStatus": charging,
        }

    def numbers(self, now: float, load_w: float) -> dict[str, Value]:
        """Voltages, and what the machine draws from the mains when its parts take `load_w`."""
        drawn = load_w if self.supplied else 0.0
        charging = CHARGING_W if self.charge(now) < 1.0 else 0.0
        return {
            "powerManagement.inputVoltage_v": self.input_v(now),
            "powerManagement.batteryVoltage_v": self.battery_v(now),
            "energy.active_power_w": drawn + charging if self.mains else 0.0,
        }
