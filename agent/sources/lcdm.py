"""A Puloon LCDM-1000 or LCDM-2000 note dispenser: listened to beside the machine's PC, or asked where there is none.

Nothing here can move a note: of the commands only STATUS and ROM VERSION exist, and the ACK that ends an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.records import Reading, Value
from agent.settings import Duration
from agent.sources import Context, Source
from agent.sources.bus import PolledSource
from agent.sources.exchange import Request, Round, spoken
from agent.sources.tap import Side, TapSettings, TapSource
from agent.sources.values import Twice, Values
from agent.vocabulary import UNIT_ID
from agent.wire import lcdm
from agent.wire.lcdm import Decoder, Response, Status

GOOD = frozenset({0x30, 0x31, 0x37, 0x3B})  # no error of the device
JAMS = frozenset({0x33, 0x34, 0x35, 0x36, 0x42, 0x43, 0x47, 0x48, 0x4C, 0x4E, 0x4F, 0x50})  # site staff can clear them
FAULTS = frozenset({0x41, 0x49, 0x4A})
MISCOUNTS = frozenset({0x3A, 0x3C, 0x3D, 0x4B})
PICKUP, UPPER_END, LOWER_END, NO_TRAY, OVER_REJECT, NO_UPPER, NO_LOWER = 0x32, 0x38, 0x40, 0x3F, 0x44, 0x45, 0x46
PICKUPS_LIMIT = 3  # in a row; then the cassette does not give notes any more
REPEATED = 2.0  # s; a response that comes again so soon is the same one, asked for with NCK
WITHIN = 2.0  # s; a dispenser at rest answers at once
AWAY = {"silent": "powerOff", "missing": "noDevice"}


@dataclass(frozen=True, kw_only=True)
class Settings(TapSettings):
    """A dispenser and its line: 9600 8N1, 8E1 on some, 38400 by a switch."""

    baud: int = 9_600
    mode: Literal["tap", "poll"] = "tap"
    """tap: the machine's PC masters the dispenser, we listen; poll: nobody else is there to ask."""
    model: Literal["auto", "lcdm-1000", "lcdm-2000"] = "auto"
    """auto: as the ROM version says. Without it the sensors of cassettes and reject tray cannot be read."""
    upper: str = "unit1"
    lower: str = "unit2"
    reject: str = "unitReject"
    every: Duration = 2.0
    """With poll: how often it is asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("upper", "lower", "reject"):
            if UNIT_ID.fullmatch(getattr(self, key)) is None:
                raise ValueError(
                    f"{key}: {getattr(self, key)!r} is no storage unit; expected unit and letters or digits, as unit1"
                )
        if len({self.upper, self.lower, self.reject}) < 3:
            raise ValueError("lower: three places need three names")
        if self.mode == "poll" and self.host_port:
            raise ValueError("host_port: whoever asks hears both directions; leave it out")
        if not 0.5 <= self.every <= 3600.0:
            raise ValueError("every: expected 500ms to 1h")

    @property
    def shared(self) -> bool:
        """Where it is asked."""
        return self.mode == "poll"


class Dispenser:
    """What the responses of a dispenser tell, as points. A state machine over responses."""

    def __init__(self, settings: Settings) -> None:
        self.model = {"auto": None, "lcdm-1000": 1000, "lcdm-2000": 2000}[settings.model]
        self.identity = ""  # as its ROM version tells
        self._upper, self._lower, self._reject = (f"storage.{name}" for name in (settings.upper, settings.lower, settings.reject))
        self._counts: Counter[str] = Counter()
        self._pickups = {self._upper: 0, self._lower: 0}
        self._empty: set[str] = set()  # cassettes out of which nothing came
        self._inaccurate: set[str] = set()
        self._last: tuple[Response, float] | None = None

    def said(self, response: Response, mono: float) -> dict[str, Value] | None:
        """What a response tells; None when it breaks its own form."""
        if response.command == lcdm.ROM:
            if (model := lcdm.model_of(response.data)) is not None:
                self.model, self.identity = model, f"Puloon LCDM-{model}, ROM {spoken(response.data[:4])}"
            return {}
        if response.command == lcdm.STATUS:
            found = lcdm.status(response.data, self.model)
            return None if found is None else self._status(found)
        if response.command == lcdm.PURGE:
            return self._error(response.data[0]) if response.data[0] in lcdm.ERRORS else None
        return self._dispense(response, mono)

    def _status(self, status: Status) -> dict[str, Value]:
        units = {self._upper: (status.upper_low, status.upper_missing), self._lower: (status.lower_low, status.lower_missing)}
        values = self._error(status.error)
        values["cashDispenser.outDefault.positionStatus"] = "notEmpty" if status.exit else "empty"
        values["cashDispenser.outDefault.transportStatus"] = "notEmpty" if status.path else "empty"
        usable = []
        for unit, (low, missing) in units.items():
            if low is None:
                continue
            self._empty -= {unit} if missing or not low else set()  # another cassette, or notes in it
            gone = missing or values.get(f"{unit}.status") == "missing"
            word = None if gone else "empty" if unit in self._empty else "low" if low else "ok"
            values[f"{unit}.replenishmentStatus"] = word
            if missing is not None:
                values[f"{unit}.status"] = "missing" if gone else "ok"
            usable.append(word)
        if status.tray_missing is not None:
            gone = status.tray_missing or status.error == NO_TRAY
            values[f"{self._reject}.status"] = "missing" if gone else "ok"
        values["cashManagement.dispenser"] = self._roll_up(values, usable)
        return values

    def _roll_up(self, values: Mapping[str, Value], usable: Sequence[str | None]) -> str:
        if values["cashDispenser.device"] != "online":
            return "unknown"
        if values.get(f"{self._reject}.status") == "missing" or not any(word in ("ok", "low") for word in usable):
            return "stop"
        good = all(word == "ok" for word in usable) and values.get(f"{self._reject}.replenishmentStatus") != "high"
        return "ok" if good else "attention"

    def _error(self, error: int) -> dict[str, Value]:
        """What the error byte tells by itself. One that stands in no table is some fault of the device."""
        broken = error in JAMS or error in FAULTS or error not in lcdm.ERRORS
        values: dict[str, Value] = {
            "cashDispenser.device": "hardwareError" if broken else "online",
            "cashDispenser.outDefault.transport": "inoperative" if error in JAMS else "ok",
        }
        if broken:
            values["cashDispenser.error.eventId"] = "hardware"
            values["cashDispenser.error.action"] = "clear" if error in JAMS else "maintenance"
        if error in (PICKUP, *MISCOUNTS):
            values["cashManagement.noteError"] = "otherNoteError" if error == PICKUP else "incorrectCount"
        if error in (UPPER_END, LOWER_END):
            self._empty.add(self._upper if error == UPPER_END else self._lower)
        if error in (NO_UPPER, NO_LOWER):
            values[f"{self._upper if error == NO_UPPER else self._lower}.status"] = "missing"
        if error == NO_TRAY:
            values |= {f"{self._reject}.status": "missing", "cashManagement.dispenser": "stop"}
        if error == OVER_REJECT:
            values |= {f"{self._reject}.replenishmentStatus": "high", "cashManagement.dispenser": "attention"}
        return values

    def _dispense(self, response: Response, mono: float) -> dict[str, Value] | None:
        """The result of a dispense that the machine's PC has ordered."""
        found = lcdm.dispensed(response)
        if found is None:
            return None
        again = self._last is not None and self._last[0] == response and mono - self._last[1] < REPEATED
        self._last = (response, mono)
        if again:
            return {}
        error, parts = found
        values, counts = self._error(error) if error in lcdm.ERRORS else {}, self._counts  # the next STATUS says it again
        counts["cashDispenser.presents"] += any(part.exited for part in parts)
        counts["cashDispenser.pickFailures"] += error == PICKUP
        for part in parts:
            unit = self._lower if part.lower else self._upper
            counts["cashDispenser.picks"] += part.checked
            counts[f"{unit}.presented"] += part.exited
            counts[f"{unit}.rejected"] += part.rejected
            counts[f"{self._reject}.rejected"] += part.rejected
            values |= self._cassette(unit, error, low=part.low)
        return values | counts

    def _cassette(self, unit: str, error: int, *, low: bool) -> dict[str, Value]:
        """What a dispense tells of the cassette that it came from."""
        if error in (PICKUP, *MISCOUNTS) or error in JAMS:
            self._inaccurate.add(unit)
        self._pickups[unit] = self._pickups[unit] + 1 if error == PICKUP else 0
        values: dict[str, Value] = {f"{unit}.replenishmentStatus": "empty" if unit in self._empty else "low" if low else "ok"}
        if unit in self._inaccurate:
            values[f"{unit}.accuracy"] = "inaccurate"
        if self._pickups[unit] >= PICKUPS_LIMIT:
            values[f"{unit}.operationStatus"] = "dispenseInoperative"
        return values


