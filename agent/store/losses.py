"""The ledger of what could not be kept. A loss waits here until it is on its way to the platform as a record.

Invariant: a position of a lane that was given and cannot be read is named by exactly one loss, told or waiting.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec

from agent.records import Loss
from agent.store import ALARMS
from agent.store.notes import Notes

REMEMBERED = 200  # told losses that stay in the ledger, so that the same gap is not told twice
WAITING = 200  # untold ones that are kept apart; beyond that those of one lane are told as one
TABLE = "losses"
TURNED_DOWN = "refused"  # by a platform
NEVER_STORED = {"full", "stalled", "newEpoch", "sentFromMemory", "moved", TURNED_DOWN}
"""Losses of what had no place in the lane: no record of another loss is gone with it."""


def unnamed(losses: Iterable[Loss], lane: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The runs of positions of a lane, from first to last, that none of the losses names."""
    for begin, end in sorted((loss.first, loss.last) for loss in losses if loss.lane == lane):
        if begin > last:
            break
        if begin > first:
            yield first, begin - 1
        first = max(first, end + 1)
    if first <= last:
        yield first, last


def runs(positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of positions that leaves none out."""
    for _, run in groupby(enumerate(sorted(positions)), lambda each: each[1] - each[0]):
        found = [position for _, position in run]
        yield found[0], found[-1]


class Losses:
    """Losses by lane, kept in the notes; what a failing medium refuses is kept in memory until `save`.

    `delivered` tells below which position a lane's records have reached everybody: they are no loss any more.
    """

    def __init__(self, notes: Notes, delivered: Callable[[str], int]) -> None:
        self._notes, self._delivered = notes, delivered
        self._entries: dict[int, Loss] = {}
        self._waiting: set[int] = set()
        self._unsaved: set[int] = set()
        self.count: Counter[str] = Counter()
        """Positions lost since the opening, by lane."""
        for key, document in notes.recall(TABLE).items():
            with contextlib.suppress(msgspec.ValidationError, ValueError):  # not of ours: an operator's, or of another version
                self._entries[int(key)] = msgspec.convert(document, Loss)
                if document.get("waiting"):
                    self._waiting.add(int(key))

    def add(self, lane: str, first: int, last: int, why: str) -> None:
        """Note that the positions from first to last are gone, as far as they were waiting and no loss names them yet."""
        for begin, end in list(self.unexplained(lane, max(first, self._delivered(lane)), last)):
            self._add(lane, begin, end, why, end - begin + 1)

    def never_given(self, lane: str, last: int) -> None:
        """Note that the epoch's positions up to `last` were never given: it began behind those of another one."""
        if last >= 1:
            self._add(lane, 1, last, "newEpoch", 0)

    def refused(self, lane: str, positions: Iterable[int]) -> None:
        """Note what some platform refused, or is not sent for what it holds: its place among the positions stays empty."""
        for first, last in runs(positions):
            for begin, end in list(self.unexplained(lane, first, last)):
                self._add(lane, begin, end, TURNED_DOWN, end - begin + 1)

    def sent_before(self, lane: str, positions: Iterable[int]) -> None:
        """Note that some uplink delivered the records at these positions under the identity that they had in memory."""
        self._explain(lane, positions, "sentFromMemory")

    def moved(self, lane: str, positions: Iterable[int]) -> None:
        """Note that the records at these positions in memory have another identity now, on the disk."""
        self._explain(lane, positions, "moved")

    def _explain(self, lane: str, positions: Iterable[int], why: str) -> None:
        for first, last in runs(positions):
            self._add(lane, first, last, why, 0)

    def go_on_from(self, before: Losses) -> None:
        """Name what `before` named and the medium had not taken yet."""
        self.count.update(before.count)
        for number in sorted(before._unsaved & before._entries.keys()):
            loss = before._entries[number]
            for first, last in list(self.unexplained(loss.lane, loss.first, loss.last)):
                key = max(self._entries, default=0) + 1
                self._entries[key] = Loss(loss.lane, first, last, min(loss.count, last - first + 1), loss.why)
                if number in before._waiting:
                    self._waiting.add(key)
                self._note(key)

    def unexplained(self, lane: str, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The runs of positions from first to last that no loss names."""
        return unnamed(self._entries.values(), lane, first, last)

    def behind(self, lane: str) -> int:
        """The first position behind all that a loss of the lane names; 1 when there is none."""
        return max((loss.last + 1 for loss in self._entries.values() if loss.lane == lane), default=1)

    def named(self, lane: str, why: str) -> Iterator[tuple[int, int]]:
        """First and last position of each loss of a lane for a reason."""
        return ((loss.first, loss.last) for loss in self._entries.values() if (loss.lane, loss.why) == (lane, why))

    def _add(self, lane: str, first: int, last: int, why: str, count: int) -> None:
        self.count[lane] += count
        key = self._continued(lane, first, why)
        if key is not None:
            before = self._entries[key]
            loss = Loss(lane, min(before.first, first), max(before.last, last), before.count + count, why)
        else:
            key, loss = max(self._entries, default=0) + 1, Loss(lane, first, last, count, why)
        self._entries[key] = loss
        self._waiting.add(key)
        self._note(key)
        if lane == ALARMS and why not in NEVER_STORED:
            self._tell_again()

    def _tell_again(self) -> None:
        """Among the alarms that are gone may be the record of any loss. To hear of one twice does no harm."""
        told = self._entries.keys() - self._waiting
        self._waiting |= told
        self._note(*told)

    def _continued(self, lane: str, first: int, why: str) -> int | None:
        """The waiting loss that this one goes on, or joins because too many wait."""
        for key in sorted(self._waiting, reverse=True):
            loss = self._entries[key]
            if (loss.lane, loss.why) == (lane, why) and (loss.last + 1 == first or len(self._waiting) >= WAITING):
                return key
        return None

    @property
    def untold(self) -> bool:
        """Whether there is a loss that no record tells of yet."""
        return bool(self._waiting)

    def waiting(self) -> list[tuple[int, Loss]]:
        """The untold ones."""
        return [(key, self._entries[key]) for key in sorted(self._waiting)]

    def told(self, keys: list[int]) -> None:
        """These are on their way as records."""
        for key in keys:
            self._waiting.discard(key)
            self._join(key)
        for key in sorted(self._entries.keys() - self._waiting)[:-REMEMBERED]:
            del self._entries[key]
            self._unsaved.add(key)
        self._note(*keys)

    def _join(self, key: int) -> None:
        """Make a told loss one with the told one that it goes on, so that a long eviction is one entry."""
        loss = self._entries[key]
        for other in self._entries.keys() - self._waiting:
            before = self._entries[other]
            if (before.lane, before.why, before.last + 1) == (loss.lane, loss.why, loss.first):
                self._entries[key] = Loss(loss.lane, before.first, loss.last, before.count + loss.count, loss.why)
                del self._entries[other]
                self._unsaved.add(other)
                return

    def save(self) -> None:
        """Bring to the medium what it refused before. Raises OSError."""
        if self._unsaved:
            self._notes.remember({TABLE: {str(key): self._document(key) for key in self._unsaved}})
            self._unsaved.clear()

    def _note(self, *keys: int) -> None:
        self._unsaved.update(keys)
        with contextlib.suppress(OSError):  # room must be made even where nothing can be written: that is what makes it
            self.save()

    def _document(self, key: int) -> dict[str, Any] | None:
        loss = self._entries.get(key)
        if loss is None:
            return None
        return {
            "lane": loss.lane, "first": loss.first, "last": loss.last, "count": loss.count, "why": loss.why,
            "waiting": key in self._waiting,
        }  # fmt: skip
