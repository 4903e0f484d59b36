"""What a record costs the card: bytes that a block device writes for each durable append, on ext4 with its defaults.

Wants root, for a file system of its own on a loop device in a mount namespace of its own; says so and measures nothing without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from tinydb import TinyDB

from benchmarks.figures import Figure, figure, main
from benchmarks.store import READING, Ours, Raw, Sqlite

ROUNDS = 3
APPENDS = 1200  # a round holds what comes now and then: checkpoints, new segments
SECTOR = 512
INSIDE = "--inside"


def measure(tell: Callable[[str], None]) -> list[Figure]:
    """Bytes a record, each subject on the same file system."""
    if os.geteuid() != 0:
        tell("only root may mount a file system of its own; nothing is measured")
        return []
    with tempfile.TemporaryDirectory(prefix="bench-card-", dir=os.environ.get("BENCH_DIR")) as directory:
        command = ["unshare", "--mount", sys.executable, "-m", "benchmarks.card", INSIDE, directory]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return [
        figure("card_bytes_store", found["ours"], "B", "the block device, a record of 310 bytes a commit"),
        figure("card_bytes_raw", found["raw"], "B", "encode + append + fdatasync"),
        figure("card_bytes_sqlite", found["sqlite"], "B", "SQLite, WAL, synchronous=FULL"),
        figure("card_bytes_tinydb", found["tinydb"], "B", "TinyDB's JSONStorage at 1,000 records"),
        figure("card_vs_raw", [theirs / ours for theirs, ours in zip(found["raw"], found["ours"], strict=True)], "ratio",
               "encode + append + fdatasync", ">= 1.0"),
        figure("card_vs_sqlite", [theirs / ours for theirs, ours in zip(found["sqlite"], found["ours"], strict=True)], "ratio",
               "SQLite, WAL, synchronous=FULL", ">= 1.0"),
    ]  # fmt: skip


def inside(directory: Path) -> dict[str, list[float]]:
    """Mount, append, count. Ends with its mount namespace."""
    image, place = directory / "image", directory / "mounted"
    with image.open("wb") as file:
        file.truncate(512 * 2**20)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    number = os.stat(place).st_dev
    statistics = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    ours, raw, sqlite = Ours(place / "ours"), Raw(place / "raw"), Sqlite(place / "sqlite")
    stock, document = TinyDB(place / "stock.json"), msgspec.to_builtins(READING)
    stock.insert_multiple(document for _ in range(1000))
    subjects: dict[str, tuple[Callable[[], object], int]] = {
        "ours": (lambda: ours.append(1), APPENDS),
        "raw": (lambda: raw.append(1), APPENDS),
        "sqlite": (lambda: sqlite.append(1), APPENDS),
        "tinydb": (lambda: stock.insert(document), 10),
    }
    found: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, (append, count) in subjects.items():
            os.sync()
            before = _written(statistics)
            for _ in range(count):
                append()
            os.sync()
            found[name].append((_written(statistics) - before) / count)
    for subject in (ours, raw, sqlite, stock):
        subject.close()
    return found


def _written(statistics: Path) -> int:
    return int(statistics.read_text().split()[6]) * SECTOR


if __name__ == "__main__":
    if sys.argv[1:2] == [INSIDE]:
        print(json.dumps(inside(Path(sys.argv[2]))))
    else:
        main("card", measure, __doc__ or "")
