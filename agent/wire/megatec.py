"""UPS on a serial line: Megatec Q1 and Voltronic. Lines of ASCII that end with CR, 2400 8N1, without any check.

Sources: Network UPS Tools, nutdrv_qx_megatec.c and nutdrv_qx_voltronic.c. An answer that is not exactly of its form is refused:
there is nothing else to tell a good one by.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from agent.wire.frames import BadFrame

Q1, F, I = b"Q1\r", b"F\r", b"I\r"  # noqa: E741  the protocol's own names
QPI, QGS, QMOD, QWS, QBV = b"QPI\r", b"QGS\r", b"QMOD\r", b"QWS\r", b"QBV\r"
REQUESTS = frozenset({Q1, F, I, QPI, QGS, QMOD, QWS, QBV})  # that change nothing in a UPS

LINE_LIMIT = 96  # bytes; the longest answer, QGS, has 76


class Status(NamedTuple):
    """What a UPS says of itself; None where it says that it does not know."""

    input_v: float | None
    output_v: float | None
    load_pct: float | None
    hz: float | None
    battery_v: float | None
    temperature_c: float | None
    utility_fail: bool
    battery_low: bool
    bypass: bool  # bypass, boost or buck is active
    failed: bool
    test: bool
    shutdown: bool


class Ratings(NamedTuple):
    """F: what the UPS is built for."""

    voltage: float
    current: float
    battery_v: float
    hz: float


class Battery(NamedTuple):
    """QBV."""

    volts: float
    charge_pct: float
    runtime_s: float


class Refused(NamedTuple):
    """The UPS does not know the request: it answered (NAK, or sent the request back."""


Answer: TypeAlias = Callable[[bytes], object]

_V = rb"(\d{3}\.\d|[-@*]{3}\.[-@*])"  # what a UPS does not know it fills with one of these
_TENTHS = rb"(\d{2}\.\d|[-@*]{2}\.[-@*])"
_Q1 = re.compile(
    rb"\(%b %b %b (\d{3}|[-@*]{3}) %b (\d{1,3}\.\d{1,2}|[-@*]{1,3}\.[-@*]{1,2}) %b ([01]{8})" % (_V, _V, _V, _TENTHS, _TENTHS)
)  # input V, fault V, output V, load, Hz, battery V, temperature, bits 7 to 0
_QGS = re.compile(
    rb"\(%b (\d{2}\.\d|--\.-) %b (\d{2}\.\d|--\.-) %b (\d{3}|---) %b %b %b %b %b ([01]{12})" % ((_V,) * 8)
)  # input V, Hz, output V, Hz, A, load, bus V twice, battery V twice, temperature, bits
_F = re.compile(rb"#(\d{3}\.\d) (\d{3}|\d\.\d|\d{2}\.\d) (\d{3}\.\d|\d{2}\.\d\d) (\d{2}\.\d)")
_I = re.compile(rb"#[\x20-\x7e]{1,60}")
_QPI = re.compile(rb"\(PI\d\d")
_QMOD = re.compile(rb"\(([PSYLBTFECD])")
_QWS = re.compile(rb"\(([01]{64})")
_QBV = re.compile(rb"\((\d{3}\.\d) (\d\d) (\d\d) (\d{3}) (\d{3})")


def _reader(request: bytes, form: re.Pattern[bytes], made: Callable[[re.Match[bytes]], object]) -> Answer:
    def read(heard: bytes) -> object:
        line, end, _ = heard.partition(b"\r")
        if not end:
            if len(heard) > LINE_LIMIT:
                raise BadFrame("garbageBytes", len(heard))
            return None
        if line == b"(NAK" or line + end == request:
            return Refused()
        start = max(line.rfind(b"("), line.rfind(b"#"), 0)  # what stands before is noise
        found = form.fullmatch(line, start)
        if found is None:
            raise BadFrame("garbageBytes", len(line) + 1)
        return made(found)

    return read


def _number(text: bytes) -> float | None:
    return None if text.startswith((b"-", b"@", b"*")) else float(text)


def _status(found: re.Match[bytes]) -> Status:
    input_v, _, output_v, load, hz, battery, temperature = map(_number, found.groups()[:7])
    fail, low, bypass, failed, _, test, shutdown, _ = (bit == 0x31 for bit in found[8])
    return Status(input_v, output_v, load, hz, battery, temperature, fail, low, bypass, failed, test, shutdown)


def _general(found: re.Match[bytes]) -> Status:
    input_v, hz, output_v, _, _, load, _, _, battery, _, temperature = map(_number, found.groups()[:11])
    _, _, fail, low, bypass, failed, _, test, shutdown, *_ = (bit == 0x31 for bit in found[12])
    return Status(input_v, output_v, load, hz, battery, temperature, fail, low, bypass, failed, test, shutdown)


def _battery(found: re.Match[bytes]) -> Battery:
    return Battery(float(found[1]), float(found[4]), 60.0 * float(found[5]))  # the line says minutes


def _warnings(found: re.Match[bytes]) -> frozenset[int]:
    return frozenset(number for number, bit in enumerate(found[1]) if bit == 0x31)


read_q1 = _reader(Q1, _Q1, _status)
read_f = _reader(F, _F, lambda found: Ratings(*(float(each) for each in found.groups())))
read_i = _reader(I, _I, lambda found: found[0][1:])
read_qpi = _reader(QPI, _QPI, lambda found: found[0][1:])
read_qgs = _reader(QGS, _QGS, _general)
read_qmod = _reader(QMOD, _QMOD, lambda found: found[1].decode())
read_qws = _reader(QWS, _QWS, _warnings)
read_qbv = _reader(QBV, _QBV, _battery)
