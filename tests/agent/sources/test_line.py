from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LineLost
from agent.sources import line as line_module
from agent.sources.line import (
    BACKOFF_LEAST,
    BACKOFF_LIMIT,
    MOMENT,
    READ_LIMIT,
    WRITE_LIMIT,
    Line,
    Opened,
    Port,
    Tap,
    backoff,
    open_port,
)
from agent.sources.ports import LineSettings

pytestmark = pytest.mark.usefixtures("nothing_leaks")


async def at_once(_: float) -> None:
    """A back-off that takes one turn of the loop."""
    await asyncio.sleep(0)


async def everything(port: Port, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        while len(data) < size:
            data += await port.read(5)
    return data


@asynccontextmanager
async def opened(port: str) -> AsyncIterator[Port]:
    it = await open_port(LineSettings(port=port))
    try:
        yield it
    finally:
        it.close()


async def test_what_waits_is_read_at_once(plug):
    async with opened(str(plug.path)) as port:
        plug.say(b"\x00\xff\x11\x13abc\r\n" * 50)
        assert await everything(port, 450) == b"\x00\xff\x11\x13abc\r\n" * 50


async def test_nothing_is_read_when_nothing_comes(plug):
    async with opened(str(plug.path)) as port:
        assert await port.read(0.01) == b""


async def test_bytes_that_come_one_by_one_are_read_in_few_goes(plug):
    loop = asyncio.get_running_loop()
    async with opened(str(plug.path)) as port:
        began, chunks = loop.time(), []
        for number in range(100):
            plug.say(bytes((number,)))
            chunks.append(await port.read(0.0))
        while sum(map(len, chunks)) < 100:
            chunks.append(await port.read(5))
        assert b"".join(chunks) == bytes(range(100))
        assert sum(map(bool, chunks)) <= 2 + (loop.time() - began) / MOMENT


async def test_what_is_written_arrives(plug):
    async with opened(str(plug.path)) as port:
        assert port.write(b"\x00hello\xff")
        assert plug.hear(7) == b"\x00hello\xff"


async def test_a_line_that_takes_nothing_is_not_written_to_for_ever(plug):
    async with opened(str(plug.path)) as port:
        taken = 0
        while port.write(b"x" * 512):
            taken += 512
            assert taken < 1_000_000
        assert len(port._unsent) <= WRITE_LIMIT
        received = len(plug.heard_raw())
        while received < taken:
            await asyncio.sleep(0)
            received += len(plug.heard_raw())
        assert received == taken
        assert port.write(b"y")


async def test_a_slow_driver_stops_the_reading_not_the_memory(plug):
    async with opened(str(plug.path)) as port:
        sent = 0
        for _ in range(2000):
            try:
                sent += os.write(plug.master, b"z" * 4096)
            except BlockingIOError:
                if port._waiting > READ_LIMIT:
                    break
            await asyncio.sleep(0)
        assert READ_LIMIT < port._waiting <= READ_LIMIT + line_module.CHUNK
        assert len(await everything(port, sent)) == sent


async def test_an_unplug_is_noticed_at_once_and_what_came_before_is_given(plug):
    async with opened(str(plug.path)) as port:
        plug.say(b"last words")
        await until(lambda: port._chunks)
        plug.unplug()
        assert await port.read(5) == b"last words"
        with pytest.raises(LineLost, match="is gone") as lost:
            await port.read(5)
        assert lost.value.word == "missing"
        assert not port.write(b"anybody?")
        with pytest.raises(LineLost):
            await port.read(5)


async def test_a_gone_port_does_not_keep_the_loop_busy(plug, monkeypatch):
    reads = []
    async with opened(str(plug.path)) as port:
        real = os.read
        monkeypatch.setattr(os, "read", lambda descriptor, size: reads.append(descriptor) or real(descriptor, size))
        plug.unplug()
        with pytest.raises(LineLost):
            await port.read(5)
        for _ in range(50):  # it would be ready in each of these turns
            await asyncio.sleep(0)
        assert reads.count(port._descriptor) == 1


async def test_a_port_that_is_closed_in_a_pause_of_the_reading_is_not_looked_at_again(plug):
    """Its number may belong to another file by then."""
    async with opened(str(plug.path)) as port:
        plug.say(b"x")
        assert await port.read(5) == b"x"
        pause = port._nap
        assert not pause.cancelled()
    assert pause.cancelled()


async def test_a_second_reader_is_refused_and_told_who_has_it(plug):
    async with opened(str(plug.path)):
        with pytest.raises(LineLost, match=rf"in use by .* \(process {os.getpid()}\)") as lost:
            await open_port(LineSettings(port=str(plug.path)))
        assert lost.value.word == "busy"
    async with opened(str(plug.path)):
        pass  # it is free again


async def test_a_missing_port_names_those_that_are_like_it(plug, tmp_path):
    with pytest.raises(LineLost, match=r"ttyUSB1 does not exist.*ttyUSB0") as lost:
        await open_port(LineSettings(port=str(tmp_path / "ttyUSB1")))
    assert lost.value.word == "missing"


@pytest.mark.parametrize("make", [lambda path: path.write_text("text"), lambda path: path.mkdir()])
async def test_what_is_no_serial_port_is_broken(tmp_path, make):
    path = tmp_path / "no-port"
    make(path)
    with pytest.raises(LineLost, match="no-port") as lost:
        await open_port(LineSettings(port=str(path)))
    assert lost.value.word == "broken"


async def test_a_port_that_cannot_turn_an_rs485_transceiver_says_so(plug):
    with pytest.raises(LineLost, match="does not take RS-485 direction") as lost:
        await open_port(LineSettings(port=str(plug.path), rs485=True))
    assert lost.value.word == "broken"


async def test_opening_may_be_given_up_at_any_moment(plug):
    for turns in range(6):
        task = asyncio.ensure_future(open_port(LineSettings(port=str(plug.path))))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            (await task).close()
        await until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("open ")])
        await asyncio.sleep(0)  # what the thread opened is closed on the loop


