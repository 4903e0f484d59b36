"""Nothing that a test of an uplink opens outlives it: no task, no thread, no socket of the network."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import AsyncIterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _what_stays() -> None:
    """What is imported is no test's garbage: looking through it after each of them would cost more than they do."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    before = _inet_sockets(), _threads()
    yield
    for _ in range(5):  # closing takes the loop a few rounds
        await asyncio.sleep(0)
    gc.collect()
    for _ in range(100):  # and TLS a word from the other end
        if not _inet_sockets() - before[0] and not _threads() - before[1]:
            break
        await asyncio.sleep(0.01)
    left = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    assert not left, f"tasks left: {left}"
    assert not _inet_sockets() - before[0], "sockets left open"
    threads = {thread.name for thread in _threads() - before[1]}
    assert not threads, f"threads left: {threads}"


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def _inet_sockets() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
            if link.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as sock:
                    if sock.family in (socket.AF_INET, socket.AF_INET6):
                        found.add(link)
        except OSError:
            continue  # the directory's own descriptor
    return found
