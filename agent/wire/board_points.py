"""The numbers of the points on the board link, as docs/board-link.md prints them. A number is never given to another point.

1000 and above are free for a maker's own points: the configuration names them (`points: {1000: auxiliaries.contact.lid}`).
"""

from __future__ import annotations

FIRST_OWN = 1000

POINTS: dict[int, str] = {
    # doors, contacts, detectors
    1: "auxiliaries.cabinetDoor",
    2: "auxiliaries.safeDoor",
    3: "auxiliaries.tamperSensor",
    4: "auxiliaries.internalTamperSensor",
    5: "auxiliaries.seismicSensor",
    6: "auxiliaries.heatSensor",
    7: "auxiliaries.proximitySensor",
    8: "auxiliaries.ambientLightSensor",
    9: "auxiliaries.operatorSwitch",
    10: "auxiliaries.vandalShield",
    11: "auxiliaries.holdUpDevice",
    12: "auxiliaries.heating",
    13: "auxiliaries.bootSwitchSensor",
    # motion and surroundings
    20: "motion.tilt_deg",
    21: "motion.rms_ms2",
    22: "motion.peak_ms2",
    23: "motion.drill_band_ms2",
    24: "motion.grind_band_ms2",
    25: "environment.temperature_c",
    26: "environment.humidity_pct",
    # power
    30: "powerManagement.powerInStatus",
    31: "powerManagement.batteryStatus",
    32: "powerManagement.batteryChargingStatus",
    33: "powerManagement.inputVoltage_v",
    34: "powerManagement.batteryVoltage_v",
    35: "energy.active_power_w",
    # banknote neutralisation
    40: "banknoteNeutralization.mode",
    41: "banknoteNeutralization.gas",
    42: "banknoteNeutralization.light",
    43: "banknoteNeutralization.tilt",
    44: "banknoteNeutralization.seismic",
    45: "banknoteNeutralization.temperature",
    46: "banknoteNeutralization.safeBolt",
    # the machine, as a listener on its status lines hears it
    50: "cashDispenser.device",
    51: "cashDispenser.outDefault.shutter",
    52: "cashDispenser.outDefault.positionStatus",
    53: "cashDispenser.outDefault.transport",
    54: "cashDispenser.exchange",
    55: "cashDispenser.presents",
    56: "cashDispenser.retracts",
    57: "cashDispenser.picks",
    58: "cashDispenser.pickFailures",
    59: "cashManagement.dispenser",
    60: "cashManagement.noteError",
    61: "cardReader.device",
    62: "cardReader.media",
    63: "cardReader.antiFraudModule",
    64: "cardReader.insertionTime_s",
    65: "cardReader.captures",
    66: "cardReader.readErrors",
    67: "printer.device",
    68: "printer.paper.upper",
    69: "printer.receipts",
    70: "vendorMode.service",
    71: "transaction.count",
    72: "transaction.failed",
    73: "link.host",
    74: "keyManagement.encryptionState",
    75: "cardReader.chipPower",
    # place
    80: "position.lat",
    81: "position.lon",
    82: "position.valid",
    # storage: 100 + 10 × unit (0 = reject and retract bin, 1 to 4 = cassettes)
    **{
        100 + 10 * unit + offset: f"storage.unit{unit or 'Reject'}.{name}"
        for unit in range(5)
        for offset, name in enumerate(("status", "replenishmentStatus", "count", "presented", "rejected", "accuracy"))
    },
    106: "storage.unitReject.retracted",
}
