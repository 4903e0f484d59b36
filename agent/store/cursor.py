"""How far one uplink has come in one lane."""

from __future__ import annotations

from collections.abc import Iterable


class Cursor:
    """Everything below `floor` is settled, and what `beyond` names: acknowledgements may overtake each other."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.beyond: set[int] = set()

    def settle(self, positions: Iterable[int]) -> None:
        """These were accepted, or refused for good."""
        self.beyond.update(position for position in positions if position >= self.floor)
        while self.floor in self.beyond:
            self.beyond.remove(self.floor)
            self.floor += 1

    def pass_gap(self, position: int) -> None:
        """Nothing is stored between the floor and `position`: what was settled there counts no more."""
        if position > self.floor:
            self.floor = position
            self.beyond = {settled for settled in self.beyond if settled >= position}
            self.settle(())
