"""Rigs of the devices that speak on a line of their own or are asked on one."""

from __future__ import annotations

import random

from agent.sources import Source, lines
from agent.sources.tap import TapSource
from tests.agent.sources.rigs import LineRig, soon


class TextRig(LineRig):
    """A microcontroller that prints JSON."""

    end = b"\n"

    def source(self) -> Source:
        settings = lines.Settings(port=str(self._plug.path), silent_after=1.0, fields={"t": lines.Field(point=self.point)})
        return TapSource(self._context, settings, lines.TextLines(self._context, settings), random.Random(3), soon)

    def frame(self, number: int) -> bytes:
        return b'{"t": %d, "other": [1, {"t": 5}]}\r\n' % (number % 100)
