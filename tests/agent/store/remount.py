"""A program for test_late: a writer on ext4 whose medium fails, is checked, and comes back as another mount.

    python -m tests.agent.store.remount DIRECTORY

Wants root and a mount namespace of its own (unshare --mount). The last line of output is a JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from agent import rooms
from agent.records import Receipt, Stamp
from agent.store import ALARMS
from agent.store.late import LateStore
from agent.store.opening import open_memory
from agent.store.writer import Writer
from tests.agent.store.full_disk import BOUNDS, MEMORY
from tests.agent.store.stores import STAMP, alarm, drain_all, number_of, open_store


def mount(image: Path, place: Path) -> None:
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(place)], check=True)


def unmount(place: Path) -> None:
    subprocess.run(["umount", str(place)], check=True)


def check(image: Path) -> None:
    subprocess.run(["fsck.ext4", "-fy", str(image)], check=False, capture_output=True)


def fail(place: Path) -> None:
    """Ask the kernel for what a failing medium brings about."""
    number = os.stat(place).st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
    Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")


async def outage(image: Path, place: Path) -> dict[str, object]:
    out: dict[str, object] = {}
    path = place / "store"
    anew = rooms.Reopening(path, lambda: open_store(None, path, BOUNDS))
    store = LateStore(anew, anew.first())

    def later(seconds: float) -> Stamp:
        return Stamp(STAMP.at + seconds, STAMP.mono + seconds, STAMP.boot, STAMP.synced)

    async with Writer(store, lambda: open_memory("gw-1", ["one"], MEMORY, "outage"), ["one"], 0.0) as writer:
        await asyncio.gather(*(writer.put([alarm(number)], {}, STAMP) for number in range(50)))
        fail(place)
        waiting = [writer.put([alarm(number)], {}, STAMP) for number in range(50, 80)]
        await writer.tidy(later(1))
        out["word"] = writer.health.word
        sent = await writer.read("one", ALARMS, 10, 2**20)
        await writer.settle("one", ALARMS, sent[0].epoch, Receipt(tuple(each.position for each in sent)))
        out["sent"] = [number_of(each.body) for each in sent]
        unmount(place)
        await writer.tidy(later(100))
        out["made_in_the_mount_point"] = os.listdir(place)
        check(image)
        mount(image, place)
        await writer.tidy(later(200))
        await asyncio.gather(*waiting)
        out["word_after"] = writer.health.word
    reopened = open_store(None, path, BOUNDS)
    found = drain_all(reopened)[ALARMS]
    out["found"] = [number_of(each.body) for each in found]
    out["positions"] = [each.position for each in found]
    out["epoch"] = reopened.epoch
    reopened.close()
    return out


def main() -> None:
    image, place = Path(sys.argv[1]) / "image", Path(sys.argv[1]) / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(32 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mount(image, place)
    print(json.dumps(asyncio.run(outage(image, place))))


if __name__ == "__main__":
    main()
