"""NMEA 0183 sentences of a satellite receiver, as far as a place needs them: RMC and GGA. Parsed by pynmeagps.

A sentence is `$`, talker, type, fields, `*`, the XOR of all between as two hexadecimal digits, CR LF; 82 bytes at most.
"""

from __future__ import annotations

from typing import NamedTuple

from pynmeagps import NMEAReader
from pynmeagps.exceptions import NMEAMessageError, NMEAParseError, NMEAStreamError, NMEATypeError

from agent.wire.frames import BadFrame
from agent.wire.text import checked

SENTENCE_LIMIT = 100  # bytes; the standard has 82, some receivers more
REAL_MODES = ("A", "D", "F", "P", "R", "")  # RMC's mode: not estimated, by hand, simulated; receivers before 2.3 say none
REAL_QUALITIES = frozenset({1, 2, 3, 4, 5})  # GGA's: not estimated, by hand, simulated


class Sentence(NamedTuple):
    """What RMC or GGA says. `lat` and `lon` in degrees are there when the receiver calls them a fix; `hdop` only in GGA."""

    kind: str  # RMC or GGA
    lat: float | None
    lon: float | None
    hdop: float | None


def sentence(line: bytes) -> Sentence | None:
    """One line without its end; None for an intact sentence of another type. Raises BadFrame."""
    start = max(line.rfind(b"$"), 0)  # what stands before it is the rest of another
    line = line[start:]
    if not line.startswith(b"$") or len(line) > SENTENCE_LIMIT:
        raise BadFrame("garbageBytes", len(line) + 2)
    if checked(line[1:], "xor") is None:
        raise BadFrame("crcErrors")
    kind = line[3:6]
    if kind not in (b"RMC", b"GGA"):
        return None
    try:
        message = NMEAReader.parse(line + b"\r\n")
    except (NMEAMessageError, NMEAParseError, NMEAStreamError, NMEATypeError, ValueError, IndexError, KeyError) as error:
        raise BadFrame("unknown") from error
    return _of(kind.decode(), message)


def _of(kind: str, message: object) -> Sentence:
    lat, lon, hdop = (_number(getattr(message, name, None)) for name in ("lat", "lon", "HDOP"))
    if kind == "RMC":
        real = getattr(message, "status", "") == "A" and getattr(message, "posMode", "") in REAL_MODES
    else:
        real = getattr(message, "quality", 0) in REAL_QUALITIES
    if not real or lat is None or lon is None or not (-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0):
        return Sentence(kind, None, None, hdop)
    return Sentence(kind, lat, lon, hdop)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
