"""`atm-agent store` as people and scripts run it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tinydb import TinyDB, where

from agent.cli import store as command
from agent.errors import AgentError
from agent.records import Receipt
from agent.store import ALARMS, LANES, READINGS, JournalDB
from agent.store.lane_store import LaneStore
from agent.store.room import Bounds
from tests.agent.store.stores import STAMP, body, drain, open_store

BOUNDS = Bounds(budget=256 * 1024, free_floor=0, keep_days=1000.0, keep_bytes=2**30)
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        command.add_parser(parser.add_subparsers(dest="command"))
        status = command.run(parser.parse_args(["store", *map(str, words)]))
        return status, capsys.readouterr().out

    return call


@pytest.fixture
def opened(tmp_path: Path) -> LaneStore:
    store = open_store(None, tmp_path / "store", BOUNDS)
    for number in range(40):
        for lane in LANES:
            store.append(lane, [body(lane, number)], STAMP)
    drain(store, READINGS)
    store.settle("one", ALARMS, Receipt((), (1, 2), "no"))
    store.tidy(STAMP)
    return store


@pytest.fixture
def path(opened: LaneStore, tmp_path: Path) -> Path:
    opened.close()
    return tmp_path / "store"


def found(out: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(out)
    return report


def test_stat(run: Run, path: Path) -> None:
    status, out = run("stat", path, "--json")
    report = found(out)
    assert status == 0
    assert (report["gateway"], report["epoch"], report["findings"]) == ("gw-1", "first", [])
    lanes = {lane["name"]: lane for lane in report["lanes"]}
    assert {name: lane["records"] for name, lane in lanes.items()} == {"alarms": 40, "summaries": 40, "readings": 40, "dead": 2}
    assert lanes["alarms"]["waiting"] == {"one": 38}
    assert lanes["readings"]["waiting"] == {"one": 0}
    assert lanes["summaries"]["oldest_at"] == STAMP.at
    assert report["flash_bytes"] > 0
    status, out = run("stat", path)
    assert status == 0
    assert "gw-1, epoch first" in out


def test_everything_that_only_reads_works_while_the_agent_runs(run: Run, opened: LaneStore, tmp_path: Path) -> None:
    path = tmp_path / "store"
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert run("verify", path) == (0, f"{path}: whole\n")
    assert run("stat", path)[0] == 0
    assert len(run("export", path, "--output", tmp_path / "all.jsonl")[1]) > 0
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    with pytest.raises(AgentError, match="an agent has it open; stop that agent first"):
        run("compact", path)
    opened.append(ALARMS, [body(ALARMS, 1)], STAMP)
    opened.close()


def test_verify_finds_damage_and_says_what_it_cost(run: Run, path: Path) -> None:
    segment = min((path / "summaries").iterdir())
    data = bytearray(segment.read_bytes())
    data[1000] ^= 1
    segment.write_bytes(data)
    status, out = run("verify", path)
    assert status == 1
    assert f"{segment}: " in out
    assert "bytes are damaged" in out
    assert f"{path / 'summaries'}: records are missing: 1 positions: " in out
    report = found(run("verify", path, "--json")[1])
    assert len(report["findings"]) == 2


@pytest.mark.parametrize("name", ["state.journal", "alarms", "summaries"])
def test_verify_misses_a_file(run: Run, path: Path, name: str) -> None:
    target = path / name
    if target.is_dir():
        target = max(target.iterdir())
    target.unlink()
    status, out = run("verify", path)
    assert status == 1
    assert str(path / name) in out
    assert "missing" in out


def test_verify_knows_a_cut_end(run: Run, path: Path) -> None:
    segment = max((path / "summaries").iterdir())
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-3]))
    status, out = run("verify", path)
    assert status == 1
    assert "3 positions: 38-40" in out


def test_what_was_repaired_is_whole_again(run: Run, path: Path) -> None:
    segment = max((path / "summaries").iterdir())
    data = bytearray(segment.read_bytes())
    data[1000] ^= 1
    segment.write_bytes(data)
    store = open_store(None, path, BOUNDS)
    store.tidy(STAMP)
    store.close()
    assert run("verify", path)[0] == 0
    report = found(run("stat", path, "--json")[1])
    assert [loss["why"] for loss in report["losses"]] == ["damaged"]
    assert len(report["set_aside"]) == 1


def test_a_torn_tail_is_no_damage(run: Run, path: Path) -> None:
    segment = max((path / "summaries").iterdir())
    with segment.open("ab") as file:
        file.write(b'12345678 4f {"_default":{"41"')
    status, out = run("verify", path)
    assert status == 0
    assert "was not finished" in out


def test_one_journal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "db.journal"
    with JournalDB(path) as db:
        db.insert_multiple({"n": number} for number in range(5))
        db.table("other").insert({"text": "a"})
    report = found(run("stat", path, "--json")[1])
    assert (report["transactions"], report["tables"]) == (2, {"_default": 5, "other": 1})
    assert run("stat", path)[0] == 0
    assert run("verify", path) == (0, f"{path}: whole\n")
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    assert run("verify", path)[0] == 1


def test_export_as_lines(run: Run, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert run("export", path, "--output", file) == (0, f"{file}: 122 documents\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["lane"] for line in lines] == [ALARMS] * 40 + ["summaries"] * 40 + [READINGS] * 40 + [ALARMS] * 2
    assert [line.get("why") for line in lines[-2:]] == ["no", "no"]
    assert [line["position"] for line in lines[:40]] == list(range(1, 41))
    run("export", path, "--lane", "summaries", "--lane", "dead", "--output", tmp_path / "two.jsonl")
    assert len((tmp_path / "two.jsonl").read_text().splitlines()) == 42
    with pytest.raises(AgentError, match="no such lane; there are alarms, summaries, readings, dead"):
        run("export", path, "--lane", "alarm")
    with pytest.raises(AgentError, match="exists already"):
        run("export", path, "--output", file)


def test_export_as_a_stock_file_and_back(run: Run, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    run("export", path, "--format", "tinydb", "--output", file)
    with TinyDB(file) as stock:
        assert stock.tables() == {*LANES, "dead"}
        alarm = stock.table(ALARMS).get(doc_id=7)
        assert (alarm["position"], alarm["body"]["kind"]) == (7, "alarm")  # type: ignore[index, call-overload]
    journal = tmp_path / "back.journal"
    assert run("import", journal, file) == (0, f"{journal}: 122 documents\n")
    with JournalDB(journal) as db, TinyDB(file) as stock:
        for name in stock.tables():
            assert list(db.table(name)) == list(stock.table(name))
    again = tmp_path / "again.json"
    run("export", journal, "--format", "tinydb", "--output", again)
    assert json.loads(again.read_text()) == json.loads(file.read_text())
    lines = tmp_path / "journal.jsonl"
    run("export", journal, "--output", lines)
    first = json.loads(lines.read_text().splitlines()[0])
    assert (first["table"], first["id"], first["document"]["gateway"]) == (ALARMS, "1", "gw-1")


def test_import_refuses(run: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "in.json", tmp_path / "out.journal"
    bad = (
        "", "no json", "\0\x01\x02", '{"t": {"1": {"a": 1}, ', "null", "[]", '{"t": 1}', '{"t": {"1": 5}}', '{"t": {"x": {}}}',
        "[" * 100_000,
    )  # fmt: skip
    for text in bad:
        source.write_text(text)
        with pytest.raises(AgentError, match=r"in\.json: no TinyDB file: .") as raised:
            run("import", target, source)
        assert "\n" not in str(raised.value)
        assert not target.exists()
    source.write_text('{"t": {"1": {}}}')
    run("import", target, source)
    with pytest.raises(AgentError, match="exists already; name a new file"):
        run("import", target, source)
    with pytest.raises(AgentError, match=r"nothing\.json: No such file"):
        run("import", tmp_path / "x.journal", tmp_path / "nothing.json")


def test_stat_fits_a_terminal(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(path.parent)
    out = run("stat", path.name)[1]
    words = out.replace("┃", " ").replace("│", " ").split()
    for word in ("lane", "records", "positions", "bytes", "segments", "oldest", "newest", "waiting", "summaries", "1-40"):
        assert word in words
    assert "2025-10-09 08:53:20" in out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_store_in_use_takes_nothing_else_in(run: Run, opened: LaneStore, tmp_path: Path) -> None:
    source = tmp_path / "in.json"
    source.write_text('{"t": {"1": {}}}')
    for target in (tmp_path / "store", tmp_path / "store" / "state.journal"):
        with pytest.raises(AgentError, match="exists already; name a new file"):
            run("import", target, source)
    target = tmp_path / "store" / ALARMS / "new.journal"
    with pytest.raises(AgentError, match="inside an agent's store; name a file elsewhere"):
        run("import", target, source)
    assert not target.exists()
    for segment in (tmp_path / "store").rglob("*.journal"):
        assert run("stat", segment)[0] == 0
        with pytest.raises(AgentError, match="a file of a store; name the store"):
            run("compact", segment)
    opened.close()


def test_compact(run: Run, path: Path, tmp_path: Path) -> None:
    before = run("export", path, "--output", tmp_path / "before.jsonl")
    status, out = run("compact", path)
    assert status == 0
    was, now = (int(word) for word in out.split() if word.isdecimal())
    assert now < was
    run("export", path, "--output", tmp_path / "after.jsonl")
    assert (tmp_path / "after.jsonl").read_bytes() == (tmp_path / "before.jsonl").read_bytes()
    assert before[0] == 0
    assert run("verify", path)[0] == 0
    store = open_store(None, path, BOUNDS)
    assert store.append(ALARMS, [body(ALARMS, 9)], STAMP) == 41
    assert not store.losses.count
    store.close()


def test_compacting_a_journal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "db.journal"
    with JournalDB(path) as db:
        for number in range(300):
            db.upsert({"id": 1, "n": number}, where("id") == 1)
    assert run("compact", path)[0] == 0
    report = found(run("stat", path, "--json")[1])
    assert (report["transactions"], report["tables"]) == (1, {"_default": 1})


@pytest.mark.parametrize("action", ["stat", "verify", "export", "compact"])
def test_a_place_without_a_store(run: Run, tmp_path: Path, action: str) -> None:
    for place in (tmp_path / "nothing", tmp_path):
        if action == "compact" and place == tmp_path:
            continue
        with pytest.raises(AgentError, match=str(place)) as raised:
            run(action, place)
        assert "\n" not in str(raised.value)


def test_a_stock_file_is_named_as_one(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "stock.json"
    with TinyDB(path) as stock:
        stock.insert({})
    for action in ("stat", "verify", "export", "compact"):
        with pytest.raises(AgentError, match="stock TinyDB file; `atm-agent store import`"):
            run(action, path)


def test_progress_is_for_people_who_look(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []

    class Bar:
        def __init__(self, **_: object) -> None: ...
        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...
        def add_task(self, what: str, total: int | None) -> int:
            return total or 0

        def advance(self, task: int, size: int) -> None:
            shown.append(size)

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("rich.progress.Progress", Bar)
    run("verify", path)
    assert len(shown) >= 5
