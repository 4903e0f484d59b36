"""What a batch is, whatever it is written in: envelopes of one gateway, epoch and lane, the three words standing once.

    {"gateway": …, "epoch": …, "lane": …, "envelopes": [{"position", "boot", "mono", "at", "synced", "body"}, …]}

Decoding is strict about what it knows and deaf to what it does not: a field of a later version is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from agent.records import Body, Envelope

MAX_BYTES = 1024 * 1024  # of one encoded batch; sixteen times what an agent sends at most by default
MAX_ENVELOPES = 5_000  # in one batch
MAX_POSITION = 2**53 - 1  # the largest whole number that every JSON reader keeps exact (RFC 8259, section 6)

Word: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]

QUOTED = re.compile(r"^(Invalid (?:enum )?value) .*?(?= - at |$)", re.DOTALL)


class Undecodable(ValueError):
    """The bytes are no batch. The message tells the place and what was expected there, never a value."""


class Item(Struct, frozen=True):
    """An envelope without what the batch says for all of them."""

    position: Annotated[int, Meta(ge=1, le=MAX_POSITION)]
    boot: Annotated[str, Meta(max_length=128)]
    mono: float
    at: float
    synced: bool
    body: Body


class Batch(Struct, frozen=True):
    """One message to the platform."""

    gateway: Word
    epoch: Word
    lane: Word
    envelopes: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MAX_ENVELOPES)]


def pack(envelopes: Sequence[Envelope]) -> Batch:
    """Envelopes as one batch. Raises ValueError when there are none, or when they are not of one gateway, epoch and lane."""
    streams = {(each.gateway, each.epoch, each.lane) for each in envelopes}
    if len(streams) != 1:
        raise ValueError(f"a batch is of one gateway, epoch and lane; these envelopes are of {len(streams)}")
    items = tuple(Item(each.position, each.boot, each.mono, each.at, each.synced, each.body) for each in envelopes)
    return Batch(*streams.pop(), items)


def unpack(batch: Batch) -> list[Envelope]:
    """The envelopes of a batch, in its order."""
    return [
        Envelope(batch.gateway, batch.epoch, batch.lane, item.position, item.boot, item.mono, item.at, item.synced, item.body)
        for item in batch.envelopes
    ]


def check_size(payload: bytes) -> None:
    """Raises Undecodable for what is longer than any batch."""
    if len(payload) > MAX_BYTES:
        raise Undecodable(f"{len(payload)} bytes, more than the {MAX_BYTES} that a batch may have")


def complaint(error: Exception) -> str:
    """What a decoder says, without the value that it may quote: what came may be anything, a card number too."""
    return QUOTED.sub(r"\1", str(error))
