"""The quick way of a Reading through all stages: most that a machine says it has said before, or is a number within its bounds.

What the stages keep of such a point is touched directly. Whatever is not quite plain (a doubt, a late Reading, a probe that
holds, a point that something is derived from) goes the whole way, and both ways end the same: a property test compares them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from agent.records import Quality, Reading, Value
from agent.stages.clean import Heard
from agent.stages.judge import Watched
from agent.stages.tracks import CounterTrack, NumberTrack, Track, WordTrack

_GOOD = Quality.GOOD
_NOTHING: Any = object()  # is no value


class Same(NamedTuple):
    """A point that says words or counts. `value`: what every stage has and nobody doubts."""

    value: Value
    kind: type
    heard: Heard
    watch: Watched
    summed: WordTrack | CounterTrack

    def after(self, reading: Reading) -> Same:
        """The quick way of the Readings that follow one that went the whole way."""
        value = reading.value
        sure = value is not None and value == self.heard.value == self.summed.last
        sure = sure and reading.quality is _GOOD and not reading.reason
        return Same(value if sure else _NOTHING, value.__class__, self.heard, self.watch, self.summed)

    def takes(self, reading: Reading) -> bool:
        """Take a Reading that says the same again. False when it is something else: then nothing is taken."""
        value, kind, heard, watch, summed = self
        at = reading.at
        if (
            reading.value != value or at <= heard.at or reading.value.__class__ is not kind or watch.silenced
            or reading.quality is not _GOOD or reading.reason
        ):  # fmt: skip
            return False
        heard.at = watch.heard = summed.at = at
        summed.n += 1
        return True


class Calm(NamedTuple):
    """A point that gives numbers."""

    heard: Heard
    watch: Watched
    summed: NumberTrack

    def takes(self, reading: Reading) -> bool:
        """Take a good number that is news and wakes no probe. False when it is something else: then nothing is taken."""
        heard, watch, summed = self
        value: Any = reading.value
        at, kind = reading.at, value.__class__
        if (
            (kind is not float and kind is not int) or not heard.low <= value <= heard.high or value == watch.value
            or at <= heard.at or heard.silent or watch.silenced or watch.compared
            or reading.quality is not _GOOD or reading.reason or watch.reason
        ):  # fmt: skip
            return False
        for probe in watch.probes:
            if not probe.low <= value <= probe.high or probe.holds_since is not None or probe.missing:
                return False
        heard.raw = heard.value = watch.value = value
        heard.at = heard.changed = watch.heard = watch.changed = at
        summed.add(value, at)
        return True

    def after(self, reading: Reading) -> Calm:
        """The same, whatever went the whole way."""
        return self


Quick: TypeAlias = Same | Calm


def quick(heard: Heard, watch: Watched | None, summed: Track | None, *, numbers: bool) -> Quick | None:
    """The quick way of a point; None when it has none. `numbers`: its numbers may take one."""
    if watch is None or summed is None or not heard.plain:
        return None
    if not isinstance(summed, NumberTrack):
        return Same(_NOTHING, object, heard, watch, summed)
    return Calm(heard, watch, summed) if numbers and all(probe.low < probe.high for probe in watch.probes) else None
