"""What a store holds and whether it is whole, found without opening it: `atm-agent store stat` and `verify`.

Nothing here locks, repairs or changes anything; an agent may write the store meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agent.records import Envelope, Loss
from agent.store import DEAD, LANES
from agent.store.cursor import TABLE as CURSORS
from agent.store.files import OsFiles
from agent.store.history import STATE, SegmentFile, is_store, segment_files
from agent.store.journal import DAMAGED, require_any_line, scanned
from agent.store.losses import TABLE as LOSSES
from agent.store.losses import unnamed
from agent.store.marks import TABLE as MARKS
from agent.store.marks import Marks
from agent.store.transaction import Tables, fold

Progress = Callable[[Path, int], None]
"""Called with each file that was read and its bytes."""


@dataclass
class Finding:
    """Something that is wrong, where, and what it cost."""

    path: str
    what: str
    cost: str = ""


@dataclass
class LaneReport:
    """One lane."""

    name: str
    segments: int = 0
    bytes: int = 0
    records: int = 0
    first: int = 0
    """The oldest position that is there; 0 when there is none."""
    last: int = 0
    oldest_at: float | None = None
    newest_at: float | None = None
    waiting: dict[str, int] = field(default_factory=dict)
    """Records that an uplink has not settled, by uplink, as far as the saved cursors tell."""


@dataclass
class StoreReport:
    """A whole store."""

    path: str
    gateway: str = ""
    epoch: str = ""
    bytes: int = 0
    lanes: list[LaneReport] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)
    """Documents in each table of the notes."""
    losses: list[Loss] = field(default_factory=list)
    """What the ledger remembers to have lost."""
    untold: int = 0
    """Losses that no record tells the platform of yet."""
    flash_bytes: int = 0
    set_aside: dict[str, int] = field(default_factory=dict)
    """Damage that was set aside as a file, and its bytes."""
    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """What is in order, and worth knowing."""


@dataclass
class JournalReport:
    """One journal file."""

    path: str
    bytes: int = 0
    transactions: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def inspect_journal(path: Path) -> JournalReport:
    """Read one journal file. Raises ValueError when it is none, OSError."""
    data = path.read_bytes()
    require_any_line(path, data)
    found = scanned(data)
    report = JournalReport(str(path), len(data), len(found.payloads))
    report.findings += _damage(path, data)
    report.notices += _torn(path, data)
    report.tables = {name: len(content) if isinstance(content, dict) else 1 for name, content in _tables(data).items()}
    return report


def inspect_store(path: Path, progress: Progress = lambda _path, _size: None) -> StoreReport:
    """Read a whole store. Raises FileNotFoundError when there is none, OSError as the medium does."""
    if not is_store(path):
        raise FileNotFoundError(errno.ENOENT, "there is no store; name its directory, or a journal file", str(path))
    report = StoreReport(str(path))
    lanes = [(name, _inspect_lane(path, name, report, progress)) for name in (*LANES, DEAD)]
    _note_set_aside(path, report)
    state = _read_state(path, report, progress)  # after the lanes: what was removed since is in its ledger
    for (name, gaps), lane in zip(lanes, report.lanes, strict=True):
        if name != DEAD:
            _judge_lane(path, lane, gaps, state, report)
    report.bytes += sum(report.set_aside.values())
    return report


def _inspect_lane(path: Path, name: str, report: StoreReport, progress: Progress) -> list[tuple[int, int]]:
    """Note a lane; returns first and last position of each run that is not there."""
    lane, gaps, expected = LaneReport(name), [], 0
    report.lanes.append(lane)
    for segment in segment_files(path, name):
        progress(segment.path, segment.size)
        lane.segments += 1
        lane.bytes += segment.size
        if expected and segment.first > expected:
            gaps.append((expected, segment.first - 1))
        expected = segment.content.end
        gaps += segment.content.gaps(expected)
        _note_records(lane, segment, report)
        if segment.size == 0:
            report.findings.append(Finding(str(segment.path), "empty"))
        data = segment.path.read_bytes() if segment.journal.damages or segment.journal.torn else b""
        report.findings += _damage(segment.path, data)
        if segment.journal.torn and segment.following is not None:
            report.findings.append(Finding(str(segment.path), "cut short, though it is not the newest"))
        elif segment.journal.torn:
            report.notices += _torn(segment.path, data)
    lane.last = expected - 1 if lane.records else 0
    report.bytes += lane.bytes
    return gaps


def _note_records(lane: LaneReport, segment: SegmentFile, report: StoreReport) -> None:
    positions = segment.content.positions
    lane.records += len(positions)
    lane.first = lane.first or (positions[0] if positions else 0)
    unreadable = []
    for position, record in zip(positions, segment.content.records, strict=True):
        try:
            at = msgspec.json.decode(record, type=Envelope).at
        except msgspec.DecodeError:
            unreadable.append(position)
            continue
        lane.oldest_at = at if lane.oldest_at is None else lane.oldest_at
        lane.newest_at = at
    if unreadable:
        report.findings.append(Finding(str(segment.path), f"{len(unreadable)} documents are no envelopes", _runs(unreadable)))


def _read_state(path: Path, report: StoreReport, progress: Progress) -> Tables:
    file = path / STATE
    if OsFiles().kind(file) not in ("file", "nothing"):
        report.findings.append(Finding(str(file), "no file of the store", "cursors, losses and open windows"))
        return {}
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        report.findings.append(Finding(str(file), "missing", "cursors, losses and open windows; the agent begins a new epoch"))
        return {}
    progress(file, len(data))
    report.bytes += len(data)
    report.findings += _damage(file, data)
    report.notices += _torn(file, data)
    state = _tables(data)
    identity = _named(state, "store").get("identity", {})
    report.gateway, report.epoch = str(identity.get("gateway", "")), str(identity.get("epoch", ""))
    report.tables = {name: len(content) if isinstance(content, dict) else 1 for name, content in state.items()}
    for document in _named_documents(state, LOSSES):
        with contextlib.suppress(msgspec.ValidationError):
            report.losses.append(msgspec.convert(document, Loss))
            report.untold += bool(document.get("waiting"))
    total = _named(state, "flash").get("total", {}).get("bytes", 0)
    report.flash_bytes = total if isinstance(total, int) else 0
    return state


def _judge_lane(path: Path, lane: LaneReport, gaps: list[tuple[int, int]], state: Tables, report: StoreReport) -> None:
    floors = {
        name.rpartition("/")[0]: document.get("floor", 1)
        for name, document in _named(state, CURSORS).items()
        if name.endswith(f"/{lane.name}")
    }
    following = lane.last + 1 if lane.records else 0
    for uplink, floor in floors.items():
        lane.waiting[uplink] = max(0, following - max(floor, lane.first)) if lane.records else 0
    with contextlib.suppress(msgspec.ValidationError):
        marks = msgspec.convert(_named(state, MARKS).get(lane.name, {}), Marks)
        if marks.next > max(following, 1):
            gaps = [*gaps, (max(following, 1), marks.next - 1)]
    delivered = max(floors.values(), default=1)
    missing = [run for first, last in gaps for run in unnamed(report.losses, lane.name, max(first, delivered), last)]
    if missing:
        count = sum(last - first + 1 for first, last in missing)
        runs = ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in missing)
        report.findings.append(Finding(str(path / lane.name), "records are missing", f"{count} positions: {runs}"))


def _note_set_aside(path: Path, report: StoreReport) -> None:
    for file in sorted(path.rglob(f"*{DAMAGED}*")):
        with contextlib.suppress(FileNotFoundError):
            report.set_aside[str(file)] = file.stat().st_size


def _damage(path: Path, data: bytes) -> list[Finding]:
    return [
        Finding(str(path), f"{span.end - span.start} bytes are damaged at {span.start}", "the transactions that stood there")
        for span in scanned(data).damages
    ]


def _torn(path: Path, data: bytes) -> list[str]:
    torn = scanned(data).torn
    return [f"{path}: a write of {torn.end - torn.start} bytes was not finished; nobody was told that it was"] if torn else []


def _tables(data: bytes) -> Tables:
    tables: Tables = {}
    for payload in scanned(data).payloads:
        with contextlib.suppress(ValueError):
            fold(tables, msgspec.json.decode(payload))
    return tables


def _named(state: Tables, table: str) -> dict[str, dict[str, Any]]:
    return {str(document["key"]): document for document in _named_documents(state, table)}


def _named_documents(state: Tables, table: str) -> list[dict[str, Any]]:
    content = state.get(table)
    documents = content.values() if isinstance(content, dict) else ()
    return [document for document in documents if isinstance(document, dict) and "key" in document]


def _runs(positions: list[int]) -> str:
    return "positions " + ", ".join(map(str, positions[:20])) + (" …" if len(positions) > 20 else "")
