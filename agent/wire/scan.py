"""Frames that carry their own length, out of a stream of bytes: for protocols with a start byte, a length and a check.

A start byte may stand inside a frame too, and noise may look like a start. So a candidate that turns out to be none costs its
first byte only, and the search goes on right behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

F = TypeVar("F")


class Framing(NamedTuple, Generic[F]):
    """How one protocol frames."""

    start: bytes
    head: int  # bytes from which a frame's length can be told
    length: Callable[[bytes], int]  # of the whole frame, from its head; 0 when no frame has such a head
    read: Callable[[bytes], F | None]  # what a whole frame says; None when its check is wrong


class Scanner(Generic[F]):
    """Intact frames, whatever the chunks. Counts what it skips; holds less than one frame."""

    def __init__(self, framing: Framing[F]) -> None:
        self._framing = framing
        self._held = b""
        self.frames = 0
        self.crc_errors = 0  # what began and measured as a frame, and whose check was wrong
        self.garbage_bytes = 0  # bytes that belong to no intact frame

    def feed(self, chunk: bytes) -> list[F]:
        """The frames that `chunk` completes, in order."""
        return self._scan(self._held + chunk, over=False)

    def quiet(self) -> list[F]:
        """The line was still for longer than a frame may pause: what was begun is over. Gives what stood behind a false start."""
        return self._scan(self._held, over=True) if self._held else []

    def _scan(self, stream: bytes, *, over: bool) -> list[F]:
        framing = self._framing
        found: list[F] = []
        at = 0
        while (start := self._next(stream, at, over=over)) < len(stream):
            self.garbage_bytes += start - at
            at = start
            head = stream[start : start + framing.head]
            size = framing.length(head) if len(head) == framing.head else framing.head
            if size and start + size > len(stream):
                if not over:
                    break
                size = 0
            if size and (frame := framing.read(stream[start : start + size])) is not None:
                found.append(frame)
                at = start + size
            else:
                self.crc_errors += size > 0
                self.garbage_bytes += 1
                at = start + 1
        else:
            self.garbage_bytes += start - at
            at = start
        self._held = stream[at:]
        self.frames += len(found)
        return found

    def _next(self, stream: bytes, at: int, *, over: bool) -> int:
        """Where the next start stands; the end of the stream, or of what can be no start, when there is none."""
        start = self._framing.start
        found = stream.find(start, at)
        if found >= 0:
            return found
        if not over:
            for size in range(min(len(start) - 1, len(stream) - at), 0, -1):
                if stream.endswith(start[:size]):
                    return len(stream) - size
        return len(stream)
