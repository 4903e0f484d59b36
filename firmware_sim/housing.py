"""The housing: doors, contacts, detectors and the neutralisation of banknotes (IBNS)."""

from __future__ import annotations

from agent.records import Value


class Housing:
    """Doors and contacts. `near` counts the persons in front of the machine."""

    def __init__(self) -> None:
        self.cabinet = "locked"  # the top hat: PC, card reader, printer
        self.cabinet_contact: str | None = None  # what a loose contact says instead of the door
        self.safe = "bolted"
        self.near = 0
        self.operator_switch = "run"
        self.tampered = False
        self.tampered_inside = False
        self.hold_up = False
        self.boot_switch = False
        self.vandal_shield = "closed"

    def words(self) -> dict[str, Value]:
        """What the contacts say."""
        return {
            "auxiliaries.cabinetDoor": self.cabinet_contact or self.cabinet,
            "auxiliaries.safeDoor": self.safe,
            "auxiliaries.tamperSensor": "on" if self.tampered else "off",
            "auxiliaries.internalTamperSensor": "on" if self.tampered_inside else "off",
            "auxiliaries.proximitySensor": "present" if self.near > 0 else "notPresent",
            "auxiliaries.operatorSwitch": self.operator_switch,
            "auxiliaries.vandalShield": self.vandal_shield,
            "auxiliaries.holdUpDevice": "on" if self.hold_up else "off",
            "auxiliaries.bootSwitchSensor": "on" if self.boot_switch else "off",
        }


class Neutralization:
    """The ink system of the safe: its mode and the detectors that are its own."""

    def __init__(self) -> None:
        self.mode = "armed"
        self.gas = "notDetected"
        self.light_in_safe = False

    def words(self, safe_door: str) -> dict[str, Value]:
        """What the system says. An open safe lets light in; disarmed, it does not call that a breach."""
        light = self.light_in_safe or (safe_door == "open" and self.mode == "armed")
        return {
            "banknoteNeutralization.mode": self.mode,
            "banknoteNeutralization.gas": self.gas,
            "banknoteNeutralization.light": "detected" if light else "notDetected",
            "banknoteNeutralization.safeBolt": "boltLocked" if safe_door == "bolted" else "boltUnlocked",
        }
