"""The operating system's files: locks, reserved room, directories, and a medium that cannot read everything."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from agent.store.files import PAGE, OsFiles

FILES = OsFiles()


def test_write_reserve_cut(tmp_path: Path) -> None:
    path = tmp_path / "x"
    file = FILES.open(path)
    assert file.length == 0
    file.write(b"hello", 0)
    file.reserve(10_000)
    assert (file.length, path.stat().st_size) == (10_000, 10_000)
    assert path.stat().st_blocks * 512 >= 10_000, "the space is claimed, not only named"
    file.write(b"world", 5)
    file.sync()
    assert file.length == 10_000
    assert FILES.read(path, 3, 4) == b"lowo"
    assert FILES.read(path) == b"helloworld" + bytes(9_990)
    file.cut(10)
    assert FILES.read(path) == b"helloworld"
    assert (file.length, FILES.size(path)) == (10, 10)
    file.write(b"!", 12)
    assert (file.length, FILES.read(path)) == (13, b"helloworld\0\0!")
    file.close()
    assert os.stat(path).st_mode & 0o777 == 0o640 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_one_writer_in_this_process(tmp_path: Path) -> None:
    file = FILES.open(tmp_path / "x")
    with pytest.raises(BlockingIOError, match="open for writing"):
        FILES.open(tmp_path / "x")
    file.close()
    FILES.open(tmp_path / "x").close()


def _try_to_open(path: Path, told: object) -> None:
    try:
        FILES.open(path).close()
        told.put("opened")  # type: ignore[attr-defined]
    except BlockingIOError:
        told.put("blocked")  # type: ignore[attr-defined]


def test_one_writer_among_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    file = FILES.open(tmp_path / "x")
    for expected in ("blocked", "opened"):
        child = context.Process(target=_try_to_open, args=(tmp_path / "x", told))
        child.start()
        assert told.get() == expected
        child.join()
        if expected == "blocked":
            file.close()
    told.close()


def test_a_file_that_is_replaced_while_it_is_opened_is_opened_anew(tmp_path: Path) -> None:
    """Whoever waits at the door must not get the lock of a file that has no name any more."""
    path, beside = tmp_path / "x", tmp_path / "x.new"
    old = FILES.open(path)
    done = threading.Event()
    got: list[int] = []

    def opener() -> None:
        while not done.is_set():
            try:
                file = FILES.open(path)
            except BlockingIOError:
                continue
            got.append(os.path.samestat(path.stat(), os.fstat(file._descriptor)))  # type: ignore[attr-defined]
            file.close()

    thread = threading.Thread(target=opener)
    thread.start()
    try:
        for _ in range(200):
            new = FILES.open(beside)
            FILES.replace(beside, path)
            old.close()
            old = new
        old.close()
        while not got:
            pass
    finally:
        done.set()
        thread.join()
    assert all(got)


def test_a_forgotten_file_is_told_and_lets_the_next_one_in(tmp_path: Path) -> None:
    file = FILES.open(tmp_path / "x")
    with pytest.warns(ResourceWarning, match="unclosed"):
        del file
    FILES.open(tmp_path / "x").close()


def test_directories(tmp_path: Path) -> None:
    FILES.make_directory(tmp_path / "a" / "b")
    FILES.make_directory(tmp_path / "a" / "b")
    for name in ("2", "1"):
        FILES.open(tmp_path / "a" / "b" / name).close()
    assert FILES.names(tmp_path / "a" / "b") == ["1", "2"]
    FILES.replace(tmp_path / "a" / "b" / "1", tmp_path / "a" / "b" / "2")
    FILES.remove(tmp_path / "a" / "b" / "nothing")
    FILES.sync_directory(tmp_path / "a" / "b")
    assert FILES.names(tmp_path / "a" / "b") == ["2"]
    assert FILES.free(tmp_path) > 0


def test_what_the_medium_cannot_read_comes_as_nul(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * PAGE + b"b" * PAGE + b"c" * 100)
    real = os.pread

    def bad_sector(descriptor: int, size: int, at: int) -> bytes:
        if at == PAGE:
            raise OSError(errno.EIO, "bad sector")
        return real(descriptor, size, at)

    def read(self: object, size: int = -1) -> bytes:
        raise OSError(errno.EIO, "bad sector")

    monkeypatch.setattr(os, "pread", bad_sector)
    monkeypatch.setattr("agent.store.files.io.FileIO", type("BadFile", (__import__("io").FileIO,), {"read": read}))
    assert FILES.read(path) == b"a" * PAGE + bytes(PAGE) + b"c" * 100
    assert FILES.read(path, 10, 20) == b"a" * 20


def test_a_file_system_that_cannot_claim_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(code: int) -> None:
        def fallocate(descriptor: int, at: int, size: int) -> None:
            os.ftruncate(descriptor, at + size // 2)  # part of it was there
            raise OSError(code, "refused")

        monkeypatch.setattr(os, "posix_fallocate", fallocate)

    file = FILES.open(tmp_path / "x")
    refuse(errno.EOPNOTSUPP)
    file.reserve(1000)
    assert (tmp_path / "x").stat().st_size == 1000
    refuse(errno.ENOSPC)
    with pytest.raises(OSError, match="refused"):
        file.reserve(5000)
    assert (file.length, (tmp_path / "x").stat().st_size) == (1000, 1000)
    file.close()
