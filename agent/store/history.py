"""Reading a store without opening it: while its agent writes it, after that agent is gone, from a copy of its card.

Nothing here locks, repairs or changes anything. One segment a lane is in memory at a time. Segments that the agent begins
later are not seen, and those that it removes meanwhile are passed over.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.records import Envelope, Loss
from agent.store import DEAD, LANES
from agent.store.files import OsFiles
from agent.store.journal import Scanned, scanned
from agent.store.lane import SEGMENT_NAME
from agent.store.segment import Content

STATE = "state.journal"

_envelope = msgspec.json.Decoder(Envelope).decode


class Span(NamedTuple):
    """What is asked for: envelopes put into the store from `since` to before `until`, of one machine or of all.

    Times are seconds since the epoch, by the gateway's clock at the time. A Loss belongs to no machine.
    """

    since: float = float("-inf")
    until: float = float("inf")
    machine: str | None = None

    def holds(self, envelope: Envelope) -> bool:
        """Whether it is asked for."""
        if not self.since <= envelope.at < self.until:
            return False
        return self.machine is None or (not isinstance(envelope.body, Loss) and envelope.body.machine == self.machine)


EVERYTHING = Span()


class Refused(NamedTuple):
    """An envelope that the platform refused for good, and its words."""

    why: str
    envelope: Envelope


class _Why(msgspec.Struct):
    why: str = ""


class SegmentFile(NamedTuple):
    """One segment's file as it was when it was looked at; `following` is the first position of the next one, if there is one."""

    path: Path
    first: int
    following: int | None
    size: int
    journal: Scanned
    content: Content


def is_store(path: Path) -> bool:
    """Whether a directory is a store."""
    return any((path / lane).is_dir() for lane in LANES)


def segment_files(path: Path, lane: str) -> Iterator[SegmentFile]:
    """The segments of a lane of the store in a directory, oldest first. Raises OSError."""
    files, directory = OsFiles(), path / lane
    names = files.names(directory) if directory.is_dir() else []
    firsts = [int(found[1]) for name in names if (found := SEGMENT_NAME.fullmatch(name))]
    for first, following in zip(firsts, [*firsts[1:], None][: len(firsts)], strict=True):
        file = directory / f"{first:016d}.journal"
        if files.kind(file) not in ("file", "nothing"):  # the agent sets it aside when it starts
            continue
        with contextlib.suppress(FileNotFoundError):  # delivered and old: removed since we looked
            data = files.read(file)
            journal = scanned(data)
            yield SegmentFile(file, first, following, len(data), journal, Content.of(first, journal.payloads, following))


def history(path: Path, span: Span = EVERYTHING, lanes: Collection[str] = LANES) -> Iterator[Envelope]:
    """The envelopes in a store's directory, delivered or not: each lane in its order, the lanes merged by time.

    What cannot be read is passed over. Raises FileNotFoundError when there is no store, OSError as the medium does.
    """
    _require_store(path)
    streams = [_lane(path, lane, span) for lane in lanes if lane != DEAD]
    return heapq.merge(*streams, key=lambda envelope: envelope.at)


def refused(path: Path, span: Span = EVERYTHING) -> Iterator[Refused]:
    """What the platform refused for good, in the order in which it did. Raises as `history`."""
    _require_store(path)
    return _refused(path, span)


def _require_store(path: Path) -> None:
    if not is_store(path):
        raise FileNotFoundError(errno.ENOENT, "there is no store; name the directory of `store.path`", str(path))


def _lane(path: Path, lane: str, span: Span) -> Iterator[Envelope]:
    for segment in segment_files(path, lane):
        for record in segment.content.records:
            with contextlib.suppress(msgspec.DecodeError):
                envelope = _envelope(record)
                if span.holds(envelope):
                    yield envelope


def _refused(path: Path, span: Span) -> Iterator[Refused]:
    for segment in segment_files(path, DEAD):
        for record in segment.content.records:
            with contextlib.suppress(msgspec.DecodeError):
                envelope = _envelope(record)
                if span.holds(envelope):
                    yield Refused(msgspec.json.decode(record, type=_Why).why, envelope)
