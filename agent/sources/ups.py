"""An uninterruptible power supply that speaks Megatec Q1 or Voltronic. It is asked how it does, and for nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.records import Value
from agent.settings import Duration
from agent.sources import Context
from agent.sources.bus import PolledSource
from agent.sources.exchange import Request, Round, spoken
from agent.sources.ports import LineSettings
from agent.sources.values import Twice
from agent.wire import megatec
from agent.wire.megatec import Battery, Ratings, Status

OUTPUT_LEAST = 10.0  # V; less is an output that is off
CELL_LIMIT = 4.0  # V; a pack has more, a cell of a lead battery never has
CELL_V = 2.0  # nominal
CHARGE_FULL, CHARGE_CRITICAL = 98.0, 10.0  # %

LOST = 4  # rounds without an answer after which a UPS counts as one that does not know the question
TELLS = {
    megatec.QMOD: {"powerManagement.device", "powerManagement.powerOutStatus"},
    megatec.QWS: {"powerManagement.batteryStatus"},
    megatec.QBV: {"powerManagement.batteryStatus", "powerManagement.batteryChargingStatus"},
}
"""Points that an answer has a say in, beside that of QGS."""

TOLERANCE = {
    "powerManagement.inputVoltage_v": 5.0,
    "powerManagement.outputVoltage_v": 5.0,
    "powerManagement.load_pct": 5.0,
    "powerManagement.batteryVoltage_v": 0.5,
    "powerManagement.temperature_c": 1.0,
    "powerManagement.batteryCharge_pct": 2.0,
    "powerManagement.batteryRuntime_s": 120.0,
}
AWAY = {"silent": "powerOff", "missing": "noDevice"}
OUTPUT_OFF = ("S", "D")  # modes: standby, shutdown
BATTERY_WARNINGS = frozenset({0, 6, 37, 55})  # disconnected, overcharged, a cell overcharged, to be replaced
OTHER_WARNINGS = frozenset({2, 8, 9, 10, 11, 12, 13, 61})  # site, overload, fan, emergency off, no start, hot, charger, EEPROM


@dataclass(frozen=True, kw_only=True)
class Settings(LineSettings):
    """A UPS and its line."""

    baud: int = 2_400
    protocol: Literal["megatec", "voltronic"] = "megatec"
    every: Duration = 2.0
    """How often it is asked."""
    battery_voltage: float = 0.0
    """Nominal volts of the battery, for a UPS that tells those of one cell and not what it has; 0: as it says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.5 <= self.every <= 3600.0:
            raise ValueError("every: expected 500ms to 1h")
        if not 0.0 <= self.battery_voltage <= 500.0:
            raise ValueError("battery_voltage: expected the volts of the whole battery, such as 24, or 0")

    @property
    def shared(self) -> bool:
        """It is asked."""
        return True


