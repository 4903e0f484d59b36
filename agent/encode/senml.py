"""A batch as a SenML Pack (RFC 8428), whatever it is written in: values under the names that any SenML reader understands,
and what makes them envelopes as labels beside them.

    {"bgw", "bepoch", "blane", "bboot"}         once, and again where they change: base labels of ours (RFC 8428, 4.4)
    {"pos", "mono", "at", "synced", "kind", …}  on the first Record of an envelope; the Records after it belong to it

What SenML cannot name (a time before 1978, letters that no name may have) travels as text: kind "record", `vs` the body in
JSON. Decoding gives back exactly what was encoded. docs/encodings/senml-json.md shows a Pack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from agent.encode.batch import Batch, Undecodable, complaint, pack, unpack
from agent.records import Alarm, Body, Envelope, Loss, PointSummary, Reading, Summary, Value
from agent.vocabulary import point

Scalar: TypeAlias = str | int | float | bool
Record: TypeAlias = dict[str, Scalar]

ABSOLUTE = 2**28  # s; a smaller time is one relative to now (RFC 8428, 4.5.3)
VERSION = 10  # the version of RFC 8428 itself (4.4)
SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # of a name (4.5.1), without what we put between segments
UNREGISTERED = ("minor units", "a")  # the vocabulary's own words, no SenML units
COUNTS = ("n", "bad", "late", "changes")
BESIDE: dict[type, tuple[str, ...]] = {
    Alarm: ("rule", "class", "severity", "text", "attack", "cleared", "planned", "repeats"),
    Reading: ("quality", "reason"),
}
BASES = ("bgw", "bepoch", "blane", "bboot", "bn", "bt")
FORBIDDEN = ("bv", "bs", "s", "ut")

_text = msgspec.json.Encoder().encode
_of_text = msgspec.json.Decoder(Body).decode


def records(envelopes: Sequence[Envelope]) -> list[Record]:
    """The Records of one Pack. Raises ValueError when the envelopes are not of one gateway, epoch and lane."""
    batch = pack(envelopes)
    base: Record = {"bn": "", "bt": 0, "bu": ""}  # what an absent label stands for
    found: list[Record] = []
    for item, envelope in zip(batch.envelopes, envelopes, strict=True):
        own: Record = {"pos": item.position, "mono": item.mono, "at": item.at, "synced": item.synced}
        own |= {"bgw": batch.gateway, "bepoch": batch.epoch, "blane": batch.lane, "bboot": item.boot}
        for record in _of_body(item.body, envelope.at):
            found.append(_without(base, own | record))
            own = {}
    return found


def _without(base: Record, record: Record) -> Record:
    """The record without the base labels that hold already."""
    for label in [label for label in record if label[0] == "b" and label != "bad"]:
        if base.get(label) == record[label]:
            del record[label]
        else:
            base[label] = record[label]
    return record


def _of_body(body: Body, at: float) -> Iterator[Record]:
    match body:
        case Reading() if _sayable(body.machine, body.point, body.at):
            yield {"kind": "reading", **_place(body.machine, body.at), **_value(body.point, body.value), **_beside(body)}
        case Alarm() if all(_sayable(body.machine, *told) for told in _told(body)):
            yield {"kind": "alarm", **_place(body.machine, body.at), **_value(body.point, body.value), **_beside(body)}
            for each in body.evidence:
                yield {**_place(body.machine, each.at), **_value(each.point, each.value)}
        case Summary() if _sayable_summary(body):
            yield from _of_summary(body)
        case Loss() if SEGMENT.fullmatch(body.lane):
            said: Record = {"first": body.first, "last": body.last, "why": body.why}
            yield {"kind": "loss", **_place("lost", at if at >= ABSOLUTE else 0), "n": body.lane, "v": body.count, **said}
        case _:
            yield {"kind": "record", "bn": "", "bt": 0, "n": "record", "vs": _text(body).decode()}


def _told(alarm: Alarm) -> list[tuple[str, float]]:
    return [(alarm.point, alarm.at), *((each.point, each.at) for each in alarm.evidence)]


def _sayable(machine: str, name: str, at: float) -> bool:
    return at >= ABSOLUTE and SEGMENT.fullmatch(machine) is not None and SEGMENT.fullmatch(name) is not None


def _sayable_summary(summary: Summary) -> bool:
    names = [*summary.points, *(summary.scores or ()), *(summary.cash.units if summary.cash else ())]
    states = [each.states for each in summary.points.values() if each.states is not None]
    names += [word for each in states for word in each]
    return (
        all(_sayable(summary.machine, name, summary.end) for name in (summary.machine, *names))
        and all(states)
        and summary.scores != {}  # an empty table would come back as none
    )


def _place(machine: str, at: float) -> Record:
    return {"bn": f"{machine}:", "bt": at}


def _value(name: str, value: Value) -> Record:
    """Asked and not usable is data of no bytes: a Record must have a value (RFC 8428, 4.2)."""
    if value is None:
        return {"n": name, "vd": ""}
    if isinstance(value, str):
        return {"n": name, "vs": value}
    unit = unit_of(name)
    return {"n": name, "u": unit, "v": value} if unit else {"n": name, "v": value}


@lru_cache(maxsize=1024)
def unit_of(name: str) -> str:
    """The SenML unit of a point; empty when it has none."""
    known = point(name)
    return known.unit if known is not None and known.unit not in UNREGISTERED else ""


def _beside(body: Alarm | Reading) -> Record:
    said: dict[str, Any] = msgspec.to_builtins(body)
    return {label: said[label] for label in BESIDE[type(body)] if said.get(label) is not None}


def _of_summary(summary: Summary) -> Iterator[Record]:
    head: Record = {"kind": "summary", "start": summary.start, "n": "observed", "u": "/", "v": summary.observed}
    yield {**_place(summary.machine, summary.end), **head}
    for name, each in summary.points.items():
        yield from _of_point(f"{summary.machine}:{name}:", name, each)
    if summary.cash is not None:
        name = f"{summary.machine}/cash:"
        yield {"bn": name, "bu": "", "n": "value", "v": summary.cash.value, "currency": summary.cash.currency}
        for unit, count in summary.cash.units.items():
            yield {"bn": name, "n": f"units:{unit}", "u": "count", "v": count}
    for model, score in (summary.scores or {}).items():
        yield {"bn": f"{summary.machine}/scores:", "bu": "/", "n": model, "v": score}


def _of_point(name: str, of: str, summary: PointSummary) -> Iterator[Record]:
    said: dict[str, Any] = {"n": 0, **msgspec.to_builtins(summary)}
    states: dict[str, float] = said.pop("states", {})
    base: Record = {"bn": name, "bu": unit_of(of)}
    for label, value in said.items():
        if label in COUNTS:
            yield {**base, "n": label, "u": "count", "v": value}
        else:
            yield {**base, "n": label, "vs" if isinstance(value, str) else "v": value}
    for word, seconds in states.items():
        yield {**base, "n": f"states:{word}", "u": "s", "v": seconds}


# And back ---------------------------------------------------------------------------------------------------------------


def envelopes(found: list[Record]) -> list[Envelope]:
    """The envelopes of a Pack that `records` made. Raises Undecodable."""
    groups: list[list[Record]] = []
    base: Record = {"bn": "", "bt": 0}
    for record in found:
        _check(record)
        base |= {label: record[label] for label in BASES if label in record}
        if "pos" in record:
            groups.append([])
        if not groups:
            raise Undecodable("the first Record has no `pos`; these are measurements, and no envelopes")
        groups[-1].append({**record, **base, "bt": _time(base["bt"], record.get("t", 0))})
    if not groups:
        raise Undecodable("a Pack without a Record")
    streams = {tuple(group[0].get(label) for label in BASES[:3]) for group in groups}
    if len(streams) != 1:
        raise Undecodable("envelopes of more than one gateway, epoch or lane")
    gateway, epoch, lane = streams.pop()
    items = [_item(group) for group in groups]
    try:
        return unpack(msgspec.convert({"gateway": gateway, "epoch": epoch, "lane": lane, "envelopes": items}, Batch))
    except msgspec.ValidationError as error:
        raise Undecodable(complaint(error)) from None


def _check(record: Record) -> None:
    for label in record:
        if label.endswith("_"):  # RFC 8428, 4.4: whoever does not know it must not process the Pack
            raise Undecodable("a label that must be understood, and is not")
    version = record.get("bver", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise Undecodable(f"bver: a later version than {VERSION}")
    if any(label in record for label in FORBIDDEN):
        raise Undecodable(f"one of {', '.join(FORBIDDEN)}, which the Packs of an agent do not have")


def _time(base: Scalar, own: Scalar) -> float:
    if isinstance(base, str) or isinstance(own, str):
        raise Undecodable("a time that is no number")
    return base + own if own else base


def _item(group: list[Record]) -> dict[str, Any]:
    first = group[0]
    return {
        "position": first["pos"],
        "boot": first.get("bboot"),
        **{label: first.get(label) for label in ("mono", "at", "synced")},
        "body": _body(group),
    }


def _body(group: list[Record]) -> Any:
    first = group[0]
    match first.get("kind"):
        case "reading":
            return {**_common(first), **_picked(first, BESIDE[Reading])}
        case "alarm":
            evidence = [(each.get("n"), _valued(each), each["bt"]) for each in group[1:]]
            return {**_common(first), "evidence": evidence, **_picked(first, BESIDE[Alarm])}
        case "loss":
            return {"kind": "loss", "lane": first.get("n"), "count": first.get("v"), **_picked(first, ("first", "last", "why"))}
        case "summary":
            return _summary(group)
        case "record":
            return _opaque(first.get("vs"))
    raise Undecodable("kind: expected alarm, loss, reading, record or summary")


def _common(first: Record) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": first["kind"], "machine": _names(first)[0], "at": first["bt"]}
    return {**said, "point": first.get("n"), "value": _valued(first)}


def _opaque(text: Scalar | None) -> Any:
    if not isinstance(text, str):
        raise Undecodable("vs: expected a record as JSON text")
    try:
        return msgspec.to_builtins(_of_text(text))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Undecodable(f"vs: {complaint(error)}") from None


def _names(record: Record) -> tuple[str, str, str]:
    """Machine, table (cash or scores) and point of a base name."""
    head, _, of = str(record["bn"]).removesuffix(":").partition(":")
    machine, _, table = head.partition("/")
    return machine, table, of


def _valued(record: Record) -> Scalar | None:
    if record.get("vd") == "":
        return None
    value = record.get("v", record.get("vs"))
    if value is None:
        raise Undecodable("a Record without a value")
    return value


def _picked(record: Record, labels: Sequence[str]) -> Record:
    return {label: record[label] for label in labels if label in record}


def _summary(group: list[Record]) -> dict[str, Any]:
    first = group[0]
    said: dict[str, Any] = {"kind": "summary", "machine": _names(first)[0], "start": first.get("start"), "end": first["bt"]}
    said |= {"observed": first.get("v"), "points": {}}
    for record in group[1:]:
        _, table, of = _names(record)
        label, value = str(record.get("n", "")), _valued(record)
        if table == "scores":
            said.setdefault("scores", {})[label] = value
        elif table == "cash":
            cash = said.setdefault("cash", {"units": {}})
            if label.startswith("units:"):
                cash["units"][label.removeprefix("units:")] = value
            else:
                cash |= {"value": value, "currency": record.get("currency")}
        elif label.startswith("states:"):
            said["points"].setdefault(of, {}).setdefault("states", {})[label.removeprefix("states:")] = value
        else:
            said["points"].setdefault(of, {})[label] = value
    return said
