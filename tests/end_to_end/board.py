"""A board of the tests' own, on a real pseudo terminal: every EVENT carries a number that no other has, so that none can hide.

It obeys docs/board-link.md: EVENTs are resent, the same bytes, until their ACK; eight are under way at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
import tty
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from agent.wire.board import Decoder, Frame, FrameType, Key, boot_of, encode

BOOT = 77
COUNTER = 71  # transaction.count: a number that only grows
WINDOW = 8
RESEND = 0.2  # s


class CountingBoard:
    """Speaks from a thread of its own. `events` is how many it will say, `acknowledged` which of them the gateway has.

    Each EVENT says `values` too, by the numbers of their points.
    """

    def __init__(self, link: Path, events: int, values: Mapping[int, object] = MappingProxyType({})) -> None:
        self._link = link
        self._events, self._values = events, values
        self.acknowledged: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="board")

    def __enter__(self) -> CountingBoard:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        tty.setraw(self._master)
        os.set_blocking(self._master, False)
        self._link.symlink_to(os.ttyname(self._slave))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._link.unlink()
        os.close(self._master)
        os.close(self._slave)

    def _live(self) -> None:
        decoder, began, sent = Decoder(), time.monotonic(), dict[int, tuple[float, bytes]]()
        seq, beat, following = 0, 0.0, 0
        while not self._stop.is_set():
            now = time.monotonic()
            uptime = int((now - began) * 1000)
            if now >= beat:
                beat, seq = now + 0.5, seq + 1
                self._say(encode(Frame(FrameType.HEARTBEAT, seq, uptime, {Key.BOOT: BOOT, 7: len(sent), 8: 0})))
            while len(sent) < WINDOW and following < self._events:
                event = Frame(
                    FrameType.EVENT, following, uptime, {Key.BOOT: BOOT, Key.VALUES: {COUNTER: following, **self._values}}
                )
                sent[following] = (0.0, encode(event))
                following += 1
            for number, (at, data) in list(sent.items()):
                if now - at >= RESEND:
                    sent[number] = (now, data)
                    self._say(data)
            for frame in decoder.feed(self._hear()):
                if frame.type is FrameType.ACK and boot_of(frame) == BOOT:
                    sent.pop(frame.seq, None)
                    self.acknowledged.add(frame.seq)

    def _say(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody listens: it will be said again
            os.write(self._master, data)

    def _hear(self) -> bytes:
        readable, _, _ = select.select([self._master], [], [], 0.02)
        try:
            return os.read(self._master, 4096) if readable else b""
        except OSError:
            return b""


class Lines:
    """A device that prints 20 numbers as a line of JSON, ten times a second, whoever listens."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self.said = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="lines")

    def __enter__(self) -> Lines:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._link.symlink_to(os.ttyname(self._slave))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hush()
        self._link.unlink()
        os.close(self._master)
        os.close(self._slave)

    def hush(self) -> None:
        """Say nothing more."""
        self._stop.set()
        self._thread.join()

    def _live(self) -> None:
        while not self._stop.wait(0.1):
            values = {f"c{index}": self.said + index / 100 for index in range(20)}
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, json.dumps(values).encode() + b"\n")
                self.said += 1
