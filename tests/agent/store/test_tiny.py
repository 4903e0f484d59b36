"""TinyDB's documented behaviour over a journal, operation by operation, beside TinyDB with its own storage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tinydb import JSONStorage, Query, TinyDB, where
from tinydb.middlewares import CachingMiddleware
from tinydb.operations import add, decrement, delete, increment, subtract
from tinydb.operations import set as set_field
from tinydb.table import Document

from agent.store import JournalDB, JournalStorage, JournalTable
from agent.store.journal import scanned
from agent.store.transaction import Patch

Make = Callable[[Path], TinyDB]

KINDS: dict[str, Make] = {
    "JournalDB": lambda path: JournalDB(path / "db.journal"),
    "TinyDB over JournalStorage": lambda path: TinyDB(path / "db.journal", storage=JournalStorage),
    "cached": lambda path: JournalDB(path / "db.journal", storage=CachingMiddleware(JournalStorage)),
    "stock": lambda path: TinyDB(path / "db.json", storage=JSONStorage),  # what the tests say of the others holds of it too
}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    return KINDS[request.param]


@pytest.fixture
def db(make: Make, tmp_path: Path) -> Iterator[TinyDB]:
    with make(tmp_path) as opened:
        opened.insert_multiple({"int": number, "char": char} for number, char in enumerate("abc", 1))
        yield opened


@pytest.fixture
def reopened(make: Make, tmp_path: Path, db: TinyDB) -> Callable[[], dict[str, dict[int, dict[str, Any]]]]:
    """What another opening of the same file finds: table -> id -> document."""

    def look() -> dict[str, dict[int, dict[str, Any]]]:
        db.close()
        with make(tmp_path) as again:
            return {name: {each.doc_id: dict(each) for each in again.table(name)} for name in sorted(again.tables())}

    return look


Look = Callable[[], dict[str, dict[int, dict[str, Any]]]]
ABC = {1: {"int": 1, "char": "a"}, 2: {"int": 2, "char": "b"}, 3: {"int": 3, "char": "c"}}


def test_insert(db: TinyDB, reopened: Look) -> None:
    assert db.insert({"int": 4}) == 4
    assert db.insert(Document({"int": 10}, doc_id=10)) == 10
    assert db.insert({"int": 11}) == 11, "the next id is behind the highest"
    with pytest.raises(ValueError, match="already exists"):
        db.insert(Document({}, doc_id=10))
    with pytest.raises(ValueError, match="Mapping"):
        db.insert([1])  # type: ignore[arg-type]
    assert reopened() == {"_default": {**ABC, 4: {"int": 4}, 10: {"int": 10}, 11: {"int": 11}}}


def test_insert_multiple(db: TinyDB, reopened: Look) -> None:
    assert db.insert_multiple([{"x": 1}, Document({"x": 2}, doc_id=7), {"x": 3}]) == [4, 7, 5]
    assert db.insert_multiple([]) == []
    with pytest.raises(ValueError, match="already exists"):
        db.insert_multiple([{"never": "stored"}, Document({}, doc_id=7)])
    assert reopened() == {"_default": {**ABC, 4: {"x": 1}, 7: {"x": 2}, 5: {"x": 3}}}


def test_update(db: TinyDB, reopened: Look) -> None:
    assert db.update({"seen": True}, where("int") > 1) == [2, 3]
    assert db.update({"char": "z"}, doc_ids=[1, 99]) == [1]
    assert db.update({"all": 1}) == [1, 2, 3]
    assert db.update({"none": 1}, where("int") == 77) == []
    assert reopened()["_default"][1] == {"int": 1, "char": "z", "all": 1}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (delete("int"), {"char": "a"}),
        (increment("int"), {"int": 2, "char": "a"}),
        (decrement("int"), {"int": 0, "char": "a"}),
        (add("int", 5), {"int": 6, "char": "a"}),
        (subtract("int", 5), {"int": -4, "char": "a"}),
        (set_field("char", "x"), {"int": 1, "char": "x"}),
    ],
    ids=["delete", "increment", "decrement", "add", "subtract", "set"],
)
def test_update_with_operations(
    db: TinyDB, reopened: Look, operation: Callable[[Mapping[str, Any]], None], expected: dict[str, Any]
) -> None:
    assert db.update(operation, where("char") == "a") == [1]
    assert reopened()["_default"] == {**ABC, 1: expected}


def test_update_that_fails_changes_nothing(db: TinyDB, reopened: Look) -> None:
    def half(document: dict[str, Any]) -> None:
        document["int"] += 1
        if document["char"] == "b":
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        db.update(half)
    assert {each.doc_id: dict(each) for each in db} == ABC or isinstance(db.storage, CachingMiddleware)
    if not isinstance(db.storage, CachingMiddleware):  # its cache is changed in place, as with any storage
        assert reopened()["_default"] == ABC


def test_update_multiple(db: TinyDB, reopened: Look) -> None:
    found = db.update_multiple([({"char": "x"}, where("int") == 1), (delete("char"), where("int") == 3)])
    assert found == [1, 3]
    assert reopened()["_default"] == {1: {"int": 1, "char": "x"}, 2: ABC[2], 3: {"int": 3}}


def test_upsert(db: TinyDB, reopened: Look) -> None:
    assert db.upsert({"int": 2, "new": True}, where("int") == 2) == [2]
    assert db.upsert({"int": 9}, where("int") == 9) == [4]
    assert db.upsert(Document({"int": 8}, doc_id=20)) == [20]
    assert db.upsert(Document({"more": 1}, doc_id=20)) == [20]
    with pytest.raises(ValueError, match="doc_id"):
        db.upsert({"int": 1})
    found = reopened()["_default"]
    assert found == {**ABC, 2: {"int": 2, "char": "b", "new": True}, 4: {"int": 9}, 20: {"int": 8, "more": 1}}


def test_remove(db: TinyDB, reopened: Look) -> None:
    assert db.remove(where("int") == 2) == [2]
    assert db.remove(doc_ids=[3, 99]) == [3]
    assert db.remove(where("int") == 2) == []
    with pytest.raises(RuntimeError, match="truncate"):
        db.remove()
    assert reopened() == {"_default": {1: ABC[1]}}


def test_truncate(db: TinyDB, reopened: Look) -> None:
    db.truncate()
    assert db.all() == []
    assert db.insert({"first": "again"}) == 1, "ids begin again, as TinyDB has it"
    assert reopened() == {"_default": {1: {"first": "again"}}}


def test_search_get_contains_count(db: TinyDB) -> None:
    assert [each.doc_id for each in db.search(where("int") >= 2)] == [2, 3]
    assert [each.doc_id for each in db.search(where("int") >= 2)] == [2, 3], "from the query cache"
    assert db.search(where("int") == 9) == []
    found = db.get(where("char") == "b")
    assert isinstance(found, Document)
    assert (found.doc_id, found) == (2, {"int": 2, "char": "b"})
    assert db.get(doc_id=3) == {"int": 3, "char": "c"}
    assert db.get(doc_id=9) is None
    assert db.get(doc_ids=[1, 3, 9]) == [ABC[1], ABC[3]]
    with pytest.raises(RuntimeError):
        db.get()
    assert db.contains(where("int") == 1)
    assert db.contains(doc_id=1)
    assert not db.contains(doc_id=9)
    assert db.count(where("int") < 3) == 2
    assert len(db) == 3
    assert [dict(each) for each in db] == db.all() == list(ABC.values())


def test_queries_over_nested_documents(db: TinyDB) -> None:
    db.insert({"cassettes": [{"id": "unitA", "notes": 12}, {"id": "unitB", "notes": 0}], "site": {"city": "Turin"}})
    site = Query()
    assert db.count(site.site.city == "Turin") == 1
    assert db.count(site.cassettes.any(Query().notes == 0)) == 1
    assert db.count(site.cassettes.all(Query().notes == 0)) == 0
    assert db.count(site.char.matches("[ab]")) == 2
    assert db.count((site.int == 1) | (site.int == 3)) == 2
    assert db.count(~(site.int.exists())) == 1
    assert db.count(site.int.test(lambda value: value % 2 == 1)) == 2
    assert db.count(Query().fragment({"int": 2, "char": "b"})) == 1
    assert db.count(site.int.one_of([1, 2, 7])) == 2
    assert db.count(site.noop()) == 4


def test_a_search_sees_every_change(db: TinyDB) -> None:
    query = where("int") == 1
    assert db.count(query) == 1
    db.insert({"int": 1})
    assert db.count(query) == 2
    db.update({"int": 5}, where("char") == "a")
    assert db.count(query) == 1
    db.remove(query)
    assert db.count(query) == 0


def test_tables(db: TinyDB, reopened: Look) -> None:
    db.table("alarms").insert({"rule": "black_box"})
    assert db.table("alarms") is db.table("alarms")
    db.table("empty", persist_empty=True)
    db.table("never used")
    assert db.tables() == {"_default", "alarms", "empty"}
    db.drop_table("_default")
    db.drop_table("no such table")
    assert db.tables() == {"alarms", "empty"}
    assert reopened() == {"alarms": {1: {"rule": "black_box"}}, "empty": {}}


def test_drop_tables(db: TinyDB, reopened: Look) -> None:
    db.drop_tables()
    assert db.tables() == set()
    assert reopened() == {}


def test_what_is_handed_out_is_the_callers_own(tmp_path: Path) -> None:
    with JournalDB(tmp_path / "db.journal") as db:
        mine = {"list": [1, {"deep": 1}]}
        db.insert(mine)
        mine["list"].append(2)
        for found in (db.all()[0], db.get(doc_id=1), db.search(where("list").exists())[0], db.get(doc_ids=[1])[0]):
            found["list"][1]["deep"] = 99  # type: ignore[index, call-overload]
            assert db.all() == [{"list": [1, {"deep": 1}]}]


@pytest.mark.parametrize(
    "make", [make for name, make in KINDS.items() if name != "cached"], ids=[name for name in KINDS if name != "cached"]
)
def test_what_json_cannot_say_is_refused_whole(db: TinyDB, reopened: Look) -> None:
    with pytest.raises(TypeError):
        db.insert({"set": {1, 2}})
    assert reopened()["_default"] == ABC


# What a journal adds ------------------------------------------------------------------------------------------------


def transactions(path: Path) -> list[Patch]:
    return [json.loads(payload) for payload in scanned(path.read_bytes()).payloads]


def test_a_change_costs_the_size_of_the_change(tmp_path: Path) -> None:
    path = tmp_path / "db.journal"
    with JournalDB(path) as db:
        db.insert_multiple({"number": number} for number in range(500))
        db.update({"seen": True}, doc_ids=[17])
        db.update(set_field("seen", True), where("number") == 20)
        db.upsert({"number": 20, "twice": 1}, where("number") == 20)
        db.remove(doc_ids=[3])
        db.insert_multiple([{"number": 500}, {"number": 501}])
        db.update({"number": 1}, doc_ids=[2])  # what it is already
        db.truncate()
        db.drop_table("_default")
    assert transactions(path)[1:] == [
        {"_default": {"17": {"number": 16, "seen": True}}},
        {"_default": {"21": {"number": 20, "seen": True}}},
        {"_default": {"21": {"number": 20, "seen": True, "twice": 1}}},
        {"_default": {"3": None}},
        {"_default": {"501": {"number": 500}, "502": {"number": 501}}},
        {"_default": [{}]},
        {"_default": None},
    ]


def test_a_storage_that_is_given_whole_databases_writes_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "db.journal"
    with TinyDB(path, storage=JournalStorage) as db:
        db.insert_multiple({"number": number} for number in range(3))
        db.update({"number": 9}, doc_ids=[2])
        db.remove(doc_ids=[1])
        db.table("other").insert({})
    assert transactions(path)[1:] == [
        {"_default": {"2": {"number": 9}}},
        {"_default": {"1": None}},
        {"other": [{"1": {}}]},
    ]


def test_the_past_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "db.journal"
    with JournalDB(path, room=1024) as db:
        for number in range(200):
            db.upsert({"name": "only", "number": number, "text": "x" * 100}, where("name") == "only")
        assert path.stat().st_size <= 7 * 1024
    assert len(transactions(path)) < 60
    with JournalDB(path) as db:
        assert [each["number"] for each in db] == [199]


def test_one_writer_and_any_number_of_readers(tmp_path: Path) -> None:
    path = tmp_path / "db.journal"
    with JournalDB(path) as writer, JournalDB(path) as second, JournalDB(path, access_mode="r") as reader:
        query = where("number") == 1
        assert reader.count(query) == 0
        writer.insert({"number": 1})
        assert reader.count(query) == 1, "a query cache does not hide what others wrote"
        assert second.all() == reader.all() == [{"number": 1}]
        with pytest.raises(BlockingIOError, match="open for writing"):
            second.insert({"number": 2})
        with pytest.raises(OSError, match="read-only"):
            reader.insert({"number": 2})
        writer.storage.compact()  # type: ignore[attr-defined]
        writer.insert({"number": 3})
        assert [each["number"] for each in reader] == [1, 3], "a rewritten file is followed"
        writer.close()
        second.insert({"number": 4})
        assert [each["number"] for each in second] == [1, 3, 4]
        assert [each["number"] for each in reader] == [1, 3, 4]


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    db = JournalDB(tmp_path / "db.journal")
    db.close()
    db.close()
    with pytest.raises(ValueError, match="closed"):
        db.all()
    with pytest.raises(ValueError, match="closed"):
        db.insert({})


def test_a_stock_file_is_not_taken_for_a_damaged_journal(tmp_path: Path) -> None:
    path = tmp_path / "db.json"
    with TinyDB(path) as stock:
        stock.insert({"a": 1})
    before = path.read_bytes()
    for mode in ("r+", "r"):
        with pytest.raises(ValueError, match="stock TinyDB file"):
            JournalDB(path, access_mode=mode)
    assert path.read_bytes() == before


def test_opening_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "db.journal"
    with JournalDB(path) as db:
        db.insert({"a": 1})
    before = path.read_bytes()
    for mode in ("r+", "r"):
        with JournalDB(path, access_mode=mode) as db:
            assert db.all() == [{"a": 1}]
    assert path.read_bytes() == before


def test_arguments_of_the_stock_storage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JournalDB(tmp_path / "deep" / "db.journal")
    with JournalDB(tmp_path / "deep" / "db.journal", create_dirs=True, sort_keys=True, indent=1) as db:
        db.insert({"b": 1, "a": {"z": 2, "y": "straße"}})
    with JournalDB(tmp_path / "deep" / "db.journal") as db:
        assert db.all() == [{"b": 1, "a": {"z": 2, "y": "straße"}}]
    with pytest.raises(FileNotFoundError):
        JournalDB(tmp_path / "nothing.journal", access_mode="r")
    with pytest.warns(UserWarning, match="access_mode"), JournalDB(tmp_path / "deep" / "db.journal", access_mode="w") as db:
        assert db.all() == []


def test_other_document_classes(tmp_path: Path) -> None:
    class Named(JournalTable):
        document_id_class = str

    with JournalDB(tmp_path / "db.journal") as db:
        db.table_class = Named
        table = db.table("named")
        table.insert(Document({"a": 1}, doc_id="x"))  # type: ignore[arg-type]
        table.upsert(Document({"b": 1}, doc_id="x"))  # type: ignore[arg-type]
        assert table.remove(where("c") == 1) == []
        assert [(each.doc_id, dict(each)) for each in table] == [("x", {"a": 1, "b": 1})]


def test_order_of_documents_survives(tmp_path: Path) -> None:
    path = tmp_path / "db.journal"
    with JournalDB(path) as db:
        for doc_id in (5, 1, 9, 3):
            db.insert(Document({"id": doc_id}, doc_id=doc_id))
        db.update({"seen": 1}, doc_ids=[1])
        db.storage.compact()  # type: ignore[attr-defined]
    with JournalDB(path) as db:
        assert [each.doc_id for each in db] == [5, 1, 9, 3]
