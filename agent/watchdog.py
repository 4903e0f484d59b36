"""What systemd is told: ready, alive, stopping (sd_notify(3)). Alive only while every part has made progress."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send one state to the service manager; nothing happens where there is none."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract namespace
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel, contextlib.suppress(OSError):
        channel.sendto(state.encode(), address)


def interval(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds after which systemd gives up on a silent service; None when it watches nothing."""
    text = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", str(os.getpid()))
    return int(text) / 1e6 if text.isdecimal() and int(text) > 0 and pid == str(os.getpid()) else None


class Progress:
    """Parts that must turn over. `stuck` names those that have not within their time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._due: dict[str, Callable[[], float]] = {}

    def watch(self, part: str, limit: float, turned: Callable[[], float]) -> None:
        """`turned` says when the part last went round; it may take `limit` seconds until it does again."""
        self._due[part] = lambda: turned() + limit

    def watch_until(self, part: str, due: Callable[[], float]) -> None:
        """`due` says by when the part will have gone round again."""
        self._due[part] = due

    def stuck(self) -> list[str]:
        """Parts that stand still."""
        now = self._monotonic()
        return [part for part, due in self._due.items() if now > due()]
