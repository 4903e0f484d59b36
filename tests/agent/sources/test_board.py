"""The board driver on a real pty, and its settings."""

from __future__ import annotations

import ast
import asyncio
import random
from contextlib import aclosing
from pathlib import Path

import pytest

import agent.sources
from agent.sources.board import BoardSource, Settings, open_source
from agent.sources.board_link import HELLO
from agent.wire.board import Frame, FrameType, Key, encode

pytestmark = pytest.mark.usefixtures("nothing_leaks")

BOOT = 77


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


def frame(type_, seq, payload, uptime=0):
    return b"\0" + encode(Frame(type_, seq, uptime, {Key.BOOT: BOOT, **payload}))


async def wanted(given, point):
    """The next Given with that point."""
    async with asyncio.timeout(5):
        async for each in given:
            if any(reading.point == point for reading in each.readings):
                return each
    raise AssertionError


async def until_heard(plug, kind):
    """The next frame of that kind that the agent sends."""
    async with asyncio.timeout(5):
        while True:
            for sent in plug.heard():
                if sent.type is kind:
                    return sent
            await asyncio.sleep(0)


async def test_a_board_is_asked_read_and_answered(context, plug):
    source = open_source(context, Settings(port=str(plug.path)))
    source.acknowledge({"boot": BOOT, "seq": 0})  # before there is a line: nobody to tell
    async with aclosing(source.read(None)) as given:
        first = asyncio.ensure_future(wanted(given, "environment.temperature_c"))
        await until_heard(plug, FrameType.HELLO)
        plug.say(frame(FrameType.READING, 0, {Key.VALUES: {25: 21.5}}))
        assert (await first).readings[0].value == 21.5
        plug.say(frame(FrameType.EVENT, 9, {Key.VALUES: {2: "open"}}))
        event = await wanted(given, "auxiliaries.safeDoor")
        assert event.position["seq"] == 9
        source.acknowledge(event.position)
        acked = await until_heard(plug, FrameType.ACK)
        assert (acked.seq, acked.payload) == (9, {Key.BOOT: BOOT})


async def test_acknowledging_while_the_cable_is_out_does_no_harm(context, plug):
    source = BoardSource(context, Settings(port=str(plug.path)), random.Random(1), at_once)
    async with aclosing(source.read(None)) as given:
        first = asyncio.ensure_future(wanted(given, "auxiliaries.safeDoor"))
        await until_heard(plug, FrameType.HELLO)  # what is said before the port is open nobody hears
        plug.say(frame(FrameType.READING, 0, {Key.VALUES: {}}) + frame(FrameType.EVENT, 0, {Key.VALUES: {2: "open"}}))
        event = await first
        plug.unplug()
        while "missing" not in [reading.value for reading in (await wanted(given, "gateway.source.board")).readings]:
            pass
        source.acknowledge(event.position)
        plug.plug()
        back = asyncio.ensure_future(wanted(given, "environment.temperature_c"))
        await until_heard(plug, FrameType.HELLO)
        plug.say(frame(FrameType.EVENT, 0, {Key.VALUES: {2: "open"}}))  # the board has not heard that it is on disk
        assert (await until_heard(plug, FrameType.ACK)).seq == 0
        plug.say(frame(FrameType.READING, 7, {Key.VALUES: {25: 20}}))
        await back


async def test_what_leaves_the_line_is_hello_and_ack_whatever_comes(context, plug):
    """Every byte that reaches the other end of a real line, while it says everything that a board could."""
    source = BoardSource(context, Settings(port=str(plug.path)), random.Random(1), at_once)
    rng = random.Random(5)
    said = b"".join(
        rng.choice(
            (
                rng.randbytes(rng.randrange(60)),
                frame(rng.choice(list(FrameType)), rng.randrange(4), {Key.VALUES: {1: "open"}}, rng.randrange(2**32)),
                b"\0" + encode(Frame(FrameType.HELLO, 0, 0, {})),
                frame(FrameType.HELLO, 0, {Key.SERIAL: "x"}),
            )
        )
        for _ in range(400)
    )
    left = bytearray()
    async with aclosing(source.read(None)) as given:
        first = asyncio.ensure_future(anext(given))
        await until_heard(plug, FrameType.HELLO)
        for start in range(0, len(said), 512):
            plug.say(said[start : start + 512])
        plug.say(b"\0" + frame(FrameType.READING, 0, {Key.VALUES: {1000: 0, 25: 20.0}}))
        each = await first
        while not any(reading.point == "environment.temperature_c" for reading in each.readings):
            if each.position:
                source.acknowledge(each.position)
            left += plug.heard_raw()
            async with asyncio.timeout(5):
                each = await anext(given)
        left += plug.heard_raw()
    for part in bytes(left).replace(HELLO, b"").split(b"\0"):
        if part:
            sent = next(iter(_frames(part)))
            assert sent.type is FrameType.ACK
            assert set(sent.payload) == {Key.BOOT}
            assert sent.uptime == 0


def _frames(part):
    from agent.wire.board import Decoder

    return Decoder().feed(part + b"\0")


WAYS_OUT = ("write", "write_raw", "send", "sendall", "send_str", "send_bytes", "send_json", "writelines")


def test_one_place_writes_to_a_descriptor_and_one_to_a_line():
    """No driver has a way to the line that its allow-list does not stand in."""
    writers = {}
    for path in sorted(Path(agent.sources.__file__).parent.glob("*.py")):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {ast.unparse(each) for each in calls if isinstance(each, ast.Attribute)}
        passed = {
            ast.unparse(each)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            for each in node.args
        }
        found = {name for name in names | passed if name.rpartition(".")[2] in WAYS_OUT}
        if found:
            writers[path.name] = found
    assert writers == {
        "board.py": {"self._line.write"},  # handed to the link, which calls it `send`
        "bus.py": {"self._line.write"},  # handed to the turns, which ask the allow-list of the one whose turn it is
        "exchange.py": {"member.round.send"},  # an answer, to a driver's generator
        "line.py": {"os.write", "self.write_raw", "self._port.write"},
        "xfs4iot.py": {"connection.send_str"},  # after the allow-list, which stands beside it
    }


# Settings ---------------------------------------------------------------------------------------------------------------------


def test_points_of_the_makers_own():
    settings = Settings(port="/dev/ttyUSB0", points={"1000": "auxiliaries.contact.lid", "1001": "storage.unit7.count"})
    assert settings.own == {1000: "auxiliaries.contact.lid", 1001: "storage.unit7.count"}


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"port": "ttyUSB0"}, r"^port: 'ttyUSB0' is no port"),
        ({"baud": 1}, r"^baud: 1 "),
        ({"silent_after": 0.5}, r"^silent_after: expected 1s to 1d"),
        ({"points": {"999": "auxiliaries.contact.lid"}}, r"^points.999: expected a number from 1000 on"),
        ({"points": {"lid": "auxiliaries.contact.lid"}}, r"^points.lid: expected a number"),
        ({"points": {"-1000": "auxiliaries.contact.lid"}}, r"^points.-1000: expected a number"),
        ({"points": {"1000": "auxiliaries.safedoor"}}, r"^points.1000: .*did you mean auxiliaries.safeDoor\?"),
        ({"points": {"1000": "???"}}, r"^points.1000: .*auxiliaries.contact.NAME"),
        ({"points": {"1000": "link.host", "1001": "link.host"}}, r"^points.1001: link.host already has the number 1000"),
    ],
)
def test_mistakes_name_the_key_and_what_would_be_right(settings, mistake):
    with pytest.raises(ValueError, match=mistake):
        Settings(**{"port": "/dev/ttyUSB0", **settings})
