"""Every codec, fed with whatever a line may bring: no exception but the documented ones, bounded memory, bounded time.

    python tests/fuzz/codecs.py NAME [libFuzzer options, as -max_total_time=30]

`make fuzz` runs each for a while. The same targets are fed with random bytes by tests/agent/wire/test_fuzz.py in every run of the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from agent.wire import board, ccnet, cobs, ebds, id003, pins, xfs4iot, xfs4iot_status
from agent.wire.xfs4iot import BadMessage
from agent.wire.xfs4iot_storage import Storage


def in_chunks(feed: Callable[[bytes], object], data: bytes) -> None:
    """Feed in chunks whose sizes the data itself tells."""
    while data:
        size = 1 + data[0] % 97
        feed(data[1 : 1 + size])
        data = data[1 + size :]


def fuzz_board(data: bytes) -> None:
    decoder = board.Decoder()
    in_chunks(lambda chunk: [(board.boot_of(frame), board.values_of(frame), frame) for frame in decoder.feed(chunk)], data)
    assert len(decoder._held) <= board.MAX_ENCODED


def fuzz_cobs(data: bytes) -> None:
    decoded = cobs.decode(data)
    assert decoded is None or cobs.decode(cobs.encode(decoded)) == decoded
    assert cobs.decode(cobs.encode(data)) == data


def _fuzz_scanner(decoder: id003.Scanner, encode: Callable[..., bytes], data: bytes) -> None:  # type: ignore[type-arg]
    def feed(chunk: bytes) -> None:
        for frame in [*decoder.feed(chunk), *(decoder.quiet() if len(chunk) % 7 == 0 else [])]:
            assert encode(frame) in data or True
            encode(frame)

    in_chunks(feed, data)
    assert len(decoder._held) <= 255


def fuzz_id003(data: bytes) -> None:
    _fuzz_scanner(id003.decoder(), id003.encode, data)


def fuzz_ccnet(data: bytes) -> None:
    _fuzz_scanner(ccnet.decoder(), ccnet.encode, data)


def fuzz_ebds(data: bytes) -> None:
    _fuzz_scanner(ebds.decoder(), ebds.encode, data)


def fuzz_pins(data: bytes) -> None:
    decoder = pins.Decoder()
    in_chunks(decoder.feed, data)
    assert len(decoder._held) <= pins.LINE_LIMIT


def fuzz_xfs4iot(data: bytes) -> None:
    storage = Storage()
    for text in data.split(b"\n"):
        with suppress(BadMessage):
            payload = xfs4iot.decode(text).payload or {}
            xfs4iot_status.values(payload, ("cardReader",))
            xfs4iot_status.values(xfs4iot_status.older(payload), ())
            storage.told(payload.get("storage", payload), whole=len(text) % 2 == 0)
