"""A recorded session: what the sources said, in the order in which it was heard. JSON lines (UTF-8), each a moment:

    {"session": 1, "machine": "atm-1", "note": "the cabinet is opened"}                         first, may be left out
    {"at": 1741831800.0, "values": {"auxiliaries.cabinetDoor": "locked", "motion.rms_ms2": 0.011}}
    {"at": 1741831860.0, "again": true, "values": {"motion.rms_ms2": 0.012}}                    the others say the same again
    {"at": 1741831900.5, "values": {"auxiliaries.cabinetDoor": "open"}}
    {"at": 1741831920.0, "values": {"motion.rms_ms2": null}, "quality": "bad", "reason": "noValue"}

`at` is in seconds since the epoch, UTC. `values` names points with their values; null: asked and not usable. With `again` every
point of the session so far that is not named was asked too and gave what it had given, so that a session which hardly changes
is small. `machine` stands where it differs from the first line's.

A line may also be a single Reading as JSON, or an envelope with one, as `atm-agent history --json` prints it: what a store
holds of `forward: {readings: all}` is a session. Other records among them are passed over.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

import msgspec

from agent.errors import AgentError
from agent.records import Quality, Reading, Value

VERSION = 1
LINE_LIMIT = 1024 * 1024  # characters; a machine with a thousand points says less at once
LATEST = 1e11  # s since the epoch: no clock that is right shows the year 5138


def _unmarked(lines: Iterable[str | bytes]) -> Iterator[str | bytes]:
    """Without the byte order mark that some editors put first."""
    rest = iter(lines)
    for first in rest:
        yield first.removeprefix("\ufeff") if isinstance(first, str) else first.removeprefix(BOM_UTF8)
        yield from rest


class SessionError(AgentError, ValueError):
    """A session cannot be read; the message names the line and what would be right."""


class _Moment(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    at: float
    values: dict[str, Value] = {}
    again: bool = False
    quality: Quality = Quality.GOOD
    reason: str = ""
    machine: str = ""


class _Head(msgspec.Struct, omit_defaults=True):
    session: int
    machine: str = ""
    note: str = ""


def read(lines: Iterable[str | bytes], name: str = "session") -> Iterator[list[Reading]]:
    """What was said at each moment. Raises SessionError, with the line's number, for anything that is no such line."""
    machine = ""
    known: dict[str, dict[str, Reading]] = {}  # by machine, what each point said last
    for number, line in enumerate(_unmarked(lines), start=1):
        if not line.strip():
            continue
        if len(line) > LINE_LIMIT:
            raise SessionError(f"{name}:{number}: is longer than {LINE_LIMIT} characters; a line is one moment")
        try:
            raw = msgspec.json.decode(line)
            if isinstance(raw, dict) and "session" in raw:
                machine = _head(raw, f"{name}:{number}").machine
                continue
            readings = _readings(raw, machine, known)
        except (msgspec.DecodeError, UnicodeDecodeError, _NoMomentError) as error:
            raise SessionError(f"{name}:{number}: {error}; expected a moment such as {_EXAMPLE}") from None
        if readings:
            yield readings


_EXAMPLE = '{"at": 1741831800.0, "values": {"auxiliaries.cabinetDoor": "open"}}'


class _NoMomentError(ValueError):
    """What is said of a line that is JSON and no moment."""


def _head(raw: dict[str, Any], place: str) -> _Head:
    head = msgspec.convert(raw, _Head)
    if head.session != VERSION:
        raise SessionError(f"{place}: is of version {head.session}; this agent reads version {VERSION}")
    return head


def _readings(raw: Any, machine: str, known: dict[str, dict[str, Reading]]) -> list[Reading]:
    if not isinstance(raw, dict):
        raise _NoMomentError("is no JSON object")
    if "body" in raw:
        raw = raw["body"]
        if not isinstance(raw, dict) or raw.get("kind") != "reading":
            return []
    if "point" in raw:
        reading = msgspec.convert(raw, Reading)
        _check_time(reading.at)
        return [reading]
    moment = msgspec.convert(raw, _Moment)
    _check_time(moment.at)
    owner = moment.machine or machine
    if not owner:
        raise _NoMomentError("names no machine, and no first line does")
    said = {
        point: Reading(owner, point, value, moment.at, moment.quality, moment.reason) for point, value in moment.values.items()
    }
    mine = known.setdefault(owner, {})
    if moment.again:
        said = {
            **{point: msgspec.structs.replace(last, at=moment.at) for point, last in mine.items() if point not in said},
            **said,
        }
    mine.update(said)
    return list(said.values())


def _check_time(at: float) -> None:
    if not (isfinite(at) and 0 <= at < LATEST):
        raise _NoMomentError(f"{at:g} is no time in seconds since the epoch")


class Recorder:
    """Makes the lines of a session, without their line ends."""

    def __init__(self, machine: str, note: str = "") -> None:
        self._machine = machine
        self._known: dict[str, dict[str, tuple[Value, Quality, str]]] = {}
        self.head = msgspec.json.encode(_Head(VERSION, machine, note))

    def lines(self, readings: Sequence[Reading]) -> Iterator[bytes]:
        """What was heard at once: a line for each machine, moment and quality in it."""
        moments: dict[tuple[str, float, Quality, str], dict[str, Value]] = {}
        for each in readings:
            moments.setdefault((each.machine, each.at, each.quality, each.reason), {})[each.point] = each.value
        for (machine, at, quality, reason), values in moments.items():
            yield msgspec.json.encode(self._moment(machine, at, quality, reason, values))

    def _moment(self, machine: str, at: float, quality: Quality, reason: str, values: dict[str, Value]) -> _Moment:
        known = self._known.setdefault(machine, {})
        again = len(values) > 1 and values.keys() >= known.keys() and bool(known)
        news = {point: value for point, value in values.items() if known.get(point) != (value, quality, reason)}
        known.update({point: (value, quality, reason) for point, value in values.items()})
        owner = "" if machine == self._machine else machine
        return _Moment(at, news if again else values, again, quality, reason, owner)