class Ups:
    """One UPS. See `Polled`."""

    def __init__(self, settings: Settings) -> None:
        self.identity = ""
        self._settings = settings
        self._twice = Twice(TOLERANCE)
        self._nominal = settings.battery_voltage
        self._introduced = False
        self._missed = dict.fromkeys(TELLS, LOST)  # rounds since each was answered

    @property
    def every(self) -> float:
        """At once while a change waits for its second reading."""
        return 0.0 if self._twice.pending else self._settings.every

    def may_send(self, data: bytes) -> bool:
        """Status, ratings and identity. A test, a shutdown and the beeper are other commands."""
        return data in megatec.REQUESTS

    def round(self) -> Round:
        """All that it tells."""
        if self._settings.protocol == "megatec":
            return self._megatec()
        return self._voltronic()

    def _megatec(self) -> Round:
        status = yield Request(megatec.Q1, megatec.read_q1)
        if not isinstance(status, Status):
            return {}
        if not self._introduced:
            self._introduced = True
            ratings = yield Request(megatec.F, megatec.read_f)
            name = yield Request(megatec.I, megatec.read_i)
            if isinstance(ratings, Ratings) and not self._nominal:
                self._nominal = ratings.battery_v
            if isinstance(name, bytes):
                self.identity = spoken(name)
        return self._twice.passed(self._values(status))

    def _voltronic(self) -> Round:
        status = yield Request(megatec.QGS, megatec.read_qgs)
        if not isinstance(status, Status):
            return {}
        if not self._introduced:
            self._introduced = True
            name = yield Request(megatec.QPI, megatec.read_qpi)
            if isinstance(name, bytes):
                self.identity = f"protocol {spoken(name)}"
        mode = yield Request(megatec.QMOD, megatec.read_qmod)
        warnings = yield Request(megatec.QWS, megatec.read_qws)
        battery = yield Request(megatec.QBV, megatec.read_qbv)
        values = self._values(status, battery if isinstance(battery, Battery) else None)
        if isinstance(mode, str):
            values |= _of_mode(mode)
        if isinstance(warnings, frozenset):
            values |= _of_warnings(warnings)
        answered = (isinstance(mode, str), isinstance(warnings, frozenset), isinstance(battery, Battery))
        for request, told in zip(TELLS, answered, strict=True):
            self._missed[request] = 0 if told else self._missed[request] + 1
            if 0 < self._missed[request] < LOST:  # without it they would say something else
                values = {name: value for name, value in values.items() if name not in TELLS[request]}
        return self._twice.passed(values)

    def _values(self, status: Status, battery: Battery | None = None) -> dict[str, Value]:
        power = "powerManagement"
        volts = {
            f"{power}.inputVoltage_v": status.input_v,
            f"{power}.outputVoltage_v": status.output_v,
            f"{power}.load_pct": status.load_pct,
            f"{power}.batteryVoltage_v": self._pack(status.battery_v),
            f"{power}.temperature_c": status.temperature_c,
            f"{power}.batteryCharge_pct": battery.charge_pct if battery else None,
            f"{power}.batteryRuntime_s": battery.runtime_s if battery else None,
        }
        values: dict[str, Value] = {name: value for name, value in volts.items() if value is not None}  # else it has none
        known = status.shutdown or status.output_v is not None
        off = known and (status.shutdown or (status.output_v or 0.0) < OUTPUT_LEAST)
        values |= {
            f"{power}.device": "hardwareError" if status.failed else "online",
            f"{power}.powerInStatus": "noPower" if status.utility_fail else "powering",
            f"{power}.batteryStatus": _battery_status(status, battery),
            "auxiliaries.UPS.low": "true" if status.battery_low else "false",
            "auxiliaries.UPS.powering": "true" if status.utility_fail and not off else "false",
        }
        if known:
            values[f"{power}.powerOutStatus"] = "noPower" if off else "powering"
        if status.utility_fail:
            values[f"{power}.batteryChargingStatus"] = "notCharging" if off else "discharging"
        elif battery is not None:
            values[f"{power}.batteryChargingStatus"] = "charging" if battery.charge_pct < 100.0 else "notCharging"
        return values

    def _pack(self, volts: float | None) -> float | None:
        """Volts of the whole battery: some UPS tell those of one cell."""
        if volts is None or volts >= CELL_LIMIT or self._nominal < CELL_LIMIT:
            return volts
        return round(volts * self._nominal / CELL_V, 2)

    def away(self, word: str) -> Mapping[str, Value]:
        """Nobody knows what the mains do; that is for its points to grow stale."""
        self._twice.forget()
        return {"powerManagement.device": AWAY[word]} if word in AWAY else {}


def _battery_status(status: Status, battery: Battery | None) -> str:
    if status.failed:
        return "failure"
    charge = battery.charge_pct if battery is not None else None
    if status.battery_low:
        return "critical" if charge is not None and charge <= CHARGE_CRITICAL else "low"
    return "full" if charge is not None and charge >= CHARGE_FULL else "operational"


def _of_mode(mode: str) -> dict[str, Value]:
    if mode == "F":
        return {"powerManagement.device": "hardwareError"}
    return {"powerManagement.powerOutStatus": "noPower"} if mode in OUTPUT_OFF else {}


def _of_warnings(warnings: frozenset[int]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if warnings & BATTERY_WARNINGS:
        values["powerManagement.batteryStatus"] = "failure"
    if warnings & (BATTERY_WARNINGS | OTHER_WARNINGS):
        values |= {"powerManagement.error.eventId": "hardware", "powerManagement.error.action": "maintenance"}
    return values


def open_source(context: Context, settings: Settings) -> PolledSource:
    """A UPS as configured. Touches no hardware."""
    return PolledSource(context, settings, Ups(settings))
