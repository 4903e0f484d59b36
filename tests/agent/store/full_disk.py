"""A program for test_full_disk: a writer on a disk that is really full, and then is not.

    python -m tests.agent.store.full_disk DIRECTORY tmpfs|limit

`tmpfs` mounts a small file system on the directory, which wants a mount namespace of its own (unshare --mount); `limit` lets
no file of this process grow beyond a size (RLIMIT_FSIZE). The last line of output is a JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from agent.records import Receipt
from agent.store import ALARMS
from agent.store.opening import open_memory
from agent.store.room import Bounds
from agent.store.writer import Writer
from tests.agent.store.stores import STAMP, alarm, drain_all, number_of, open_store

SIZE = 2 * 2**20
BOUNDS = Bounds(budget=64 * 2**20, free_floor=0, keep_days=100.0, keep_bytes=2**20)
MEMORY = Bounds(budget=2**20, free_floor=0, keep_days=0.0, keep_bytes=0)


def fill(directory: Path) -> None:
    """Somebody else takes all the space there is."""
    with (directory / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, 4096)
        except OSError:
            return


def mounted(directory: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(directory)], check=True)
    return lambda: fill(directory), (directory / "ballast").unlink


def limited() -> tuple[Callable[[], None], Callable[[], None]]:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    return (
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard)),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
    )


async def outage(directory: Path, harm: Callable[[], None], heal: Callable[[], None]) -> dict[str, object]:
    out: dict[str, object] = {}
    store = open_store(None, directory / "store", BOUNDS)
    async with Writer(store, lambda: open_memory("gw-1", ["one"], MEMORY, "outage"), ["one"], 0.0) as writer:
        harm()
        waiting = [writer.put([alarm(number, "x" * 500)], {}, STAMP) for number in range(1000)]
        await writer.tidy(STAMP)
        out["word"] = writer.health.word
        sent = await writer.read("one", ALARMS, 10, 2**20)
        await writer.settle("one", ALARMS, sent[0].epoch, Receipt(tuple(each.position for each in sent)))
        out["sent"] = [number_of(each.body) for each in sent]
        out["sent_from"] = sent[0].epoch
        out["on_disk_before"] = sum(future.done() for future in waiting)
        heal()
        later = type(STAMP)(STAMP.at + 600, STAMP.mono + 600, STAMP.boot, STAMP.synced)
        await writer.tidy(later)
        await asyncio.gather(*waiting)
        out["word_after"] = writer.health.word
    store = open_store(None, directory / "store", BOUNDS)
    out["found"] = sorted(number_of(each.body) for each in drain_all(store)[ALARMS])
    store.close()
    return out


def main() -> None:
    directory = Path(sys.argv[1])
    harm, heal = mounted(directory) if sys.argv[2] == "tmpfs" else limited()
    print(json.dumps(asyncio.run(outage(directory, harm, heal))))


if __name__ == "__main__":
    main()
