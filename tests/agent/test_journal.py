"""What the journal gets: one datagram an event, in its own protocol, and never card data."""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from agent import journal
from agent.stages.guard import REMOVED


def parsed(data: bytes) -> dict[str, str]:
    """A datagram of the native protocol, read as its description says."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
            data = rest
        else:
            size = struct.unpack("<Q", rest[:8])[0]
            name, value, data = line, rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
    return fields


def record(message: str, *arguments: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("agent.forward", level, "/agent/forward.py", 7, message, arguments, None, "says")


def test_fields_of_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "root", logging.RootLogger(logging.WARNING))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "socket"))
        journald.settimeout(10)
        handler = journal.JournalHandler(tmp_path / "socket")
        logging.basicConfig(handlers=[handler])  # as `run` does
        handler.handle(record("uplink %s: %s", "platform", "down:\nno route"))
        fields = parsed(journald.recv(65536))
        handler.close()
    assert fields["MESSAGE"] == "uplink platform: down:\nno route"
    assert fields["ATM_EVENT"] == "uplink %s: %s"
    assert (fields["PRIORITY"], fields["ATM_LOGGER"], fields["CODE_LINE"]) == ("4", "agent.forward", "7")


def test_a_journal_that_is_away_costs_the_line_alone(tmp_path: Path) -> None:
    handler = journal.JournalHandler(tmp_path / "none")
    handler.handle(record("hello"))
    handler.close()


def test_a_long_line_is_cut() -> None:
    assert len(parsed(journal.entry(record("x"), "y" * 100_000))["MESSAGE"]) == journal.LIMIT


@pytest.mark.parametrize("message", ["card 4111 1111 1111 1111 seen", ";4111111111111111=2512", "pin_block 0123456789ABCDEF"])
def test_card_data_never_gets_into_the_log(message: str) -> None:
    told = record("device says %s", message)
    assert journal.Scrub().filter(told)
    assert told.getMessage() == REMOVED
    harmless = record("position %d of %s", 1234567890123, "serial:4111111111111111")
    assert journal.Scrub().filter(harmless)


def test_card_data_never_gets_into_the_log_by_an_error_that_quotes_it() -> None:
    try:
        int("4111 1111 1111 1111")
    except ValueError:
        told = record("a bug")
        told.exc_info = sys.exc_info()
    assert journal.Scrub().filter(told)
    assert "4111" not in logging.Formatter().format(told)


def test_standard_error_is_used_unless_it_is_the_journal() -> None:
    assert isinstance(journal.handler({}), logging.StreamHandler)
    assert isinstance(journal.handler({"JOURNAL_STREAM": "1:2"}), logging.StreamHandler)
    assert os.fstat(sys.stderr.fileno())
