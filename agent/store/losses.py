"""The ledger of what could not be kept. A loss waits here until it is on its way to the platform as a record."""

from __future__ import annotations

import contextlib
from typing import Any

from agent.records import Loss
from agent.store.notes import Notes

REMEMBERED = 200  # reported losses that stay in the ledger, so that the same damage is not told twice
TABLE = "losses"


class Losses:
    """Losses by lane, kept in the notes; what a failing medium refuses is kept in memory until `save`."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._unsaved: set[int] = set()
        self._entries: dict[int, tuple[Loss, bool]] = {
            int(key): (
                Loss(**{name: value for name, value in document.items() if name != "waiting"}),
                document["waiting"],
            )
            for key, document in notes.recall(TABLE).items()
        }

    def add(self, lane: str, first: int, last: int, count: int, why: str) -> None:
        """Note that `count` positions from first to last are gone. Runs that continue one another become one."""
        for loss, _ in self._entries.values():
            if loss.lane == lane and loss.first <= first and last <= loss.last:
                return
        key = max(self._entries, default=0)
        before, waiting = self._entries.get(key, (None, False))
        if before is not None and waiting and (before.lane, before.why, before.last + 1) == (lane, why, first):
            loss = Loss(lane, before.first, last, before.count + count, why)
        else:
            key, loss = key + 1, Loss(lane, first, last, count, why)
        self._put(key, loss, waiting=True)

    def waiting(self) -> list[tuple[int, Loss]]:
        """What no record tells of yet."""
        return [(key, loss) for key, (loss, waiting) in self._entries.items() if waiting]

    def reported(self, keys: list[int]) -> None:
        """These are on their way as records."""
        for key in keys:
            self._put(key, self._entries[key][0], waiting=False)
        for key in sorted(self._entries)[:-REMEMBERED]:
            if not self._entries[key][1]:
                del self._entries[key]
                self._unsaved.add(key)

    def save(self) -> None:
        """Bring to the medium what it refused before. Raises OSError."""
        if self._unsaved:
            self._notes.remember({TABLE: {str(key): self._document(key) for key in self._unsaved}})
            self._unsaved.clear()

    def _put(self, key: int, loss: Loss, *, waiting: bool) -> None:
        self._entries[key] = (loss, waiting)
        self._unsaved.add(key)
        with contextlib.suppress(OSError):  # room must be made even where nothing can be written: that is what makes it
            self.save()

    def _document(self, key: int) -> dict[str, Any] | None:
        if key not in self._entries:
            return None
        loss, waiting = self._entries[key]
        return {
            "lane": loss.lane, "first": loss.first, "last": loss.last, "count": loss.count, "why": loss.why,
            "waiting": waiting,
        }  # fmt: skip
