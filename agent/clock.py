"""Clocks. Only app.py and the simulator's shell read one; everything else is handed times as values."""

from __future__ import annotations

import ctypes
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

STA_UNSYNC = 0x0040  # Linux timex.h: the kernel clock is not disciplined by NTP or a reference
TIMEX_BYTES = 208  # sizeof(struct timex) on 64-bit Linux
TIMEX_STATUS_OFFSET = 40  # after modes, offset, freq, maxerror and esterror, each padded to 8 bytes


TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # there once systemd-timesyncd has set the clock


class Clock(Protocol):
    """The time as the agent lives it."""

    boot: str
    speed: float
    """Seconds of this clock in a second of the world: 1 but for simulations."""

    def now(self) -> float:
        """Seconds since the epoch, UTC. May step when the system clock is set."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment of this boot. Never steps."""

    def synced(self) -> bool:
        """True while something keeps the wall clock right."""


def boot_id() -> str:
    """The kernel's random name of this boot, or "unknown" where /proc does not tell it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def kernel_clock_synced() -> bool | None:
    """Whether the kernel believes its clock (adjtimex(2)); None where it may not be asked, as under ProtectClock=."""
    buffer = ctypes.create_string_buffer(TIMEX_BYTES)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    status = ctypes.c_int.from_buffer(buffer, TIMEX_STATUS_OFFSET).value
    return not status & STA_UNSYNC


class Timedated:
    """Whether systemd-timedated says that the kernel believes its clock. It is asked now and then, and never waited for."""

    EVERY = 60.0  # s; each question starts two short processes
    COMMAND = ("busctl", "--timeout=5", "get-property", "org.freedesktop.timedate1", "/org/freedesktop/timedate1",
               "org.freedesktop.timedate1", "NTPSynchronized")  # fmt: skip

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._asking: subprocess.Popen[bytes] | None = None
        self._asked = float("-inf")
        self._answer = False

    def synced(self, now: float) -> bool:
        """The newest answer; False until there is one. `now` is a monotonic time in seconds."""
        if self._asking is not None and self._asking.poll() is not None:
            told, _ = self._asking.communicate()
            self._answer = told.split() == [b"b", b"true"]
            self._asking = None
        if self._asking is None and now - self._asked >= self.EVERY:
            self._asked = now
            try:
                self._asking = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            except OSError:  # no systemd here
                self._answer = False
        return self._answer


class SystemClock:
    """The machine's own clock."""

    speed = 1.0
    SYNC_CHECK = 10.0  # s; asking the kernel is cheap but not free, and the answer changes once a boot

    def __init__(self) -> None:
        self.boot = boot_id()
        self._synced = False
        self._asked = float("-inf")
        self._timedated = Timedated()

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def synced(self) -> bool:
        if time.monotonic() - self._asked >= self.SYNC_CHECK:
            self._asked = time.monotonic()
            kernel = kernel_clock_synced()
            self._synced = kernel if kernel is not None else TIMESYNCD.exists() or self._timedated.synced(self._asked)
        return self._synced


class ScaledClock:
    """A clock that runs `speed` times as fast, for life beside a simulated machine.

    It showed `start` (seconds since the epoch) when the real clock showed `anchor`. The agent and the simulator agree on the
    time when they are given the same three numbers.
    """

    def __init__(self, start: float, anchor: float, speed: float) -> None:
        self.boot = boot_id()
        self.speed = speed
        self._start, self._anchor = start, anchor

    def now(self) -> float:
        return self._start + (time.time() - self._anchor) * self.speed

    def monotonic(self) -> float:
        return time.monotonic() * self.speed

    def synced(self) -> bool:
        return True
