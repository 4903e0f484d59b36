"""Payloads of Sparkplug B 3.0 (chapter 6.4): the part of its protobuf message that an edge node writes and reads.

    Payload  1 timestamp, 2 metrics…, 3 seq
    Metric   1 name, 2 alias, 3 timestamp, 4 datatype, 5 is_historical, 7 is_null, 9 properties,
             10 int, 11 long, 12 float, 13 double, 14 boolean, 15 string, 16 bytes

Times are milliseconds since the epoch. What a reader does not know is passed over, as protobuf wants it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any, TypeAlias

from msgspec import Struct

from agent.encode.batch import Undecodable
from agent.records import Quality

MAX_METRICS = 10_000  # in one payload that comes in
MAX_VARINT = 10  # bytes
BITS_32, BITS_64 = 2**32, 2**64

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5  # wire types
Said: TypeAlias = int | float | bool | str | bytes | None


class Type(IntEnum):
    """Data types that have one value (6.4.16)."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15


SIGNED = {Type.INT8: 8, Type.INT16: 16, Type.INT32: 32, Type.INT64: 64}
QUALITIES = {Quality.GOOD: None, Quality.UNCERTAIN: 0, Quality.BAD: 0, Quality.STALE: 500}  # 6.4.12: 0, 192 and 500 alone


class Metric(Struct, frozen=True):
    """One value of one name. `value` None: it has a name and a type, and no usable value."""

    name: str
    type: int
    value: Said
    at: int | None = None
    historical: bool = False
    quality: int | None = None  # the property of that name; None: good
    alias: int | None = None


class Payload(Struct, frozen=True):
    """What one message says. A death has no seq."""

    metrics: tuple[Metric, ...] = ()
    at: int | None = None
    seq: int | None = None


def encode(payload: Payload) -> bytes:
    """The payload's bytes. Raises ValueError for a value that its type does not have."""
    return joined([encode_metric(each) for each in payload.metrics], payload.at, payload.seq)


def joined(metrics: Sequence[bytes], at: int | None, seq: int | None) -> bytes:
    """A payload of metrics that are encoded already."""
    head = b"" if at is None else _number(1, at)
    tail = b"" if seq is None else _number(3, seq)
    return b"".join((head, *(_bytes(2, each) for each in metrics), tail))


def encode_metric(metric: Metric, *, typed: bool = True) -> bytes:
    """A metric alone. Only births tell the type (6.4.6). Raises ValueError for a value that its type does not have."""
    parts = [_bytes(1, metric.name.encode())] if metric.name else []
    if metric.alias is not None:
        parts.append(_number(2, metric.alias))
    if metric.at is not None:
        parts.append(_number(3, metric.at))
    if metric.type and typed:
        parts.append(_number(4, metric.type))
    if metric.historical:
        parts.append(_number(5, 1))
    if metric.value is None:
        parts.append(_number(7, 1))
    if metric.quality is not None:
        parts.append(_bytes(9, _bytes(1, b"Quality") + _bytes(2, _number(1, Type.INT32) + _number(3, metric.quality))))
    if metric.value is not None:
        parts.append(_value(metric.type, metric.value))
    return b"".join(parts)


def _value(kind: int, value: Any) -> bytes:
    match kind:
        case Type.BOOLEAN:
            return _number(14, bool(value))
        case Type.DOUBLE:
            return _varint(13 << 3 | FIXED_64) + struct.pack("<d", value)
        case Type.FLOAT:
            return _varint(12 << 3 | FIXED_32) + struct.pack("<f", value)
        case Type.STRING | Type.TEXT | Type.UUID:
            return _bytes(15, str(value).encode())
        case Type.INT64 | Type.UINT64 | Type.DATETIME:
            return _number(11, _whole(kind, value, BITS_64))
        case Type.INT8 | Type.INT16 | Type.INT32 | Type.UINT8 | Type.UINT16 | Type.UINT32:
            return _number(10, _whole(kind, value, BITS_32))
    raise ValueError(f"data type {kind} is none that an edge node writes")


