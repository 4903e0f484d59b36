"""Records as ThingsBoard's gateway API has them: keys and values at a millisecond, for each device, and the state as attributes.

    v1/gateway/telemetry    {"ATM-7": [{"ts": 1760000000123, "values": {"environment.temperature_c.mean": 21.5}}]}
    v1/gateway/attributes   {"ATM-7": {"alarm.black_box": 4}}

What is the gateway's own goes the way of a device: v1/devices/me/telemetry, a list alone. ThingsBoard knows a value by device,
key and millisecond, and keeps the last of two. So two records that have a key in common get milliseconds of their own, the later
one the next that is free; sent again, a record has the millisecond that it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from agent.encode.flat import flat, machine_of, moment
from agent.records import Alarm, Envelope, Quality, Reading

CONNECT = "v1/gateway/connect"
TELEMETRY = "v1/gateway/telemetry"
ATTRIBUTES = "v1/gateway/attributes"
RPC = "v1/gateway/rpc"
OWN_TELEMETRY = "v1/devices/me/telemetry"
OWN_ATTRIBUTES = "v1/devices/me/attributes"
OWN_RPC = "v1/devices/me/rpc/request/"

Values: TypeAlias = dict[str, Any]
Entry: TypeAlias = dict[str, Any]

_encode = msgspec.json.Encoder().encode


def values_of(envelope: Envelope) -> Values:
    """What a record says. It has no word for null: what was asked and is not usable has its quality alone."""
    body = envelope.body
    values = {".".join(path): value for path, value in flat(body) if value is not None}
    if isinstance(body, Alarm):
        values[f"alarm.{body.rule}.record"] = msgspec.to_builtins(body)
    if isinstance(body, Reading):
        quality = Quality.BAD if body.value is None and body.quality is Quality.GOOD else body.quality
        if quality is not Quality.GOOD:
            values[f"{body.point}.quality"] = str(quality)
    else:
        values[f"{envelope.lane}.position"] = f"{envelope.epoch}/{envelope.position}"
    return values


class Moments:
    """Gives each record of a device a millisecond at which none of its keys stands already."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str | None, str], tuple[int, int]] = {}  # key -> when a run began, the next free one
        self._given: dict[str, dict[tuple[str, int], int]] = {}  # of what is not acknowledged, by lane

    def of(self, envelope: Envelope, keys: Sequence[str]) -> int:
        """Milliseconds since the epoch; the same again for the same record, as long as it is not let go."""
        given = self._given.setdefault(envelope.lane, {})
        identity = (envelope.epoch, envelope.position)
        if identity not in given:
            given[identity] = self._free(machine_of(envelope), keys, moment(envelope.body, envelope.at))
        return given[identity]

    def let_go(self, batch: Sequence[Envelope]) -> None:
        """Of a lane nothing but this batch is waiting."""
        if batch:
            given = self._given.get(batch[0].lane, {})
            waiting = {(each.epoch, each.position) for each in batch}
            self._given[batch[0].lane] = {identity: at for identity, at in given.items() if identity in waiting}

    def _free(self, device: str | None, keys: Sequence[str], at: int) -> int:
        taken = [self._runs[device, key] for key in keys if (device, key) in self._runs]
        found = at
        while (later := max((following for began, following in taken if began <= found < following), default=found)) != found:
            found = later
        for key in keys:
            began, following = self._runs.get((device, key), (at, at))
            self._runs[device, key] = (began if began <= at <= following else at, found + 1)
        return found


def telemetry(told: Sequence[tuple[Envelope, int, Values]]) -> list[tuple[str, bytes]]:
    """Messages with the values of some records at their times, devices in the order in which they come."""
    devices: dict[str | None, dict[int, Values]] = {}
    for envelope, at, values in told:
        devices.setdefault(machine_of(envelope), {}).setdefault(at, {}).update(values)
    entries: dict[str | None, list[Entry]] = {
        device: [{"ts": at, "values": values} for at, values in times.items()] for device, times in devices.items()
    }
    own = entries.pop(None, None)
    messages = [(TELEMETRY, _encode(entries))] if entries else []
    return [*messages, (OWN_TELEMETRY, _encode(own))] if own else messages


def attributes(portion: Sequence[Envelope]) -> list[tuple[str, bytes]]:
    """Messages with what is the case after some records: the severity of each alarm among them, 0 for one that is cleared."""
    devices: dict[str | None, Values] = {}
    for envelope in portion:
        if isinstance(envelope.body, Alarm):
            (path, severity), _ = flat(envelope.body)
            devices.setdefault(machine_of(envelope), {})[".".join(path)] = severity
    own = devices.pop(None, None)
    messages = [(ATTRIBUTES, _encode(devices))] if devices else []
    return [*messages, (OWN_ATTRIBUTES, _encode(own))] if own else messages


def connection(device: str, kind: str) -> tuple[str, bytes]:
    """A device is there, behind this gateway."""
    return CONNECT, _encode({"device": device, "type": kind})


def devices_of(portion: Sequence[Envelope]) -> list[str]:
    """The machines of some records, once each."""
    return list(dict.fromkeys(machine for each in portion if (machine := machine_of(each)) is not None))


# What the platform asks --------------------------------------------------------------------------------------------------


class Call(msgspec.Struct, frozen=True):
    """A remote procedure call: `signed` is the token of a signed request, None for any other."""

    topic: str  # of the answer
    signed: bytes | None
    answer_to: Mapping[str, Any]

    def answer(self, data: Mapping[str, str]) -> tuple[str, bytes]:
        """The message that answers it."""
        return self.topic, _encode({**self.answer_to, "data": data} if self.answer_to else data)


class _Asked(msgspec.Struct, frozen=True):
    method: str = ""
    params: Any = None


class _AskedOfDevice(msgspec.Struct, frozen=True):
    id: int
    method: str = ""
    params: Any = None


class _OfDevice(msgspec.Struct, frozen=True):
    device: str
    data: _AskedOfDevice


_own = msgspec.json.Decoder(_Asked)
_device = msgspec.json.Decoder(_OfDevice)


def call(topic: str, payload: bytes) -> Call | None:
    """A call to the gateway itself or to a device behind it; None when nothing could answer it."""
    try:
        if topic.startswith(OWN_RPC):
            number = topic.removeprefix(OWN_RPC)
            return Call(f"v1/devices/me/rpc/response/{number}", _signed(_own.decode(payload)), {}) if number.isdigit() else None
        asked = _device.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Call(RPC, _signed(asked.data), {"device": asked.device, "id": asked.data.id})


def _signed(asked: _Asked | _AskedOfDevice) -> bytes | None:
    params = asked.params
    return params.encode() if asked.method == "request" and isinstance(params, str) and params.count(".") == 2 else None
