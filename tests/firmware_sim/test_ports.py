"""A real pseudo terminal and a real socket, from the world to the gateway's own codec and back."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from agent.wire.board import Decoder, Frame, FrameType, Key, boot_of, encode
from firmware_sim import ports
from firmware_sim.board import Board
from firmware_sim.firmware import Firmware, Pace
from firmware_sim.lines import Line, line
from firmware_sim.outbox import LIMIT
from firmware_sim.ports import Port, PortRefusedError, PtyPort, TcpPort
from firmware_sim.shell import Shell
from firmware_sim.world import World

Quiet = Callable[..., World]
PATIENCE = 10.0  # s; a guard against hanging, never reached


class Gateway:
    """The other end: reads, decodes, answers EVENTs. Blocking, as drivers are; it lives in a thread of its own."""

    def __init__(self, read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
        self._read, self._write = read, write
        self.decoder = Decoder()
        self.frames: list[Frame] = []

    def listen(self, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
        self._write(b"\0" + encode(Frame(FrameType.HELLO, 0, 0, {})))
        end = time.monotonic() + PATIENCE
        while not enough(self.frames):
            assert time.monotonic() < end, f"only {len(self.frames)} frames came"
            for frame in self.decoder.feed(self._read()):
                self.frames.append(frame)
                if frame.type is FrameType.EVENT:
                    self._write(b"\0" + encode(Frame(FrameType.ACK, frame.seq, 0, {Key.BOOT: boot_of(frame)})))
        return self.frames


@contextmanager
def serial_gateway(path: str) -> Iterator[Gateway]:
    with serial.serial_for_url(path, 115_200, timeout=0.05) as port:
        yield Gateway(lambda: port.read(4096), port.write)


@contextmanager
def tcp_gateway(address: str) -> Iterator[Gateway]:
    host, _, number = address.rpartition(":")
    with socket.create_connection((host, int(number)), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        yield Gateway(lambda: connection.recv(4096), connection.sendall)


def shell(world: World, port: Port, speed: float = 400.0, name: str = "clean") -> Shell:
    pace = Pace(world.now, time.time(), speed)
    lines: tuple[Line, Line] = (line(name, world.site.stream("a")), line(name, world.site.stream("b")))
    return Shell(Firmware(Board(world, pace.period), pace), port, lines, time.time)


def all_kinds(frames: list[Frame]) -> bool:
    return {frame.type for frame in frames} >= {FrameType.HELLO, FrameType.READING, FrameType.EVENT}


async def converse(port: Port, gateway: Callable[[str], object], world: World, name: str = "clean") -> Gateway:
    """Serve `world` on `port` until a gateway has heard every kind of frame, and all its ACKs have been heard."""
    one = shell(world, port, name=name)

    def talk() -> Gateway:
        with gateway(port.address) as end:  # type: ignore[attr-defined]
            end.listen(all_kinds)
            end.listen(lambda frames: sum(frame.type is FrameType.EVENT for frame in frames) >= 5)
            return end  # type: ignore[no-any-return]

    async with port, asyncio.TaskGroup() as tasks:
        tasks.create_task(one.run(float("inf"), lambda: None))
        heard = await asyncio.to_thread(talk)
        one.stop()
    return heard


def lively() -> World:
    """Somebody walks by every few seconds."""
    return World("normal_week", settings={"passers_by": 20_000})


@pytest.mark.parametrize("name", ["clean", "babbling", "byte_at_a_time"])
async def test_a_pseudo_terminal_end_to_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / "board"
    gateway = await converse(PtyPort(path), serial_gateway, lively(), name)
    assert not path.is_symlink()
    assert gateway.decoder.crc_errors <= 1  # the frame in whose middle the port was opened
    seqs = [frame.seq for frame in gateway.frames if frame.type is FrameType.EVENT]
    assert sorted(set(seqs)) == list(range(len(set(seqs))))


async def test_a_socket_end_to_end() -> None:
    gateway = await converse(TcpPort("127.0.0.1", 0), tcp_gateway, lively())
    assert (gateway.decoder.crc_errors, gateway.decoder.garbage_bytes) == (0, 0)


async def test_one_gateway_at_a_time_and_the_next_is_welcome(quiet: Quiet) -> None:
    port = TcpPort("127.0.0.1", 0)
    one = shell(quiet(), port)

    def talk() -> None:
        with tcp_gateway(port.address) as first:
            first.listen(lambda frames: len(frames) >= 2)
            host, _, number = port.address.rpartition(":")
            with socket.create_connection((host, int(number)), PATIENCE) as second:
                second.settimeout(PATIENCE)
                assert second.recv(100) == b""  # turned away
            first.listen(lambda frames: len(frames) >= 4)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with tcp_gateway(port.address) as third:
                try:
                    assert third.listen(lambda frames: len(frames) >= 2)
                except (AssertionError, OSError):
                    continue  # the first one's leaving has not been noticed yet
                return
        raise AssertionError("the next gateway is not welcome")

    async with port, asyncio.TaskGroup() as tasks:
        tasks.create_task(one.run(float("inf"), lambda: None))
        await asyncio.to_thread(talk)
        one.stop()


async def test_a_reader_who_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads for ten thousand frames; then somebody does, and hears what is new, not what is old."""
    monkeypatch.setattr(ports, "UNREAD", -1.0)  # a line forgets at once
    port = PtyPort(tmp_path / "board")
    async with port:
        for number in range(10_000):
            port.send(b"%06d" % number + b"x" * 700, droppable=True)
            assert len(port._outbox) <= LIMIT
        end = os.open(tmp_path / "board", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            heard = b""
            async with asyncio.timeout(PATIENCE):
                while b"009999" not in heard:
                    try:
                        heard += os.read(end, 65_536)
                    except BlockingIOError:
                        await asyncio.sleep(0)
        finally:
            os.close(end)
    assert len(heard) < LIMIT  # of seven million bytes


async def test_a_slow_reader_gets_the_rest_when_there_is_room(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "board")
    sent = b"".join(b"%07d " % number for number in range(4_000))  # 32,000 bytes, eight times what the kernel holds
    async with port:
        port.send(sent, droppable=False)
        assert len(port._outbox) > 0
        end = os.open(tmp_path / "board", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        heard = b""
        try:
            async with asyncio.timeout(PATIENCE):
                while len(heard) < len(sent):
                    try:
                        heard += os.read(end, 1_000)
                    except BlockingIOError:
                        await asyncio.sleep(0)
        finally:
            os.close(end)
    assert heard == sent


async def test_a_socket_whose_reader_sleeps_is_bounded() -> None:
    port, arrived = TcpPort("127.0.0.1", 0), asyncio.Event()
    async with port:
        host, _, number = port.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(number), limit=1)
        port.on_data = lambda _: arrived.set()
        writer.write(b"x")
        await arrived.wait()
        for _ in range(20_000):
            port.send(b"x" * 1_000, droppable=True)
        assert 0 < len(port._outbox) <= LIMIT
        writer.close()
        await writer.wait_closed()
        del reader


async def test_a_path_that_is_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(PortRefusedError, match="precious exists and is no symbolic link; name another path or remove it"):
        async with PtyPort(path):
            pass
    assert path.read_text() == "data"


async def test_a_link_of_an_earlier_run_is_replaced_and_a_later_ones_kept(tmp_path: Path) -> None:
    path = tmp_path / "board"
    path.symlink_to("/dev/pts/none-such")
    async with PtyPort(path) as port:
        assert path.readlink() != Path("/dev/pts/none-such")
        assert port.address == str(path)
        path.unlink()
        path.symlink_to("/dev/null")  # somebody else's now
    assert path.readlink() == Path("/dev/null")


async def test_a_folder_that_is_missing_is_an_error_and_leaks_nothing(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        async with PtyPort(tmp_path / "none" / "board"):
            pass
    assert set(os.listdir("/proc/self/fd")) == before
