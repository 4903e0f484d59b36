"""Devices that are asked, on a line that the gateway alone masters: one request at a time, each device in its turn.

A driver writes a round: a generator that yields Requests, is sent each answer, and returns what the device has said.

    def round(self):
        answer = yield Request(Q1, megatec.answer)      None when nothing usable came in time
        return {} if answer is None else {"powerManagement.inputVoltage_v": answer.input_v}

`Turns` runs the rounds of all devices of a line. No I/O, no clock: it is handed `at`, seconds since the epoch, which Readings are
stamped with and which may step, and `mono`, seconds of the loop's clock, which measures and never does.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from math import inf
from typing import Any, NamedTuple, Protocol, TypeAlias

from agent.records import Reading, Value
from agent.sources import Context
from agent.sources.health import Health
from agent.sources.values import Values
from agent.wire.frames import BadFrame

ANSWER_LIMIT = 1024  # bytes; more than the longest answer of every protocol here
GAP = 0.01  # s between an answer and the next request; Modbus wants 3.5 characters, which are 4 ms at 9600 baud
QUIET = 0.1  # s of silence after an answer that was wrong or did not come: what is late must not answer the next request
SHORTEST = 0.2  # s between two rounds of one device, however much it wants to ask again
SILENT_AFTER = 3  # rounds in which not one byte comes
GARBLED_AFTER = 8  # rounds in which bytes come, but no intact answer: a bad line is not yet a silent device

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """One thing to ask. `data` is on the driver's allow-list."""

    data: bytes
    answer: Callable[[bytes], object] | None  # all that came since -> the answer, None while it is not whole, or BadFrame
    within: float = 1.0  # s for the whole answer; without `answer` nothing is waited for
    echo: bool = False  # the wire may repeat what is sent before the answer comes


Round: TypeAlias = Generator[Request, Any, Mapping[str, Value]]
"""Yields Requests, is sent their answers, returns what the device has said: point -> value."""


class Polled(Protocol):
    """A device that is asked. Without I/O; called by `Turns`."""

    @property
    def every(self) -> float:
        """s between the beginnings of two rounds; read after each. 0.0: ask again as soon as may be."""

    @property
    def identity(self) -> str:
        """Who it says it is, in its own words; empty until it has said so, or when it never does."""

    def may_send(self, data: bytes) -> bool:
        """The allow-list: whether these bytes, whole, are a request that changes nothing in the device."""

    def round(self) -> Round:
        """What to ask, once. A round in which nothing is answered was in vain; a few of those are a silent device."""

    def away(self, word: str) -> Mapping[str, Value]:
        """What is to be said of the device while its source is `word`: silent (not one byte comes), or that of a lost line."""


class Member:
    """One device in the turns, and how its line does."""

    def __init__(self, context: Context, device: Polled) -> None:
        self.name = context.name
        self.device = device
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self.health = Health(context, self._counters)
        self.values = Values(context)
        self.round: Round | None = None
        self.request: Request | None = None  # the next of its round
        self.begun = -inf
        self.due = -inf  # of its next round
        self.vain = 0  # rounds in a row without an answer
        self.answered = False  # something, in this round
        self.garbled = False  # something came in it, or in the vain ones before, that was no answer
        self.known = ""  # its identity, as it was logged
        self._trips = 0.0
        self._timed = 0

    def timed(self, seconds: float) -> None:
        """An answer took so long."""
        self._trips += seconds
        self._timed += 1

    def _counters(self) -> Mapping[str, float]:
        counters: dict[str, float] = dict(self.counts)
        counters["unknown"] += self.values.unknown
        if self._timed:
            counters["roundTrip"] = round(self._trips / self._timed, 4)
            self._trips, self._timed = 0.0, 0
        return counters


COUNTERS = ("frames", "crcErrors", "garbageBytes", "unknown", "timeouts", "reconnects")
Told: TypeAlias = tuple[Member, list[Reading]]


