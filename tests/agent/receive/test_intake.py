"""From bytes to the out file, and what is said on the way."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.encode import ENCODINGS, Undecodable
from agent.receive.intake import Intake
from agent.receive.outfile import OutFile
from agent.records import Envelope
from tests.agent.envelopes import alarm, loss, summary

JSON = ENCODINGS["json"]
ALARMS = ["atm", "gw-1", "alarms"]


class Desk:
    """An intake with its out file, and the lines that it said."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self.path = path
        self.open()

    def open(self) -> None:
        self.out = OutFile(self.path)
        self.intake = Intake(self.out, self.lines.append, lambda: 1_760_000_100.0)

    def take(self, *envelopes: Envelope) -> None:
        self.intake.take(JSON, JSON.encode(envelopes), ["atm", "gw-1", envelopes[0].lane])

    def restart(self) -> None:
        """The same out file, read anew."""
        self.out.close()
        self.open()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "out.jsonl")
    yield made
    made.out.close()


def test_what_is_fresh_is_written_and_what_is_not_is_counted(desk: Desk) -> None:
    desk.take(alarm(1), alarm(2))
    desk.take(alarm(2), alarm(3), alarm(3))
    account = desk.intake.account()
    assert (account.received, account.duplicates, account.missing) == (3, 2, 0)
    assert len(desk.path.read_text().splitlines()) == 3


def test_a_line_is_the_envelope_and_when_it_came(desk: Desk) -> None:
    desk.take(alarm(1))
    (line,) = desk.out.lines()
    assert line.received_at == 1_760_000_100.0
    assert line.body == alarm(1).body
    assert line.position == 1


def test_a_restart_continues_the_account(desk: Desk) -> None:
    desk.take(alarm(1), alarm(2))
    desk.take(alarm(1))
    desk.take(loss(4, "summaries", 1, 9))
    desk.restart()
    desk.take(alarm(2), alarm(5))
    account = desk.intake.account()
    assert (account.received, account.duplicates, account.missing, account.lost) == (4, 1, 1, 9)
    assert [each.position for each in account.alarms] == [1, 2, 5]


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_line_that_was_not_finished_is_cut_off(desk: Desk, cut: int) -> None:
    desk.take(alarm(1), alarm(2))
    os.truncate(desk.path, desk.path.stat().st_size - cut)
    desk.restart()
    desk.take(alarm(2))
    assert desk.intake.account().duplicates == 0
    desk.restart()
    assert desk.intake.account().received == 2


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"my": "notes"}\n')
    out = OutFile(path)
    with pytest.raises(ValueError, match=r"out.jsonl:1: not a received envelope; move the file away"):
        Intake(out, lambda _: None, lambda: 0.0)
    out.close()
    assert path.read_text() == '{"my": "notes"}\n'


def test_two_receivers_cannot_write_to_one_file(desk: Desk) -> None:
    with pytest.raises(BlockingIOError):
        OutFile(desk.path)


def test_what_cannot_be_written_is_not_received(desk: Desk) -> None:
    desk.take(alarm(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (desk.path.stat().st_size + 50, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            desk.take(alarm(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert desk.intake.account().received == 1
    desk.take(alarm(2), alarm(3))  # before the receiver has ended, and not behind half a line
    desk.restart()
    assert (desk.intake.account().received, desk.intake.account().missing) == (3, 0)


@pytest.mark.parametrize("path", ["/dev/full", "/dev/null"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        OutFile(Path(path))


@pytest.mark.parametrize(
    ("payload", "place", "why"),
    [
        (b"garbage", ALARMS, "JSON"),
        (JSON.encode([alarm(1)]), ["atm", "gw-2", "alarms"], "another gateway or lane"),
        (JSON.encode([alarm(1)]), ["atm", "gw-1", "summaries"], "another gateway or lane"),
        (b'{"link":"sideways"}', ["atm", "gw-1", "status"], "not a status"),
        (b"\xff", ["atm", "gw-1", "status"], "not a status"),
    ],
)
def test_what_cannot_be_taken_is_counted_and_said(desk: Desk, payload: bytes, place: list[str], why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        desk.intake.take(JSON, payload, place)
    assert desk.intake.account().undecodable == 1
    assert len(desk.lines) == 1
    assert desk.lines[0].startswith(f"refused {len(payload)} bytes at {'/'.join(place)}: ")


def test_what_is_said(desk: Desk) -> None:
    desk.intake.take(JSON, b'{"link":"up"}', ["atm", "gw-1", "status"])
    desk.take(alarm(1, text="cabinet open\x1b[2J"))
    desk.take(alarm(4))
    desk.take(loss(5, "readings", 7, 9))
    desk.take(summary(1))
    assert desk.lines == [
        "link  atm/gw-1: up",
        "alarm 2025-10-09T08:53:21.000+00:00 ATM-7 black_box SECURITY severity 4 BLACK_BOX cabinet open?[2J",
        "gap   gw-1/alarms: 2 to 3 have not come",
        "alarm 2025-10-09T08:53:24.000+00:00 ATM-7 black_box SECURITY severity 4 BLACK_BOX",
        "loss  gw-1/readings: 7 to 9, 3 of them: evicted",
    ]


def test_a_moment_that_no_calendar_has_is_said_all_the_same(desk: Desk) -> None:
    payload = JSON.encode([alarm(1)]).replace(b'"at":1760000001.0,"rule"', b'"at":1e300,"rule"')
    desk.intake.take(JSON, payload, ALARMS)
    assert "1e+300" in desk.lines[0]
