"""`atm-agent probe`: who answers, and what to do about the others."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import tty
from pathlib import Path

import pytest

from agent import cli
from agent.records import Reading
from agent.stages.session import Recorder
from agent.wire.board import Decoder, Frame, FrameType, Key, encode

HEAD = "gateway: {id: gw-1}\nmachines: [{id: atm-1}]\nsources:\n"


@pytest.fixture
def configured(tmp_path: Path):
    def write(*sources: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(HEAD + "".join(f"  - {{machine: atm-1, {source}}}\n" for source in sources))
        return str(path)

    return write


@pytest.fixture
def played(tmp_path: Path) -> Path:
    recorder = Recorder("atm-7")
    lines = [recorder.head, *recorder.lines([Reading("atm-7", "auxiliaries.safeDoor", "open", 1_741_831_800.0)])]
    (tmp_path / "played.jsonl").write_bytes(b"\n".join(lines))
    return tmp_path / "played.jsonl"


@pytest.fixture
def pair():
    master, slave = os.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    yield master, slave
    os.close(master)
    os.close(slave)


def probed(capsys, *arguments: str) -> tuple[int, str, str]:
    status = cli.main(["probe", *arguments])
    return status, *capsys.readouterr()


def a_board(master: int) -> None:
    """Answers a HELLO, then says one thing."""
    decoder = Decoder()
    while not any(frame.type is FrameType.HELLO for frame in decoder.feed(os.read(master, 1000))):
        pass
    payload = {Key.BOOT: 7, Key.SERIAL: "B-1", Key.FIRMWARE: "2.0", Key.POINTS: [25], Key.HEARTBEAT: 5}
    os.write(master, encode(Frame(FrameType.HELLO, 0, 10, payload)))
    os.write(master, encode(Frame(FrameType.READING, 1, 11, {Key.BOOT: 7, Key.VALUES: {25: 20.5}})))


def test_a_board_says_who_it_is(configured, pair, capsys):
    master, slave = pair
    talking = threading.Thread(target=a_board, args=(master,))
    talking.start()
    config = configured(f"name: board, kind: board, port: {os.ttyname(slave)}")
    status, out, _ = probed(capsys, config, "--json")
    talking.join()
    (found,) = json.loads(out)["sources"]
    assert status == 0
    assert (found["state"], found["identity"]) == ("ok", "board B-1, firmware 2.0")
    assert found["points"] == {"environment.temperature_c": 20.5}
    assert 0.0 < found["round_trip_s"] < 5.0


def test_each_failure_says_what_to_do(configured, pair, played, capsys):
    _, slave = pair
    fcntl.flock(slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
    config = configured(
        f"name: held, kind: board, port: {os.ttyname(slave)}",
        "name: gone, kind: id003, port: /dev/ttyNONE9",
        "name: services, kind: xfs4iot, url: 'ws://127.0.0.1:9'",
        f"name: played, kind: replay, file: {played}, repeat: true",
    )
    status, out, err = probed(capsys, config)
    assert (status, err) == (1, "")
    assert f"held: busy: {os.ttyname(slave)} is in use by" in out
    assert f"(process {os.getpid()})" in out
    assert "gone: missing: /dev/ttyNONE9 does not exist" in out
    assert "services: missing: nothing listens at ws://127.0.0.1:9" in out
    assert "a session of atm-7" in out
    assert probed(capsys, config, "--source", "played")[0] == 0


def test_silence_says_which_settings_to_check(configured, pair, capsys):
    _, slave = pair
    config = configured(f"name: notes, kind: ebds, port: {os.ttyname(slave)}, silent_after: 1s")
    status, out, _ = probed(capsys, config, "--wait", "1500ms")
    assert status == 1
    assert "notes: silent: nothing comes: check the device's power" in out
    config = configured(f"name: notes, kind: ebds, port: {os.ttyname(slave)}")
    assert (
        "nothing intact came within 0.2 s: check the device's power, the cable, and the line's speed"
        in probed(capsys, config, "--wait", "200ms")[1]
    )


def test_mistakes_are_those_of_the_configuration(configured, capsys):
    assert probed(capsys, configured("name: notes, kind: ebds"))[0] == 78
    assert probed(capsys, configured("name: notes, kind: ebds, port: /dev/ttyUSB0"), "--source", "nodes")[0] == 78


def test_a_mistake_that_only_the_opening_shows_hides_nothing_of_the_others(configured, played, capsys):
    status, out, err = probed(
        capsys,
        configured(
            "name: own, kind: xfs4iot, url: 'wss://atm', ca: /none.pem",
            "name: pins, kind: gpio, pin_factory: mock, contacts: [{pin: 60, point: auxiliaries.safeDoor}], "
            "loops: [{channel: 2, point: auxiliaries.cabinetDoor}]",
            f"name: played, kind: replay, file: {played}, repeat: true",
        ),
    )
    assert (status, err) == (78, "")
    assert "own: broken: ca: /none.pem: No such file" in out
    assert "pins 60; mcp3008 2" in out
    assert "pins: broken: contacts: pin 60 (auxiliaries.safeDoor): this board has no such line" in out
    assert "a session of atm-7" in out
