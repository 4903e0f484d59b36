"""A lane in memory: the same contract as `Lane`, for tests, and for a gateway whose disk has failed."""

from __future__ import annotations

from agent.store.segment import Content, Segment, When

OVERHEAD = 100  # bytes that a record costs in memory beside its own


class MemoryLane:
    """Positions in order, in segments that are lists."""

    def __init__(self, segment_bytes: int) -> None:
        self._segment_bytes = segment_bytes
        self._contents = [Content(1)]
        self.segments = [Segment(1, 0)]
        self.size = 0
        self.next = 1

    @property
    def first(self) -> int:
        return self.segments[0].first

    def prepare(self) -> int:
        return 1

    def append(self, records: list[bytes]) -> int:
        size = sum(len(record) + OVERHEAD for record in records)
        if self._contents[-1].positions and self.segments[-1].size + size > self._segment_bytes:
            self.rotate()
        first = self.next
        for position, record in enumerate(records, first):
            self._contents[-1].add(position, record)
        self.next = first + len(records)
        self.segments[-1].size += size
        self.size += size
        return first

    def skip(self, count: int) -> int:
        first = self.next
        self.next += count
        return first

    def rotate(self) -> None:
        self._contents.append(Content(self.next))
        self.segments.append(Segment(self.next, 0))

    def remove_oldest(self) -> None:
        if len(self.segments) == 1:
            self.rotate()
        self.size -= self.segments.pop(0).size
        del self._contents[0]

    def remove_set_aside(self) -> bool:
        return False

    def content(self, index: int) -> Content:
        return self._contents[index]

    def newest(self, index: int) -> When | None:
        return self._contents[index].newest()

    def require_in_place(self) -> None: ...

    def let_go(self) -> None: ...

    def close(self) -> None: ...
