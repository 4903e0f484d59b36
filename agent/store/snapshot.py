"""A store as it is at one moment, in a directory of its own, while its agent goes on; and the start of a new life from it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from agent.store import DEAD, LANES
from agent.store.files import OsFiles
from agent.store.journal import Repair
from agent.store.notes import DurableNotes
from agent.store.opening import STATE

LEFT_BEHIND = 6 * 3600.0  # s after which nobody reads a snapshot any more
# A segment that is full changes no more, so another name for it is a copy; these still grow and are copied.


def snapshot(path: Path, target: Path) -> None:
    """Put the store's files into `target`, which must not exist. Called while nothing writes them. Raises OSError.

    The notes come from before the records: a cursor that is behind costs duplicates, one that is ahead would cost records.
    """
    target.mkdir(mode=0o700)
    shutil.copyfile(path / STATE, target / STATE)
    for lane in (*LANES, DEAD):
        (target / lane).mkdir(mode=0o700)
        segments = sorted((path / lane).glob("*.journal"))
        for segment in segments[:-1]:
            _link(segment, target / lane / segment.name)
        for segment in segments[-1:]:
            shutil.copyfile(segment, target / lane / segment.name)


def place(path: Path) -> Path:
    """Where a snapshot of a store goes: beside it, on the same file system. One that was left behind is removed."""
    for old in path.parent.glob(f"{path.name}-snapshot-*"):
        if time.time() - old.stat().st_mtime > LEFT_BEHIND:
            shutil.rmtree(old, ignore_errors=True)
    return path.with_name(f"{path.name}-snapshot-{time.time_ns():x}")


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Nobody writes a store meanwhile. Raises BlockingIOError when an agent has it open."""
    notes = DurableNotes(path / STATE, OsFiles())
    try:
        yield
    finally:
        notes.close()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def begin_new_life(path: Path) -> Repair:
    """Let what is made from now on carry a new epoch, while what the store holds keeps its identity. Raises OSError,
    BlockingIOError when an agent has it open.

    The next agent that opens it finds records, and nothing that vouches for where their epoch ended.
    """
    notes = DurableNotes(path / STATE, OsFiles())
    try:
        notes.remember({"store": {"identity": None}})
        return notes.repair
    finally:
        notes.close()
