"""What a segment of a lane holds: records by position, as transactions that TinyDB can read."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

TABLE = "_default"  # TinyDB's own default, so that an operator's JournalDB(segment).all() shows the records

_OPENING = b'{"%b":{' % TABLE.encode()
_NOTHING = msgspec.Raw(b"{}")
_tables = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_whole = msgspec.json.Decoder(tuple[msgspec.Raw]).decode
_documents = msgspec.json.Decoder(dict[int, msgspec.Raw]).decode


def payload_of(first: int, records: list[bytes]) -> bytes:
    """The transaction that stores encoded records at positions from `first` on."""
    return _OPENING + b",".join([b'"%d":%b' % (position, record) for position, record in enumerate(records, first)]) + b"}}"


class When(msgspec.Struct, frozen=True):
    """When a record was put into the store; of `agent.records.Stamp`, as far as a record tells it."""

    at: float
    mono: float
    boot: str
    synced: bool


@dataclass(slots=True)
class Segment:
    """One part of a lane: the first position that it may hold, its bytes, and when its last record came, once that is known."""

    first: int
    size: int
    newest: When | None = None


@dataclass(slots=True)
class Content:
    """The records of one segment, in memory, in the order of their positions."""

    first: int
    positions: list[int] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, first: int, payloads: Iterable[bytes], stop: int | None = None) -> Content:
        """The records that these transactions leave below `stop`, whoever wrote them: an operator may have removed some."""
        content = cls(first)
        for payload in payloads:
            with contextlib.suppress(msgspec.DecodeError):  # no records of ours: nothing to read in it
                content._apply(_tables(payload).get(TABLE, _NOTHING))
        if stop is not None:
            behind = bisect_left(content.positions, stop)
            del content.positions[behind:], content.records[behind:]
        return content

    def _apply(self, change: msgspec.Raw) -> None:
        kind = bytes(memoryview(change)[:1])
        if kind != b"{":  # the table was dropped, or written anew by a compaction
            self.positions.clear()
            self.records.clear()
            change = _whole(change)[0] if kind == b"[" else _NOTHING
        documents = _documents(change)
        positions, records = list(documents), list(map(bytes, documents.values()))
        if self._goes_on(positions) and b"null" not in records:
            self.positions += positions
            self.records += records
            return
        for position, record in zip(positions, records, strict=True):
            self._put(position, record)

    def _goes_on(self, positions: list[int]) -> bool:
        """Whether these are behind all that is here, in order: what the agent writes is."""
        return positions == sorted(positions) and self.positions[-1:] < positions[:1]

    def _put(self, position: int, record: bytes) -> None:
        """Set or remove one record, wherever it belongs."""
        at = bisect_left(self.positions, position)
        if at < len(self.positions) and self.positions[at] == position:
            if record == b"null":
                del self.positions[at], self.records[at]
            else:
                self.records[at] = record
        elif record != b"null":
            self.positions.insert(at, position)
            self.records.insert(at, record)

    def add(self, position: int, record: bytes) -> None:
        """Add a record behind all others."""
        self.positions.append(position)
        self.records.append(record)

    @property
    def end(self) -> int:
        """The first position behind the last record."""
        return self.positions[-1] + 1 if self.positions else self.first

    def gaps(self, end: int) -> Iterator[tuple[int, int]]:
        """First and last position of each run below `end` that is not there."""
        expected = self.first
        for position in [*self.positions, end]:
            if position > expected:
                yield expected, position - 1
            expected = max(expected, position + 1)

    def newest(self) -> When | None:
        """When the last record came; None when there is none, or it does not say."""
        for record in self.records[-1:]:
            with contextlib.suppress(msgspec.DecodeError):
                return msgspec.json.decode(record, type=When)
        return None
