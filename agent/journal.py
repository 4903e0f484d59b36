"""The log: one line an event, with fields for the journal (systemd.journal-fields(7)); what looks like card data never gets in.

A field besides the usual ones: ATM_EVENT, the message without its values, so that `journalctl ATM_EVENT="…"` finds every event of
a kind; ATM_LOGGER, the part of the agent that says it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from agent.stages.guard import REMOVED, looks_like_card_data

SOCKET = Path("/run/systemd/journal/socket")
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}  # syslog(3)
LIMIT = 16 * 1024  # bytes of one message; a datagram takes some more


class Scrub(logging.Filter):
    """The last lock before the log. It changes the record, so that every handler behind it is safe."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: the line stays, what it must not say does not."""
        said = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:  # an error may quote what it stumbled over
            said = "\n".join((said, *traceback.format_exception(record.exc_info[1])))
        if looks_like_card_data(said):
            record.msg, record.args, record.exc_info, record.exc_text = REMOVED, None, None, None
        return True


class JournalHandler(logging.Handler):
    """Writes to the journal's own socket. A journal that is away costs the line, never the agent."""

    def __init__(self, path: Path = SOCKET) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))  # basicConfig gives its own to whoever has none
        self._path = str(path)
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one datagram."""
        with contextlib.suppress(OSError):
            self._channel.sendto(entry(record, self.format(record)), self._path)

    def close(self) -> None:
        """Let go of the socket."""
        self._channel.close()
        super().close()


def entry(record: logging.LogRecord, message: str) -> bytes:
    """The datagram of one record (systemd's Native Journal Protocol)."""
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(PRIORITIES.get(record.levelno, 6)),
        "SYSLOG_IDENTIFIER": "atm-agent",
        "ATM_LOGGER": record.name,
        "ATM_EVENT": str(record.msg),
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        "THREAD_NAME": record.threadName or "",
    }
    return b"".join(_field(name, text.encode(errors="replace")[:LIMIT]) for name, text in fields.items())


def _field(name: str, value: bytes) -> bytes:
    """A value of more than one line has its length before it."""
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def handler(environment: Mapping[str, str] = os.environ) -> logging.Handler:
    """The journal where standard error already goes there (JOURNAL_STREAM names it), else standard error."""
    status = os.fstat(sys.stderr.fileno())
    if environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}" and SOCKET.exists():
        return JournalHandler()
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    return stream
