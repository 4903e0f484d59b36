"""What a simulator of pins says over its socket: lines of JSON, everything at first and then what changes.

{"pins": {"17": true, "27": false}, "channels": {"0": 0.5}}     contacts that are closed; levels of an analog input, 0 to 1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

LINE_LIMIT = 4096  # bytes; a simulator of sixty pins says less
PINS_LIMIT = 64


class Levels(NamedTuple):
    """What was said at once."""

    pins: dict[int, bool]
    channels: dict[int, float]


class _Line(msgspec.Struct):
    pins: dict[int, bool] = {}
    channels: dict[int, float] = {}


_DECODER = msgspec.json.Decoder(_Line)


def encode(pins: Mapping[int, bool], channels: Mapping[int, float]) -> bytes:
    """One line, with its end."""
    return msgspec.json.encode(_Line(dict(pins), dict(channels))) + b"\n"


class Decoder:
    """Lines out of a stream, whatever the chunks. `unknown` counts those that are none."""

    def __init__(self) -> None:
        self.unknown = 0
        self._held = b""

    def feed(self, chunk: bytes) -> list[Levels]:
        """What the lines say that `chunk` completes."""
        *lines, rest = (self._held + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT:
            self.unknown += 1
            rest = b""
        self._held = rest
        return [levels for line in lines if (levels := self._levels(line)) is not None]

    def _levels(self, line: bytes) -> Levels | None:
        try:
            said = _DECODER.decode(line) if len(line) <= LINE_LIMIT else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = None
        usable = said is not None and all(0 <= pin < PINS_LIMIT for pin in (*said.pins, *said.channels))
        if said is None or not usable or not all(0.0 <= level <= 1.0 for level in said.channels.values()):
            self.unknown += 1
            return None
        return Levels(said.pins, said.channels)
