"""Backups that come in pieces: whole and right, or not there at all; nothing is written outside of the gateway's directory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.encode import ENCODINGS, Undecodable
from agent.receive.files import Files
from agent.receive.intake import Intake
from agent.records import Chunk, Envelope

NAME = "gw-20260102T030405Z.atmbackup"
DATA = hashlib.shake_128(b"backup").digest(20_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
PIECES = [
    Envelope("gw", SHA256[:16], "backup", number + 1, "b", 0.0, 0.0, True,
             Chunk("gw", NAME, offset, len(DATA), SHA256, DATA[offset : offset + 8192]))
    for number, offset in enumerate(range(0, len(DATA), 8192))
]  # fmt: skip


def test_a_file_comes_together_over_restarts_and_duplicates(tmp_path: Path) -> None:
    said: list[str] = []
    for order in ([0], [0, 1], [1, 0, 2], [2]):
        files = Files(tmp_path, said.append)
        for number in order:
            kept = files.take(PIECES[number]).body
            assert isinstance(kept, Chunk)
            assert kept.data == b""
    assert (tmp_path / "gw" / NAME).read_bytes() == DATA
    assert [path.name for path in (tmp_path / "gw").iterdir()] == [NAME]
    assert len(said) == 1
    assert SHA256 in said[0]


def test_a_hole_is_refused_and_a_wrong_file_never_appears(tmp_path: Path) -> None:
    files = Files(tmp_path, print)
    files.take(PIECES[0])
    with pytest.raises(Undecodable, match="send it anew"):
        files.take(PIECES[2])
    files.take(PIECES[1])
    body = PIECES[2].body
    assert isinstance(body, Chunk)
    with pytest.raises(Undecodable, match="is not what its hash says"):
        files.take(replace(PIECES[2], body=replace(body, data=bytes(len(body.data)))))
    assert list((tmp_path / "gw").iterdir()) == []


@pytest.mark.parametrize(
    ("gateway", "changes"),
    [
        ("../gw", {}),
        ("..", {}),
        ("", {}),
        ("gw", {"name": "../../etc/cron.d/x"}),
        ("gw", {"name": ".hidden"}),
        ("gw", {"name": "a/b"}),
        ("gw", {"sha256": "../x"}),
        ("gw", {"offset": -1}),
        ("gw", {"size": 2**40}),
        ("gw", {"size": 10}),
        ("gw", {"data": b""}),
        ("gw", {"data": bytes(2**17)}),
    ],
)
def test_what_no_gateway_sends_is_refused(tmp_path: Path, gateway: str, changes: dict[str, object]) -> None:
    body = replace(PIECES[0].body, **changes)
    with pytest.raises(Undecodable, match="no file of a gateway has"):
        Files(tmp_path / "files", print).take(replace(PIECES[0], gateway=gateway, body=body))
    assert list(tmp_path.iterdir()) == []


def test_the_intake_puts_it_there_and_keeps_account_of_it(tmp_path: Path) -> None:
    lines: list[str] = []
    intake = Intake(None, lines.append, lambda: 0.0, files=Files(tmp_path, lines.append))
    for batch in (PIECES[:2], PIECES[1:], PIECES):
        intake.take(ENCODINGS["cbor"], ENCODINGS["cbor"].encode(batch), ["atm", "gw", "backup"])
    (stream,) = intake.account().streams
    assert (stream.lane, stream.received, stream.missing) == ("backup", 3, 0)
    assert intake.account().duplicates == 4
    assert (tmp_path / "gw" / NAME).read_bytes() == DATA
