"""The file that an agent runs with, and the copy of the last one that worked."""

from __future__ import annotations

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

    def read(self) -> Settings:
        """What the file says now. Raises ConfigError with every mistake."""
        settings = config.load(self.path)
        self._text = self.path.read_bytes()
        self.mistakes = ()
        return settings

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
        with draft.open("wb") as file:
            file.write(self._text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.good)
