"""What a Reading costs from the port to the pipeline's door, beside the least that would read a serial line; lines at rest."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import NamedTuple

import serial

from agent.sources import Context, Given, Source, board, ebds, lines
from agent.vocabulary import point
from agent.wire import ebds as ebds_wire
from agent.wire.board import Frame, FrameType, Key, encode
from agent.wire.board_points import POINTS
from agent.wire.ebds import Reply
from benchmarks.figures import Figure, figure, main

Tell = Callable[[str], None]

ROUNDS = 3
READINGS = 20_000  # of one round of one subject
EIGHT_ROUNDS, EIGHT_SECONDS = 3, 10.0
IDLE_ROUNDS, IDLE_SECONDS = 3, 15.0
RATE = 11_520  # bytes a second: 115,200 baud, ten bits a byte
NUMBERS = [code for code, name in POINTS.items() if name.startswith(("environment.", "motion.", "energy.", "powerManagement."))]
NUMBERS = [code for code in NUMBERS if not point(POINTS[code]).words][:10]  # type: ignore[union-attr]  # each has an entry
"""What a board says at once: ten values in a frame."""
EXCHANGES = 500_000

WRITER = """
import os, sys, time
data, rate, step = open(sys.argv[1], "rb").read(), float(sys.argv[2]), int(sys.argv[3])
ports = [int(each) for each in sys.argv[4].split(",")]
sys.stdin.buffer.raw.read(1)
begun = time.monotonic()
for at in range(0, len(data), step):
    for port in ports:
        part = memoryview(data)[at:at + step]
        while part:
            part = part[os.write(port, part):]
    if rate:
        time.sleep(max(0.0, begun + (at + step) / rate - time.monotonic()))
    else:
        sys.stdin.buffer.raw.read(1)
"""
AHEAD = 2  # blocks that may be under way: a pseudo terminal keeps 4 KB, and some kernels lose what is beyond
BLOCK = 1_900  # bytes
STALL = 0.25  # s


class Ports:
    """Pseudo terminals whose other ends another process writes to."""

    def __init__(self, number: int) -> None:
        self._masters: list[int] = []
        self._slaves: list[int] = []
        for _ in range(number):
            master, slave = os.openpty()
            tty.setraw(master)
            tty.setraw(slave)
            self._masters.append(master)
            self._slaves.append(slave)
        self.paths = [os.ttyname(slave) for slave in self._slaves]

    @contextmanager
    def writing(self, data: bytes, step: int, rate: float = 0.0) -> Iterator[Callable[[int], None]]:
        """What lets so many blocks of `step` bytes be written to each; with a rate, what begins to write so many a second."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            command = [sys.executable, "-c", WRITER, file.name, str(rate), str(step), ",".join(map(str, self._masters))]
            with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=self._masters) as writer:
                assert writer.stdin is not None
                descriptor = writer.stdin.fileno()
                yield lambda blocks: suppressed(os.write, descriptor, b"\n" * blocks)
                writer.kill()

    def close(self) -> None:
        for descriptor in (*self._masters, *self._slaves):
            os.close(descriptor)


def suppressed(call: Callable[..., object], *arguments: object) -> None:
    """A writer that has written all is gone, and wants no more."""
    with suppress(BrokenPipeError):
        call(*arguments)


class Load(NamedTuple):
    """What is written: whole frames or lines of one length, a block of them at a time."""

    data: bytes
    step: int  # bytes of a block
    readings: int  # in a block

    @property
    def wanted(self) -> int:
        """Readings in all."""
        return len(self.data) // self.step * self.readings


