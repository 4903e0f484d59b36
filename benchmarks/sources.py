"""What a Reading costs from the port to the pipeline's door, beside the least that would read a serial line; and lines at rest."""

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
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager

import serial

from agent.sources import Context, Given, Source, board, ebds, lines
from agent.wire import ebds as ebds_wire
from agent.wire.board import Frame, FrameType, Key, encode
from agent.wire.board_points import POINTS
from agent.wire.ebds import Reply
from benchmarks.figures import Figure, figure, main

Tell = Callable[[str], None]

ROUNDS = 7
READINGS = 20_000  # of one round of one subject
EIGHT_ROUNDS, EIGHT_SECONDS = 3, 10.0
IDLE_ROUNDS, IDLE_SECONDS = 3, 15.0
RATE = 11_520  # bytes a second: 115,200 baud, ten bits a byte
NUMBERS = [code for code, name in POINTS.items() if name in ("environment.temperature_c", "environment.humidity_pct",
           "motion.rms_ms2", "motion.peak_ms2", "motion.tilt_deg", "energy.active_power_w", "powerManagement.load_pct",
           "powerManagement.batteryVoltage_v", "powerManagement.inputVoltage_v", "storage.unit1.count")]  # fmt: skip
"""What a board says at once: ten values in a frame."""
FIRST = NUMBERS[0]
EXCHANGES = 100_000

