"""Records as updates of ThingSpeak channels: up to eight fields, a status, and when it was, as a form (URL-encoded).

    field1=21.5&field2=open&status=black_box+severity+4&created_at=2025-10-09T08%3A53%3A20Z

A channel has eight fields, so what goes where is configured, and what has no field is passed over. Records that follow each other
and are of one channel and one second share an update, as long as no field would be said twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlencode

from agent.encode.flat import flat, moment
from agent.records import Alarm, Envelope, Loss, Value

MAX_FIELD = 255  # characters of a value, and of a status


class Channel(NamedTuple):
    """One channel: what its fields stand for, by number. A name is a point, or a path within a summary with slashes."""

    number: int
    machine: str
    fields: Mapping[int, str]


class Update(NamedTuple):
    """One entry of a channel."""

    channel: int
    at: int  # s since the epoch
    said: Mapping[str, str]  # field1 to field8, status

    @property
    def created(self) -> str:
        """When it was, as an entry has it."""
        return datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def payload(self) -> bytes:
        """As it is published."""
        return urlencode({**self.said, "created_at": self.created}).encode()

    def together_with(self, other: Update) -> Update | None:
        """Both in one; None when they are of two channels or seconds, or say one thing twice."""
        if (self.channel, self.at) != (other.channel, other.at) or self.said.keys() & other.said.keys():
            return None
        return self._replace(said={**self.said, **other.said})


def leading(portion: Sequence[Envelope], channels: Sequence[Channel]) -> tuple[int, Update | None]:
    """How many of the first records make one update, and that update; None when none of them has anything to say there."""
    whole: Update | None = None
    for count, envelope in enumerate(portion):
        update = update_of(envelope, channels)
        if update is None:
            continue
        joined = update if whole is None else whole.together_with(update)
        if joined is None:
            return count, whole
        whole = joined
    return len(portion), whole


def update_of(envelope: Envelope, channels: Sequence[Channel]) -> Update | None:
    """What one record says in the channel of its machine. A loss is told of in the first channel."""
    body = envelope.body
    at = moment(body, envelope.at) // 1000
    if isinstance(body, Loss):
        text = f"lost: {body.count} of {body.lane}, {body.first} to {body.last}: {body.why}"
        return Update(channels[0].number, at, {"status": text[:MAX_FIELD]})
    channel = next((each for each in channels if each.machine == getattr(body, "machine", None)), None)
    if channel is None:
        return None
    values = {"/".join(path): value for path, value in flat(body)}
    said = {
        f"field{number}": _text(value) for number, name in channel.fields.items() if (value := _find(values, name)) is not None
    }
    if isinstance(body, Alarm):
        said["status"] = _status(body)
        said |= {
            f"field{number}": _text(body.value)
            for number, name in channel.fields.items()
            if name == body.point and body.value is not None
        }
    return Update(channel.number, at, said) if said else None


def _find(values: Mapping[str, Value], name: str) -> Value:
    """A summary's mean stands for a point that is named alone; a word's last one, where there is no mean."""
    for path in (name, f"{name}/mean", f"{name}/last"):
        if values.get(path) is not None:
            return values[path]
    return None


def _text(value: Value) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)[:MAX_FIELD]


def _status(alarm: Alarm) -> str:
    words = [
        alarm.rule,
        "cleared" if alarm.cleared else f"severity {int(alarm.severity)}",
        alarm.point,
        _text(alarm.value),
        alarm.text,
    ]
    return " ".join(word for word in words if word)[:MAX_FIELD]
