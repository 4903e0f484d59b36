"""How far one uplink has come in one lane."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from agent.store.notes import Notes

TABLE = "cursors"
NOBODY = sys.maxsize  # where a lane is delivered to that no uplink reads
WINDOW = 10_000  # positions that may be read ahead of the oldest that is not settled; bounds what a cursor remembers


class Cursor:
    """Everything below `floor` is settled, and what `beyond` names: acknowledgements may overtake each other."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.beyond: set[int] = set()

    def settle(self, positions: Sequence[int]) -> None:
        """These were accepted, or refused for good. What was not yet to be read is not believed."""
        floor, stop = self.floor, self.floor + WINDOW
        if not self.beyond and list(positions) == list(range(floor, floor + len(positions))):  # a whole batch, as it should be
            self.floor = min(floor + len(positions), stop)
            return
        self.beyond.update(position for position in positions if floor <= position < stop)
        while self.floor in self.beyond:
            self.beyond.remove(self.floor)
            self.floor += 1

    def pass_gap(self, position: int) -> None:
        """Nothing is stored between the floor and `position`: what was settled there counts no more."""
        if position > self.floor:
            self.floor = position
            self.beyond = {settled for settled in self.beyond if settled >= position}
            self.settle(())


class Cursors:
    """Every uplink's cursor in every lane. They are saved lazily: losing one costs duplicates, never data."""

    def __init__(self, uplinks: Sequence[str], lanes: Sequence[str], notes: Notes) -> None:
        saved = notes.recall(TABLE)
        self._cursors = {(uplink, lane): Cursor(_floor(saved.get(f"{uplink}/{lane}"))) for uplink in uplinks for lane in lanes}
        self._saved = {key: cursor.floor for key, cursor in self._cursors.items()}

    def begin(self, lane: str, first: int, following: int) -> None:
        """The lane is open and holds positions from `first` on; `following` is given next. A new uplink begins with `first`."""
        for (uplink, name), cursor in self._cursors.items():
            if name == lane:
                cursor.floor = min(cursor.floor or first, following)
                self._saved[uplink, name] = min(self._saved[uplink, name], following)

    def go_on_from(self, before: Cursors, lane: str, following: int) -> None:
        """Come as far as `before` had come in a lane, which gives `following` next."""
        for (uplink, name), cursor in self._cursors.items():
            known = before._cursors.get((uplink, name))
            if name == lane and known is not None:
                cursor.pass_gap(min(known.floor, following))
                cursor.settle([position for position in sorted(known.beyond) if position < following])

    def lowest(self, lane: str) -> int:
        """Every uplink has settled everything below this position, as far as is known now."""
        return min((cursor.floor for (_, name), cursor in self._cursors.items() if name == lane), default=NOBODY)

    def of(self, uplink: str, lane: str) -> Cursor:
        return self._cursors[uplink, lane]

    def delivered(self, lane: str) -> int:
        """Every uplink has settled everything below this position, and no crash can make it forget that."""
        return min((floor for (_, name), floor in self._saved.items() if name == lane), default=NOBODY)

    def highest(self, lane: str) -> int:
        """Some uplink has settled everything below this position."""
        return max((cursor.floor for (_, name), cursor in self._cursors.items() if name == lane), default=0)

    def moved(self) -> dict[str, dict[str, Any]]:
        """What is not saved yet, as documents of the table `cursors`."""
        return {
            "/".join(key): {"floor": cursor.floor} for key, cursor in self._cursors.items() if cursor.floor != self._saved[key]
        }

    def saved(self) -> None:
        """What `moved` gave is on the medium."""
        self._saved = {key: cursor.floor for key, cursor in self._cursors.items()}


def _floor(document: dict[str, Any] | None) -> int:
    """0 when nothing of use was saved."""
    floor = (document or {}).get("floor")
    return floor if isinstance(floor, int) and floor > 0 else 0
