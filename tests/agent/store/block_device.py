"""A program for test_flash: what the meter counts beside what a block device counts.

    python -m tests.agent.store.block_device DIRECTORY

Makes an ext4 file system with its defaults in a file, mounts it through a loop device (root, a mount namespace of its own),
and prints a JSON object: for each kind of work, bytes by the device and bytes by the meter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from agent.store import READINGS
from agent.store.lane_store import LaneStore
from tests.agent.store.stores import STAMP, body, open_store

SECTOR = 512


def mounted(directory: Path) -> tuple[Path, Path]:
    """Where the file system is, and the device's statistics."""
    image, place = directory / "image", directory / "mounted"
    with image.open("wb") as file:
        file.truncate(256 * 2**20)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    number = os.stat(place).st_dev
    return place, Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")


def measured(store: LaneStore, statistics: Path, work: Callable[[], None]) -> tuple[int, int]:
    assert store.flash is not None
    os.sync()
    device, meter = _written(statistics), store.flash.total
    work()
    os.sync()
    return _written(statistics) - device, store.flash.total - meter


def _written(statistics: Path) -> int:
    return int(statistics.read_text().split()[6]) * SECTOR


def main() -> None:
    place, statistics = mounted(Path(sys.argv[1]))
    store = open_store(None, place / "store")

    def appending(count: int, times: int) -> Callable[[], None]:
        def work() -> None:
            for number in range(times):
                store.append(READINGS, [body(READINGS, number)] * count, STAMP)

        return work

    def noting() -> None:
        for number in range(200):
            store.remember({"t": {"a": {"n": number}}})

    works = {"one": appending(1, 400), "ten": appending(10, 300), "hundred": appending(100, 60), "notes": noting}
    print(json.dumps({name: measured(store, statistics, work) for name, work in works.items()}))
    store.close()


if __name__ == "__main__":
    main()
