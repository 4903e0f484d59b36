"""The file that received envelopes are written to: one JSON object a line, on the medium before anything is acknowledged."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from agent.records import Envelope

_encode = msgspec.json.Encoder().encode


class Kept(Envelope, frozen=True):
    """A line: an envelope, and when it was received, in seconds since the epoch."""

    received_at: float


_decode = msgspec.json.Decoder(Kept).decode


def kept(envelope: Envelope, received_at: float) -> Kept:
    """The line for an envelope."""
    return Kept(**{name: getattr(envelope, name) for name in Envelope.__struct_fields__}, received_at=received_at)


class OutFile:
    """Opened, it belongs to this process alone. Raises OSError as the file does, BlockingIOError when another process has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _claim(self._fd)
        except OSError:
            os.close(self._fd)
            raise

    def lines(self) -> Iterator[Kept]:
        """What it holds already. A last line that was not finished was never acknowledged: it is cut off.

        Read it to the end before the first `append`. Raises ValueError that names the line when it is not one of ours.
        """
        whole = os.lseek(self._fd, 0, os.SEEK_SET)
        with open(self._fd, "rb", closefd=False) as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    yield _decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    raise ValueError(
                        f"{self.path}:{number}: not a received envelope; move the file away, or name another"
                    ) from None
                whole += len(line)
        os.ftruncate(self._fd, whole)
        os.lseek(self._fd, whole, os.SEEK_SET)

    def append(self, received: Sequence[Kept]) -> Sequence[Kept]:
        """Write lines; they are on the medium on return. Returns them: the file is this process's alone.

        All or none: behind half a line, which a full disk leaves, nobody could read the next.
        """
        content, whole = b"".join(_encode(each) + b"\n" for each in received), os.lseek(self._fd, 0, os.SEEK_CUR)
        try:
            while content:
                content = content[os.write(self._fd, content) :]
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, whole)
            os.lseek(self._fd, whole, os.SEEK_SET)
            raise
        return received

    def close(self) -> None:
        """Called once, last."""
        os.close(self._fd)


def _claim(fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
