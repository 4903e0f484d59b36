"""The command line: what it prints, what it refuses and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import serial

from agent.wire.board import Decoder, FrameType
from firmware_sim.__main__ import main
from firmware_sim.demand import SHIPPED
from firmware_sim.options import duration
from firmware_sim.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0  # s; a guard against hanging, never reached


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "firmware_sim", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE, check=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_the_same_seed_prints_the_same_bytes() -> None:
    first, second = (
        run("--scenario", "black_box", "--seed", "1", "--hexdump"),
        run("--scenario", "black_box", "--seed", "1", "--hexdump"),
    )
    assert first.returncode == 0
    assert first.stdout == second.stdout
    other = run("--scenario", "black_box", "--seed", "2", "--hexdump")
    assert other.stdout != first.stdout
    decoder = Decoder()
    kinds = []
    for text in first.stdout.splitlines():
        moment, kind, data = text.split()
        (frame,) = decoder.feed(bytes.fromhex(data))
        assert frame.type.name == kind
        assert moment.startswith("2025-03-12T22:0")
        kinds.append(kind)
    assert kinds.count("READING") == 61
    assert kinds.count("HEARTBEAT") == 12
    assert kinds[0] == "HELLO"


def test_hexdump_after_a_skip_shows_the_attack(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scenario", "black_box", "--hexdump", "--skip", "4h10m"]) == 0
    events = [text for text in capsys.readouterr().out.splitlines() if " EVENT " in text]
    assert "6f70656e" in events[0]  # "open"
    assert len({text.split()[2] for text in events}) == 1  # nobody answers, so it comes again, the same


def test_the_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [text.split()[0] for text in lines] == list(SCENARIOS)
    assert main(["--list", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in shown] == list(SCENARIOS)
    assert next(one for one in shown if one["name"] == "black_box")["settings"] == {"at": "02:10", "presents": 15, "gap_s": 40.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --pty PATH or --tcp HOST:PORT"),
        (["--pty", "a", "--tcp", "h:1"], "give either --pty PATH or --tcp HOST:PORT"),
        (["--hexdump", "--scenario", "blackbox"], "unknown scenario 'blackbox'; did you mean 'black_box'?"),
        (["--hexdump", "--scenario", "black_box", "--set", "presnts=3"], "did you mean 'presents'?"),
        (["--hexdump", "--set", "presents"], "expected KEY=VALUE such as at=02:10, got 'presents'"),
        (["--hexdump", "--line", "losy"], "unknown line 'losy'; did you mean 'lossy'?"),
        (["--hexdump", "--speed", "0"], "expected a number above 0"),
        (["--hexdump", "--speed", "fast"], "expected a number above 0"),
        (["--hexdump", "--skip", "8 hours"], "expected a duration such as 90s, 10m, 4h10m or 2d, got '8 hours'"),
        (["--hexdump", "--skip", "1w"], "--skip reaches beyond the end of the run"),
        (["--hexdump", "--forever", "--until", "1h"], "--forever and --until contradict each other"),
        (["--hexdump", "--start", "Monday"], "expected a date or time such as 2025-03-10T06:00, got 'Monday'"),
        (["--hexdump", "--start", "0001-01-01"], "choose one after 1970"),
        (["--tcp", "4001"], "expected HOST:PORT such as 127.0.0.1:4001, got '4001'"),
        (["--tcp", "localhost:99999"], "expected HOST:PORT"),
        (["--hexdump", "--demand", "none.csv"], "expected FILE:SERIES such as withdrawals.csv:NN5-063, got 'none.csv'"),
        (["--hexdump", "--demand", "none.csv:A"], "none.csv: cannot be read"),
        (["--hexdump", "--demand", f"{SHIPPED}:NN5-64"], "no series 'NN5-64'; did you mean 'NN5-063'?"),
        (["--hexdump", "--json"], "--json goes with --list"),
        (["--hexdump", "--anchor", "nan"], "expected seconds since 1970 such as 1741564800, got 'nan'"),
        (["--hexdump", "--seed", "one"], "invalid int value: 'one'"),
    ],
)
def test_wrong_usage_gets_status_2_and_a_message_that_helps(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in refused(capsys, *arguments)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5h", 5400), ("4h10m", 15_000), ("2d", 172_800)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_any_demand_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--hexdump", "--demand", f"{SHIPPED}:NN5-063"]) == 0
    given = capsys.readouterr().out
    assert main(["--hexdump"]) == 0
    assert capsys.readouterr().out == given


def test_a_port_that_fails_is_status_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--pty", str(tmp_path / "none" / "board")]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_a_path_that_is_taken_is_status_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "board").write_text("")
    assert main(["--pty", str(tmp_path / "board")]) == 2
    assert "exists and is no symbolic link" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "board"
    with subprocess.Popen(
        command("--pty", str(path), "--speed", "20"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"{path}: normal_week, seed 1, line clean, speed 20;")
        with serial.serial_for_url(str(path), 115_200, timeout=PATIENCE) as port:
            assert port.read(1) == b"\0"
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert not path.is_symlink()


def test_it_ends_with_its_scenario_and_tells_the_truth(tmp_path: Path) -> None:
    """An anchor long past means that all is over already; the labels carry world time and real time."""
    truth = tmp_path / "truth.jsonl"
    done = run(
        "--pty", str(tmp_path / "board"), "--scenario", "black_box", "--speed", "400", "--skip", "4h9m", "--until", "4h20m",
        "--truth", str(truth), "--anchor", "1000",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "it was 2025-03-13T02:09:00+00:00 at 1000.000" in done.stdout
    told = [json.loads(text) for text in truth.read_text().splitlines()]
    assert [(one["what"], one["name"]) for one in told[:2]] == [("begin", "blackBox"), ("seen", "blackBox")]
    assert told[0]["attack"] == "BLACK_BOX"
    assert told[0]["at"] - told[0]["start"] == 0
    assert (told[1]["real"] - told[0]["real"]) * 400 == pytest.approx(told[1]["at"] - told[0]["at"], abs=1)


def test_a_reader_who_leaves_gets_no_traceback() -> None:
    with subprocess.Popen(command("--hexdump"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(PATIENCE)
    assert process.returncode in (0, 1)


def test_two_with_the_same_numbers_say_the_same(tmp_path: Path) -> None:
    """Seed and anchor are all there is: a second run at another time puts the same world on the line."""
    heard = []
    for _ in range(2):
        path = tmp_path / "board"
        with subprocess.Popen(command("--pty", str(path), "--skip", "12h"), stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            process.stdout.readline()
            end = os.open(path, os.O_RDWR | os.O_NOCTTY)
            decoder, frames = Decoder(), []
            while not any(frame.type is FrameType.READING for frame in frames):
                frames += decoder.feed(os.read(end, 4096))
            os.close(end)
            process.terminate()
            process.wait(PATIENCE)
        heard.append(frames[:2])
    assert heard[0] == heard[1]
