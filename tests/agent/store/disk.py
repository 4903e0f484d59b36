"""A disk in memory that keeps apart what was written and what is on the medium, and can show every state a crash may leave.

What a crash keeps of what was not synced: of a directory, the first so many name changes (a journalling file system) or any
choice of them; of a file, any choice of its writes, the last of which may be torn at any byte, and its length or not.
"""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.store.files import Kind, OpenFile

ROOT = Path("/disk")


@dataclass
class Inode:
    number: int
    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    pending: list[tuple[str, int, bytes]] = field(default_factory=list)  # ("write" or "grow", at, data) or ("length", n, b"")
    locked: bool = False

    def apply(self, kind: str, at: int, data: bytes) -> None:
        if kind == "write" and at + len(data) > len(self.content):
            kind = "grow"
        change(self.content, kind, at, data)
        self.pending.append((kind, at, data))

    def sync(self) -> None:
        self.synced = bytes(self.content)
        self.pending.clear()


def change(content: bytearray, kind: str, at: int, data: bytes) -> None:
    if kind == "length":
        content[at:] = bytes(max(0, at - len(content)))
        return
    if kind == "write":  # within the file: it does not make it longer, whatever became of what did
        data = data[: max(0, len(content) - at)]
    elif at > len(content):
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


Names = dict[str, Inode | None]  # None is a directory; a directory's name comes before the names in it


def directory_of(path: str) -> str:
    return path.rpartition("/")[0]


class Disk:
    """A `Files` layer. `before` is called with the name of each step that changes the disk, and may raise OSError."""

    def __init__(self, names: Names | None = None) -> None:
        self.now: Names = names if names is not None else {str(ROOT): None}
        self.durable: Names = dict(self.now)
        self.changes: dict[str, list[tuple[str, Inode | None, bool]]] = {}  # directory -> name, what, whether it is there
        self.before: Callable[[str], None] = lambda _: None
        self.available = 2**40
        self._numbers = itertools.count(1 + max((inode.number for inode in self.now.values() if inode), default=0))

    # Files --------------------------------------------------------------------------------------------------------------

    def open(self, path: Path) -> OpenFile:
        name = str(path)
        inode = self.now.get(name)
        if inode is None:
            if directory_of(name) not in self.now:
                raise FileNotFoundError(errno.ENOENT, "no such directory", name)
            self.before("create")
            inode = Inode(next(self._numbers))
            self._name(name, inode)
        if inode.locked:
            raise BlockingIOError(errno.EAGAIN, "locked", name)
        inode.locked = True
        return _File(self, inode)

    def read(self, path: Path, start: int = 0, count: int = -1) -> bytes:
        content = bytes(self._inode(path).content)
        return content[start:] if count < 0 else content[start : start + count]

    def size(self, path: Path) -> int:
        return len(self._inode(path).content)

    def identity(self, path: Path) -> int:
        return self._inode(path).number

    def kind(self, path: Path) -> Kind:
        if str(path) in self.now:
            return "file" if self.now[str(path)] is not None else "directory"
        return "nothing"

    def require(self, path: Path) -> None: ...

    def names(self, directory: Path) -> list[str]:
        parts = [name.rpartition("/") for name in self.now]
        return sorted(last for parent, _, last in parts if parent == str(directory))

    def make_directory(self, path: Path) -> None:
        for place in reversed([path, *path.parents]):
            if str(place) not in self.now and place.is_relative_to(ROOT):
                self.before("mkdir")
                self._name(str(place), None)
                self.sync_directory(place.parent)

    def replace(self, source: Path, target: Path) -> None:
        inode = self._inode(source)
        self.before("rename")
        del self.now[str(source)]
        self.now[str(target)] = inode
        pending = self.changes.setdefault(str(target.parent), [])
        pending.append((str(target), inode, True))
        pending.append((str(source), inode, False))

    def remove(self, path: Path) -> None:
        if str(path) not in self.now:
            return
        self.before("unlink")
        inode = self.now.pop(str(path))
        self.changes.setdefault(str(path.parent), []).append((str(path), inode, False))

    def sync_directory(self, path: Path) -> None:
        self.before("sync directory")
        self._keep(self.durable, self.changes.pop(str(path), []))

    def free(self, path: Path) -> int:
        return self.available

    # What tests do with it ----------------------------------------------------------------------------------------------

    def _inode(self, path: Path) -> Inode:
        inode = self.now.get(str(path))
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return inode

    def _name(self, name: str, inode: Inode | None) -> None:
        self.now[name] = inode
        self.changes.setdefault(directory_of(name), []).append((name, inode, True))

    @staticmethod
    def _keep(names: Names, changes: list[tuple[str, Inode | None, bool]]) -> None:
        for name, inode, there in changes:
            if there:
                names[name] = inode
            elif names.get(name) is inode:
                del names[name]

    def files(self) -> dict[Path, bytes]:
        """Every file as a program sees it now."""
        return {Path(name): bytes(inode.content) for name, inode in self.now.items() if inode is not None}

    def damaged(self, path: Path, content: bytes | None) -> Disk:
        """This disk, as it is now and all of it on the medium, with one file changed or (None) gone."""
        names: Names = {}
        for number, (name, inode) in enumerate(self.now.items()):
            data = content if name == str(path) else inode and bytes(inode.content)
            if name != str(path) or data is not None:
                names[name] = None if data is None else Inode(number, bytearray(data), bytes(data))
        return Disk(names)

    def copy(self) -> Disk:
        """This disk, as it is now and all of it on the medium."""
        return self.damaged(Path("/nothing"), None)

    def after_crash(self, chance: random.Random) -> Disk:
        """One of the disks that a crash may leave now."""
        kept = dict(self.durable)
        for pending in self.changes.values():
            if chance.random() < 0.5:
                self._keep(kept, pending[: chance.randint(0, len(pending))])
            else:
                self._keep(kept, [step for step in pending if chance.random() < 0.5])
        return self._after(kept, lambda inode: some_of(inode, chance))

    def after_crashes(self) -> Iterator[Disk]:
        """The extremes: nothing kept that was not synced, everything, the names alone, the data alone, the last write torn."""
        everything = dict(self.durable)
        for pending in self.changes.values():
            self._keep(everything, pending)
        for names in (self.durable, everything):
            for keep in (nothing, all_of, torn_early, torn_late):
                yield self._after(names, keep)

    @staticmethod
    def _after(names: Names, keep: Callable[[Inode], bytes]) -> Disk:
        kept: Names = {}
        for number, (name, inode) in enumerate(names.items()):
            if name == str(ROOT) or directory_of(name) in kept:
                kept[name] = None if inode is None else Inode(number, bytearray(data := keep(inode)), data)
        return Disk(kept)


