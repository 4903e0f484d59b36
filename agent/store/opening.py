"""Opening a store: on disk, whatever its state, or in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from agent.errors import ConfigError
from agent.store import DEAD, LANES
from agent.store.files import Files, OsFiles
from agent.store.journal import Repair
from agent.store.lane import DiskLane, Lane
from agent.store.lane_store import Bounds, LaneStore
from agent.store.losses import Losses
from agent.store.memory import MemoryLane
from agent.store.notes import DurableNotes, MemoryNotes, Notes

SEGMENT_BYTES = 256 * 1024
SEGMENTS_A_BUDGET = 32  # room is made by whole segments: a small budget wants small ones
STATE = "state.journal"


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
    files = files or OsFiles()
    files.make_directory(path)
    notes = DurableNotes(path / STATE, files)
    opened: list[DiskLane] = []
    try:
        repairs = {STATE: notes.repair}
        losses = Losses(notes)
        opened.extend(_open_lane(path, name, files, bounds, notes, losses, repairs) for name in (*LANES, DEAD))
        lanes = dict(zip((*LANES, DEAD), opened, strict=True))
        epoch = _epoch(path, gateway, notes, lanes, new_epoch)
    except BaseException:
        for lane in opened:
            lane.close()
        notes.close()
        raise
    store = LaneStore(gateway, epoch, uplinks, lanes, notes, losses, bounds, lambda: files.free(path))
    return store, {name: repair for name, repair in repairs.items() if repair != Repair()}


def _open_lane(
    path: Path, name: str, files: Files, bounds: Bounds, notes: Notes, losses: Losses, repairs: dict[str, Repair]
) -> DiskLane:
    def lost(first: int, last: int, repair: Repair) -> None:
        why = "damagedEnd" if repair.tail_damaged else "damaged"  # at a damaged end the count is an upper bound
        losses.add(name, first, last, last - first + 1, why)

    lane = DiskLane(path / name, files, min(SEGMENT_BYTES, bounds.budget // SEGMENTS_A_BUDGET), lost)
    settled = [document["floor"] for key, document in notes.recall("cursors").items() if key.endswith(f"/{name}")]
    reserved = notes.recall("lanes").get(name, {}).get("reserved", 1)
    repairs[name] = lane.open(at_least=max(settled, default=1), after_damage=reserved)
    return lane


def _epoch(path: Path, gateway: str, notes: Notes, lanes: Mapping[str, Lane], new_epoch: Callable[[], str]) -> str:
    known = notes.recall("store").get("identity")
    identity = _Identity(**known) if known else _identity_of_records(lanes)
    if identity is None:
        identity = _Identity(gateway, new_epoch())
    if identity.gateway != gateway:
        raise ConfigError(
            [
                (
                    f"{path}: this store belongs to the gateway {identity.gateway!r}, not to {gateway!r}; "
                    "name that gateway, or another directory for this one"
                )
            ]
        )
    if not known:
        notes.remember({"store": {"identity": {"gateway": identity.gateway, "epoch": identity.epoch}}})
    return identity.epoch


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
    lanes = {name: MemoryLane(max(1, bounds.budget // SEGMENTS_A_BUDGET)) for name in (*LANES, DEAD)}
    return LaneStore(gateway, epoch, uplinks, lanes, notes, Losses(notes), bounds, lambda: bounds.free_floor + 2**62)
