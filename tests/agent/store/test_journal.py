"""A journal whose medium refuses at every possible moment, and what is in the file then and after another try."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from agent.store.journal import ROOM, Journal, Repair, scanned
from agent.store.storage import JournalStorage
from agent.store.transaction import MAGIC, line
from tests.agent.store.disk import ROOT, Disk

PATH = ROOT / "x.journal"


def opened(disk: Disk) -> tuple[Journal, list[bytes], Repair]:
    journal = Journal(PATH, disk)
    payloads, repair = journal.open()
    return journal, payloads, repair


def fail_once(disk: Disk, step: str, number: int = 1, code: int = errno.EIO) -> None:
    """The next such step fails; the one after it does not."""

    def before(name: str) -> None:
        nonlocal number
        if name == step:
            number -= 1
            if number == 0:
                raise OSError(code, f"{step} refused")

    disk.before = before


def content(disk: Disk) -> bytes:
    return disk.files()[PATH].rstrip(b"\0")


def payloads_after_crash(disk: Disk) -> set[tuple[bytes, ...]]:
    return {tuple(scanned(image.files()[PATH]).payloads) for image in disk.after_crashes()}


def test_a_new_journal_has_its_name_when_it_is_whole() -> None:
    disk = Disk()
    Journal(PATH, disk).create()
    assert disk.files() == {PATH: MAGIC.ljust(ROOM, b"\0")}
    assert all(PATH in image.files() for image in disk.after_crashes())


def test_appends_are_written_into_room_that_is_there() -> None:
    disk = Disk()
    journal, payloads, repair = opened(disk)
    assert (payloads, repair) == ([], Repair())
    steps: list[str] = []
    disk.before = steps.append
    journal.append(b"a" * 100)
    assert steps == ["write", "sync"], "no metadata, one sync"
    journal.append(b"b" * ROOM)
    assert steps[2:] == ["reserve", "write", "sync"]
    assert journal.size == len(disk.files()[PATH]) == 2 * ROOM
    journal.close()
    assert disk.files()[PATH] == MAGIC + line(b"a" * 100) + line(b"b" * ROOM), "the room is given back"


@pytest.mark.parametrize("step", ["write", "sync"])
def test_what_could_not_be_written_is_wiped(step: str) -> None:
    disk = Disk()
    journal, _, _ = opened(disk)
    journal.append(b"first")
    fail_once(disk, step)
    with pytest.raises(OSError, match="refused"):
        journal.append(b"never")
    assert content(disk) == MAGIC + line(b"first")
    journal.append(b"second")
    assert content(disk) == MAGIC + line(b"first") + line(b"second")
    assert payloads_after_crash(disk) == {(b"first", b"second")}
    journal.close()


def test_what_could_not_even_be_wiped_is_wiped_before_the_next_line() -> None:
    disk = Disk()
    journal, _, _ = opened(disk)
    journal.append(b"first")

    def dead(name: str) -> None:
        if name == "sync" or (name == "write" and b"never" in content(disk)):
            raise OSError(errno.EIO, "refused")

    disk.before = dead
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            journal.append(b"never, and longer than what comes")
    assert b"never" in content(disk)
    disk.before = lambda _: None
    journal.append(b"second")
    assert content(disk) == MAGIC + line(b"first") + line(b"second"), "nothing of it is left behind the shorter line"
    journal.close()


def test_a_sync_that_failed_is_not_believed_the_second_time() -> None:
    """Linux marks pages clean after a failed writeback: only what is written again is written."""
    disk = Disk()
    journal, _, _ = opened(disk)
    fail_once(disk, "sync")
    with pytest.raises(OSError, match="refused"):
        journal.append(b"again")
    inode = disk.now[str(PATH)]
    assert inode is not None
    inode.pending.clear()  # the kernel has forgotten that they are dirty
    journal.append(b"again")
    assert payloads_after_crash(disk) == {(b"again",)}
    journal.close()


@pytest.mark.parametrize("step", ["unlink", "create", "write", "reserve", "sync", "rename"])
def test_a_replacement_that_fails_leaves_the_old_file(step: str) -> None:
    disk = Disk()
    journal, _, _ = opened(disk)
    journal.append(b"old")
    fail_once(disk, "sync")
    with pytest.raises(OSError, match="refused"):
        journal.replace([b"new"])  # leaves a file beside it
    fail_once(disk, step, code=errno.ENOSPC)
    with pytest.raises(OSError, match="refused"):
        journal.replace([b"new"])
    journal.append(b"more")
    assert payloads_after_crash(disk) == {(b"old", b"more")}
    journal.replace([b"new"])
    assert payloads_after_crash(disk) == {(b"new",)}
    journal.close()


def test_nothing_is_appended_before_the_new_name_is_on_the_medium() -> None:
    disk = Disk()
    journal, _, _ = opened(disk)
    journal.append(b"old")
    fail_once(disk, "sync directory")
    with pytest.raises(OSError, match="refused"):
        journal.replace([b"new"])
    assert payloads_after_crash(disk) == {(b"old",), (b"new",)}
    fail_once(disk, "sync directory")
    with pytest.raises(OSError, match="refused"):
        journal.append(b"more")
    journal.append(b"more")
    assert payloads_after_crash(disk) == {(b"new", b"more")}
    journal.close()


def disk_with(data: bytes) -> Disk:
    disk = Disk()
    Journal(PATH, disk).create()
    return disk.damaged(PATH, data)


def test_a_torn_tail_is_wiped() -> None:
    whole = MAGIC + line(b"good")
    disk = disk_with(whole + line(b"torn")[:-3] + bytes(99))
    journal, payloads, repair = opened(disk)
    assert payloads == [b"good"]
    assert repair == Repair(torn_bytes=len(line(b"torn")) - 3)
    assert content(disk) == whole
    journal.append(b"next")
    journal.close()
    assert content(disk) == whole + line(b"next")


def test_damage_is_set_aside_and_the_journal_rewritten() -> None:
    disk = disk_with(MAGIC + line(b"one") + b"???\n" + line(b"two") + b"!!!!\n")
    journal, payloads, repair = opened(disk)
    assert payloads == [b"one", b"two"]
    assert (repair.damaged_bytes, repair.damaged_spans, repair.tail_damaged) == (9, 2, True)
    assert repair.set_aside is not None
    assert disk.files()[repair.set_aside] == b"???\n\n!!!!\n"
    assert content(disk) == MAGIC + line(b"one") + line(b"two")
    journal.close()
    assert opened(disk.copy())[2] == Repair()


@pytest.mark.parametrize("tail", [b"???\n", b"????"])
def test_a_full_medium_keeps_the_damage_and_goes_on_behind_it(tail: bytes) -> None:
    disk = disk_with(MAGIC + line(b"one") + b"???\n" + line(b"two") + tail)

    def full(step: str) -> None:
        if step in ("create", "reserve"):
            raise OSError(errno.ENOSPC, "full")

    disk.before = full
    journal, payloads, repair = opened(disk)
    assert (payloads, repair.set_aside) == ([b"one", b"two"], None)
    disk.before = lambda _: None
    journal.append(b"three")
    journal.close()
    assert scanned(disk.files()[PATH]).payloads == [b"one", b"two", b"three"]
    journal, payloads, repair = opened(disk)
    assert payloads == [b"one", b"two", b"three"]
    assert repair.set_aside is not None
    journal.close()


def test_an_unfinished_replacement_is_forgotten() -> None:
    disk = disk_with(MAGIC + line(b"good"))
    beside = disk.open(PATH.with_name("x.journal.new"))
    beside.write(b"half", 0)
    beside.close()
    journal, payloads, _ = opened(disk)
    assert payloads == [b"good"]
    assert list(disk.files()) == [PATH]
    journal.close()


def test_one_writer() -> None:
    disk = Disk()
    journal, _, _ = opened(disk)
    with pytest.raises(BlockingIOError):
        Journal(PATH, disk).open()
    journal.replace([b"new"])
    with pytest.raises(BlockingIOError):
        Journal(PATH, disk).open()
    journal.close()
    journal.close()
    assert journal.closed
    opened(disk)[0].close()


def test_preparing_makes_the_length_tell() -> None:
    disk = disk_with(MAGIC + line(b"good"))
    journal, _, _ = opened(disk)
    assert journal.size % ROOM
    journal.prepare()
    assert journal.size == ROOM
    assert all(len(image.files()[PATH]) == ROOM for image in disk.after_crashes())
    journal.close()


# The storage over it ------------------------------------------------------------------------------------------------


def refusing(*steps: str) -> Callable[[str], None]:
    def before(name: str) -> None:
        if name in steps:
            raise OSError(errno.ENOSPC, "full")

    return before


def test_a_change_that_the_medium_refuses_did_not_happen() -> None:
    disk = Disk()
    storage = JournalStorage(PATH, files=disk)
    storage.write({"t": {"1": {"a": 1}}})
    disk.before = refusing("sync")
    with pytest.raises(OSError, match="full"):
        storage.write({"t": {"1": {"a": 2}}})
    assert storage.read() == {"t": {"1": {"a": 1}}}
    disk.before = refusing()
    storage.write({"t": {"1": {"a": 3}}})
    storage.close()
    again = JournalStorage(PATH, files=disk)
    assert again.read() == {"t": {"1": {"a": 3}}}
    again.close()


def test_a_compaction_that_the_medium_refuses_costs_nothing_but_its_space() -> None:
    disk = Disk()
    storage = JournalStorage(PATH, files=disk, room=256)
    disk.before = refusing("create")
    for number in range(200):
        storage.commit({"t": {"1": {"number": number, "text": "x" * 50}}})
    assert storage.size > 200 * 80
    disk.before = refusing()
    for number in range(200, 700):
        storage.commit({"t": {"1": {"number": number, "text": "x" * 50}}})
    assert storage.size < 700 * 80 // 2
    assert storage.read() == {"t": {"1": {"number": 699, "text": "x" * 50}}}
    storage.close()


def test_compaction_spreads_many_documents_over_lines() -> None:
    disk = Disk()
    storage = JournalStorage(PATH, files=disk)
    tables = {"many": {str(number): {"n": number} for number in range(1200)}, "word": "a", "none": {}}
    storage.write(tables)
    storage.compact()
    storage.close()
    assert len(scanned(disk.files()[PATH]).payloads) == 5
    again = JournalStorage(PATH, files=disk)
    assert again.read() == tables
    again.close()
