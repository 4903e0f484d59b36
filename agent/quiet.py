"""A log that cannot be flooded: a line that repeats is let through once in a while, and all lines together have a rate.

A full disk of log lines has ended more gateways than any attack; what was held back is counted, and the count is told.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

INTERVAL = 60.0  # s between two lines that say the same of the same thing
KINDS = 256  # lines that are told apart; the one that has been quiet for longest is forgotten first
BURST = 200  # lines that may come at once, at a start or when everything fails
RATE = 1.0  # lines a second in the long run: 20 MB a day at the very worst


class Quiet(logging.Filter):
    """A filter for a log handler. Lines are the same when logger, message and arguments are; times are those of the records.

    `held` counts what was held back (`gateway.logDropped`).
    """

    def __init__(self, interval: float = INTERVAL, kinds: int = KINDS, burst: int = BURST, rate: float = RATE) -> None:
        super().__init__()
        self.held = 0
        self._interval = interval
        self._kinds = kinds
        self._burst, self._rate = burst, rate
        self._tokens, self._filled = float(burst), 0.0
        self._last: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line may be written; adds the count of those before it that were not. Called under the handler's lock."""
        kind = (record.name, str(record.msg), str(record.args))
        said, held = self._last.get(kind, (float("-inf"), 0))
        repeats = 0.0 <= record.created - said < self._interval  # a clock that was set back ends the silence
        if repeats or not self._has_room(record.created):
            if kind in self._last:
                self._last[kind] = (said, held + 1)
            self.held += 1
            return False
        self._last[kind] = (record.created, 0)
        self._last.move_to_end(kind)
        if len(self._last) > self._kinds:
            self._last.popitem(last=False)
        if held:
            record.msg, record.args = f"{record.getMessage()} (and {held} times more since the last)", None
        return True

    def _has_room(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
