"""What waits for a reader who is slow or gone: bounded, and the oldest of the least worth goes first."""

from __future__ import annotations

from collections import deque

LIMIT = 64 * 1024  # bytes; a minute and a half of READINGs


class Outbox:
    """Bytes on their way to a port, in order. READINGs may be dropped, since the next one says the same and more."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._chunks: deque[tuple[bytes, bool]] = deque()
        self._bytes = 0
        self.dropped = 0  # chunks

    def __len__(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def put(self, data: bytes, droppable: bool) -> None:
        """Add to the end; makes room by dropping the oldest that may go, or else the oldest of all."""
        if not data:
            return
        self._chunks.append((data, droppable))
        self._bytes += len(data)
        while self._bytes > self._limit and self._chunks:
            victim = next((at for at, (_, may_go) in enumerate(self._chunks) if may_go), 0)
            self._bytes -= len(self._chunks[victim][0])
            del self._chunks[victim]
            self.dropped += 1

    def first(self) -> bytes:
        """The oldest chunk, or nothing."""
        return self._chunks[0][0] if self._chunks else b""

    def sent(self, count: int) -> None:
        """The first `count` bytes of the oldest chunk are gone; its rest must follow, for it is half a frame."""
        data, _ = self._chunks.popleft()
        self._bytes -= count
        if count < len(data):
            self._chunks.appendleft((data[count:], False))

    def clear(self) -> None:
        """Nobody is there to read."""
        self._chunks.clear()
        self._bytes = 0
