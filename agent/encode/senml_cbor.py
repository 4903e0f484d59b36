"""A batch as SenML in CBOR (RFC 8428, section 6): whole numbers for the labels of the standard, text for ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cbor2
import msgspec

from agent.encode import senml
from agent.encode.batch import Undecodable, check_size, complaint
from agent.encode.cbor import check_plain, loads
from agent.records import Envelope

LABELS = {
    "bver": -1,
    "bn": -2,
    "bt": -3,
    "bu": -4,
    "bv": -5,
    "bs": -6,
    "n": 0,
    "u": 1,
    "v": 2,
    "vs": 3,
    "vb": 4,
    "s": 5,
    "t": 6,
    "ut": 7,
    "vd": 8,
}  # fmt: skip  RFC 8428, table 4
NAMES = {number: label for label, number in LABELS.items()}


def encode(envelopes: Sequence[Envelope]) -> bytes:
    """One batch, numbers as short as they are exact. Raises ValueError when the envelopes are not of one stream."""
    return cbor2.dumps([_numbered(record) for record in senml.records(envelopes)], canonical=True)


def _numbered(record: senml.Record) -> dict[int | str, Any]:
    numbered: dict[int | str, Any] = {LABELS.get(label, label): value for label, value in record.items()}
    if "vd" in record:
        numbered[LABELS["vd"]] = b""
    return numbered


def decode(payload: bytes) -> list[Envelope]:
    """The envelopes of a batch. Raises Undecodable, whatever the bytes are."""
    check_size(payload)
    try:
        numbered = msgspec.convert(loads(payload, text_keys=False), list[dict[int | str, Any]])
        found = [_named(record) for record in numbered]
        check_plain(found)
        return senml.envelopes(msgspec.convert(found, list[senml.Record]))
    except Undecodable:
        raise
    except (cbor2.CBORError, msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
        raise Undecodable(complaint(error)) from None


def _named(record: dict[int | str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for label, value in record.items():
        name = NAMES.get(label) if isinstance(label, int) else label
        if name is None:
            continue  # of a later version; labels that must be understood are text
        named[name] = "" if name == "vd" and value == b"" else value
    return named
