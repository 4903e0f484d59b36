"""A record as names and values, for platforms that know nothing else: each value of it under a path of words.

    environment.temperature_c/mean 21.5, auxiliaries.safeDoor/states/open 12.0, cash/value 4500000, scores/attack_risk 0.1

Counts and money are int, every other number is float, whatever it was: a platform fixes a name's type by what it sees first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from agent.records import Alarm, Body, Envelope, PointSummary, Reading, Severity, Summary, Value

Named: TypeAlias = tuple[tuple[str, ...], Value]
"""A path, and its value; None: asked and not usable."""

COUNTS = ("n", "bad", "late", "changes")

_text = msgspec.json.Encoder().encode


def flat(body: Body) -> list[Named]:
    """What a record says. Alarms and what is the gateway's own come as a text too, which is the whole record in JSON."""
    match body:
        case Reading():
            return [((body.point,), measured(body.value))]
        case Summary():
            return list(_of_summary(body))
        case Alarm():
            severity = int(Severity.NONE if body.cleared else body.severity)
            return [(("alarm", body.rule), severity), (("alarm", body.rule, "record"), _text(body).decode())]
        case _:
            return [((str(body.__struct_config__.tag),), _text(body).decode())]


def measured(value: Value) -> Value:
    """A point's value, its numbers as float."""
    return float(value) if isinstance(value, int) else value


def _of_summary(summary: Summary) -> Iterator[Named]:
    yield ("window", "length_s"), summary.end - summary.start
    yield ("window", "observed"), summary.observed
    for name, point in summary.points.items():
        for path, value in _of_point(point):
            yield (name, *path), value
    if summary.cash is not None:
        yield ("cash", "currency"), summary.cash.currency
        yield ("cash", "value"), summary.cash.value
        for unit, count in summary.cash.units.items():
            yield ("cash", "units", unit), count
    for model, score in (summary.scores or {}).items():
        yield ("scores", model), float(score)


def _of_point(point: PointSummary) -> Iterator[Named]:
    said: dict[str, Any] = {"n": 0, **msgspec.to_builtins(point)}
    states: dict[str, float] = said.pop("states", {})
    for label, value in said.items():
        yield (label,), value if label in COUNTS else measured(value)
    for word, seconds in states.items():
        yield ("states", word), float(seconds)


def machine_of(envelope: Envelope) -> str | None:
    """Whose record it is; None: the gateway's own."""
    body = envelope.body
    machine = body.machine if isinstance(body, Reading | Summary | Alarm) else None
    return None if machine == envelope.gateway else machine


def moment(body: Body, stored_at: float) -> int:
    """When it was, in milliseconds since the epoch. A summary is named by its end, a loss has no time but that of its storing."""
    match body:
        case Summary():
            at = body.end
        case Reading() | Alarm():
            at = body.at
        case _:
            at = getattr(body, "at", stored_at)
    return round(at * 1000)
