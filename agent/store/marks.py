"""What the notes say of a lane's end: written beside the lane, so that a lane that lost its end cannot hide it."""

from __future__ import annotations

import msgspec

from agent.store.notes import Notes

TABLE = "lanes"
RESERVE = 256  # positions claimed at once …
RESERVE_BATCHES = 64  # … or so many batches: a claim is a write of its own


class Marks(msgspec.Struct, frozen=True):
    """Positions below `next` were given; those from `reserved` on were not. Equal after a clean end."""

    next: int = 1
    reserved: int = 1
    room: int = 1
    """While the claim is open the newest segment's length is a multiple of this."""

    @property
    def open(self) -> bool:
        """Whether positions may have been given that the notes do not know of."""
        return self.reserved > self.next

    def contradict(self, size: int) -> bool:
        """Whether a file of so many bytes lost its end: while a claim is open its length is a multiple of the room."""
        return self.open and size % self.room != 0

    def claimed(self, position: int, count: int, room: int) -> Marks:
        """With a claim for the next positions from `position` on, of which `count` are needed now."""
        return Marks(position, position + count + max(RESERVE, RESERVE_BATCHES * count), room)

    def reached(self, position: int) -> Marks:
        """With everything below `position` given."""
        return Marks(position, max(position, self.reserved), self.room)

    def closed(self, position: int) -> Marks:
        """With the claim given back."""
        return Marks(position, position, self.room)


def marks_of(notes: Notes, lane: str) -> Marks:
    """What the notes say of a lane; the marks of an empty one when they say nothing of use."""
    try:
        marks = msgspec.convert(notes.recall(TABLE).get(lane, {}), Marks)
    except msgspec.ValidationError:
        return Marks()
    return marks if 0 < marks.next <= marks.reserved and marks.room > 0 else Marks()
