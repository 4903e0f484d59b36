"""Every point that the agent knows, its words or its unit, in one table.

Names and words are those of XFS4IoT (CEN CWA 17852, release 2024-3): interface, then property, lowerCamelCase. A segment in
braces stands for a name that the machine chooses: a storage unit, a position, a source. Points that XFS4IoT has no word for
(motion, environment, the gateway itself) follow its manner; where a unit is part of a name it is a suffix.

A value is one of a point's words, a number in the point's unit within its limits, or None: asked and not usable. Units are SI
or accepted for use with it, spelt as in SenML (RFC 8428, section 12.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache

from msgspec import Struct


class Point(Struct, frozen=True):
    """What a point may say. Either `words`, or a number with `unit` between `low` and `high`; a counter only grows."""

    name: str
    words: tuple[str, ...] = ()
    unit: str = ""
    low: float = float("-inf")
    high: float = float("inf")
    counter: bool = False


SERVICES = (
    "cashDispenser", "cashAcceptor", "cardReader", "printer", "keyboard", "pinPad", "keyManagement", "crypto", "camera",
    "auxiliaries", "vendorMode", "banknoteNeutralization", "powerManagement", "lights", "deposit", "check", "barcodeReader",
    "biometric", "textTerminal", "mixedMedia",
)  # fmt: skip
DEVICE = (
    "online", "offline", "powerOff", "noDevice", "hardwareError", "userError", "deviceBusy", "fraudAttempt",
    "potentialFraud", "starting",
)  # fmt: skip
DOOR = ("closed", "open", "locked", "bolted", "tampered")
ON_OFF = ("on", "off")
BOOL = ("true", "false")
MODULE = ("ok", "inoperable", "unknown")
SUPPLY = ("unknown", "full", "low", "out", "jammed")
REPLENISHMENT = ("ok", "full", "high", "low", "empty")
ROLL_UP = ("ok", "attention", "stop", "unknown")
SHUTTER = ("closed", "open", "jammedOpen", "jammedPartiallyOpen", "jammedClosed", "jammedUnknown", "unknown")
NEUTRALIZATION_LEVELS = ("fault", "notConfigured", "notDetected", "warningLevel", "criticalLevel", "disabled")

_WORDS: dict[str, tuple[str, ...]] = {
    # Common status, of every service
    "{service}.device": DEVICE,
    "{service}.devicePosition": ("inPosition", "notInPosition", "unknown"),
    "{service}.antiFraudModule": ("ok", "inoperable", "deviceDetected", "unknown"),
    "{service}.exchange": ("active", "inactive"),
    "{service}.endToEndSecurity": ("notEnforced", "notConfigured", "enforced"),
    # Storage and cash
    "storage.{unit}.status": ("ok", "inoperative", "missing", "notConfigured", "manipulated"),
    "storage.{unit}.replenishmentStatus": REPLENISHMENT,
    "storage.{unit}.operationStatus": ("dispenseInoperative", "depositInoperative"),
    "storage.{unit}.accuracy": ("accurate", "accurateSet", "inaccurate", "unknown"),
    "cashManagement.dispenser": ROLL_UP,
    "cashManagement.acceptor": ROLL_UP,
    "cashDispenser.intermediateStacker": ("empty", "notEmpty", "notEmptyCustomer", "notEmptyUnknown", "unknown"),
    "cashDispenser.{position}.shutter": SHUTTER,
    "cashDispenser.{position}.positionStatus": ("empty", "notEmpty", "unknown"),
    "cashDispenser.{position}.transport": ("ok", "inoperative", "unknown"),
    "cashDispenser.{position}.transportStatus": ("empty", "notEmpty", "notEmptyCustomer", "unknown"),
    "cashAcceptor.intermediateStacker": ("empty", "notEmpty", "full", "unknown"),
    "cashAcceptor.stackerItems": ("customerAccess", "noCustomerAccess", "accessUnknown", "noItems"),
    "cashAcceptor.banknoteReader": MODULE,
    "cashAcceptor.dropBox": BOOL,
    # NoteErrorEvent reasons, the last one seen
    "cashManagement.noteError": (
        "doubleNote", "longNote", "skewedNote", "incorrectCount", "notesTooClose", "otherNoteError", "shortNote",
    ),
    # Card reader
    "cardReader.media": ("unknown", "present", "notPresent", "jammed", "entering", "latched"),
    "cardReader.security": ("notReady", "open"),
    "cardReader.chipPower": ("unknown", "online", "busy", "poweredOff", "noDevice", "hardwareError", "noCard"),
    "cardReader.chipModule": MODULE,
    "cardReader.magWriteModule": MODULE,
    "cardReader.frontImageModule": MODULE,
    "cardReader.backImageModule": MODULE,
    # Printer, keys, camera, vendor mode
    "printer.media": ("unknown", "present", "notPresent", "jammed", "entering", "retracted"),
    "printer.paper.{source}": SUPPLY,
    "printer.toner": ("unknown", "full", "low", "out"),
    "printer.ink": ("unknown", "full", "low", "out"),
    "printer.lamp": ("unknown", "ok", "fading", "inop"),
    "keyManagement.encryptionState": ("ready", "notReady", "notInitialized", "busy", "undefined", "initialized"),
    "keyManagement.certificateState": ("unknown", "primary", "secondary", "notReady"),
    "camera.{camera}.media": ("ok", "high", "full", "unknown"),
    "camera.{camera}.cameras": ("ok", "inoperative", "unknown"),
    "vendorMode.service": ("enterPending", "active", "exitPending", "inactive"),
    # Auxiliaries
    "auxiliaries.operatorSwitch": ("run", "maintenance", "supervisor"),
    "auxiliaries.tamperSensor": ON_OFF,
    "auxiliaries.internalTamperSensor": ON_OFF,
    "auxiliaries.seismicSensor": ON_OFF,
    "auxiliaries.heatSensor": ON_OFF,
    "auxiliaries.proximitySensor": ("present", "notPresent"),
    "auxiliaries.ambientLightSensor": ("veryDark", "dark", "mediumLight", "light", "veryLight"),
    "auxiliaries.bootSwitchSensor": ON_OFF,
    "auxiliaries.operatorCallButtonSensor": ON_OFF,
    "auxiliaries.fasciaMicrophoneSensor": ON_OFF,
    "auxiliaries.consumerDisplaySensor": ("off", "on", "displayError"),
    "auxiliaries.enhancedAudioSensor": ("present", "notPresent"),
    "auxiliaries.headsetMicrophoneSensor": ("present", "notPresent"),
    "auxiliaries.handsetSensor": ("onTheHook", "offTheHook"),
    "auxiliaries.cabinetDoor": DOOR,
    "auxiliaries.safeDoor": DOOR,
    "auxiliaries.cabinetFrontDoor": DOOR,
    "auxiliaries.cabinetRearDoor": DOOR,
    "auxiliaries.cabinetLeftDoor": DOOR,
    "auxiliaries.cabinetRightDoor": DOOR,
    "auxiliaries.vandalShield": (
        "closed", "open", "locked", "service", "keyboard", "partiallyOpen", "jammed", "tampered",
    ),
    "auxiliaries.openClosedIndicator": ("closed", "open"),
    "auxiliaries.heating": ON_OFF,
    "auxiliaries.consumerDisplayBacklight": ON_OFF,
    "auxiliaries.signageDisplay": ON_OFF,
    "auxiliaries.audibleAlarm": ON_OFF,
    "auxiliaries.UPS.low": BOOL,
    "auxiliaries.UPS.engaged": BOOL,
    "auxiliaries.UPS.powering": BOOL,
    "auxiliaries.UPS.recovered": BOOL,
    # Not in XFS4IoT: the duress button (NDC calls the signal "silent") and a contact of the owner's own
    "auxiliaries.holdUpDevice": ON_OFF,
    "auxiliaries.gatewayLid": DOOR,
    "auxiliaries.contact.{name}": ("closed", "open", "fault", "disabled", "notConfigured"),
    # Power and banknote neutralisation (IBNS)
    "powerManagement.powerInStatus": ("powering", "noPower"),
    "powerManagement.powerOutStatus": ("powering", "noPower"),
    "powerManagement.batteryStatus": ("full", "low", "operational", "critical", "failure"),
    "powerManagement.batteryChargingStatus": ("charging", "discharging", "notCharging"),
    "banknoteNeutralization.mode": ("fault", "armed", "disarmed", "neutralizationTriggered"),
    "banknoteNeutralization.submode": ("allSafeSensorsIgnored", "armPending"),
    "banknoteNeutralization.safeDoor": ("fault", "doorOpened", "doorClosed", "disabled"),
    "banknoteNeutralization.safeBolt": ("fault", "boltUnlocked", "boltLocked", "disabled"),
    "banknoteNeutralization.tilt": ("fault", "notTilted", "tilted", "disabled"),
    "banknoteNeutralization.light": ("fault", "notConfigured", "detected", "notDetected", "disabled"),
    "banknoteNeutralization.gas": (
        "initializing", "fault", "notConfigured", "notDetected", "partialWarningLevel", "warningLevel",
        "partialCriticalLevel", "criticalLevel", "disabled",
    ),
    "banknoteNeutralization.temperature": ("fault", "ok", "tooCold", "tooHot", "disabled"),
    "banknoteNeutralization.seismic": NEUTRALIZATION_LEVELS,
    "banknoteNeutralization.customInputs.{input}": ("fault", "ok", "triggered", "disabled"),
    "banknoteNeutralization.warnings.{warning}": BOOL,
    "banknoteNeutralization.errors.{error}": BOOL,
    # The last ErrorEvent of a service
    "{service}.error.eventId": ("hardware", "software", "user", "fraudAttempt"),
    "{service}.error.action": ("reset", "softwareError", "configuration", "clear", "maintenance", "suspend"),
    # Links of the machine, as the gateway sees them
    "link.host": ("up", "down"),
    "link.modem": ("up", "down"),
    "position.valid": BOOL,
    "position.geofence": ("inside", "outside"),
    # What the pipeline itself concludes about a machine
    "machine.service": ("inService", "degraded", "outOfService", "unknown"),
    "machine.visit": ("none", "planned", "unplanned"),
    "machine.open": BOOL,
    # The agent is one more sensor
    "gateway.source.{source}": ("ok", "missing", "denied", "busy", "silent", "broken", "stopped"),
    "gateway.model.{model}": ("ok", "missing", "refused", "broken", "slow"),
    "gateway.uplink.{uplink}": ("up", "down", "refused"),
    "gateway.store": ("ok", "full", "readOnly", "failing"),
    "gateway.clock": ("synced", "unsynced", "stepped"),
    "gateway.power": ("mains", "battery"),
    "gateway.run": ("running", "stopped"),
    "gateway.configuration": ("applied", "refused", "lastGood"),
}  # fmt: skip

# unit, lowest and highest value that is no nonsense
_NUMBERS: dict[str, tuple[str, float, float]] = {
    "storage.{unit}.count": ("count", 0, 100_000),
    "cardReader.insertionTime_s": ("s", 0, 60),
    "auxiliaries.sensor.{name}": ("/", -1e12, 1e12),  # a sensor of the owner's own, in the unit that its owner knows
    "environment.temperature_c": ("Cel", -55, 125),
    "environment.humidity_pct": ("%RH", 0, 100),
    "energy.voltage_v": ("V", 0, 500),
    "energy.current_a": ("A", 0, 200),
    "energy.active_power_w": ("W", -50_000, 50_000),
    "energy.apparent_power_va": ("VA", 0, 50_000),
    "energy.reactive_power_var": ("var", -50_000, 50_000),
    "energy.power_factor": ("/", -1, 1),
    "energy.frequency_hz": ("Hz", 0, 100),
    "position.lat": ("lat", -90, 90),
    "position.lon": ("lon", -180, 180),
    "position.hdop": ("/", 0, 100),
    "position.distance_m": ("m", 0, 21_000_000),
    "motion.tilt_deg": ("deg", 0, 180),
    "motion.rms_ms2": ("m/s2", 0, 200),
    "motion.peak_ms2": ("m/s2", 0, 2_000),
    "motion.drill_band_ms2": ("m/s2", 0, 200),
    "motion.grind_band_ms2": ("m/s2", 0, 200),
    "powerManagement.inputVoltage_v": ("V", 0, 500),
    "powerManagement.outputVoltage_v": ("V", 0, 500),
    "powerManagement.load_pct": ("%", 0, 200),
    "powerManagement.batteryVoltage_v": ("V", 0, 500),
    "powerManagement.batteryCharge_pct": ("%EL", 0, 100),
    "powerManagement.batteryRuntime_s": ("s", 0, 1e6),
    "powerManagement.temperature_c": ("Cel", -55, 125),
    "machine.cash": ("minor units", 0, 1e12),
    "machine.exposure": ("minor units", 0, 1e12),
    "machine.cashOutProbability": ("/", 0, 1),
    "machine.cashAtRisk": ("minor units", 0, 1e12),
    "machine.daysToEmpty": ("d", 0, 1e6),
    "model.{model}.score": ("/", 0, 1),
    "model.{model}.learned": ("/", 0, 1),
    "model.{model}.drift.{feature}": ("/", 0, 1e6),
    "gateway.backlog.{lane}": ("count", 0, 1e12),
    "gateway.backlogAge": ("s", 0, 1e9),
    "gateway.storeBytes": ("B", 0, 1e15),
    "gateway.cardLife": ("a", 0, 1e9),
    "gateway.loopLag": ("s", 0, 1e6),
    "gateway.memory": ("B", 0, 1e12),
    "gateway.line.{source}.roundTrip": ("s", 0, 600),
    "gateway.modelTime.{model}": ("s", 0, 600),
}

_COUNTERS: dict[str, str] = {
    "storage.{unit}.presented": "count",
    "storage.{unit}.rejected": "count",
    "storage.{unit}.retracted": "count",
    "storage.{unit}.deposited": "count",
    "cashDispenser.presents": "count",
    "cashDispenser.retracts": "count",
    "cashDispenser.picks": "count",
    "cashDispenser.pickFailures": "count",
    "cashAcceptor.accepted": "count",
    "cashAcceptor.rejected": "count",
    "cardReader.captures": "count",
    "cardReader.readErrors": "count",
    "printer.receipts": "count",
    "transaction.count": "count",
    "transaction.failed": "count",
    "energy.import_kwh": "kWh",
    "energy.total_kwh": "kWh",
    "gpio.{pin}.edges": "count",
    "gateway.flashBytes": "B",
    "gateway.guardHits": "count",
    "gateway.lost.{lane}": "count",
    "gateway.logDropped": "count",
    "gateway.line.{source}.frames": "count",
    "gateway.line.{source}.crcErrors": "count",
    "gateway.line.{source}.garbageBytes": "B",
    "gateway.line.{source}.timeouts": "count",
    "gateway.line.{source}.reconnects": "count",
    "gateway.line.{source}.lost": "count",
    "gateway.line.{source}.unknown": "count",
}

_POINTS: dict[str, Point] = (
    {name: Point(name, words=words) for name, words in _WORDS.items()}
    | {name: Point(name, unit=unit, low=low, high=high) for name, (unit, low, high) in _NUMBERS.items()}
    | {name: Point(name, unit=unit, low=0, high=2.0**63, counter=True) for name, unit in _COUNTERS.items()}
)

_BY_SEGMENTS: dict[int, list[tuple[list[str], Point]]] = {}
for _name, _point in _POINTS.items():
    _BY_SEGMENTS.setdefault(_name.count("."), []).append((_name.split("."), _point))


def points() -> Iterator[Point]:
    """Every entry of the table, patterns as patterns."""
    return iter(_POINTS.values())


UNIT_ID = re.compile(r"unit[0-9A-Za-z]{1,32}")  # XFS4IoT: ^unit[0-9A-Za-z]+$; bounded, as every name here
NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")


def _fits(pattern: str, segment: str) -> bool:
    if pattern == "{service}":
        return segment in SERVICES
    if pattern == "{unit}":
        return UNIT_ID.fullmatch(segment) is not None
    return pattern == segment or (pattern.startswith("{") and NAME.fullmatch(segment) is not None)


@lru_cache(maxsize=1024)
def point(name: str) -> Point | None:
    """The entry for a point's name, exact names before patterns; None when the vocabulary has no such point."""
    exact = _POINTS.get(name)
    if exact is not None:
        return exact
    segments = name.split(".")
    for pattern, entry in _BY_SEGMENTS.get(len(segments) - 1, ()):
        if all(map(_fits, pattern, segments)):
            return entry
    return None


def nearest(name: str) -> str | None:
    """The known point that `name` was probably meant to be."""
    found = get_close_matches(name, _POINTS, n=1, cutoff=0.6)
    return found[0] if found else None


def fault(entry: Point, value: object) -> str | None:
    """Why `value` is not usable at this point, or None when it is. None as a value is always allowed: asked, not usable."""
    if value is None:
        return None
    if entry.words:
        return None if isinstance(value, str) and value in entry.words else "unknownWord"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "notANumber"
    if not entry.low <= value <= entry.high:  # also refuses NaN
        return "outOfLimits"
    return None
