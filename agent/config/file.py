"""The file that an agent runs with, the copy of the last one that worked, and one that the platform has sent.

What the platform sent stands beside the copy. It holds until somebody at the gateway changes the file itself: it ends with the
hash of the file that it stands for, and the newest change wins.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from agent import config
from agent.config.settings import Settings
from agent.errors import ConfigError


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
        path = self.received if self.received is not None and self._stands_for_the_file(self.received) else self.path
        settings = config.load(path)
        self._text = path.read_bytes()
        self.mistakes = ()
        return settings

    def _stands_for_the_file(self, received: Path) -> bool:
        try:
            return received.read_bytes().endswith(self._mark())
        except OSError:
            return False

    def _mark(self) -> bytes:
        """A comment: in the place of the file as it is now."""
        return b"\n# in the place of %b\n" % hashlib.sha256(self.path.read_bytes()).hexdigest().encode()

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
        """What waits is what runs now, and after a restart too."""
        assert self.received is not None
        _write(waiting, waiting.read_bytes() + self._mark())
        waiting.replace(self.received)
        self._text = self.received.read_bytes()
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


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
