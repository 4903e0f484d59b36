"""What a device or a broker says reaches a terminal as text alone."""

from __future__ import annotations

from typing import Any

import pytest

from agent.cli import status

EVIL = "x\x1b]0;owned\x07\x1b[2J [/bold] [red]y"


def test_neither_markup_nor_control_sequences_are_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    leg = {"leg": "uplink", "name": EVIL, "state": "down", "since": None, "numbers": {}, "why": EVIL, "good": False}
    told: dict[str, Any] = dict.fromkeys(("configuration", "backlog", "made", "card", "rss_mb", "cpu_s"), EVIL)
    status._table({"gateway": EVIL, "at": 1.0, **told, "legs": [leg], "points": {EVIL: {EVIL: EVIL}}}, clear=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[/bold]" in out
