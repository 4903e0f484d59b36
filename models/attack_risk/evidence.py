"""What the model looks at, and in which direction each sign may point.

The model is additive. A feature, or a sum of two, becomes a sign between 0 and 1 on a straight ramp; each attack class weighs
the signs; the weights are learnt, but a sign that the domain calls evidence for a class may only raise it, and one that
explains things away may only lower it. A missing feature is no sign at all. No sign averages vibration: an average would depend
on how often a board samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CLASSES = ("none", "BLACK_BOX", "X1", "B2", "RIP_OUT", "SKIMMING", "CASH_TRAPPING")
ATTACK_CLASSES = CLASSES[1:]

CABINET = "auxiliaries.cabinetDoor=open|tampered"
SAFE = "auxiliaries.safeDoor=open|tampered"
GONE = "cashDispenser.device=powerOff|noDevice"
TRAPPED = "cashDispenser.outDefault.shutter=jammedOpen|jammedPartiallyOpen|jammedUnknown"
SLOT = "cashDispenser.outDefault.positionStatus=notEmpty"
GAS = "banknoteNeutralization.gas=warningLevel|partialCriticalLevel|criticalLevel"
SERVICE = "auxiliaries.operatorSwitch=maintenance|supervisor"
VENDOR = "vendorMode.service=enterPending|active|exitPending"
WEEK = 604_800


@dataclass(frozen=True)
class Sign:
    """A ramp from 0 at `low` to 1 at `high` of a weighted sum of features; the first one named gets the credit."""

    inputs: Mapping[str, float]
    low: float
    high: float
    points_to: tuple[str, ...] = ()
    """Classes that it may raise."""
    speaks_against: tuple[str, ...] = ()
    """Classes that it may lower."""


def up(feature: str, low: float, high: float, *classes: str, minus: str = "", against: tuple[str, ...] = ()) -> Sign:
    """A sign for `classes`; with `minus` of the difference of two features."""
    return Sign({feature: 1.0} | ({minus: -1.0} if minus else {}), low, high, classes, against)


def down(feature: str, low: float, high: float, *classes: str) -> Sign:
    """A sign against `classes`, all of them when none is named."""
    return Sign({feature: 1.0}, low, high, (), classes or ATTACK_CLASSES)


def few(feature: str, enough: float, *classes: str) -> Sign:
    """A sign against `classes` while there is less than enough of something: 1 at none."""
    return Sign({feature: -1.0}, -enough, 0.0, (), classes)


_SAFE_CLASSES = ("X1", "B2", "RIP_OUT")

SIGNS: tuple[Sign, ...] = (
    # doors and tamper contacts
    up(f"ago({CABINET},900s)", 0.0, 1.0, "BLACK_BOX"),
    up(f"ago({CABINET},900s)", 0.97, 1.0, "BLACK_BOX"),
    up(f"ago({SAFE},900s)", 0.9, 1.0, "X1", "B2", against=("BLACK_BOX", "SKIMMING", "CASH_TRAPPING")),
    up("ago(auxiliaries.tamperSensor=on,900s)", 0.0, 1.0, "BLACK_BOX", *_SAFE_CLASSES),
    down("changes(auxiliaries.cabinetDoor,60s)", 2.0, 12.0),
    down("ago(auxiliaries.heatSensor=on,900s)", 0.0, 1.0),
    # people
    up("share(auxiliaries.proximitySensor=present,60s)", 0.0, 1.0, *ATTACK_CLASSES),
    up("share(auxiliaries.ambientLightSensor=veryDark|dark,900s)", 0.0, 1.0, "BLACK_BOX", *_SAFE_CLASSES),
    # whoever shows service mode is a visitor, and a planned one more so
    down("share(machine.visit=planned,60s)", 0.0, 0.2),
    down("ago(machine.visit=planned|unplanned,900s)", 0.0, 1.0),
    down(f"ago({SERVICE},900s)", 0.0, 1.0),
    down(f"ago({VENDOR},900s)", 0.0, 1.0),
    # the dispenser, and notes that leave without transactions
    up(f"ago({GONE},900s)", 0.0, 1.0, "BLACK_BOX"),
    up(f"share({GONE},60s)", 0.0, 0.1, "BLACK_BOX"),
    up("delta(cashDispenser.presents,60s)", 0.0, 3.0, "BLACK_BOX", minus="delta(transaction.count,60s)"),
    up("delta(cashDispenser.presents,900s)", 1.0, 8.0, "BLACK_BOX", minus="delta(transaction.count,900s)"),
    down("delta(transaction.count,60s)", 0.0, 1.0, "BLACK_BOX"),
    up("ago(link.host=down,900s)", 0.9, 1.0, "BLACK_BOX", "RIP_OUT"),
    up("share(powerManagement.powerInStatus=noPower,60s)", 0.0, 0.2, "X1", "RIP_OUT", against=("BLACK_BOX",)),
    # gas
    up("share(banknoteNeutralization.gas=partialWarningLevel,60s)", 0.0, 0.1, "X1"),
    up(f"ago({GAS},900s)", 0.0, 1.0, "X1", against=("B2", "BLACK_BOX", "RIP_OUT")),
    up("ago(banknoteNeutralization.mode=neutralizationTriggered,900s)", 0.0, 1.0, "X1", "B2"),
    # motion
    up("max(motion.peak_ms2,60s)", 1.0, 8.0, "BLACK_BOX", *_SAFE_CLASSES),
    up("max(motion.peak_ms2,60s)", 8.0, 25.0, *_SAFE_CLASSES),
    up("max(motion.peak_ms2,60s)", 25.0, 60.0, "X1", "RIP_OUT", against=("B2", "BLACK_BOX")),
    up("max(motion.tilt_deg,60s)", 1.0, 4.0, "RIP_OUT", against=("B2",)),
    up("max(motion.tilt_deg,60s)", 4.0, 10.0, "RIP_OUT", "X1", against=("B2", "BLACK_BOX")),
    up("max(motion.drill_band_ms2,60s)", 0.6, 1.6, "B2"),
    up("max(motion.drill_band_ms2,60s)", 1.6, 3.5, "B2"),
    up("max(motion.grind_band_ms2,60s)", 0.15, 0.4, "B2"),
    up("max(motion.grind_band_ms2,60s)", 0.4, 1.5, "B2"),
    up("share(banknoteNeutralization.seismic=warningLevel|criticalLevel,60s)", 0.0, 0.6, "B2"),
    up("share(banknoteNeutralization.seismic=warningLevel|criticalLevel,900s)", 0.05, 0.5, "B2"),
    # the card slot: slower than is usual for this machine, and more cards that cannot be read
    up("share(cardReader.antiFraudModule=deviceDetected,60s)", 0.0, 0.3, "SKIMMING"),
    up("share(cardReader.antiFraudModule=deviceDetected,900s)", 0.0, 1.0, "SKIMMING"),
    up("mean(cardReader.insertionTime_s,900s)", 0.1, 0.6, "SKIMMING", minus=f"mean(cardReader.insertionTime_s,{WEEK}s)"),
    up("min(cardReader.insertionTime_s,900s)", -0.2, 0.4, "SKIMMING", minus=f"mean(cardReader.insertionTime_s,{WEEK}s)"),
    up("mean(cardReader.insertionTime_s,3600s)", 0.1, 0.7, "SKIMMING", minus=f"mean(cardReader.insertionTime_s,{WEEK}s)"),
    up("min(cardReader.insertionTime_s,3600s)", -0.2, 0.4, "SKIMMING", minus=f"mean(cardReader.insertionTime_s,{WEEK}s)"),
    up("delta(cardReader.readErrors,3600s)", 0.0, 4.0, "SKIMMING"),
    few("delta(transaction.count,900s)", 2.0, "SKIMMING"),  # by night one slow hand stands for all cards
    # the cash slot
    up(f"ago({TRAPPED},900s)", 0.0, 1.0, "CASH_TRAPPING"),
    up(f"share({SLOT},60s)", 0.4, 0.9, "CASH_TRAPPING"),
    up("delta(cashDispenser.retracts,900s)", 0.0, 1.0, "CASH_TRAPPING"),
)
FEATURES: tuple[str, ...] = tuple(dict.fromkeys(feature for sign in SIGNS for feature in sign.inputs))
