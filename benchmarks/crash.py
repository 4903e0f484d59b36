"""Real kill -9, again and again, while a child appends, delivers and settles through the writer: is anything lost?

The child tells over a pipe each record that the store has acknowledged and each envelope that it has handed on; the parent
kills it at any moment, opens the store, and looks for every record that it knows of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agent.records import Alarm, Body, Envelope, EventClass, Reading, Receipt, Severity, Stamp, Summary
from agent.store import ALARMS, LANES, SUMMARIES
from agent.store.inspection import inspect_store
from agent.store.lane_store import LaneStore
from agent.store.opening import open_durable, open_memory
from agent.store.room import Bounds
from agent.store.writer import Writer
from benchmarks.figures import Figure, figure

BOUNDS = Bounds(budget=16 * 2**20, free_floor=0, keep_days=0.0, keep_bytes=2**20)
MEMORY = Bounds(budget=2**20, free_floor=0, keep_days=0.0, keep_bytes=0)
STAMP = Stamp(1_760_000_000.0, 1.0, "boot", synced=True)
LONGEST_LIFE = 0.25  # s of work before the kill


def body(lane: str, number: int) -> Body:
    """A record that says its number."""
    if lane == ALARMS:
        return Alarm("ATM-7", float(number), "r", EventClass.FAULT, Severity.WARNING, "printer.media", "jammed", ())
    if lane == SUMMARIES:
        return Summary("ATM-7", float(number), number + 60.0, 1.0, {})
    return Reading("ATM-7", "environment.temperature_c", 20.0, float(number))


def number_of(envelope: Envelope) -> int | None:
    """The number, None for a Loss."""
    match envelope.body:
        case Alarm(at=at) | Reading(at=at):
            return int(at)
        case Summary(start=start):
            return int(start)
    return None


def open_store(path: Path) -> LaneStore:
    return open_durable(path, "gw", ["platform"], BOUNDS, lambda: f"epoch{os.getpid()}.{time.monotonic_ns()}")[0]


class Child:
    """What the killed process does."""

    def __init__(self, path: Path, pipe: int, first: int, seed: int) -> None:
        self._path, self._pipe, self._number, self._random = path, pipe, first, random.Random(seed)

    async def live(self) -> None:
        """Until somebody kills it."""
        store = open_store(self._path)
        async with Writer(store, lambda: open_memory("gw", ["platform"], MEMORY, "memory"), ["platform"], 0.002) as writer:
            await asyncio.gather(*(self._produce(writer, lane) for lane in LANES), self._deliver(writer), self._tidy(writer))

    def _tell(self, *words: object) -> None:
        os.write(self._pipe, (" ".join(map(str, words)) + "\n").encode())  # below PIPE_BUF: whole or not at all

    async def _produce(self, writer: Writer, lane: str) -> None:
        while True:
            numbers = range(self._number, self._number + self._random.choice((1, 1, 1, 3, 20)))
            self._number = numbers.stop
            await writer.put([body(lane, number) for number in numbers], {"last": {lane: {"number": numbers.stop}}}, STAMP)
            self._tell("stored", lane, numbers.start, numbers.stop)

    async def _deliver(self, writer: Writer) -> None:
        while True:
            for lane in LANES:
                envelopes = await writer.read("platform", lane, 20, 2**20)
                for each in envelopes:
                    self._tell("delivered", each.epoch, lane, each.position, number_of(each))
                if envelopes:
                    positions = [each.position for each in envelopes]
                    self._random.shuffle(positions)
                    keep = self._random.randrange(3)
                    await writer.settle("platform", lane, envelopes[0].epoch, Receipt(tuple(positions[keep:])))
            await asyncio.sleep(0.001)

    async def _tidy(self, writer: Writer) -> None:
        while True:
            await writer.tidy(STAMP)
            await asyncio.sleep(self._random.random() * 0.05)


@dataclass
class Account:
    """What the parent knows."""

    stored: set[int] = field(default_factory=set)
    seen: dict[tuple[str, str, int], int | None] = field(default_factory=dict)
    """Number by epoch, lane and position."""
    numbers: set[int] = field(default_factory=set)
    """Numbers that were seen."""
    losses: set[tuple[str, str, int]] = field(default_factory=set)
    """Envelopes that told of a Loss: a kill is no reason for one."""
    reused: int = 0
    unreadable: int = 0
    highest: int = 0

    def see(self, epoch: str, lane: str, position: int, number: int | None) -> None:
        """An envelope was delivered, or found in the store."""
        key = (epoch, lane, position)
        if self.seen.setdefault(key, number) != number:
            self.reused += 1
        if number is not None:
            self.numbers.add(number)
        else:
            self.losses.add(key)

    def hear(self, line: str) -> None:
        """What the child told."""
        kind, *words = line.split()
        if kind == "stored":
            self.stored.update(range(int(words[1]), int(words[2])))
            self.highest = max(self.highest, int(words[2]))
        else:
            self.see(words[0], words[1], int(words[2]), None if words[3] == "None" else int(words[3]))

    @property
    def lost(self) -> int:
        """Acknowledged, never delivered, and not in the store."""
        return len(self.stored - self.numbers)


def one_life(path: Path, account: Account, chance: random.Random) -> None:
    """A child works for a while and is killed; what it told is in the account."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        with suppress(KeyboardInterrupt):
            asyncio.run(Child(path, tell, account.highest + 10_000, chance.randrange(2**32)).live())
        os._exit(1)
    os.close(tell)
    lines = _lines(told, time.monotonic() + 30.0)
    account.hear(next(lines))  # it works
    end = time.monotonic() + chance.random() * LONGEST_LIFE
    for line in _lines_until(lines, end):
        account.hear(line)
    os.kill(child, signal.SIGKILL)
    for line in lines:
        account.hear(line)
    os.waitpid(child, 0)
    os.close(told)