async def until(true: Callable[[], object]) -> None:
    """Turn the loop until something is the case."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what it waits for is no event of the loop
            await asyncio.sleep(0)


# Device servers ---------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def server(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]) -> AsyncIterator[int]:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(once, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await task


async def test_a_device_server_is_read_and_written(plug):
    del plug

    async def echo(reader, writer):
        writer.write(await reader.readexactly(5))

    async with server(echo) as tcp, opened(f"socket://127.0.0.1:{tcp}") as port:
        assert port.write(b"\xff\x00hi\n")
        assert await everything(port, 5) == b"\xff\x00hi\n"
        with pytest.raises(LineLost, match="is gone"):
            await port.read(5)


async def test_a_device_server_that_vanished_is_asked_for_by_the_kernel():
    async def wait(reader, writer):
        await reader.read()

    async with server(wait) as tcp, opened(f"socket://localhost:{tcp}") as port:
        with socket.socket(fileno=os.dup(port._descriptor)) as connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


async def test_a_device_server_that_is_off_is_missing():
    with socket.create_server(("127.0.0.1", 0)) as free:
        tcp = free.getsockname()[1]
    with pytest.raises(LineLost, match="nothing listens") as lost:
        await open_port(LineSettings(port=f"socket://127.0.0.1:{tcp}"))
    assert lost.value.word == "missing"


async def test_a_host_that_nobody_knows_is_missing():
    with pytest.raises(LineLost, match="unknown to the name service") as lost:
        await open_port(LineSettings(port="socket://no-such-host.invalid:4001"))
    assert lost.value.word == "missing"


async def test_a_server_that_does_not_answer_is_given_up(monkeypatch):
    async def forever(*_):
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "sock_connect", forever)
    monkeypatch.setattr("agent.sources.opening.CONNECT_TIMEOUT", 0.01)
    with pytest.raises(LineLost, match="does not answer"):
        await open_port(LineSettings(port="socket://127.0.0.1:4001"))


# The line, for ever -----------------------------------------------------------------------------------------------------------


async def test_it_is_looked_for_opened_and_opened_again(plug):
    tap = Tap(LineSettings(port=str(plug.path)), random.Random(1), at_once)
    plug.unplug()
    async with asyncio.timeout(5), aclosing(tap.arrivals()) as arrivals:
        lost = await anext(arrivals)
        assert isinstance(lost, LineLost)
        assert lost.word == "missing"
        plug.plug()
        assert await wanted(arrivals, Opened) == Opened(0)
        plug.say(b"one")
        assert await wanted(arrivals, bytes) == b"one"
        plug.unplug()
        assert await wanted(arrivals, LineLost)
        plug.plug()
        assert await wanted(arrivals, Opened) == Opened(1)
        assert tap.reconnects == 1
        plug.say(b"two")
        assert await wanted(arrivals, bytes) == b"two"


async def wanted(arrivals, kind):
    """The next arrival of that kind that says something."""
    async for arrival in arrivals:
        if isinstance(arrival, kind) and arrival != b"":
            return arrival
    raise AssertionError


async def test_a_hundred_replugs_under_changing_names_leave_nothing_behind(plug):
    line = Line(LineSettings(port=str(plug.path)), lambda data: data == b"?", random.Random(7), at_once)
    spare = []  # ptys that are taken in between, so that the adapter comes back as another device
    async with asyncio.timeout(30), aclosing(line.arrivals()) as arrivals:
        for cycle in range(100):
            assert await wanted(arrivals, Opened) == Opened(cycle)
            assert line.write(b"?")
            plug.say(b"%d" % cycle)
            assert await wanted(arrivals, bytes) == b"%d" % cycle
            assert plug.hear(1) == b"?"
            plug.unplug()
            assert (await wanted(arrivals, LineLost)).word == "missing"
            if cycle == 0:
                files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
            assert len(os.listdir("/proc/self/fd")) == files + 2 * len(spare)
            assert threading.active_count() <= threads + 1  # a thread that has opened the port may just be ending
            spare.append(os.openpty())
            if len(spare) > 3:
                for descriptor in spare.pop(0):
                    os.close(descriptor)
            plug.plug()
    for pair in spare:
        for descriptor in pair:
            os.close(descriptor)
    assert len(set(plug.devices)) > 1
    assert line.reconnects == 99


async def test_a_usb_name_follows_its_adapter_to_another_device(plug, monkeypatch):
    def adapters():
        device = str(plug.path.resolve())
        return [SimpleNamespace(device=device, vid=0x0403, pid=0x6001, serial_number="A1")] if plug.path.exists() else []

    monkeypatch.setattr("agent.sources.ports.comports", adapters)
    monkeypatch.setattr("agent.sources.ports.BY_ID", plug.path.parent / "none")
    tap = Tap(LineSettings(port="usb:0403:6001:A1"), random.Random(1), at_once)
    async with asyncio.timeout(5), aclosing(tap.arrivals()) as arrivals:
        assert await wanted(arrivals, Opened)
        plug.unplug()
        assert "usb:0403:6001:A1 is gone" in str(await wanted(arrivals, LineLost))
        assert "no adapter usb:0403:6001:A1 is plugged in" in str(await wanted(arrivals, LineLost))
        plug.plug()
        assert await wanted(arrivals, Opened) == Opened(1)


async def test_back_off_grows_while_nothing_is_heard_and_starts_anew_after(plug, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(line_module, "backoff", lambda failures, _: float(asked.append(failures) or 0))
    tap = Tap(LineSettings(port=str(plug.path)), sleep=at_once)
    async with asyncio.timeout(5), aclosing(tap.arrivals()) as arrivals:
        await wanted(arrivals, Opened)
        for _ in range(3):  # opened, and gone before it said a word
            plug.unplug()
            await wanted(arrivals, LineLost)
            plug.plug()
            await wanted(arrivals, Opened)
        silent = len(asked)
        assert asked == list(range(1, silent + 1))
        plug.say(b"word")
        await wanted(arrivals, bytes)
        plug.unplug()
        await wanted(arrivals, LineLost)
        plug.plug()
        await wanted(arrivals, Opened)
        assert asked[silent] == 1


@given(st.integers(1, 10_000), st.integers())
def test_back_off_is_bounded(failures, seed):
    delay = backoff(failures, random.Random(seed))
    assert BACKOFF_LEAST <= delay <= BACKOFF_LIMIT
    assert backoff(1, random.Random(seed)) <= line_module.BACKOFF_FIRST


def test_a_tap_has_no_way_to_write():
    assert not [name for name in dir(Tap) if any(word in name.lower() for word in ("write", "send", "tell", "put"))]


async def test_a_line_sends_what_is_allowed_and_nothing_else(plug):
    line = Line(LineSettings(port=str(plug.path)), lambda data: data == b"Q1\r", sleep=at_once)
    assert not line.write(b"Q1\r")  # it is not open yet
    async with aclosing(line.arrivals()) as arrivals:
        await wanted(arrivals, Opened)
        assert line.write(b"Q1\r")
        with pytest.raises(ValueError, match="allow-list"):
            line.write(b"S01R0003\r")
        assert line.write(b"Q1\r")
        assert plug.hear(6) == b"Q1\rQ1\r"


async def test_requests_that_the_line_does_not_take_are_counted(plug):
    line = Line(LineSettings(port=str(plug.path)), lambda _: True, sleep=at_once)
    async with aclosing(line.arrivals()) as arrivals:
        await wanted(arrivals, Opened)
        while line.write(b"x" * 1024):
            pass
        assert line.timeouts == 1


async def test_closing_ends_a_wait_in_every_state(plug):
    for plugged in (True, False):
        if not plugged:
            plug.unplug()
        tap = Tap(LineSettings(port=str(plug.path)))  # with the real back-off
        arrivals = tap.arrivals()
        await wanted(arrivals, Opened if plugged else LineLost)
        task = asyncio.ensure_future(wanted(arrivals, bytes))
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(1):
            with pytest.raises(asyncio.CancelledError):
                await task
            await arrivals.aclose()
