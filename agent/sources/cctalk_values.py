"""What a ccTalk hopper and a ccTalk note validator say, as points. State machines over answers: header of the request, data."""

from __future__ import annotations

import logging
from typing import NamedTuple

from agent.records import Value
from agent.sources.values import Twice
from agent.wire import cctalk
from agent.wire.cctalk import BillEvents

log = logging.getLogger(__name__)

FRAUD = frozenset({"optoShort", "optoShortPayout", "fingerMismatch", "optoBlocked"})  # somebody reaches into the hopper
HOPPER_JAMS = frozenset({"maxCurrent", "optoBlockedPayout", "reverseLimit"})
HOPPER_FAULTS = frozenset({"coilFault", "writePower", "powerDown"})
LOW, HIGH, HAS_LOW, HAS_HIGH = 1, 2, 16, 32  # bits of LEVELS

CLEAR_FAULTS = frozenset({3, 8, 10, 24, 25, 39})  # fault codes that site staff can mend
OPEN_FAULT, MISSING_FAULT, FULL_FAULT, STACKER_FAULT = 51, 44, 45, 38

RETURNED, INVALID, JAMS, FRAUDS = 1, frozenset({2, 3}), frozenset({6, 7, 15, 16}), frozenset({8, 9, 17, 18})
STACKER_OK, REMOVED, INSERTED, STACKER_FAULTY, STACKER_FULL, STACKER_JAMMED, STRING_FAULTY, UNKNOWN_STACKED = (
    10, 11, 12, 13, 14, 15, 19, 21,
)  # fmt: skip


class Asked(NamedTuple):
    """A request of a round, the number of data bytes that its answer has (None: any), and how often it is asked."""

    header: int
    size: int | None
    every: float  # s; 0.0: in each round


class Hopper:
    """A coin hopper: level, faults, and all coins that it ever paid."""

    asked = (
        Asked(cctalk.TEST, None, 0.0),
        Asked(cctalk.LEVELS, 1, 0.0),
        Asked(cctalk.STATUS, 4, 0.0),
        Asked(cctalk.DISPENSED, 3, 10.0),
    )

    def __init__(self, name: str, service: str, unit: str, *, twice: bool) -> None:
        del name
        self._service, self._unit = service, unit
        self._twice = {each.header: Twice() for each in self.asked} if twice else {}
        self._short = False  # the last payout ended before its time
        self._empty = False  # was told

    def said(self, values: dict[int, bytes]) -> dict[str, Value]:
        """What answers tell: header -> data."""
        counting: dict[str, Value] = {}
        for header, data in values.items():
            told = self._told(header, data)
            counting |= self._twice[header].passed(told) if header in self._twice else told
        return counting

    def _told(self, header: int, data: bytes) -> dict[str, Value]:
        if header == cctalk.TEST:
            flags = cctalk.hopper_flags(data)
            self._short = "payoutTimeout" in flags
            return self._faults(flags)
        if header == cctalk.LEVELS:
            level = self._level(data[0])
            self._empty |= level == "empty"
            return {} if level is None else {f"storage.{self._unit}.replenishmentStatus": level}
        if header == cctalk.DISPENSED:
            return {f"storage.{self._unit}.presented": int.from_bytes(data, "little")}
        return {}

    def _faults(self, flags: frozenset[str]) -> dict[str, Value]:
        if flags & FRAUD:
            return _trouble(self._service, "potentialFraud", "fraudAttempt", "maintenance")
        if flags & HOPPER_JAMS:
            return _trouble(self._service, "hardwareError", "hardware", "clear")
        if flags & HOPPER_FAULTS:
            return _trouble(self._service, "hardwareError", "hardware", "maintenance")
        return {f"{self._service}.device": "online"}

    def _level(self, bits: int) -> str | None:
        """None: it has no sensor that could tell, and has paid all that it was to pay."""
        low = bits & LOW and bits & HAS_LOW
        if low:
            return "empty" if self._short else "low"
        if self._short and not bits & HAS_LOW:
            return "empty"
        if bits & HIGH and bits & HAS_HIGH:
            return "high"
        return "ok" if bits & (HAS_LOW | HAS_HIGH) or self._empty else None


