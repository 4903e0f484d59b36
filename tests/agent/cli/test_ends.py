"""How a command ends when what it prints is not taken, and when it stands before nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main


@pytest.mark.parametrize(
    ("taker", "status", "said"), [("/dev/full", 1, b"atm-agent: standard output: No space left on device"), ("", 0, b"")]
)
def test_output_that_is_not_taken(taker: str, status: int, said: bytes) -> None:
    """By a disk that is full; by a reader that went away, as `head` does."""
    if taker:
        sink = os.open(taker, os.O_WRONLY)
    else:
        source, sink = os.pipe()
        os.close(source)
    words = [sys.executable, "-m", "agent", "config", "schema"]
    told = subprocess.run(words, stdout=sink, stderr=subprocess.PIPE, check=False)
    os.close(sink)
    assert (told.returncode, told.stderr[: len(said) or None], told.stderr.count(b"\n")) == (status, said, bool(said))


def test_a_backup_that_is_not_there_is_told_before_anybody_types_a_passphrase(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(tmp_path / "none"), str(tmp_path / "config.yaml")]) == 1
    assert capsys.readouterr().err == f"atm-agent: {tmp_path}/none: there is no such file; name one that atm-agent backup wrote\n"
