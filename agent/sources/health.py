"""What a source says about itself: its state and the counters of its line, as Readings of the gateway."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from agent.records import Reading
from agent.sources import Context

REPEAT = 60.0  # s after which a state is said again: a window without it would know nothing
COUNTERS_EVERY = 10.0  # s

log = logging.getLogger(__name__)


class Health:
    """State and counters of one source. `mono` is the loop's time, which never steps; `at` is what Readings are stamped with."""

    def __init__(self, context: Context, counters: Callable[[], Mapping[str, float]]) -> None:
        self.word: str | None = None  # none until something is known
        self._context = context
        self._counters = counters
        self._said = self._counted = float("-inf")
        self._changed = False

    def turn(self, word: str, why: str = "") -> None:
        """The source is now `word` (ok, missing, denied, busy, silent, broken); logged when that is news."""
        if word == self.word:
            return
        if word == "ok":
            log.info("source %s: ok", self._context.name)
        else:
            log.warning("source %s: %s: %s", self._context.name, word, why)
        if self._context.turned is not None:
            self._context.turned(word, why)
        self.word = word
        self._changed = True

    def due(self, at: float, mono: float) -> list[Reading]:
        """What is to be said now: the state at each change and every minute, the counters with it and every ten seconds."""
        readings = []
        name, gateway = self._context.name, self._context.gateway
        if self.word is not None and (self._changed or mono - self._said >= REPEAT):
            readings.append(Reading(gateway, f"gateway.source.{name}", self.word, at))
            self._said = mono
        if self._changed or mono - self._counted >= COUNTERS_EVERY:
            readings += [
                Reading(gateway, f"gateway.line.{name}.{counter}", value, at) for counter, value in self._counters().items()
            ]
            self._counted = mono
        self._changed = False
        return readings
