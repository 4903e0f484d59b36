"""What the store costs, against the least that would be durable, against SQLite and against stock TinyDB."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from tinydb import TinyDB

from agent.records import Envelope, Reading, Receipt, Stamp
from agent.store import READINGS
from agent.store.files import Files, OpenFile, OsFiles
from agent.store.lane_store import LaneStore
from agent.store.opening import open_durable
from agent.store.room import Bounds
from benchmarks.figures import Figure, figure, go_first, interleaved, main, ratios

ROUNDS = 401
MANY, FEW = 1_000_000, 1_000
STAMP = Stamp(1_760_000_000.25, 86_400.125, "0b1c2d3e-4f50-4a61-8b72-9c83ad94be05", synced=True)
BOUNDS = Bounds(budget=4 * 2**30, free_floor=2**20, keep_days=0.0, keep_bytes=0)
READING = Reading("branch-0042-atm-1", "environment.temperature_c", 21.625, 1_760_000_000.25)  # stored: 300 bytes

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Envelope).decode
Tell = Callable[[str], None]


def envelope(position: int) -> bytes:
    """The bytes that every subject stores for one record."""
    return encode(
        Envelope(
            "gw-branch-0042", "5f2c9a7d1e3b4f60", READINGS, position, STAMP.boot, STAMP.mono, STAMP.at, STAMP.synced, READING
        )
    )


def open_store(path: Path, files: Files | None = None) -> LaneStore:
    return open_durable(path, "gw-branch-0042", ["platform"], BOUNDS, lambda: "5f2c9a7d1e3b4f60", files)[0]


class Raw:
    """The least that is durable: encode, append, fdatasync."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._positions = itertools.count(1)

    def append(self, count: int) -> None:
        os.write(self._file, b"".join([envelope(next(self._positions)) + b"\n" for _ in range(count)]))
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


