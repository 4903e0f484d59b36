"""What systemd is told, over a socket of our own; and what keeps the agent from saying that it lives."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent import watchdog
from agent.forward import LONGEST_BATCH, Link
from agent.records import Alarm, EventClass, Severity, Stamp
from agent.store.opening import open_memory
from agent.store.room import Bounds
from agent.store.writer import Writer

ALARM = Alarm("gw", 0.0, "rule", EventClass.GATEWAY, Severity.ROUTINE, "gateway.run", "running", ())


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end of a notify socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(10)
        yield channel


def environment(manager: socket.socket) -> Mapping[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname()}


def test_a_state_arrives_as_one_datagram(manager: socket.socket) -> None:
    watchdog.notify("RELOADING=1\nMONOTONIC_USEC=123", environment(manager))
    assert manager.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=123"


def test_an_abstract_socket_is_found_and_a_missing_one_is_no_error(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0atm-agent-test-{os.getpid()}")
        channel.settimeout(10)
        watchdog.notify("READY=1", {"NOTIFY_SOCKET": f"@atm-agent-test-{os.getpid()}"})
        assert channel.recv(100) == b"READY=1"
    watchdog.notify("READY=1", {})
    watchdog.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    ("told", "seconds"),
    [({}, None), ({"WATCHDOG_USEC": "60000000"}, 60.0), ({"WATCHDOG_USEC": "0"}, None), ({"WATCHDOG_USEC": "x"}, None),
     ({"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}, None), ({"WATCHDOG_USEC": "5", "WATCHDOG_PID": str(os.getpid())}, 5e-6)],
)  # fmt: skip
def test_the_interval_is_the_managers(told: dict[str, str], seconds: float | None) -> None:
    assert watchdog.interval(told) == seconds


class Time:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_part_that_does_not_turn_over_is_named_and_the_others_are_not() -> None:
    time = Time()
    progress, turned = watchdog.Progress(time), {"ingest": time.now, "store": time.now}
    progress.watch("ingest", 15.0, lambda: turned["ingest"])
    progress.watch("store", 60.0, lambda: turned["store"])
    time.now += 15.0
    assert progress.stuck() == []
    time.now += 0.1
    assert progress.stuck() == ["ingest"]
    turned["ingest"] = time.now
    time.now += 50.0
    assert progress.stuck() == ["ingest", "store"]


def test_an_uplinks_loop_may_take_long_and_not_for_ever() -> None:
    time = Time()
    link = Link("platform", lambda _: None, time)
    progress = watchdog.Progress(time)
    progress.watch_until("uplink platform", lambda: link.due)
    link.turn(LONGEST_BATCH)
    time.now += LONGEST_BATCH
    assert progress.stuck() == []
    time.now += 1.0
    assert progress.stuck() == ["uplink platform"]


class Hanging:
    """A store on a medium that takes a write and never answers, as a dying card does."""

    def __init__(self, store: Any) -> None:
        self._store, self.entered, self.released = store, threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def extend(self, *arguments: Any) -> int:
        self.entered.set()
        self.released.wait()
        return int(self._store.extend(*arguments))


async def test_a_disk_that_hangs_withholds_the_watchdog() -> None:
    time = Time()

    def memory(epoch: str = "memory") -> Any:
        return open_memory("gw", ["platform"], Bounds(2**20, 0, 0.0, 2**20), epoch)

    disk = Hanging(memory("disk"))
    async with Writer(disk, memory, ["platform"], 0.0, time) as writer:
        progress = watchdog.Progress(time)
        progress.watch("store", 60.0, lambda: writer.health.turned)
        done = writer.put([ALARM], {}, Stamp(0.0, 0.0, "boot", True))
        await asyncio.to_thread(disk.entered.wait)
        time.now += 61.0
        assert progress.stuck() == ["store"]
        assert not done.done()
        disk.released.set()
        await done
        await writer.backlog("platform")
        await asyncio.to_thread(_until, lambda: progress.stuck() == [])


def _until(true: Any) -> None:
    for _ in range(10_000):
        if true():
            return
        threading.Event().wait(0.001)
    raise AssertionError
