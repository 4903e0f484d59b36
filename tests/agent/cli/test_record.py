"""`atm-agent record`: what the sources say, into a file that can be replayed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tty
from pathlib import Path

import pytest

from agent import cli
from agent.cli.record import Session
from agent.errors import AgentError
from agent.records import Reading
from agent.stages import session
from agent.stages.session import Recorder
from agent.wire.board import Decoder, Frame, FrameType, Key, encode

THEN = 1_741_831_800.0
CONFIG = """
gateway: {{id: gw-1}}
machines: [{{id: atm-1}}]
sources:
  - {{name: played, kind: replay, machine: atm-1, file: {file}, speed: {speed}, repeat: {repeat}}}
"""


@pytest.fixture
def played(tmp_path: Path) -> Path:
    recorder = Recorder("old")
    moments = [
        [Reading("old", "auxiliaries.cabinetDoor", word, THEN + at)] for at, word in ((0, "locked"), (2, "open"), (5, "closed"))
    ]
    lines = [recorder.head, *(line for moment in moments for line in recorder.lines(moment))]
    (tmp_path / "played.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return tmp_path / "played.jsonl"


def configured(tmp_path: Path, played: Path, speed: float = 100.0, repeat: str = "false") -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(file=played, speed=speed, repeat=repeat))
    return path


def words(path: Path) -> list[object]:
    with path.open("rb") as file:
        return [each.value for moment in session.read(file) for each in moment if each.point == "auxiliaries.cabinetDoor"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "agent", "record", *map(str, arguments)]


def test_what_was_played_is_recorded_and_replays(tmp_path, played, capsys):
    config, out = configured(tmp_path, played), tmp_path / "out.jsonl"
    done = subprocess.run(
        command(config, "--out", out, "--for", "1s", "--note", "a door"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert "ended after its time" in done.stdout
    assert words(out) == ["locked", "open", "closed"]
    assert json.loads(out.read_text().splitlines()[0]) == {"session": 1, "machine": "atm-1", "note": "a door"}
    assert cli.main(["replay", str(out), "--json"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path, played, number):
    config = configured(tmp_path, played, repeat="true")
    running = subprocess.Popen(command(config, "--out", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    lines = [running.stdout.readline() for _ in range(3)]
    running.send_signal(number)
    rest, told = running.communicate(timeout=60)
    assert running.returncode == 0, told
    assert "ended by a signal" in told
    assert "Traceback" not in told
    for line in (*lines, *rest.splitlines()):
        json.loads(line)


def test_it_ends_at_its_limit_with_whole_lines(tmp_path, played):
    config, out = configured(tmp_path, played, speed=10_000.0, repeat="true"), tmp_path / "out.jsonl"
    done = subprocess.run(
        command(config, "--out", out, "--limit", "700B"), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "ended at its limit" in done.stdout
    assert 350 < out.stat().st_size <= 700
    assert words(out)[:3] == ["locked", "open", "closed"]


def test_a_file_that_is_there_is_left_alone(tmp_path, played, capsys):
    assert cli.main(["record", str(configured(tmp_path, played)), "--out", str(played)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert words(played) == ["locked", "open", "closed"]


def test_what_cannot_be_written_is_one_line(tmp_path, played, capsys):
    config = configured(tmp_path, played)
    assert cli.main(["record", str(config), "--out", str(tmp_path / "no" / "where")]) == 1
    assert capsys.readouterr().err == f"atm-agent: {tmp_path}/no/where: cannot be written: No such file or directory\n"


def test_a_full_disk_is_one_line():
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(AgentError, match="out: cannot be written: No space left"):
        Session(full, "out", Recorder("atm-1"), 1000)


def test_sources_that_are_not_there_are_a_mistake(tmp_path, played, capsys):
    config = configured(tmp_path, played)
    assert cli.main(["record", str(config), "--out", str(tmp_path / "o"), "--source", "plaid"]) == 78
    assert "no source is called 'plaid'; there are played" in capsys.readouterr().err
    config.write_text("gateway: {id: gw-1}\nmachines: [{id: atm-1}]\n")
    assert cli.main(["record", str(config), "--out", str(tmp_path / "o")]) == 78
    assert "no source is configured" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_an_event_is_acknowledged_once_it_is_in_the_file(tmp_path):
    master, slave = os.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    config, out = tmp_path / "config.yaml", tmp_path / "out.jsonl"
    line = f"{{name: board, kind: board, machine: atm-1, port: {os.ttyname(slave)}}}"
    config.write_text(f"gateway: {{id: gw-1}}\nmachines: [{{id: atm-1}}]\nsources: [{line}]\n")
    running = subprocess.Popen(command(config, "--out", out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    decoder, heard = Decoder(), []
    try:
        while not any(frame.type is FrameType.ACK for frame in heard):
            if any(frame.type is FrameType.HELLO for frame in heard):
                os.write(master, encode(Frame(FrameType.HEARTBEAT, 1, 1000, {Key.BOOT: 7})))
                os.write(master, encode(Frame(FrameType.EVENT, 1, 900, {Key.BOOT: 7, Key.VALUES: {1: "open"}})))
            assert select.select([master], [], [], 60)[0]
            heard += decoder.feed(os.read(master, 4096))
        assert words(out) == ["open"]
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
        os.close(master)
        os.close(slave)
    assert running.returncode == 0
