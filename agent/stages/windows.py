"""Windows: what each point did in each span [start, end) of one length, aligned to the epoch and named by its end.

What a number, a counter or a word leaves in a window is told by `agent.stages.tracks`. A Reading that is older than the open
window is counted as late and is no value of it; a late word that is news holds from the window's start.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import Any

import msgspec

from agent.records import CashPosition, PointSummary, Reading, Summary
from agent.stages import Documents
from agent.stages.tracks import Track, new_track

SHARE_DIGITS = 4


class _Open(msgspec.Struct):
    """The open window, as it is saved."""

    start: float
    now: float
    observed: float


class Windows:
    """One machine's windows of one length, in seconds. `end`: when the open one closes; -inf before the first moment."""

    def __init__(self, machine: str, length: float) -> None:
        self._machine = machine
        self._length = length
        self._tracks: dict[str, Track] = {}
        self.dirty: set[str] = set()
        """Points that have changed since they were saved."""
        self._start = -inf  # of the open window
        self._now = -inf
        self._observed = 0.0  # seconds of the open window during which the agent was there
        self.end = -inf
        self.cash: CashPosition | None = None
        self.scores: dict[str, float] = {}

    def feed(self, reading: Reading) -> None:
        """Count a Reading into the open window: one that was cleaned, so that None alone is not usable."""
        name, value, at = reading.point, reading.value, reading.at
        track: Any = self._tracks.get(name)
        if track is None:
            track = self._tracks[name] = new_track(name, value, max(at, self._start))
        self.dirty.add(name)
        if at < self._start:
            track.late += 1
            if value is not None:
                track.add_late(value, at, self._start)
        elif value is None:
            track.bad += 1
            track.lose(at)
        else:
            track.add(value, at)

    def advance(self, now: float) -> list[Summary]:
        """Let the time be `now`: close every window that has ended. An earlier `now` does nothing."""
        if self.end == -inf:
            self.begin(now)
            return []
        closed: list[Summary] = []
        while now >= self.end:
            self._observed += self.end - self._now
            self._now = self.end
            closed.append(self._close())
            self._open(self.end)
        if now > self._now:
            self._observed += now - self._now
            self._now = now
        return closed

    def begin(self, now: float) -> list[Summary]:
        """Observe from `now` on; until then nobody was there. The window that was open is closed as it was last seen."""
        closed = [] if self.end == -inf else [self._close()]
        for track in self._tracks.values():
            track.pause(self._now, now)
        self._open(now - now % self._length)
        self._now = now
        return closed

    def shift(self, by: float) -> list[Summary]:
        """The clock was set by so many seconds: the window that was open is closed, and another begins in the new time."""
        if self.end == -inf:
            return []
        closed = self.begin(self._now + by)
        for track in self._tracks.values():
            track.at += by
        return closed

    def _open(self, start: float) -> None:
        self._start = start
        self.end = start + self._length
        self._observed = 0.0

    def _close(self) -> Summary:
        """The open window's Summary, as far as somebody was there to see."""
        points: dict[str, PointSummary] = {name: track.close(self._now) for name, track in self._tracks.items()}
        self.dirty.update(points)
        return Summary(
            self._machine,
            self._start,
            self.end,
            round(min(1.0, self._observed / self._length), SHARE_DIGITS),
            points,
            self.cash,
            dict(self.scores) or None,
        )

    # Restart ------------------------------------------------------------------------------------------------------------

    def changed(self, points: Collection[str] | None = None) -> Documents:
        """The open window: one document a point that has changed (of all, or of these), one for the window itself."""
        if self.end == -inf:
            return {}
        names = sorted(self.dirty if points is None else self.dirty.intersection(points))
        self.dirty.difference_update(names)
        documents: Documents = {"": msgspec.to_builtins(_Open(self._start, self._now, self._observed))}
        documents.update((name, msgspec.to_builtins(self._tracks[name])) for name in names)
        return documents

    def restore(self, documents: dict[str, dict[str, Any]], now: float) -> list[Summary]:
        """Go on with an open window that was saved. One that has ended meanwhile is returned, observed as far as it was.

        A document that cannot be read is left out: what it told is lost, and the agent starts.
        """
        window = _read(documents.get("", {}), _Open)
        if window is None or not window.start <= window.now <= window.start + self._length:
            return []
        for name, document in documents.items():
            track = _read(document, Track) if name else None
            if track is not None:
                self._tracks[name] = track
        self._open(window.start)
        self._now, self._observed = window.now, window.observed
        for track in self._tracks.values():
            track.pause(self._now, now)
        if not self._start <= now < self.end:
            return self.begin(now)
        self._now = max(now, self._now)
        return []

    def track(self, point: str) -> Track | None:
        """What is kept of a point in the open window, and in those to come."""
        return self._tracks.get(point)

    @property
    def points(self) -> Collection[str]:
        """The points that were ever heard."""
        return self._tracks.keys()


def _read(document: dict[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        return None
