"""The few things that the store asks of a file system. Tests put a layer here that forgets or tears what was not synced."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol


class AppendFile(Protocol):
    """An open file that only grows, or is cut."""

    size: int

    def write(self, data: bytes) -> None:
        """Append all of `data`. After an OSError `size` still tells where the last whole write ended."""

    def sync(self) -> None:
        """Return when everything written is on the medium (fdatasync)."""

    def cut(self, size: int) -> None:
        """Forget everything behind `size`."""

    def close(self) -> None: ...


class Files(Protocol):
    """A file system, as far as the store needs one. Every method raises OSError as the operating system does."""

    def append_to(self, path: Path) -> AppendFile:
        """Open for appending; made when missing, readable by its owner and group alone."""

    def read(self, path: Path, start: int = 0, count: int = -1) -> bytes: ...

    def size(self, path: Path) -> int: ...

    def names(self, directory: Path) -> list[str]: ...

    def make_directory(self, path: Path) -> None: ...

    def replace(self, source: Path, target: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def sync_directory(self, path: Path) -> None:
        """Return when the directory's names are on the medium."""

    def free(self, path: Path) -> int:
        """Bytes that an ordinary user may still write on the file system that holds `path`."""


class _OsAppendFile:
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        self.size = os.lseek(self._descriptor, 0, os.SEEK_END)

    def write(self, data: bytes) -> None:
        done = os.pwrite(self._descriptor, data, self.size)
        while done < len(data):  # a nearly full disk takes a part first and says ENOSPC on the next call
            done += os.pwrite(self._descriptor, data[done:], self.size + done)
        self.size += len(data)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self.size = size

    def close(self) -> None:
        os.close(self._descriptor)


class OsFiles:
    """The operating system's own."""

    def append_to(self, path: Path) -> AppendFile:
        return _OsAppendFile(path)

    def read(self, path: Path, start: int = 0, count: int = -1) -> bytes:
        with open(path, "rb", buffering=0) as file:
            if start:
                file.seek(start)
            return file.read(count) or b""

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def names(self, directory: Path) -> list[str]:
        return sorted(os.listdir(directory))

    def make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)

    def replace(self, source: Path, target: Path) -> None:
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
