"""A batch as CBOR (RFC 8949): the same names as in JSON, a fifth shorter. No tags, text keys, each key once."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import cbor2
import msgspec

from agent.encode.batch import Batch, Undecodable, check_size, complaint, pack, unpack
from agent.records import Envelope

MAX_DEPTH = 12  # a batch of summaries needs seven
PLAIN = (str, bool, type(None))


def encode(envelopes: Sequence[Envelope]) -> bytes:
    """One batch. Raises ValueError when the envelopes are not of one gateway, epoch and lane."""
    return cbor2.dumps(msgspec.to_builtins(pack(envelopes)))


def decode(payload: bytes) -> list[Envelope]:
    """The envelopes of a batch. Raises Undecodable, whatever the bytes are."""
    check_size(payload)
    try:
        value = loads(payload)
        check_plain(value)
        return unpack(msgspec.convert(value, Batch))
    except Undecodable:
        raise
    except (cbor2.CBORError, msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
        raise Undecodable(complaint(error)) from None


def loads(payload: bytes, *, text_keys: bool = True) -> Any:
    """One item, and nothing behind it. Raises Undecodable or what the decoder raises."""
    rest = io.BytesIO(payload)
    decoder = cbor2.CBORDecoder(
        rest,
        tag_hook=_refuse,
        semantic_decoders=TAGS,
        max_depth=MAX_DEPTH,
        allow_duplicate_keys=False,
        strict_hashable_types=text_keys,
    )
    value = decoder.decode()
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return value
    raise Undecodable("bytes after the end of the batch")


def _refuse(*_: object) -> NoReturn:
    raise Undecodable("a tagged item; a batch has none")


TAGS = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _refuse
)  # those that the decoder would act on by itself; all others reach its tag_hook


def check_plain(value: Any) -> None:
    """Raises Undecodable for what JSON lacks, NaN and infinity too: the platform may write a batch down as JSON."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
            waiting.extend(each)
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, int | float):
            if not math.isfinite(each):
                raise Undecodable("a number that is not finite")
        elif not isinstance(each, PLAIN):
            raise Undecodable(f"a {type(each).__name__}, which a batch does not have")