def nothing(inode: Inode) -> bytes:
    return inode.synced


def all_of(inode: Inode) -> bytes:
    return bytes(inode.content)


def torn_early(inode: Inode) -> bytes:
    return _torn(inode, lambda size: min(1, size))


def torn_late(inode: Inode) -> bytes:
    return _torn(inode, lambda size: max(0, size - 1))


def _torn(inode: Inode, at: Callable[[int], int]) -> bytes:
    content = bytearray(inode.synced)
    writes = [step for step in inode.pending if step[0] != "length"]
    for step in inode.pending:
        kind, start, data = step
        change(content, kind, start, data[: at(len(data))] if writes and step is writes[-1] else data)
    return bytes(content)


def some_of(inode: Inode, chance: random.Random) -> bytes:
    content = bytearray(inode.synced)
    for kind, at, data in inode.pending:
        if chance.random() < 0.3:
            continue
        change(content, kind, at, data[: chance.randint(0, len(data))] if chance.random() < 0.5 else data)
    return bytes(content)


class _File:
    def __init__(self, disk: Disk, inode: Inode) -> None:
        self._disk, self._inode = disk, inode

    @property
    def length(self) -> int:
        return len(self._inode.content)

    def write(self, data: bytes, at: int) -> None:
        self._disk.before("write")
        self._inode.apply("write", at, data)

    def sync(self) -> None:
        self._disk.before("sync")
        self._inode.sync()

    def reserve(self, length: int) -> None:
        self._disk.before("reserve")
        self._inode.apply("length", length, b"")

    def cut(self, length: int) -> None:
        self._disk.before("cut")
        self._inode.apply("length", length, b"")

    def close(self) -> None:
        self._inode.locked = False