def _lines(pipe: int, deadline: float) -> Iterator[str]:
    rest = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise RuntimeError("the child does nothing")
        data = os.read(pipe, 65_536)
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        yield from (line.decode() for line in whole)


def _lines_until(lines: Iterator[str], end: float) -> Iterator[str]:
    while time.monotonic() < end:
        yield next(lines)


def look(path: Path, account: Account) -> None:
    """Open what the kill left, and see what is there."""
    try:
        findings = inspect_store(path).findings
        store = open_store(path)
        try:
            for lane in LANES:
                while envelopes := store.read("platform", lane, 500, 2**24):
                    for each in envelopes:
                        account.see(each.epoch, lane, each.position, number_of(each))
                    store.settle("platform", lane, Receipt(tuple(each.position for each in envelopes)))
            store.tidy(STAMP)
        finally:
            store.close()
    except (OSError, ValueError) as error:
        print(f"unreadable: {error}", file=sys.stderr)
        account.unreadable += 1
    else:
        account.unreadable += bool(findings)


def figures(account: Account, kills: int) -> list[Figure]:
    return [
        figure("acknowledged", [len(account.stored)], "count", "none"),
        figure("lost", [account.lost], "count", f"{kills} kills", "<= 0"),
        figure("reused_positions", [account.reused], "count", f"{kills} kills", "<= 0"),
        figure("told_losses", [len(account.losses)], "count", f"{kills} kills", "<= 0"),
        figure("unreadable", [account.unreadable], "count", f"{kills} kills", "<= 0"),
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=300, metavar="N", help="default 300")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="when the kills come (default 1)")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    args = parser.parse_args()
    account, chance = Account(), random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="bench-crash-", dir=os.environ.get("BENCH_DIR")) as directory:
        for number in range(1, args.kills + 1):
            one_life(Path(directory) / "store", account, chance)
            if chance.random() < 0.5 or number == args.kills:  # else the next child finds what this one left
                look(Path(directory) / "store", account)
            if number % 25 == 0:
                print(f"{number} kills, {len(account.stored)} acknowledged", file=sys.stderr, flush=True)
    result = {
        "kills": args.kills, "acknowledged": len(account.stored), "lost": account.lost,
        "reused_positions": account.reused, "told_losses": len(account.losses), "unreadable": account.unreadable,
    }  # fmt: skip
    if args.json:
        print(json.dumps({"benchmark": "crash", **result, "figures": [asdict(each) for each in figures(account, args.kills)]}))
    else:
        print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in result.items()))


if __name__ == "__main__":
    main()
