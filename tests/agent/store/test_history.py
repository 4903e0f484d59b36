"""Reading a store that somebody else writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.records import Loss, Receipt, Stamp
from agent.store import ALARMS, LANES, READINGS, SUMMARIES
from agent.store.history import Span, history, refused
from agent.store.lane_store import LaneStore
from agent.store.room import Bounds
from tests.agent.store.stores import STAMP, body, drain, number_of, open_store, reading

BOUNDS = Bounds(budget=256 * 1024, free_floor=0, keep_days=1000.0, keep_bytes=2**30)  # segments of 8 KiB


def at(seconds: float) -> Stamp:
    return Stamp(1000.0 + seconds, seconds, "boot", synced=True)


@pytest.fixture
def store(tmp_path: Path) -> LaneStore:
    """Alarms, summaries and readings, one of each a second, some delivered; still open."""
    opened = open_store(None, tmp_path / "store", BOUNDS)
    for number in range(50):
        for lane in LANES:
            opened.append(lane, [body(lane, number)], at(number))
    drain(opened, SUMMARIES)
    return opened


def test_oldest_first_lanes_merged(store: LaneStore, tmp_path: Path) -> None:
    found = list(history(tmp_path / "store"))
    assert len(found) == 150
    assert [each.at for each in found] == sorted(each.at for each in found)
    for lane in LANES:
        assert [number_of(each.body) for each in found if each.lane == lane] == list(range(50))
    store.close()


def test_a_span_of_time_a_machine_some_lanes(store: LaneStore, tmp_path: Path) -> None:
    path = tmp_path / "store"
    store.append(READINGS, [type(reading(0))("ATM-8", "environment.temperature_c", 1.0, 5.0)], at(60))
    store.append(ALARMS, [Loss(READINGS, 1, 1, 1, "evicted")], at(61))
    assert [number_of(each.body) for each in history(path, Span(1010.0, 1013.0), [ALARMS])] == [10, 11, 12]
    assert [each.body.machine for each in history(path, Span(machine="ATM-8"))] == ["ATM-8"]  # type: ignore[union-attr]
    assert {each.kind for each in history(path, Span(since=1060.0))} == {"reading", "loss"}
    assert list(history(path, Span(since=1061.0, machine="ATM-7"))) == [], "a Loss belongs to no machine"
    store.close()


def test_what_the_platform_refused(store: LaneStore, tmp_path: Path) -> None:
    assert [each.position for each in store.read("one", ALARMS, 3, 2**20)] == [1, 2, 3]
    store.settle("one", ALARMS, Receipt((1,), (2, 3), "schema"))
    found = list(refused(tmp_path / "store"))
    assert [(each.why, each.envelope.lane, number_of(each.envelope.body)) for each in found] == [
        ("schema", ALARMS, 1), ("schema", ALARMS, 2),
    ]  # fmt: skip
    assert list(refused(tmp_path / "store", Span(until=1002.0))) == found[:1]
    store.close()


def test_while_the_agent_goes_on(store: LaneStore, tmp_path: Path) -> None:
    """Segments that come, go and are replaced while they are read; a line that is being written."""
    for number in range(50, 400):
        store.append(READINGS, [reading(number)], at(number))
    reader = history(tmp_path / "store", lanes=[READINGS])
    first = [number_of(next(reader).body) for _ in range(5)]
    drain(store, READINGS)
    store.tidy(STAMP)
    while len(store._lanes[READINGS].segments) > 2:
        store._lanes[READINGS].remove_oldest()
    store.append(READINGS, [reading(400)], at(400))
    rest = [number_of(each.body) for each in reader]
    assert first == list(range(5))
    assert rest == sorted(rest)
    assert rest[-1] >= 399
    newest = max((tmp_path / "store" / READINGS).iterdir())
    with newest.open("r+b") as file:
        data = file.read().rstrip(b"\0")
        file.seek(len(data))
        file.write(b'12345678 4f {"_default":{"402"')
    assert number_of(list(history(tmp_path / "store", lanes=[READINGS]))[-1].body) == 400
    store.close()


def test_only_one_segment_is_in_memory(store: LaneStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50, 400):
        store.append(READINGS, [reading(number)], at(number))
    read: list[Path] = []
    real = open_store.__globals__["open_durable"].__globals__["OsFiles"].read

    def reading_of(self: object, path: Path, start: int = 0, count: int = -1) -> bytes:
        read.append(path)
        return real(self, path, start, count)

    monkeypatch.setattr("agent.store.files.OsFiles.read", reading_of)
    reader = history(tmp_path / "store", lanes=[READINGS])
    next(reader)
    assert len(read) <= 1 + 1
    assert len(list(reader)) == 399
    store.close()


def test_where_there_is_no_store(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        for ask in (history, refused):
            with pytest.raises(FileNotFoundError, match="there is no store"):
                ask(path)


def test_damage_is_passed_over(store: LaneStore, tmp_path: Path) -> None:
    store.close()
    path = min((tmp_path / "store" / READINGS).iterdir())
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    before = {each: each.read_bytes() for each in path.parent.iterdir()}
    assert len(list(history(tmp_path / "store", lanes=[READINGS]))) == 49
    assert {each: each.read_bytes() for each in path.parent.iterdir()} == before