def load(frames: Iterable[bytes], readings: int) -> Load:
    """Frames of one length with so many readings each, cut to whole blocks."""
    frames = list(frames)
    size = len(frames[0])
    assert {len(frame) for frame in frames} == {size}
    number = BLOCK // size
    return Load(b"".join(frames[: len(frames) // number * number]), number * size, number * readings)


def context(name: str = "line") -> Context:
    return Context(name, "atm-1", "gw-1", time.time)


def board_frames(number: int, values: int) -> Iterator[bytes]:
    """Frames of a board with so many values each."""
    codes = NUMBERS[:values]
    for count in range(number):
        seq = 0x100 + count % 0xFE00
        yield encode(
            Frame(FrameType.READING, seq, 0x100000 + count, {Key.BOOT: 5, Key.VALUES: dict.fromkeys(codes, 24 + count % 60)})
        )


def text_lines(number: int) -> Iterator[bytes]:
    """Lines of JSON, a reading each."""
    return (b'{"temperature": %d.%d}\n' % (10 + count % 80, count % 10) for count in range(number))


def board_source(path: str, name: str = "line") -> Source:
    return board.open_source(context(name), board.Settings(port=path))


def line_source(path: str) -> Source:
    fields = {"temperature": lines.Field(point="environment.temperature_c")}
    return lines.open_source(context(), lines.Settings(port=path, fields=fields))


class Progress:
    """How many Readings have come of a load; lets its writer keep AHEAD blocks ahead."""

    def __init__(self, what: Load, let: Callable[[int], None]) -> None:
        self.seen = 0
        self._what, self._let = what, let
        self._begun = False
        self._granted = 0
        self._stalled = 0
        self._last = -1

    def begin(self) -> None:
        """Let the first blocks be written."""
        self._begun = True
        self.came(0)

    def came(self, readings: int) -> None:
        """So many more."""
        self.seen += readings
        if not self._begun:
            return
        due = self.seen // self._what.readings + AHEAD
        if due > self._granted:
            self._let(due - self._granted)
            self._granted = due

    def looked_at(self) -> bool:
        """Called every STALL: False when nothing has come for long. Some kernels forget to hand on what a pseudo terminal has
        until more is written."""
        self._stalled = self._stalled + 1 if self.seen == self._last else 0
        self._last = self.seen
        if self._stalled:
            self._let(1)
        return self.seen < self._what.wanted and self._stalled < 60


async def counted(given_by_source: AsyncGenerator[Given], progress: Progress) -> None:
    """Count what comes, for ever."""
    async with aclosing(given_by_source) as givens:
        async for given in givens:
            progress.came(sum(not reading.point.startswith("gateway.") for reading in given.readings))


def source_cpu(make: Callable[[str], Source], what: Load) -> float:
    """CPU seconds of this process for 1,000 Readings of a source."""
    ports = Ports(1)
    with ports.writing(what.data, what.step) as let:
        progress = Progress(what, let)

        async def run() -> float:
            reading = asyncio.ensure_future(counted(make(ports.paths[0]).read(None), progress))
            await asyncio.sleep(0.5)  # the port is open now
            begun = time.process_time()
            progress.begin()
            while progress.looked_at():
                await asyncio.wait([reading], timeout=STALL)
            spent = time.process_time() - begun
            reading.cancel()
            await asyncio.wait([reading])
            return spent

        spent = asyncio.run(run())
    ports.close()
    return spent * 1000 / max(progress.seen, 1)


def bare_cpu(what: Load) -> float:
    """CPU seconds of the least that would do: pyserial, whatever is waiting, split at line ends, json.loads."""
    ports = Ports(1)
    with ports.writing(what.data, what.step) as let, serial.Serial(ports.paths[0], 115_200, timeout=STALL) as port:
        progress = Progress(what, let)
        begun = time.process_time()
        progress.begin()
        held = b""
        while progress.seen < what.wanted:
            chunk = port.read(max(1, port.in_waiting))
            if not chunk and not progress.looked_at():
                break
            *whole, held = (held + chunk).split(b"\n")
            for line in whole:
                with suppress(ValueError):  # a loaded kernel loses bytes of a pseudo terminal now and then
                    json.loads(line)
            progress.came(len(whole))
        spent = time.process_time() - begun
    ports.close()
    return spent * 1000 / max(progress.seen, 1)


def per_thousand(tell: Tell) -> list[Figure]:
    """Board and lines beside the bare loop, interleaved."""
    text = load(text_lines(READINGS), 1)
    frames = load(board_frames(READINGS // len(NUMBERS), len(NUMBERS)), len(NUMBERS))
    single = load(board_frames(READINGS, 1), 1)
    subjects: dict[str, Callable[[], float]] = {
        "bare": lambda: bare_cpu(text),
        "board": lambda: source_cpu(board_source, frames),
        "board_single": lambda: source_cpu(board_source, single),
        "lines": lambda: source_cpu(line_source, text),
    }
    spent: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(ROUNDS):
        tell(f"{READINGS} readings a subject, round {number + 1} of {ROUNDS}")
        for name in list(subjects)[:: 1 if number % 2 else -1]:
            spent[name].append(subjects[name]())

    def against(name: str) -> list[float]:
        return [own / bare for own, bare in zip(spent[name], spent["bare"], strict=True)]

    return [
        figure("bare_cpu", spent["bare"], "s/1000", "itself: pyserial, split, json.loads"),
        figure("board_cpu", spent["board"], "s/1000", f"nothing; {len(NUMBERS)} values a frame, as boards send them"),
        figure("lines_cpu", spent["lines"], "s/1000", "nothing; one value a line"),
        figure("board_vs_bare", against("board"), "ratio", "pyserial, split, json.loads", "<= 2"),
        figure("lines_vs_bare", against("lines"), "ratio", "pyserial, split, json.loads", "<= 3"),
        figure("board_single_vs_bare", against("board_single"), "ratio", "the same; one value a frame", "<= 2"),
    ]


def share(number: int, what: Load, seconds: float) -> tuple[float, int]:
    """CPU share of one core for so many boards, and Readings that did not come."""
    ports = Ports(number)
    missing = [what.wanted] * number
    with ports.writing(what.data, what.step, len(what.data) / seconds) as let:
        done = asyncio.Event()

        async def follow(index: int) -> None:
            async with aclosing(board_source(ports.paths[index], f"line{index}").read(None)) as givens:
                async for given in givens:
                    missing[index] -= sum(not reading.point.startswith("gateway.") for reading in given.readings)
                    if not any(missing):
                        done.set()

        async def run() -> float:
            tasks = [asyncio.ensure_future(follow(index)) for index in range(number)]
            await asyncio.sleep(0.5)
            begun, spent = time.monotonic(), time.process_time()
            let(1)
            with suppress(TimeoutError):
                async with asyncio.timeout(6 * seconds):
                    await done.wait()
            found = (time.process_time() - spent) / max(seconds, time.monotonic() - begun)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            return found

        found = asyncio.run(run())
    ports.close()
    return found, sum(missing)


def eight_lines(tell: Tell) -> list[Figure]:
    """Eight boards that never stop talking."""
    shares, lost = [], []
    frames = list(board_frames(int(EIGHT_SECONDS * RATE / 90), len(NUMBERS)))
    frames = frames[: int(EIGHT_SECONDS * RATE / len(frames[0]))]
    what = Load(b"".join(frames), len(frames[0]), len(NUMBERS))
    for number in range(EIGHT_ROUNDS):
        tell(f"eight lines, round {number + 1} of {EIGHT_ROUNDS}")
        found, missing = share(8, what, EIGHT_SECONDS)
        shares.append(found)
        lost.append(missing / len(NUMBERS))
    return [
        figure("eight_lines_cpu", shares, "core", "nothing; 11.5 kB/s on each of eight lines"),
        figure("eight_lines_lost", lost, "frames", "what was sent", "<= 0"),
    ]


def idle(tell: Tell) -> list[Figure]:
    """Twenty points a second on one line."""
    shares = []
    frames = list(board_frames(2 * int(IDLE_SECONDS), len(NUMBERS)))
    what = Load(b"".join(frames), len(frames[0]), len(NUMBERS))  # a frame at once, twice a second
    for number in range(IDLE_ROUNDS):
        tell(f"twenty points a second, round {number + 1} of {IDLE_ROUNDS}")
        shares.append(share(1, what, IDLE_SECONDS)[0])
    return [figure("idle_cpu", shares, "core", "nothing; twenty points a second on one line", "<= 0.01")]


def weak_check(tell: Tell) -> list[Figure]:
    """How often an XOR lets a wrong frame pass, and how often what it says is shown, at one wrong byte in a hundred."""
    tell(f"{EXCHANGES} EBDS replies with one wrong byte in a hundred")
    rng = random.Random(1)
    idle_, full = (Reply.IDLING | Reply.CASSETTE_ATTACHED | more for more in (Reply(0), Reply.STACKER_FULL))
    reply, made = ebds_wire.FrameType.REPLY, ebds_wire.reply
    frames = [ebds_wire.Frame(reply, ack, made(flags)) for flags in (idle_, full) for ack in (0, 1)]
    validator, passed, shown = ebds.Validator(context(), ebds.Settings(port="/dev/null")), 0, 0
    for number in range(EXCHANGES):
        frame = frames[number // 50 % 2 * 2 + number % 2]
        line = bytearray(ebds_wire.encode(frame))
        wrong = [place for place in range(len(line)) if rng.random() < 0.01]
        for place in wrong:
            line[place] ^= rng.randrange(1, 128)
        if len(wrong) > 1:  # an XOR notices every single one
            decoder = ebds_wire.decoder()
            passed += any(each != frame for each in decoder.feed(bytes(line)) + decoder.quiet())
        for reading in validator.hear("device", bytes(line), 0.0, number * 0.2):
            if reading.point == "storage.unit1.replenishmentStatus":
                shown += reading.value not in ("ok", "full")
            elif reading.point == "cashAcceptor.device":
                shown += reading.value != "online"
    return [
        figure("ebds_xor_passes", [passed / EXCHANGES], "share", "replies that are not what was sent"),
        figure("ebds_shown_wrong", [shown / EXCHANGES], "share", "states that never were", "<= 0"),
    ]


def measure(tell: Tell) -> list[Figure]:
    return [*per_thousand(tell), *eight_lines(tell), *idle(tell), *weak_check(tell)]


if __name__ == "__main__":
    main("sources", measure, __doc__ or "")
