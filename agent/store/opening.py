"""Opening a store: on disk, whatever its state, or in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

import msgspec

from agent.errors import ConfigError
from agent.store import DEAD, LANES
from agent.store.cursor import Cursors
from agent.store.files import Files, OsFiles
from agent.store.flash import FlashLedger, MeteredFiles
from agent.store.journal import DAMAGED, ROOM, Repair
from agent.store.lane import SEGMENT_NAME, DiskLane, Lane
from agent.store.lane_store import LaneStore
from agent.store.losses import Losses
from agent.store.marks import Marks, marks_of
from agent.store.memory import MemoryLane
from agent.store.notes import IDENTITY, DurableNotes, MemoryNotes, Notes
from agent.store.room import Bounds

SEGMENT_BYTES = 1024 * 1024  # beginning one takes two syncs: seldom beside the appends that it takes, whatever their size
SEGMENTS_A_BUDGET = 32  # room is made by whole segments: a small budget wants small ones
STATE = "state.journal"
LAST = 10**15  # no lane comes so far: a segment that says so is none
DAMAGED_END = "damagedEnd"  # an upper bound: positions are claimed in advance


class _Identity(msgspec.Struct):
    gateway: str
    epoch: str


def open_durable(
    path: Path,
    gateway: str,
    uplinks: Sequence[str],
    bounds: Bounds,
    new_epoch: Callable[[], str],
    files: Files | None = None,
) -> tuple[LaneStore, dict[str, Repair]]:
    """Open or make the store in a directory, and tell what had to be repaired, by file.

    Raises BlockingIOError when another process has it open, ConfigError when it belongs to another gateway, OSError as the
    file system does.
    """
    files = MeteredFiles(files or OsFiles())
    files.make_directory(path)
    strangers = _set_strangers_aside(path, files)
    segment_bytes = min(SEGMENT_BYTES, bounds.budget // SEGMENTS_A_BUDGET)
    room = min(ROOM, segment_bytes)
    notes = DurableNotes(path / STATE, files, room)
    lanes: dict[str, DiskLane] = {}
    try:
        cursors = Cursors(uplinks, LANES, notes)
        losses = Losses(notes, cursors.delivered)
        repairs = {STATE: notes.repair}
        for name in (*LANES, DEAD):
            lane = DiskLane(path / name, files, segment_bytes, room, _teller(losses, name))
            given = max(marks_of(notes, name).next, cursors.highest(name))
            repairs[name] = _open_lane(name, lane, marks_of(notes, name), given, losses)
            lanes[name] = lane
        epoch = _epoch(path, gateway, notes, lanes, losses, new_epoch)
        flash = FlashLedger(files, notes)
        store = LaneStore(gateway, epoch, lanes, cursors, notes, losses, bounds, lambda: files.free(path), flash)
    except BaseException:
        for lane in lanes.values():
            lane.let_go()  # as a crash would: a clean end is for who has saved how far it came
        notes.let_go()
        raise
    return store, {name: repair for name, repair in repairs.items() if repair != Repair()} | strangers


def _set_strangers_aside(path: Path, files: Files) -> dict[str, Repair]:
    """Rename what stands where a file or a lane of ours should be and is none, so that nobody opens it.

    It counts as gone: a Loss names what is missed. Raises PermissionError for a file that this user may not read and write.
    """
    places = []
    for lane in (*LANES, DEAD):
        if files.kind(path / lane) == "directory":
            found = ((name, SEGMENT_NAME.match(name)) for name in files.names(path / lane) if DAMAGED not in name)
            ours = [(f"{lane}/{name}", int(matched[1])) for name, matched in found if matched]
            places += [place for place, first in ours if first > LAST or not _is_file(path / place, files)]
        elif files.kind(path / lane) != "nothing":
            places.append(lane)
    if files.kind(path / STATE) != "nothing" and not _is_file(path / STATE, files):
        places.append(STATE)
    return {place: _set_aside(path / place, files) for place in places}


def _is_file(path: Path, files: Files) -> bool:
    if files.kind(path) != "file":
        return False
    files.require(path)
    return True


def _set_aside(path: Path, files: Files) -> Repair:
    names = set(files.names(path.parent))
    aside = next(name for number in count(1) if (name := f"{path.name}{DAMAGED}stranger{number}") not in names)
    files.replace(path, path.with_name(aside))
    return Repair(damaged_spans=1, set_aside=path.with_name(aside), tail_damaged=True)


def _teller(losses: Losses, lane: str) -> Callable[[int, int], None]:
    return lambda first, last: losses.add(lane, first, last, "damaged")


def _open_lane(name: str, lane: DiskLane, marks: Marks, given: int, losses: Losses) -> Repair:
    """Open a lane and find where its positions go on. By what was saved, those below `given` were given."""
    claimed = max(marks.reserved, given, losses.behind(name))
    repair = lane.open(at_least=claimed)
    if lane.is_new:
        losses.add(name, 1, claimed - 1, DAMAGED_END)
        return repair
    unexplained = any(losses.unexplained(name, lane.next, given - 1))
    lane.lost_end = lane.lost_end or unexplained or marks.contradict(lane.found_size)
    if lane.lost_end:
        following = max(claimed, lane.next + 1)
        losses.add(name, lane.next, following - 1, DAMAGED_END)
        lane.skip_to(following)
    else:
        lane.skip_to(losses.behind(name))
    return repair


def _epoch(
    path: Path,
    gateway: str,
    notes: DurableNotes,
    lanes: Mapping[str, DiskLane],
    losses: Losses,
    new_epoch: Callable[[], str],
) -> str:
    known = _saved_identity(notes)
    identity = known or _identity_of_records(lanes) or _Identity(gateway, "")
    if identity.gateway != gateway:
        raise ConfigError(
            [
                (
                    f"{path}: this store belongs to the gateway {identity.gateway!r}, not to {gateway!r}; "
                    "name that gateway, or another directory for this one"
                )
            ]
        )
    if known is None or not _is_sound(notes):  # nothing vouches for the lanes' ends, and no position may be used twice
        identity = _Identity(gateway, new_epoch())
        for name in LANES:
            losses.never_given(name, lanes[name].next - 1)
    if identity != known:
        notes.remember({IDENTITY: {"identity": msgspec.to_builtins(identity)}})
    return identity.epoch


def _is_sound(notes: DurableNotes) -> bool:
    """Whether the notes are all that was noted: undamaged, and not cut behind the claims of a store that was not closed."""
    marks = [marks_of(notes, lane) for lane in LANES]
    return not notes.repair.damaged_bytes and not any(mark.contradict(notes.found_size) for mark in marks)


def _saved_identity(notes: Notes) -> _Identity | None:
    try:
        return msgspec.convert(notes.recall(IDENTITY).get("identity"), _Identity)
    except msgspec.ValidationError:
        return None


def _identity_of_records(lanes: Mapping[str, Lane]) -> _Identity | None:
    """Who wrote what the lanes hold: the state was lost, the records were not."""
    for name in LANES:
        for index in reversed(range(len(lanes[name].segments))):
            for record in reversed(lanes[name].content(index).records):
                try:
                    return msgspec.json.decode(record, type=_Identity)
                except msgspec.DecodeError:
                    continue
    return None


def open_memory(gateway: str, uplinks: Sequence[str], bounds: Bounds, epoch: str) -> LaneStore:
    """A store that ends with the process. Its positions belong to an epoch of their own."""
    notes = MemoryNotes()
    cursors = Cursors(uplinks, LANES, notes)
    lanes = {name: MemoryLane(max(1, bounds.budget // SEGMENTS_A_BUDGET)) for name in (*LANES, DEAD)}
    losses = Losses(notes, cursors.delivered)
    return LaneStore(gateway, epoch, lanes, cursors, notes, losses, bounds, lambda: bounds.free_floor + 2**62)