class Turns:
    """The devices of one line. Every method gives what is to be said, and by whom."""

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        self.members: list[Member] = []
        self._send = send
        self._open = False
        self._asking: Member | None = None
        self._last: Member | None = None  # had the turn before
        self._heard = bytearray()
        self._asked = self._deadline = self._quiet = -inf

    @property
    def due(self) -> float:
        """When `received` is to be called again at the latest, with whatever has come by then."""
        if self._asking is not None:
            return self._deadline
        return max(self._quiet, min((0.0 if member.round else member.due for member in self.members), default=inf))

    def add(self, member: Member) -> None:
        """One more device."""
        self.members.append(member)

    def remove(self, member: Member) -> None:
        """It is asked no more."""
        self.members.remove(member)
        if member in (self._asking, self._last):
            self._asking = self._last = None

    def opened(self, again: int, at: float, mono: float) -> list[Told]:
        """The line is open, for the nth time after the first."""
        self._open, self._asking, self._quiet = True, None, mono
        self._heard.clear()
        for member in self.members:
            member.counts["reconnects"] = again
            member.round = member.request = None
            member.due, member.vain, member.garbled = mono, 0, False
        return self.received(b"", at, mono)

    def lost(self, word: str, why: str, at: float, mono: float) -> list[Told]:
        """The line cannot be opened, or is gone."""
        self._open, self._asking = False, None
        told = []
        for member in self.members:
            member.health.turn(word, why)
            readings = member.values.readings(member.device.away(word), at)
            told.append((member, readings + member.health.due(at, mono)))
        return told

    def received(self, chunk: bytes, at: float, mono: float) -> list[Told]:
        """Whatever came; empty when nothing did. Ends the turn when it is over, and begins the next."""
        told = list(self._hear(chunk, at, mono))
        while self._open and self._asking is None and mono >= self._quiet and (member := self._next(mono)) is not None:
            told += self._ask(member, at, mono)
        return told + [(member, due) for member in self.members if (due := member.health.due(at, mono))]

    # One turn ---------------------------------------------------------------------------------------------------------------

    def _next(self, mono: float) -> Member | None:
        """Who is next: the first after the last one that has something to ask."""
        start = self.members.index(self._last) + 1 if self._last is not None else 0
        waiting = (member for member in (*self.members[start:], *self.members[:start]) if member.round or mono >= member.due)
        return next(waiting, None)

    def _ask(self, member: Member, at: float, mono: float) -> Iterator[Told]:
        self._last = member
        if member.round is None:
            member.round, member.begun, member.answered = member.device.round(), mono, False
            yield from self._go_on(member, None, at, mono)
        request = member.request
        if request is None:
            return
        if not member.device.may_send(request.data):
            raise ValueError(f"{len(request.data)} bytes are not on the allow-list of this driver")
        self._heard.clear()
        sent = self._send(request.data)
        if request.answer is None:
            self._quiet = mono + GAP
            yield from self._go_on(member, sent, at, mono)
            return
        self._asking, self._asked, self._deadline = member, mono, mono + request.within

    def _hear(self, chunk: bytes, at: float, mono: float) -> Iterator[Told]:
        member = self._asking
        if member is None:
            if chunk and self._last is not None:
                self._last.counts["garbageBytes"] += len(chunk)
                self._quiet = max(self._quiet, mono + QUIET / 2)
            return
        self._heard += chunk
        member.garbled |= bool(self._said_back(member))
        try:
            answer = self._answer(member) if chunk else None
        except BadFrame as bad:
            member.counts[bad.counter] += bad.size
            yield from self._end(member, None, QUIET, at, mono)
            return
        if answer is not None:
            member.counts["frames"] += 1
            member.timed(mono - self._asked)
            yield from self._end(member, answer, GAP, at, mono)
        elif mono >= self._deadline:
            member.counts["timeouts"] += 1
            member.counts["garbageBytes"] += len(self._said_back(member))
            yield from self._end(member, None, QUIET, at, mono)

    def _said_back(self, member: Member) -> bytes:
        """What has come since the request, without its own echo."""
        assert member.request is not None
        data, echo = member.request.data, member.request.echo
        heard = bytes(self._heard)
        return b"" if echo and data.startswith(heard) else heard.removeprefix(data) if echo else heard

    def _answer(self, member: Member) -> object:
        assert member.request is not None
        assert member.request.answer is not None
        if not (heard := self._said_back(member)):
            return None
        answer = member.request.answer(heard)
        if answer is None and len(heard) > ANSWER_LIMIT:
            raise BadFrame("garbageBytes", len(heard))
        return answer

    def _end(self, member: Member, answer: object, pause: float, at: float, mono: float) -> Iterator[Told]:
        self._asking, self._quiet = None, mono + pause
        self._heard.clear()
        member.answered |= answer is not None
        yield from self._go_on(member, answer, at, mono)

    # One round --------------------------------------------------------------------------------------------------------------

    def _go_on(self, member: Member, answer: object, at: float, mono: float) -> Iterator[Told]:
        """Let the driver have its answer; it wants the next request, or has something to say."""
        assert member.round is not None
        try:
            member.request = member.round.send(answer)
        except StopIteration as end:
            member.round = member.request = None
            soon = member.garbled and not member.answered  # a bad line: try again at once
            member.due = max(member.begun + (0.0 if soon else member.device.every), mono + SHORTEST)
            yield member, self._said(member, end.value or {}, at)

    def _said(self, member: Member, values: Mapping[str, Value], at: float) -> list[Reading]:
        if member.answered:
            member.vain, member.garbled = 0, False
            member.health.turn("ok")
            if member.device.identity != member.known:
                member.known = member.device.identity
                log.info("source %s: is %s", member.name, member.known)
            return member.values.readings(values, at)
        member.vain += 1
        if member.vain >= (GARBLED_AFTER if member.garbled else SILENT_AFTER):
            member.health.turn("silent", GARBLED if member.garbled else UNHEARD)
            return [] if member.garbled else member.values.readings(member.device.away("silent"), at)
        return []


GARBLED = "bytes come, but no intact answer: check speed, parity and word length of the line, its ground, and its ends"
UNHEARD = "nothing answers: check the device's power, its address, the cable, and that TX and RX (or A and B) are not swapped"

_LONG_NUMBER = re.compile(r"\d{13,}")  # as long as a card's; nothing of a line may bring one into a log


def spoken(text: bytes, limit: int = 64) -> str:
    """A device's own words about itself, fit for a log and a table: one line, printable, bounded, without a long number."""
    words = "".join(filter(str.isprintable, text[:limit].decode("latin-1")))
    return _LONG_NUMBER.sub("(number)", " ".join(words.split()))
