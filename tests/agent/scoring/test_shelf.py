"""The shelf: what is current, what came before, and that a crash or damage never leaves half of anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import msgspec
import pytest

from agent.errors import ModelRefused
from agent.scoring.shelf import INDEX, KEPT, Shelf, shelf_of
from agent.scoring.trust import sha256, signature_of

NAME = "test_risk"


def put(shelf: Shelf, tmp_path: Path, number: int, *, shadow: bool = False) -> bytes:
    data = f"model {number}".encode()
    path = tmp_path / "given.onnx"
    path.write_bytes(data)
    signature_of(path).write_bytes(b"s" * 64)
    shelf.install(NAME, f"1.{number}", path, data, shadow=shadow)
    return data


def test_the_newest_is_current_and_few_are_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    for number in range(KEPT + 3):
        data = put(shelf, tmp_path, number)
    row = shelf.row(NAME)
    assert row.current is not None
    assert row.current.sha256 == sha256(data)
    assert [copy.version for copy in row.previous] == ["1.4", "1.3", "1.2"]
    files = sorted(each.name for each in (tmp_path / "shelf" / NAME).iterdir())
    wanted = {copy.file for copy in row.copies()}
    assert files == sorted({INDEX, *wanted, *(name + ".sig" for name in wanted)})
    assert shelf.path(NAME, row.current).read_bytes() == data
    assert signature_of(shelf.path(NAME, row.current)).read_bytes() == b"s" * 64


def test_rolling_back_to_the_beginning(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    put(shelf, tmp_path, 1)
    put(shelf, tmp_path, 2)
    assert shelf.roll_back(NAME).current == Shelf(tmp_path / "shelf").row(NAME).current
    row = shelf.row(NAME)
    assert row.current is not None
    assert row.current.version == "1.1"
    assert shelf.roll_back(NAME).current is None
    with pytest.raises(ModelRefused, match="what came with the agent is in use"):
        shelf.roll_back(NAME)
    assert [each.name for each in (tmp_path / "shelf" / NAME).iterdir()] == [INDEX]


def test_a_shadow_comes_goes_and_becomes_current(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    put(shelf, tmp_path, 1)
    put(shelf, tmp_path, 2, shadow=True)
    row = shelf.row(NAME)
    assert row.current is not None
    assert row.shadow is not None
    assert (row.current.version, row.shadow.version) == ("1.1", "1.2")
    assert shelf.roll_back(NAME, shadow=True).shadow is None
    with pytest.raises(ModelRefused, match="no shadow"):
        shelf.roll_back(NAME, shadow=True)
    put(shelf, tmp_path, 2, shadow=True)
    put(shelf, tmp_path, 2)
    row = shelf.row(NAME)
    assert row.current is not None
    assert (row.current.version, row.shadow, [copy.version for copy in row.previous]) == ("1.2", None, ["1.1"])
    with pytest.raises(ModelRefused, match="is the current model already"):
        put(shelf, tmp_path, 2, shadow=True)


def test_installing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    put(shelf, tmp_path, 1)
    put(shelf, tmp_path, 2)
    before = shelf.row(NAME)
    put(shelf, tmp_path, 2)
    assert shelf.row(NAME) == before


def test_the_stamp_tells_every_change(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    stamps = [shelf.stamp(NAME)]
    put(shelf, tmp_path, 1)
    stamps.append(shelf.stamp(NAME))
    put(shelf, tmp_path, 2)
    stamps.append(shelf.stamp(NAME))
    assert stamps[0] == (0, 0)
    assert len(set(stamps)) == 3


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"current": 7}', b'{"current": {"file": "../x.onnx", "version": "1", "sha256": ""}}']
)
def test_a_damaged_index_is_refused_and_mended_by_the_next_installation(tmp_path: Path, text: bytes) -> None:
    shelf = Shelf(tmp_path / "shelf")
    put(shelf, tmp_path, 1)
    (tmp_path / "shelf" / NAME / INDEX).write_bytes(text)
    with pytest.raises(ModelRefused, match="install the model again"):
        shelf.row(NAME)
    put(shelf, tmp_path, 2)
    assert shelf.row(NAME).current is not None


def index_removed(folder: Path) -> None:
    (folder / INDEX).unlink()


def index_is_a_directory(folder: Path) -> None:
    index_removed(folder)
    (folder / INDEX).mkdir()


def folder_is_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


def folder_is_closed(folder: Path) -> None:
    folder.chmod(0)


@pytest.mark.parametrize("spoil", [index_removed, index_is_a_directory, folder_is_a_file, folder_is_closed])
def test_a_shelf_that_was_spoilt_is_said_and_never_ends_the_agent(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    shelf = Shelf(tmp_path / "shelf")
    put(shelf, tmp_path, 1)
    shelf.order(NAME, ["atm-1"], 1)
    spoil(tmp_path / "shelf" / NAME)
    with unprivileged() if spoil is folder_is_closed else nullcontext():
        assert shelf.stamp(NAME) is not None
        with pytest.raises(ModelRefused):
            shelf.row(NAME)
        if spoil in (folder_is_a_file, folder_is_closed):
            with pytest.raises(ModelRefused):
                shelf.orders(NAME)
    if spoil is folder_is_closed:
        (tmp_path / "shelf" / NAME).chmod(0o700)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's rights, which no file permission binds; the way to the test's own directory stays closed then too."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_a_crash_leaves_behind_is_harmless_and_goes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    put(shelf, tmp_path, 1)
    folder = tmp_path / "shelf" / NAME
    (folder / ".1.2-00000000.onnx.new").write_bytes(b"half")  # killed while the file was written
    (folder / "1.2-00000000.onnx").write_bytes(b"whole")  # killed before the index named it
    (folder / "notes.txt").write_text("the operator's own")
    row = shelf.row(NAME)
    assert row.current is not None
    assert row.current.version == "1.1"
    put(shelf, tmp_path, 3)
    names = {each.name for each in folder.iterdir()}
    assert not {".1.2-00000000.onnx.new", "1.2-00000000.onnx"} & names
    assert "notes.txt" in names


@pytest.mark.parametrize(
    ("name", "version"), [("../evil", "1"), ("a/b", "1"), ("", "1"), ("n" * 58, "1"), (NAME, "../1"), (NAME, "")]
)
def test_names_that_would_leave_the_shelf(tmp_path: Path, name: str, version: str) -> None:
    with pytest.raises(ModelRefused, match="make a name"):
        Shelf(tmp_path / "shelf").install(name, version, tmp_path / "x.onnx", b"x")
    assert not (tmp_path / "shelf").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelRefused, match="must be able to write there"):
        Shelf(tmp_path / "file").install(NAME, "1", tmp_path / "x.onnx", b"x")


def test_a_shelf_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    assert Shelf(tmp_path / "none").names() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelRefused, match="this user must be able to read there"):
        Shelf(tmp_path / "file").names()
    put(Shelf(tmp_path), tmp_path, 1)
    assert Shelf(tmp_path).names() == [NAME]


def test_the_shelf_of_an_agent_lies_beside_its_store() -> None:
    assert shelf_of(Path("/var/lib/atm-agent/store")) == Path("/var/lib/atm-agent/store-models")


def test_the_index_is_for_people_too(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    put(shelf, tmp_path, 1)
    text = (tmp_path / "shelf" / NAME / INDEX).read_text()
    assert text.count(os.linesep) > 3
    assert msgspec.json.decode(text)["current"]["version"] == "1.1"