class Validator:
    """A note validator: what its event buffer tells, by the event counter, and its self-check."""

    asked = (Asked(cctalk.BILL_EVENTS, 11, 0.0), Asked(cctalk.SELF_CHECK, None, 30.0))

    def __init__(self, name: str, service: str, unit: str, *, twice: bool) -> None:
        self._name, self._service, self._unit = name, service, unit
        self._twice = {each.header: Twice() for each in self.asked} if twice else {}
        self._counter: int | None = None
        self._state: dict[str, Value] = {}
        self._found: dict[str, Value] = {}  # of the stacker, by the last self-check
        self._accepted = self._rejected = 0

    def said(self, values: dict[int, bytes]) -> dict[str, Value]:
        """What answers tell: header -> data."""
        news = False
        for header, data in values.items():
            if header not in self._twice or self._twice[header].passed({"data": data.hex()}):
                news = True
                self._heard(header, data)
        return dict(self._state) if news else {}

    def _heard(self, header: int, data: bytes) -> None:
        if header == cctalk.BILL_EVENTS:
            self._events(cctalk.bill_events(data))
        elif header == cctalk.SELF_CHECK and data:
            self._fault(data[0])

    def _events(self, buffer: BillEvents) -> None:
        if not self._state:
            self._state = {
                f"{self._service}.device": "online",
                f"{self._service}.accepted": 0,
                f"{self._service}.rejected": 0,
            }
        if self._counter is None:
            new, counted = len(buffer.events), False  # states are told now; what was counted before is not known
        else:
            new, counted = cctalk.events_since(self._counter, buffer.counter), True
        if new > len(buffer.events):
            log.warning("source %s: %d events were lost: it is asked too seldom", self._name, new - len(buffer.events))
        if buffer.counter:
            for first, second in reversed(buffer.events[:new]):
                self._event(first, second, counted=counted)
        self._counter = buffer.counter
        self._state[f"{self._service}.accepted"] = self._accepted
        self._state[f"{self._service}.rejected"] = self._rejected

    def _event(self, bill: int, code: int, *, counted: bool) -> None:
        service, unit = self._service, f"storage.{self._unit}"
        if bill:
            in_escrow = code == 1
            self._state[f"{service}.intermediateStacker"] = "notEmpty" if in_escrow else "empty"
            self._state[f"{service}.device"] = "online"
            self._accepted += counted and code == 0
        elif code == RETURNED:
            self._state[f"{service}.intermediateStacker"] = "empty"
        elif code in INVALID:
            self._rejected += counted
        elif code in FRAUDS:
            self._state |= _trouble(service, "potentialFraud", "fraudAttempt", "maintenance")
        elif code == UNKNOWN_STACKED:
            self._accepted += counted
        elif code in (STACKER_OK, INSERTED):
            self._state |= {f"{unit}.status": "ok", f"{unit}.replenishmentStatus": "ok", f"{service}.device": "online"}
        elif code == REMOVED:
            self._state |= {f"{unit}.status": "missing", f"{unit}.replenishmentStatus": None}
        elif code == STACKER_FULL:
            self._state[f"{unit}.replenishmentStatus"] = "full"
        elif code in (STACKER_FAULTY, STRING_FAULTY):
            self._state |= _trouble(service, "hardwareError", "hardware", "maintenance")
        if not bill and code in JAMS:
            self._state |= _trouble(service, "hardwareError", "hardware", "clear")
        if not bill and code in (STACKER_FAULTY, STACKER_JAMMED):
            self._state[f"{unit}.status"] = "inoperative"

    def _fault(self, code: int) -> None:
        service, unit = self._service, f"storage.{self._unit}"
        self._state |= {name: "ok" for name, word in self._found.items() if self._state.get(name) == word}
        self._found = _of_stacker(code, unit)
        self._state |= self._found
        if code == 0:
            if self._state.get(f"{service}.device") in ("hardwareError", "userError"):
                self._state[f"{service}.device"] = "online"
        elif code == OPEN_FAULT:
            self._state[f"{service}.device"] = "userError"
        elif code not in (MISSING_FAULT, FULL_FAULT):
            action = "clear" if code in CLEAR_FAULTS else "maintenance"
            self._state |= _trouble(service, "hardwareError", "hardware", action)


def _of_stacker(code: int, unit: str) -> dict[str, Value]:
    """What a fault code says of the stacker."""
    if code == FULL_FAULT:
        return {f"{unit}.replenishmentStatus": "full"}
    words = {MISSING_FAULT: "missing", STACKER_FAULT: "inoperative"}
    return {f"{unit}.status": words[code]} if code in words else {}


def _trouble(service: str, device: str, event: str, action: str) -> dict[str, Value]:
    return {f"{service}.device": device, f"{service}.error.eventId": event, f"{service}.error.action": action}
