"""The few things that the store asks of a file system. Tests put a layer here that forgets or tears what was not synced."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["file", "directory", "stranger", "nothing"]
"""A stranger is what nobody should open: a symbolic link that leads to no directory, a pipe, a device, a file without end."""

PAGE = 4096  # bytes; the unit in which a medium is read around its bad places
LONGEST = 64 * 2**20  # bytes; no file of ours comes near, and a longer one must not be read into memory


class OpenFile(Protocol):
    """A file open for writing. Nobody else has it open for writing until it is closed."""

    @property
    def length(self) -> int:
        """Bytes of the file, room that was reserved included."""

    def write(self, data: bytes, at: int) -> None:
        """Write all of `data`, the first byte at offset `at`. After an OSError some of it may stand there."""

    def sync(self) -> None:
        """Return when everything written is on the medium (fdatasync)."""

    def reserve(self, length: int) -> None:
        """Make the file `length` bytes long, the new ones NUL and their space claimed; after an OSError it is as before."""

    def cut(self, length: int) -> None:
        """Forget everything behind `length`."""

    def close(self) -> None: ...


class Files(Protocol):
    """A file system, as far as the store needs one. Every method raises OSError as the operating system does."""

    def open(self, path: Path) -> OpenFile:
        """Open for writing; made when missing, readable by its owner and group alone.

        Raises BlockingIOError when somebody else, in this process or another, has the file open for writing.
        """

    def read(self, path: Path, start: int = 0, count: int = -1) -> bytes:
        """Bytes of the file from `start`, all by default. What the medium cannot read comes as NUL bytes."""

    def size(self, path: Path) -> int: ...

    def identity(self, path: Path) -> int:
        """A number that another file put in the place of this one does not have."""

    def kind(self, path: Path) -> Kind:
        """What stands at a path."""

    def require(self, path: Path) -> None:
        """Raises PermissionError when this process may not read and write a file that is there."""

    def names(self, directory: Path) -> list[str]:
        """What is in a directory, sorted."""

    def make_directory(self, path: Path) -> None:
        """Make a directory and those above it, where missing; on the medium when this returns."""

    def replace(self, source: Path, target: Path) -> None: ...

    def remove(self, path: Path) -> None:
        """Remove a file; nothing happens when there is none."""

    def sync_directory(self, path: Path) -> None:
        """Return when the directory's names are on the medium."""

    def free(self, path: Path) -> int:
        """Bytes that an ordinary user may still write on the file system that holds `path`."""


class _OsFile:
    def __init__(self, file: io.FileIO) -> None:
        self._file = file  # closes, with a warning, where its owner forgot to
        self._descriptor = file.fileno()
        self.length = os.fstat(self._descriptor).st_size

    def write(self, data: bytes, at: int) -> None:
        done = os.pwrite(self._descriptor, data, at)
        while done < len(data):  # a nearly full disk takes a part first and says ENOSPC on the next call
            self.length = max(self.length, at + done)
            done += os.pwrite(self._descriptor, data[done:], at + done)
        if at + done > self.length:
            self.length = at + done

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def reserve(self, length: int) -> None:
        try:
            os.posix_fallocate(self._descriptor, self.length, length - self.length)
        except OSError as error:
            os.ftruncate(self._descriptor, self.length)  # it may have got a part of it
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            os.ftruncate(self._descriptor, length)  # a file system that cannot claim space: the NUL bytes must do
        self.length = length

    def cut(self, length: int) -> None:
        os.ftruncate(self._descriptor, length)
        self.length = length

    def close(self) -> None:
        self._file.close()


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _read_around(file: io.FileIO, start: int, count: int) -> bytes:
    """Page by page; a page that the medium cannot read as NUL bytes."""
    end = os.fstat(file.fileno()).st_size
    end = end if count < 0 else min(end, start + count)
    out = bytearray()
    for at in range(start, end, PAGE):
        size = min(PAGE, end - at)
        try:
            out += os.pread(file.fileno(), size, at).ljust(size, b"\0")
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            out += bytes(size)
    return bytes(out)


class OsFiles:
    """The operating system's own. The lock on an open file is advisory (flock) and ends with its process."""

    def open(self, path: Path) -> OpenFile:
        while True:
            file = io.FileIO(str(path), "r+", opener=_opener)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_at(file, path):
                    return _OsFile(file)
            except BlockingIOError as error:
                file.close()
                raise BlockingIOError(error.errno, "somebody else has it open for writing", str(path)) from None
            except BaseException:
                file.close()
                raise
            file.close()  # its writer replaced it between our opening it and its closing it

    @staticmethod
    def _is_at(file: io.FileIO, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), path.stat())
        except FileNotFoundError:
            return False

    def read(self, path: Path, start: int = 0, count: int = -1) -> bytes:
        with io.FileIO(str(path)) as file:
            try:
                if start:
                    file.seek(start)
                return file.read(count) or b""
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return _read_around(file, start, count)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def identity(self, path: Path) -> int:
        status = path.stat()
        return status.st_dev << 64 | status.st_ino

    def kind(self, path: Path) -> Kind:
        try:
            status = path.lstat()
        except FileNotFoundError:
            return "nothing"
        if path.is_dir():
            return "directory"
        if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST:
            return "stranger"
        return "file"

    def require(self, path: Path) -> None:
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, "this user may not read and write it", str(path))

    def names(self, directory: Path) -> list[str]:
        return sorted(os.listdir(directory))

    def make_directory(self, path: Path) -> None:
        missing = [place for place in (path, *path.parents) if not place.exists()]
        for place in reversed(missing):
            place.mkdir(mode=0o750, exist_ok=True)
            self.sync_directory(place.parent)

    def replace(self, source: Path, target: Path) -> None:
        if os.geteuid() == 0:  # an operator's tool: the file stays with the agent's user
            with contextlib.suppress(FileNotFoundError):
                owner = target.lstat()
                os.chown(source, owner.st_uid, owner.st_gid)
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free(self, path: Path) -> int:
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize
