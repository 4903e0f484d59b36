"""What customers get: the dispenser's roll-up as XFS4IoT does it, and one word for the whole machine.

    cashManagement.dispenser   ok | attention | stop | unknown      made here only for a machine that does not say it itself
    machine.service            inService | degraded | outOfService | unknown

Out of service: nobody can have cash. Degraded: cash works, something else does not. Unknown: a part that cash needs gives no
answer that can be used. A part that the machine does not have, or never spoke of, is not missed.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from agent.records import Reading, Value
from agent.vocabulary import point as entry_of

SETTLE = 0.2  # s: what a frame says together is judged together
WAIT = 5.0  # s in which a machine that has a roll-up of its own will have said it
DISPENSER = "cashManagement.dispenser"
SERVICE = "machine.service"
WORKS, DEGRADED, UNKNOWN, OUT = "inService", "degraded", "unknown", "outOfService"

_WORKS = frozenset({"online", "deviceBusy", "potentialFraud"})  # an application may go on at a potential fraud (XFS4IoT)
# the only words with which cash can be had; a part that is not named here does not stand in its way
NEEDED: dict[str, frozenset[str]] = {
    "cashDispenser.device": _WORKS,
    "cardReader.device": _WORKS,
    "pinPad.device": _WORKS,
    "keyboard.device": _WORKS,
    "link.host": frozenset({"up"}),
    DISPENSER: frozenset({"ok", "attention"}),
}
# words that end it, of parts whose other words say nothing about it
ENDS: dict[str, frozenset[str]] = {
    "auxiliaries.operatorSwitch": frozenset({"maintenance", "supervisor"}),
    "vendorMode.service": frozenset({"enterPending", "active", "exitPending"}),
    "cashDispenser.exchange": frozenset({"active"}),
    "cardReader.media": frozenset({"jammed"}),
    "keyManagement.encryptionState": frozenset({"notReady", "notInitialized", "undefined"}),
    "cashDispenser.{position}.transport": frozenset({"inoperative"}),
    "cashDispenser.{position}.shutter": frozenset({"jammedOpen", "jammedPartiallyOpen", "jammedClosed", "jammedUnknown"}),
}
# words that mean that something beside cash is missing, or part of the cash
LACKS: dict[str, frozenset[str]] = {
    "printer.device": frozenset({"offline", "powerOff", "noDevice", "hardwareError", "userError", "fraudAttempt"}),
    "printer.paper.{source}": frozenset({"out", "jammed"}),
    "cashAcceptor.device": frozenset({"offline", "powerOff", "noDevice", "hardwareError", "userError", "fraudAttempt"}),
    "cashManagement.acceptor": frozenset({"stop"}),
    "storage.{unit}.status": frozenset({"inoperative", "missing", "manipulated"}),
    "storage.{unit}.replenishmentStatus": frozenset({"empty"}),
}
_UNIT_GONE = frozenset({"inoperative", "missing", "manipulated", "notConfigured", "empty"})
_BIN_GONE = frozenset({"inoperative", "missing", "manipulated", "full"})


class Service:
    """The service of one machine. `units` are those that pay out; any other is a bin. `due`: when `tick` must be called next."""

    def __init__(self, machine: str, units: Collection[str] = ()) -> None:
        self._machine = machine
        self._units = frozenset(units)
        self._words: dict[str, Value] = {}  # what the parts that matter say …
        self._effects: dict[str, str | None] = {}  # … and what that does to the service
        self._since = inf  # when the first unit was heard
        self._told = False  # the machine rolls up itself
        self._said: dict[str, str] = {}
        self.due = inf

    @staticmethod
    def wants(point: str) -> bool:
        """Whether this stage is to be fed with a point's Readings."""
        entry = entry_of(point)
        name = entry.name if entry is not None else point
        return point in NEEDED or point in ENDS or name in ENDS or point in LACKS or name in LACKS

    def feed(self, reading: Reading) -> None:
        """Take note of a Reading that has been cleaned."""
        point, value = reading.point, reading.value
        if point == DISPENSER:
            self._told = True
        if point in self._words and self._words[point] == value:
            return
        self._words[point] = value
        if point.startswith("storage."):
            self._since = min(self._since, reading.at)
        effect = _effect(point, value)
        if point in self._effects and self._effects[point] == effect and (self._told or not self._units):
            return  # another word that changes nothing: a card comes and goes
        self._effects[point] = effect
        self.due = min(self.due, reading.at + SETTLE)

    def tick(self, now: float) -> list[Reading]:
        """What is to be said at `now`: only what is news."""
        news: dict[str, str] = {}
        self.due = inf
        if self._units and not self._told and self._since < inf:
            if now >= self._since + WAIT:
                news[DISPENSER] = word = self._roll_up()
                self._effects[DISPENSER] = _effect(DISPENSER, word)
            else:
                self.due = self._since + WAIT
        service = self._verdict()
        if service is not None:
            news[SERVICE] = service
        readings = [Reading(self._machine, point, word, now) for point, word in news.items() if self._said.get(point) != word]
        self._said.update(news)
        return readings

    def _verdict(self) -> str | None:
        effects = self._effects.values()
        if not any(point in NEEDED for point in self._effects):
            return None  # a machine whose devices nobody hears has no word for its service
        return next((word for word in (OUT, UNKNOWN, DEGRADED) if word in effects), WORKS)

    def _roll_up(self) -> str:
        """The dispenser's word by its units (CWA 17852, CashManagement, `dispenser`)."""
        pays: list[tuple[str, Value]] = []
        bins: list[tuple[str, Value]] = []
        for point, word in self._words.items():
            if point.startswith("storage."):
                unit = point.split(".")[1]
                (pays if unit in self._units else bins).append((unit, word))
        if self._words.get("cashDispenser.device") == "hardwareError" or any(word is None for _, word in pays):
            return "unknown"
        gone = {unit for unit, word in pays if word in _UNIT_GONE}
        if any(word in _BIN_GONE for _, word in bins) or self._units <= gone:
            return "stop"
        troubled = gone or any(word == "low" for _, word in pays) or any(word == "high" for _, word in bins)
        return "attention" if troubled else "ok"

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds: every moment that is remembered moves with it."""
        self._since += by
        self.due += by


def _effect(point: str, word: Value) -> str | None:
    """What a part's word does to the service; None: nothing."""
    works = NEEDED.get(point)
    if works is not None:
        return WORKS if word in works else UNKNOWN if word is None or word == "unknown" else OUT
    if word in _of(ENDS, point):
        return OUT
    return DEGRADED if word in _of(LACKS, point) else None


def _of(table: dict[str, frozenset[str]], point: str) -> frozenset[str]:
    found = table.get(point)
    if found is None:
        entry = entry_of(point)
        found = table.get(entry.name) if entry is not None else None
    return found if found is not None else frozenset()
