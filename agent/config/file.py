"""The file that an agent runs with, the copy of the last one that worked, and one that the platform has sent.

What the platform sent stands beside the copy. It holds until somebody at the gateway changes the file itself: it ends with the
hash of the file that it stands for, and the newest change wins. Where it was damaged, or does not work any more, the file holds
again, and the log says so.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path

from agent import config
from agent.config.settings import Settings
from agent.errors import ConfigError

log = logging.getLogger(__name__)

_MARK = re.compile(rb"\n# in the place of ([0-9a-f]{64}), whole as ([0-9a-f]{64})\n\Z")


class ConfigurationFile:
    """`good` is where a copy of each configuration is kept that the agent has run with; without it none is kept."""

    def __init__(self, path: Path, good: Path | None = None) -> None:
        self.path, self.good = path, good
        self.mistakes: tuple[str, ...] = ()
        """Why the last good one runs instead of the file; empty when the file itself does."""
        self._text = b""
        self.received = good.with_name("received.yaml") if good is not None else None
        """What the platform sent last."""

    def read(self) -> Settings:
        """What holds now: the file, or what the platform sent in its place. Raises ConfigError with every mistake."""
        settings = self._received() if self.received is not None else None
        if settings is None:
            settings = config.load(self.path)
            self._text = self.path.read_bytes()
        self.mistakes = ()
        return settings

    def _received(self) -> Settings | None:
        """The settings that the platform sent in the place of the file as it is now; None where the file holds."""
        assert self.received is not None
        try:
            text = self.received.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("%s: %s; what the platform sent is lost, and %s holds", self.received, error.strerror, self.path)  # noqa: TRY400
            return None
        mark = _MARK.search(text)
        if mark is None or mark[2] != _sha256(text[: mark.start()]):
            log.error("%s was damaged; what the platform sent is lost, and %s holds", self.received, self.path)
            return None
        if not self.path.exists() or mark[1] != _sha256(self.path.read_bytes()):
            return None
        try:
            settings = config.load(self.received)
        except ConfigError as error:
            for mistake in error.mistakes:
                log.error("what the platform sent does not work any more, and %s holds: %s", self.path, mistake)  # noqa: TRY400
            return None
        self._text = text
        return settings

    def draft(self, text: str) -> tuple[Settings, Path]:
        """The settings of a text that the platform has sent, and where it waits. Raises ConfigError with every mistake."""
        if self.received is None:
            raise ConfigError(["this agent keeps no other configuration than its file; run it with --good FILE"])
        waiting = self.received.with_name(self.received.name + ".new")
        try:
            _write(waiting, text.encode())
        except OSError as error:
            raise ConfigError([f"{waiting}: {error.strerror}; the configuration cannot be kept"]) from error
        try:
            return config.load(waiting), waiting
        except ConfigError as error:
            waiting.unlink(missing_ok=True)
            raise ConfigError([mistake.replace(f"{waiting}:", "configuration:") for mistake in error.mistakes]) from None

    def adopt(self, waiting: Path) -> None:
        """What waits is what runs now, and after a restart too. Raises OSError when it cannot be kept for that."""
        assert self.received is not None
        sent = waiting.read_bytes()
        text = b"%b\n# in the place of %b, whole as %b\n" % (sent, _sha256(self.path.read_bytes()), _sha256(sent))
        _write(waiting, text)
        waiting.replace(self.received)
        self._text = text
        self.mistakes = ()

    def read_or_last_good(self) -> Settings:
        """What the file says, or the copy of the last that worked when it is broken. Raises ConfigError when both are."""
        try:
            return self.read()
        except ConfigError as error:
            if self.good is None or not self.good.exists():
                raise
            settings = config.load(self.good)
            self.mistakes = error.mistakes
            return settings

    def worked(self) -> None:
        """The agent runs with what was read: keep a copy, whole or not at all. Raises OSError."""
        if self.good is None or self.mistakes or not self._text:
            return
        if self.good.exists() and self.good.read_bytes() == self._text:
            return  # an agent that restarts writes nothing
        draft = self.good.with_name(self.good.name + ".new")
        _write(draft, self._text)
        draft.replace(self.good)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