WRITER = """
import os, sys, time
data, rate, number = open(sys.argv[1], "rb").read(), float(sys.argv[2]), int(sys.argv[3])
ports = [int(each) for each in sys.argv[4].split(",")]
sys.stdin.readline()
begun, at = time.monotonic(), 0
step = len(data) if not rate else max(1, int(rate / 100))
while at < len(data):
    for port in ports:
        part = memoryview(data)[at:at + step]
        while part:
            part = part[os.write(port, part):]
    at += step
    if rate:
        time.sleep(max(0.0, begun + at / rate - time.monotonic()))
"""


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
    def writing(self, data: bytes, rate: float = 0.0) -> Iterator[Callable[[], None]]:
        """What begins to write `data` to each of them: as fast as they take it, or so many bytes a second."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            ports = ",".join(map(str, self._masters))
            command = [sys.executable, "-c", WRITER, file.name, str(rate), "0", ports]
            with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=self._masters) as writer:
                assert writer.stdin is not None
                begin = writer.stdin
                yield lambda: (begin.write(b"\n"), begin.flush())[0]  # type: ignore[func-returns-value]
                writer.kill()

    def close(self) -> None:
        for descriptor in (*self._masters, *self._slaves):
            os.close(descriptor)


def context(name: str = "line") -> Context:
    return Context(name, "atm-1", "gw-1", time.time)


def board_data(readings: int, values: int) -> bytes:
    """Frames of a board with so many values each."""
    codes = NUMBERS[:values]
    frames = [
        encode(Frame(FrameType.READING, number & 0xFFFF, number, {Key.BOOT: 5, Key.VALUES: dict.fromkeys(codes, number % 90)}))
        for number in range(readings // values)
    ]
    return b"\0" + b"".join(frames)


def line_data(readings: int) -> bytes:
    """Lines of JSON, a reading each."""
    return b"".join(b'{"temperature": %d.%d}\n' % (number % 90, number % 10) for number in range(readings))


def board_source(path: str, name: str = "line") -> Source:
    return board.open_source(context(name), board.Settings(port=path))


def line_source(path: str) -> Source:
    fields = {"temperature": lines.Field(point="environment.temperature_c")}
    return lines.open_source(context(), lines.Settings(port=path, fields=fields))


async def counted(given_by_source: AsyncGenerator[Given], wanted: int) -> None:
    """Until so many Readings of the machine have come."""
    seen = 0
    async with aclosing(given_by_source) as givens:
        async for given in givens:
            seen += sum(not reading.point.startswith("gateway.") for reading in given.readings)
            if seen >= wanted:
                return


def source_cpu(make: Callable[[str], Source], data: bytes) -> float:
    """CPU seconds of this process for READINGS of a source."""
    ports = Ports(1)
    with ports.writing(data) as begin:

        async def run() -> float:
            reading = asyncio.ensure_future(counted(make(ports.paths[0]).read(None), READINGS))
            await asyncio.sleep(0.3)  # the port is open now
            begun = time.process_time()
            begin()
            async with asyncio.timeout(120):
                await reading
            return time.process_time() - begun

        spent = asyncio.run(run())
    ports.close()
    return spent


def bare_cpu(data: bytes) -> float:
    """CPU seconds of the least that would do: pyserial, whatever is waiting, split at line ends, json.loads."""
    ports = Ports(1)
    with ports.writing(data) as begin, serial.Serial(ports.paths[0], 115_200, timeout=5.0) as port:
        begun = time.process_time()
        begin()
        seen, held = 0, b""
        while seen < READINGS:
            *whole, held = (held + port.read(max(1, port.in_waiting))).split(b"\n")
            for line in whole:
                json.loads(line)
                seen += 1
        spent = time.process_time() - begun
    ports.close()
    return spent


def per_thousand(tell: Tell) -> list[Figure]:
    """Board and lines beside the bare loop, interleaved."""
    text, frames, single = line_data(READINGS), board_data(READINGS, len(NUMBERS)), board_data(READINGS, 1)
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
            spent[name].append(subjects[name]() * 1000 / READINGS)

    def against(name: str) -> list[float]:
        return [own / bare for own, bare in zip(spent[name], spent["bare"], strict=True)]

    return [
        figure("bare_cpu", spent["bare"], "s/1000", "itself: pyserial, split, json.loads"),
        figure("board_cpu", spent["board"], "s/1000", f"nothing; {len(NUMBERS)} values a frame, as boards send them"),
        figure("lines_cpu", spent["lines"], "s/1000", "nothing; one value a line"),
        figure("board_vs_bare", against("board"), "ratio", "pyserial, split, json.loads", "<= 2"),
        figure("lines_vs_bare", against("lines"), "ratio", "pyserial, split, json.loads", "<= 3"),
        figure("board_single_vs_bare", against("board_single"), "ratio", "the same; one value a frame"),
    ]


def share(number: int, data: bytes, rate: float, seconds: float, wanted: int) -> tuple[float, int]:
    """CPU share of one core for so many boards, and Readings that did not come."""
    ports = Ports(number)
    missing = [wanted] * number
    with ports.writing(data, rate) as begin:

        async def follow(index: int) -> None:
            async with aclosing(board_source(ports.paths[index], f"line{index}").read(None)) as givens:
                async for given in givens:
                    missing[index] -= sum(not reading.point.startswith("gateway.") for reading in given.readings)

        async def run() -> float:
            tasks = [asyncio.ensure_future(follow(index)) for index in range(number)]
            await asyncio.sleep(0.5)
            begun, spent = time.monotonic(), time.process_time()
            begin()
            while any(missing) and time.monotonic() < begun + 3 * seconds:
                await asyncio.sleep(0.25)
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
    frame = len(board_data(len(NUMBERS), len(NUMBERS))) - 1
    frames = int(EIGHT_SECONDS * RATE / frame)
    data = board_data(frames * len(NUMBERS), len(NUMBERS))
    for number in range(EIGHT_ROUNDS):
        tell(f"eight lines, round {number + 1} of {EIGHT_ROUNDS}")
        found, missing = share(8, data, RATE, EIGHT_SECONDS, frames * len(NUMBERS))
        shares.append(found)
        lost.append(missing / len(NUMBERS))
    return [
        figure("eight_lines_cpu", shares, "core", "nothing; 11.5 kB/s on each of eight lines"),
        figure("eight_lines_lost", lost, "frames", "what was sent", "<= 0"),
    ]


def idle(tell: Tell) -> list[Figure]:
    """Twenty points a second on one line."""
    shares = []
    data = board_data(20 * int(IDLE_SECONDS), len(NUMBERS))
    for number in range(IDLE_ROUNDS):
        tell(f"twenty points a second, round {number + 1} of {IDLE_ROUNDS}")
        shares.append(share(1, data, len(data) / IDLE_SECONDS, IDLE_SECONDS, 20 * int(IDLE_SECONDS))[0])
    return [figure("idle_cpu", shares, "core", "nothing; twenty points a second on one line", "<= 0.01")]


def weak_check(tell: Tell) -> list[Figure]:
    """How often an XOR lets a wrong frame pass, and how often what it says is shown, at one wrong byte in a hundred."""
    tell(f"{EXCHANGES} EBDS replies with one wrong byte in a hundred")
    rng = random.Random(1)
    idle_, full = (Reply.IDLING | Reply.CASSETTE_ATTACHED | more for more in (Reply(0), Reply.STACKER_FULL))
    settings = ebds.Settings(port="/dev/null")
    validator, decoder = ebds.Validator(context(), settings), ebds_wire.decoder()
    passed = shown = 0
    for number in range(EXCHANGES):
        flags = full if number // 50 % 2 else idle_
        frame = ebds_wire.Frame(ebds_wire.FrameType.REPLY, number % 2, ebds_wire.reply(flags))
        line = bytes(byte ^ rng.randrange(1, 128) if rng.random() < 0.01 else byte for byte in ebds_wire.encode(frame))
        passed += any(each != frame for each in decoder.feed(line) + decoder.quiet())
        for reading in validator.hear("device", line, 0.0, number * 0.2):
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