def _whole(kind: int, value: int, range_: int) -> int:
    """Two's complement in the bits of the type (6.4.17)."""
    bits = SIGNED.get(Type(kind))
    low, high = (-(1 << bits - 1), 1 << bits - 1) if bits else (0, range_)
    if not low <= value < high:
        raise ValueError(f"{value} does not fit into data type {Type(kind).name}")
    return value % (1 << bits) if bits else value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | VARINT) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | LENGTH) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    if not 0 <= value < BITS_64:
        raise ValueError(f"{value} does not fit into 64 bits")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# And back ---------------------------------------------------------------------------------------------------------------


def decode(payload: bytes) -> Payload:
    """What a payload says. Raises Undecodable, whatever the bytes are."""
    metrics: list[Metric] = []
    at = seq = None
    for field, value in _fields(payload):
        if field == 1:
            at = _as_int(value)
        elif field == 3:
            seq = _as_int(value)
        elif field == 2:
            if len(metrics) == MAX_METRICS:
                raise Undecodable(f"more than {MAX_METRICS} metrics")
            metrics.append(_metric(_as_bytes(value)))
    return Payload(tuple(metrics), at, seq)


def _metric(data: bytes) -> Metric:
    said: dict[str, Any] = {"name": "", "type": 0}
    for field, value in _fields(data):
        if field in READERS:
            label, read = READERS[field]
            said[label] = read(value)
    null, value = said.pop("null", False), said.pop("value", None)
    return Metric(**said, value=None if null else _signed(said["type"], value))


def _signed(kind: int, value: Any) -> Said:
    bits = SIGNED.get(kind)  # type: ignore[call-overload]  # an IntEnum's key is its number
    if bits is None or not isinstance(value, int):
        said: Said = value
        return said
    value %= 1 << bits
    return int(value - (1 << bits) if value >= 1 << bits - 1 else value)


def _quality(data: bytes) -> int | None:
    """The property of that name, of a set in which keys and values stand in the same order (6.4.8)."""
    keys = [_as_text(value) for field, value in _fields(data) if field == 1]
    values = [_as_bytes(value) for field, value in _fields(data) if field == 2]
    for key, value in zip(keys, values, strict=False):
        if key == "Quality":
            return next((_as_int(each) for field, each in _fields(value) if field == 3), None)
    return None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields by number; the value of a fixed one as its bytes. Raises Undecodable."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            number, at = _read_varint(data, at)
            yield tag >> 3, number
            continue
        if kind == LENGTH:
            length, at = _read_varint(data, at)
        elif kind in (FIXED_32, FIXED_64):
            length = 4 if kind == FIXED_32 else 8
        else:
            raise Undecodable(f"byte {at}: no wire type {kind}")
        if length > len(data) - at:
            raise Undecodable(f"byte {at}: a field that is longer than what holds it")
        yield tag >> 3, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_VARINT):
        if at + index >= len(data):
            break
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value % BITS_64, at + index + 1
    raise Undecodable(f"byte {at}: a number that does not end")


def _as_int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise Undecodable("bytes where a number belongs")
    return value


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise Undecodable("a number where bytes belong")
    return value


def _as_text(value: int | bytes) -> str:
    try:
        return _as_bytes(value).decode()
    except UnicodeDecodeError:
        raise Undecodable("text that is not UTF-8") from None


def _as_float(value: int | bytes, form: str) -> float:
    data = _as_bytes(value)
    if len(data) != struct.calcsize(form):
        raise Undecodable("a number of the wrong length")
    number: float = struct.unpack(form, data)[0]
    return number


def _as_flag(value: int | bytes) -> bool:
    return bool(_as_int(value))


def _as_single(value: int | bytes) -> float:
    return _as_float(value, "<f")


def _as_double(value: int | bytes) -> float:
    return _as_float(value, "<d")


def _as_quality(value: int | bytes) -> int | None:
    return _quality(_as_bytes(value))


READERS: dict[int, tuple[str, Callable[[int | bytes], Any]]] = {
    1: ("name", _as_text), 2: ("alias", _as_int), 3: ("at", _as_int), 4: ("type", _as_int), 5: ("historical", _as_flag),
    7: ("null", _as_flag), 9: ("quality", _as_quality), 10: ("value", _as_int), 11: ("value", _as_int),
    12: ("value", _as_single), 13: ("value", _as_double), 14: ("value", _as_flag), 15: ("value", _as_text),
    16: ("value", _as_bytes),
}  # fmt: skip
