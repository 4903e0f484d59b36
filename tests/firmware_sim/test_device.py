"""A device of its own on a pty or a socket: the command, the conversation, and wrong settings."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import aclosing
from math import inf
from pathlib import Path
from typing import Any

import pytest

from agent.sources import Context
from agent.sources.bus import PolledSource
from agent.sources.ups import Settings, Ups
from firmware_sim.__main__ import main
from firmware_sim.conversation import Conversation, Said
from firmware_sim.options import Options, read
from firmware_sim.twins import TWINS, Out, controller, twin
from firmware_sim.uart import Shape
from firmware_sim.world import World

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TWINS)
def test_every_twin_can_be_made_and_takes_whatever_comes(name: str) -> None:
    world = World("normal_week", seed=5)
    for made in (twin(name, world), controller(name, world)):
        if made is None:
            continue
        now = 1_795_637_657.0  # the real clock's
        for chunk in (b"", b"\x00", bytes(range(256)) * 4, b"\r\n*+" * 300, b"\xff" * 3000):
            for out in (made.on_bytes(chunk, now), made.tick(now)):
                assert all(delay >= 0.0 and isinstance(data, bytes) for delay, data in out)
            now += 1.0
        assert made.next_at > 0.0


@pytest.mark.parametrize("name", TWINS)
def test_the_same_seed_says_the_same(name: str) -> None:
    def said() -> list[Out]:
        made = twin(name, World("normal_week", seed=5))
        return [made.tick(now) for now in (0.0, 1.0, 2.0) if now >= made.next_at]

    assert said() == said()


class Clock:
    """Says the number of its turn, every second."""

    shape = Shape(9_600)

    def __init__(self, every: float, delay: float) -> None:
        self.next_at = 0.0 if every < inf else inf
        self.heard: list[tuple[float, bytes]] = []
        self._every, self._delay = every, delay

    def on_bytes(self, data: bytes, now: float) -> Out:
        self.heard.append((now, data))
        return [(self._delay, data.upper())] if self._every == inf else []

    def tick(self, now: float) -> Out:
        self.next_at = now + self._every
        return [(0.0, b"ask")]


def test_a_tapped_line_hears_both_and_is_heard_by_neither() -> None:
    device, host = Clock(inf, 0.25), Clock(1.0, 0.0)
    line = Conversation(device, host)
    assert line.tick(0.0) == [Said(0.0, "host", b"ask")]
    assert line.next_at == 0.25
    assert line.tick(0.25) == [Said(0.0, "device", b"ASK")]
    assert line.on_bytes(b"let me in", 0.5) == []
    assert line.unheard == 9
    assert line.tick(1.0) == [Said(0.0, "host", b"ask")]
    assert host.heard == [(0.25, b"ASK")]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "upz"), "unknown device 'upz'; did you mean 'ups'?"),
        (("--tapped",), "go with --device"),
        (("--device", "ups", "--host-pty", "/tmp/x"), "--host-pty goes with --tapped"),
    ],
)
def test_what_cannot_be_served_is_refused(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(capsys, "--pty", "/tmp/never", *arguments)


@pytest.mark.parametrize("device", ["ccnet", "ebds", "id003"])
def test_what_no_gateway_may_ask_comes_with_its_controller(device: str) -> None:
    found = read(["--device", device, "--pty", "/tmp/never"])
    assert isinstance(found, Options)
    assert found.tapped


def test_a_device_that_nobody_masters_has_no_conversation(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--device", "ups", "--pty", str(tmp_path / "ups"), "--tapped"]) == 2
    assert "nobody masters the line of ups" in capsys.readouterr().err


async def state(path: Path, wanted: str, **settings: Any) -> None:
    """Until the source says so."""
    line = Settings(port=str(path), every=0.5, **settings)
    source = PolledSource(Context("u", "atm-1", "gw-1", lambda: 0.0), line, Ups(line))
    async with asyncio.timeout(20), aclosing(source.read(None)) as given:
        async for each in given:
            if any(reading.point == "gateway.source.u" and reading.value == wanted for reading in each.readings):
                return


async def test_the_command_serves_a_ups_and_a_wrong_speed_hears_garbage(tmp_path: Path) -> None:
    path = tmp_path / "ups"
    command = [sys.executable, "-m", "firmware_sim", "--device", "ups", "--pty", str(path), "--seed", "2"]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)  # noqa: ASYNC220  it is another program
    assert served.stdout is not None
    assert f"{path}: ups, normal_week, seed 2" in served.stdout.readline()
    try:
        await state(path, "ok")
        await state(path, "silent", baud=9_600)
        await state(path, "ok")
    finally:
        served.send_signal(signal.SIGTERM)
        assert served.wait(20) == 0
        served.stdout.close()
    assert not path.exists()
