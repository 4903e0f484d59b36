"""Records and stores for the tests of the store."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from agent.records import Alarm, Body, Envelope, EventClass, Loss, Reading, Receipt, Severity, Stamp, Summary
from agent.store import LANES
from agent.store.files import Files
from agent.store.journal import Repair
from agent.store.lane_store import LaneStore
from agent.store.opening import open_durable
from agent.store.room import Bounds
from tests.agent.store.disk import ROOT

STAMP = Stamp(at=1_760_000_000.0, mono=1000.0, boot="0b1c2d3e-0000-4000-8000-000000000001", synced=True)
WIDE = Bounds(budget=64 * 2**20, free_floor=0, keep_days=1000.0, keep_bytes=64 * 2**20)
UPLINKS = ("one",)


def alarm(number: int, text: str = "") -> Alarm:
    return Alarm(
        "ATM-7", 1000.0 + number, "black_box", EventClass.SECURITY, Severity.FATAL, "auxiliaries.safeDoor", "open", (), text
    )


def summary(number: int) -> Summary:
    return Summary("ATM-7", number * 60.0, number * 60.0 + 60.0, 1.0, {})


def reading(number: int) -> Reading:
    return Reading("ATM-7", "environment.temperature_c", float(number), 1000.0 + number)


def body(lane: str, number: int, size: int = 0) -> Body:
    """A record of a lane that says a number; a bigger one where a size is given and the lane can."""
    if lane == "alarms":
        return alarm(number, "x" * size)
    return summary(number) if lane == "summaries" else reading(number)


def number_of(record: Body) -> int:
    """The number that `body` was given."""
    match record:
        case Alarm():
            return round(record.at - 1000.0)
        case Summary():
            return round(record.start / 60.0)
        case Reading():
            return round(record.at - 1000.0)
    raise AssertionError(record)


def open_store(
    files: Files | None = None,
    path: Path = ROOT / "store",
    bounds: Bounds = WIDE,
    uplinks: Sequence[str] = UPLINKS,
    epochs: Sequence[str] = ("first", "second", "third"),
) -> LaneStore:
    return opened(files, path, bounds, uplinks, epochs)[0]


def opened(
    files: Files | None = None,
    path: Path = ROOT / "store",
    bounds: Bounds = WIDE,
    uplinks: Sequence[str] = UPLINKS,
    epochs: Sequence[str] = ("first", "second", "third"),
) -> tuple[LaneStore, dict[str, Repair]]:
    names = iter(epochs)
    return open_durable(path, "gw-1", uplinks, bounds, lambda: next(names), files)


def drain(store: LaneStore, lane: str, uplink: str = "one", batch: int = 50) -> list[Envelope]:
    """Everything that waits in a lane; it is settled."""
    out: list[Envelope] = []
    while envelopes := store.read(uplink, lane, batch, 2**30):
        out += envelopes
        store.settle(uplink, lane, Receipt(tuple(each.position for each in envelopes)))
    return out


def drain_all(store: LaneStore, uplink: str = "one") -> dict[str, list[Envelope]]:
    """Everything that waits, the losses that are met on the way included."""
    out: dict[str, list[Envelope]] = {lane: [] for lane in LANES}
    for _ in range(3):  # a gap is met by reading, and told as one more alarm
        for lane in LANES:
            out[lane] += drain(store, lane, uplink)
        store.tidy(STAMP)
    return out


def losses(envelopes: Sequence[Envelope]) -> list[Loss]:
    return [each.body for each in envelopes if isinstance(each.body, Loss)]


def explained(found: dict[str, list[Envelope]], lane: str) -> set[int]:
    """The positions of a lane that came, or that a Loss names."""
    named = (range(loss.first, loss.last + 1) for loss in losses(found["alarms"]) if loss.lane == lane)
    return {each.position for each in found[lane]} | set(itertools.chain.from_iterable(named))