class Asking:
    """A dispenser that is asked. See `Polled`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dispenser = Dispenser(settings)
        self._twice = Twice()

    @property
    def identity(self) -> str:
        """Model and ROM version."""
        return self._dispenser.identity

    @property
    def every(self) -> float:
        """At once while a change waits for its second reading."""
        return 0.0 if self._twice.pending else self._settings.every

    def may_send(self, data: bytes) -> bool:
        """STATUS, ROM VERSION, and the ACK that ends an answer."""
        return data in lcdm.REQUESTS

    def round(self) -> Round:
        """The ROM version until it is known: it says which sensors there are; then the status."""
        if not self.identity:
            rom = yield Request(lcdm.ASK_ROM, lcdm.reader(lcdm.ROM), WITHIN)
            if not isinstance(rom, Response):
                return {}
            yield Request(lcdm.ACKNOWLEDGE, None)
            self._dispenser.said(rom, 0.0)
        answer = yield Request(lcdm.ASK_STATUS, lcdm.reader(lcdm.STATUS), WITHIN)
        if not isinstance(answer, Response):
            return {}
        yield Request(lcdm.ACKNOWLEDGE, None)
        values = self._dispenser.said(answer, 0.0)
        return {} if values is None else self._twice.passed(values)

    def away(self, word: str) -> Mapping[str, Value]:
        """It has no power, or its line is gone."""
        self._twice.forget()
        return {"cashDispenser.device": AWAY[word]} if word in AWAY else {}


class Listening:
    """A dispenser whose answers to the machine's PC are heard. See `Heard`."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.frames = 0
        self._values = Values(context)
        self._dispenser = Dispenser(settings)
        self._decoder = Decoder()
        self._unknown = 0
        self._unanswered = False  # the PC has said something since the last response
        self._twice = Twice()  # for states, which come again and again; what a dispense tells comes once
        self._counts: Counter[str] = Counter()

    @property
    def identity(self) -> str:
        """Model and ROM version, once the PC has asked for them."""
        return self._dispenser.identity

    def begin(self) -> None:
        """Half a response is over."""
        self._counts += Counter(
            crcErrors=self._decoder.crc_errors, garbageBytes=self._decoder.garbage_bytes + len(self._decoder.held)
        )
        self._decoder = Decoder()
        self._twice.forget()

    def hear(self, side: Side, chunk: bytes, at: float, mono: float) -> Sequence[Reading]:
        """Responses of the dispenser; what the PC orders shows in them."""
        readings: list[Reading] = []
        if side == "host":
            self._unanswered = True
            return readings
        for response in self._decoder.feed(chunk):
            self._unanswered = False
            values = self._dispenser.said(response, mono)
            if values is None:
                self._unknown += 1
                continue
            self.frames += 1
            if response.command == lcdm.STATUS:
                values = self._twice.passed(values)
            else:
                self._twice.known(values)
            readings += self._values.news(values, at, mono)
        return readings

    def tick(self, at: float, mono: float) -> Sequence[Reading]:
        """Nothing is due by itself."""
        del at, mono
        return ()

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """Without power, if the PC is heard to ask in vain; a PC that asks nothing says nothing of the dispenser."""
        if word == "missing" or (word == "silent" and self._unanswered):
            return self._values.readings({"cashDispenser.device": AWAY[word]}, at)
        return ()

    def counters(self) -> Mapping[str, float]:
        """Responses with a wrong BCC, bytes of none, and responses that break their form."""
        return {
            "crcErrors": self._counts["crcErrors"] + self._decoder.crc_errors,
            "garbageBytes": self._counts["garbageBytes"] + self._decoder.garbage_bytes,
            "unknown": self._unknown + self._values.unknown,
        }


def open_source(context: Context, settings: Settings) -> Source:
    """A dispenser as configured. Touches no hardware."""
    if settings.mode == "poll":
        return PolledSource(context, settings, Asking(settings))
    return TapSource(context, settings, Listening(context, settings))
