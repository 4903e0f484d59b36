"""What a Sparkplug edge node says, and in which order: births before data, every message numbered 0 to 255 and round again.

The gateway is the edge node, each machine a device of it. Pure: the messages come back as topics and payloads, times are
arguments in milliseconds since the epoch. Numbers in brackets are sections of Sparkplug 3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from agent.encode.flat import flat, machine_of, moment
from agent.encode.sparkplug import QUALITIES, Metric, Payload, Type, encode, encode_metric, joined
from agent.records import Envelope, Reading, Value

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
REQUEST = "Node Control/Request"
BD_SEQ = "bdSeq"
LONGEST = 1024  # characters of a text that a birth repeats; a longer one is told once, as data

Told: TypeAlias = dict[str | None, list[Metric]]
"""Metrics by device; those of the node itself under None."""


def is_birth(topic: str) -> bool:
    """Whether a topic is that of an NBIRTH or a DBIRTH, which all data after it rest on."""
    return topic.split("/")[2].endswith("BIRTH")


class Node:
    """One edge node over all its connections. It learns what a device has from what is told of it."""

    def __init__(self, group: str, node: str, bd_seq: int = 255) -> None:
        """`bd_seq`: that of the last connection that anybody knows of."""
        self._group, self._node = group, node
        self.bd_seq = bd_seq
        self._seq = 0
        self._since = 0  # when this connection began: what is older is history (6.4.6)
        self._known: dict[str | None, dict[str, Metric]] = {None: {}}
        self._aliases = 0  # given so far; each names one metric of the node or of one of its devices (6.4.6)
        self.takes_requests = False

    def topic(self, kind: str, device: str | None = None) -> str:
        """The topic of a kind of message (6.1)."""
        return "/".join((NAMESPACE, self._group, kind, self._node, *(() if device is None else (device,))))

    def connects(self, now: int) -> tuple[str, bytes]:
        """A new connection, and its death certificate for the will (6.4.23). What was recorded before it is history."""
        self.bd_seq = (self.bd_seq + 1) % 256
        self._since = now
        return self.death(now)

    def death(self, now: int) -> tuple[str, bytes]:
        """NDEATH: this connection has ended."""
        return self.topic("NDEATH"), encode(Payload((Metric(BD_SEQ, Type.INT64, self.bd_seq),), now))

    def births(self, now: int) -> list[tuple[str, bytes]]:
        """NBIRTH, which begins the numbers anew (6.4.19), and a DBIRTH of each device."""
        self._seq = 0
        control = [Metric(BD_SEQ, Type.INT64, self.bd_seq, now), Metric(REBIRTH, Type.BOOLEAN, value=False, at=now)]
        if self.takes_requests:
            control.append(Metric(REQUEST, Type.STRING, None, now))
        own = [*map(encode_metric, control), *self._state(None, now)]
        devices = [device for device in self._known if device is not None]
        return [self._message("NBIRTH", None, own, now), *(self._device_birth(device, now) for device in devices)]

    def metrics(self, portion: Sequence[Envelope]) -> Told:
        """What a portion of envelopes says, in its order."""
        told: Told = {}
        for envelope in portion:
            told.setdefault(machine_of(envelope), []).extend(self._of(envelope))
        return told

    def data(self, told: Told, now: int) -> list[tuple[str, bytes]]:
        """NDATA and DDATA, and births before them where there is something new: whatever is told of was born (6.4.20)."""
        messages = []
        if self._learn(None, told.get(None, ())):
            messages += self.births(now)
        for device in told:
            if device is not None and self._learn(device, told[device]):
                messages.append(self._device_birth(device, now))
        for device, metrics in told.items():
            kind = "NDATA" if device is None else "DDATA"
            messages.append(self._message(kind, device, [self._told(device, each) for each in metrics], now))
            self._remember(device, metrics)
        return messages

    def _told(self, device: str | None, metric: Metric) -> bytes:
        """A metric of data: its alias, which a birth has told, stands for its name."""
        alias = self._known[device][metric.name].alias
        return encode_metric(msgspec.structs.replace(metric, name="", alias=alias), typed=False)

    def _of(self, envelope: Envelope) -> list[Metric]:
        body = envelope.body
        at = moment(body, envelope.at)
        historical = at < self._since
        quality = QUALITIES[body.quality] if isinstance(body, Reading) else None
        metrics = [self._metric(path, value, at, historical, quality) for path, value in flat(body)]
        if not isinstance(body, Reading):
            identity = f"{envelope.epoch}/{envelope.position}"
            metrics.append(Metric(f"{envelope.lane}/position", Type.STRING, identity, at, historical))
        return metrics

    def _metric(self, path: tuple[str, ...], value: Value, at: int, historical: bool, quality: int | None) -> Metric:
        return Metric("/".join(path), _type_of(value), value, at, historical, quality)

    def _learn(self, device: str | None, metrics: Sequence[Metric]) -> bool:
        """Whether there is a name, or a type of a name, that no birth has told."""
        new = device not in self._known
        known = self._known.setdefault(device, {})
        for metric in metrics:
            last = known.get(metric.name)
            if last is None or (metric.type and metric.type != last.type):
                alias = self._next_alias() if last is None else last.alias
                known[metric.name] = Metric(metric.name, metric.type or Type.DOUBLE, None, alias=alias)
                new = True
        return new

    def _next_alias(self) -> int:
        self._aliases += 1
        return self._aliases

    def _remember(self, device: str | None, metrics: Sequence[Metric]) -> None:
        """For the next birth, which tells what is the case: of history it tells the names alone."""
        known = self._known[device]
        for metric in metrics:
            last = known[metric.name]
            is_long = isinstance(metric.value, str) and len(metric.value) > LONGEST
            value = None if metric.historical or is_long else metric.value
            at = None if metric.historical else metric.at
            known[metric.name] = Metric(metric.name, metric.type or last.type, value, at, False, metric.quality, last.alias)

    def _device_birth(self, device: str, now: int) -> tuple[str, bytes]:
        return self._message("DBIRTH", device, self._state(device, now), now)

    def _state(self, device: str | None, now: int) -> list[bytes]:
        """Every name that there is, with its type; a metric of a birth has a time, too (6.4.6)."""
        known = self._known[device].values()
        return [encode_metric(msgspec.structs.replace(each, at=now) if each.at is None else each) for each in known]

    def _message(self, kind: str, device: str | None, metrics: Sequence[bytes], now: int) -> tuple[str, bytes]:
        payload = joined(metrics, now, self._seq)
        self._seq = (self._seq + 1) % 256
        return self.topic(kind, device), payload


def _type_of(value: Value) -> int:
    match value:
        case None:
            return Type.UNKNOWN  # the one that it has already
        case bool() | str():
            return Type.STRING
        case int():
            return Type.INT64
        case _:
            return Type.DOUBLE
