"""Every codec, fed with whatever a line may bring: no exception but the documented ones, bounded memory, bounded time.

`make fuzz` runs each for a while (`python -m tests.fuzz NAME`); tests/agent/wire/test_fuzz.py feeds all of them in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import reduce
from operator import xor
from typing import Any

from agent.wire import (
    board,
    ccnet,
    cctalk,
    cobs,
    ebds,
    id003,
    lcdm,
    mdbstuff,
    megatec,
    modbus,
    nmea,
    pins,
    text,
    xfs4iot,
    xfs4iot_status,
)
from agent.wire.frames import BadFrame
from agent.wire.scan import Scanner
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
    in_chunks(lambda chunk: [(board.boot_of(frame), board.values_of(frame)) for frame in decoder.feed(chunk)], data)
    assert len(decoder._held) <= board.MAX_ENCODED


def fuzz_cobs(data: bytes) -> None:
    decoded = cobs.decode(data)
    assert decoded is None or cobs.decode(cobs.encode(decoded)) == decoded
    assert cobs.decode(cobs.encode(data)) == data


def _scanned(decoder: Scanner[Any], encode: Callable[[Any], bytes], data: bytes) -> None:
    heard = bytearray()

    def feed(chunk: bytes) -> None:
        heard.extend(chunk)
        for frame in [*decoder.feed(chunk), *(decoder.quiet() if len(chunk) % 7 == 0 else [])]:
            assert encode(frame) in heard  # nothing is given that was not said

    in_chunks(feed, data)
    assert len(decoder._held) <= 255


def fuzz_id003(data: bytes) -> None:
    _scanned(id003.decoder(), id003.encode, data)


def fuzz_ccnet(data: bytes) -> None:
    _scanned(ccnet.decoder(), ccnet.encode, data)


def fuzz_ebds(data: bytes) -> None:
    _scanned(ebds.decoder(), ebds.encode, data)


def _read(readers: Iterable[Callable[[bytes], object]], data: bytes) -> None:
    for reader in readers:
        with suppress(BadFrame):
            reader(data)


def fuzz_megatec(data: bytes) -> None:
    _read((megatec.read_q1, megatec.read_f, megatec.read_i, megatec.read_qgs, megatec.read_qws, megatec.read_qbv), data)


def fuzz_modbus(data: bytes) -> None:
    _read([modbus.reader(modbus.request(1, 4, 1, count)) for count in (1, 2, 125)], data)
    modbus.is_read(data)


def fuzz_cctalk(data: bytes) -> None:
    for check in ("sum", "crc16"):
        _read([cctalk.reader(3, check), cctalk.reader(40, check, 11)], data)  # type: ignore[arg-type]  # each is a Check
        decoder = cctalk.Decoder(check)  # type: ignore[arg-type]
        in_chunks(lambda chunk, decoder=decoder: [*decoder.feed(chunk), *decoder.pause()], data)  # type: ignore[misc]


def fuzz_lcdm(data: bytes) -> None:
    _read([lcdm.reader(command) for command in (0x46, 0x47)], data)
    decoder = lcdm.Decoder()
    in_chunks(lambda chunk: [lcdm.dispensed(response) for response in decoder.feed(chunk)], data)


def fuzz_nmea(data: bytes) -> None:
    for line in data.split(b"\n"):
        with suppress(BadFrame):
            nmea.sentence(line)
        with suppress(BadFrame):
            nmea.sentence(b"$GPRMC" + line[:70] + b"*%02X" % reduce(xor, b"GPRMC" + line[:70]))


def fuzz_mdb(data: bytes) -> None:
    for line in data.split(b"\n"):
        mdbstuff.said(line)
        mdbstuff.is_passed_over(line)


def fuzz_text(data: bytes) -> None:
    splitter, csv = text.Splitter(), text.csv_line(("a", "b"), ",")

    def feed(chunk: bytes) -> None:
        block = splitter.feed(chunk)
        text.json_lines(block)
        for line in block.split(b"\n"):
            for check in ("none", "xor", "crc16"):
                text.checked(line, check)  # type: ignore[arg-type]  # each is a Check
            for read in (text.json_line, csv, text.keyvalue_line):
                read(line)

    in_chunks(feed, data)


def fuzz_pins(data: bytes) -> None:
    decoder = pins.Decoder()
    in_chunks(decoder.feed, data)
    assert len(decoder._held) <= pins.LINE_LIMIT


def fuzz_xfs4iot(data: bytes) -> None:
    storage = Storage()
    for said in data.split(b"\n"):
        with suppress(BadMessage):
            payload = xfs4iot.decode(said).payload or {}
            xfs4iot_status.values(payload, ("cardReader",))
            xfs4iot_status.values(xfs4iot_status.older(payload), ())
            storage.told(payload.get("storage", payload), whole=len(said) % 2 == 0)


TARGETS: dict[str, Callable[[bytes], None]] = {
    name.removeprefix("fuzz_"): made for name, made in globals().items() if name.startswith("fuzz_")
}