class Sqlite:
    """WAL, synchronous=FULL: durable on return, as the store is."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE outbox (position INTEGER PRIMARY KEY, record BLOB)")
        self._positions = itertools.count(1)

    def append(self, count: int) -> None:
        rows = [(position, envelope(position)) for position in itertools.islice(self._positions, count)]
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO outbox VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    def take(self, count: int) -> int:
        rows = self._connection.execute("SELECT position, record FROM outbox ORDER BY position LIMIT ?", (count,)).fetchall()
        envelopes = [decode(record) for _, record in rows]
        if rows:
            self._connection.execute("BEGIN")
            self._connection.execute("DELETE FROM outbox WHERE position <= ?", (rows[-1][0],))
            self._connection.execute("COMMIT")
        return len(envelopes)

    def close(self) -> None:
        self._connection.close()


class Ours:
    """The store, as the agent uses it."""

    def __init__(self, path: Path) -> None:
        self.store = open_store(path)
        self._taken = 0

    def append(self, count: int) -> None:
        self.store.append(READINGS, [READING] * count, STAMP)

    def take(self, count: int) -> int:
        envelopes = self.store.read("platform", READINGS, count, 2**20)
        self.store.settle("platform", READINGS, Receipt(tuple(each.position for each in envelopes)))
        self._taken += 1
        if self._taken % 50 == 0:  # the agent does so every few seconds: cursors to disk, what was delivered away
            self.store.tidy(STAMP)
        return len(envelopes)

    def close(self) -> None:
        self.store.close()


def measure(tell: Tell) -> list[Figure]:
    """Every figure of docs/store.md."""
    go_first(tell)
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=os.environ.get("BENCH_DIR")) as directory:
        base = Path(directory)
        tell(f"on {base}")
        return [
            *appending(base / "one", 1, tell),
            *appending(base / "hundred", 100, tell),
            against_tinydb(base / "tinydb", tell),
            *with_a_backlog(base / "backlog", tell),
            draining(base / "drain", tell),
            *written(base / "written", tell),
        ]


def appending(base: Path, batch: int, tell: Tell) -> list[Figure]:
    """Appends of so many records each, beside the same done raw and by SQLite."""
    tell(f"appending {batch} at once")
    base.mkdir()
    ours, raw, sqlite = Ours(base / "ours"), Raw(base / "raw"), Sqlite(base / "sqlite")
    subjects = {
        "ours": lambda: ours.append(batch), "raw": lambda: raw.append(batch), "sqlite": lambda: sqlite.append(batch),
    }  # fmt: skip
    interleaved(subjects, 1, 2, 20)
    seconds = interleaved(subjects, ROUNDS, 1, 10 if batch == 1 else 2)
    for subject in (ours, raw, sqlite):
        subject.close()
    reference = f"SQLite, WAL, synchronous=FULL, {batch} a transaction"
    against_sqlite = ratios(seconds["sqlite"], seconds["ours"])
    # a round is short, so that most are free of other people's stalls; what comes now and then (SQLite's checkpoints, our new
    # segments) is in the sum of all alone
    in_all = [sum(seconds["sqlite"]) / sum(seconds["ours"])]
    if batch > 1:
        return [
            figure("append_100_vs_sqlite", against_sqlite, "ratio", reference, ">= 1.0"),
            figure("append_100_vs_sqlite_in_all", in_all, "ratio", f"the sum of {ROUNDS} rounds"),
        ]
    return [
        figure("append_rate", [1 / each for each in seconds["ours"]], "1/s", "none"),
        figure("append_vs_raw", ratios(seconds["raw"], seconds["ours"]), "ratio", "encode + append + fdatasync", ">= 0.85"),
        figure("append_vs_sqlite", against_sqlite, "ratio", reference, ">= 1.2"),
        figure("append_vs_sqlite_in_all", in_all, "ratio", f"the sum of {ROUNDS} rounds"),
    ]


def against_tinydb(base: Path, tell: Tell) -> Figure:
    """Appends of one record each, beside TinyDB with its own storage at 5,000 records."""
    tell("stock TinyDB at 5,000 records")
    base.mkdir()
    document = msgspec.to_builtins(READING)
    ours, stock = Ours(base / "ours"), TinyDB(base / "stock.json")
    stock.insert_multiple(document for _ in range(5_000))
    ours.append(5_000)
    seconds = interleaved({"ours": lambda: ours.append(1), "stock": lambda: stock.insert(document) and None}, 21, 1, 3)
    ours.close()
    stock.close()
    return figure(
        "append_vs_tinydb", ratios(seconds["stock"], seconds["ours"]), "ratio", "TinyDB's JSONStorage at 5,000", ">= 100"
    )


def with_a_backlog(base: Path, tell: Tell) -> list[Figure]:
    """What a million waiting records cost an append, and an opening."""
    tell(f"{MANY:,} waiting records")
    base.mkdir()
    many, few = Ours(base / "many"), Ours(base / "few")
    for _ in range(MANY // 1000):
        many.append(1000)
    few.append(FEW)
    seconds = interleaved({"many": lambda: many.append(1), "few": lambda: few.append(1)}, ROUNDS, 1, 10)
    many.close()
    few.close()
    opened = [_open_in_a_child(base / "many") for _ in range(7)]
    return [
        figure("append_at_1000000", ratios(seconds["many"], seconds["few"]), "ratio", "append at 1,000 waiting", "<= 1.15"),
        figure("open_1000000", [each[0] for each in opened], "s", "none", "<= 1.0"),
        figure("open_1000000_memory", [each[1] / 2**20 for each in opened], "MiB", "the process before", "<= 32"),
    ]


OPENING = """
import sys, time
from pathlib import Path
from benchmarks.store import open_store, resident
before, begun = resident(), time.perf_counter()
store = open_store(Path(sys.argv[1]))
spent, more = time.perf_counter() - begun, resident() - before
assert store.backlog("platform")["readings"] >= 1_000_000
print(spent, more)
store.close()
"""


def _open_in_a_child(path: Path) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", OPENING, str(path)], check=True, capture_output=True, text=True)
    spent, more = done.stdout.split()
    return float(spent), float(more)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def draining(base: Path, tell: Tell) -> Figure:
    """Reading and settling a backlog in batches of 100, what was delivered removed on the way."""
    tell("draining a backlog")
    base.mkdir()
    ours, sqlite = Ours(base / "ours"), Sqlite(base / "sqlite")
    rounds, batches = 9, 60
    for _ in range((rounds + 1) * batches // 10 + 1):
        ours.append(1000)
        sqlite.append(1000)
    seconds = interleaved({"ours": lambda: taken(ours), "sqlite": lambda: taken(sqlite)}, rounds, 3, batches // 3)
    ours.close()
    sqlite.close()
    return figure(
        "drain_vs_sqlite", ratios(seconds["sqlite"], seconds["ours"]), "ratio", "SQLite, SELECT LIMIT + DELETE", ">= 1.5"
    )


def taken(subject: Ours | Sqlite) -> None:
    if subject.take(100) != 100:
        raise AssertionError("the backlog ended before the measurement")


class _CountedFiles(OsFiles):
    """Counts the bytes that are handed to the operating system."""

    def __init__(self) -> None:
        self.bytes = 0

    def open(self, path: Path) -> OpenFile:
        return _CountedFile(super().open(path), self)


class _CountedFile:
    def __init__(self, file: OpenFile, count: _CountedFiles) -> None:
        self._file, self._count = file, count
        self.sync, self.reserve, self.cut, self.close = file.sync, file.reserve, file.cut, file.close

    @property
    def length(self) -> int:
        return self._file.length

    def write(self, data: bytes, at: int) -> None:
        self._count.bytes += len(data)
        self._file.write(data, at)


def written(base: Path, tell: Tell) -> list[Figure]:
    """Bytes written for each byte of record, everything counted: claims of positions, new segments, the end of the store."""
    tell("bytes written")
    base.mkdir()
    out = []
    for batch, goal in ((100, "<= 1.1"), (1, "<= 1.3")):
        files = _CountedFiles()
        store = open_store(base / str(batch), files)
        before, records = files.bytes, 3_000
        for _ in range(records // batch):
            store.append(READINGS, [READING] * batch, STAMP)
        store.close()
        size = sum(len(envelope(position)) for position in range(1, records + 1))
        out.append(figure(f"written_per_byte_{batch}", [(files.bytes - before) / size], "ratio",
                          f"the encoded records, {size // records} bytes each", goal))  # fmt: skip
    return out


if __name__ == "__main__":
    main("store", measure, __doc__ or "")
