"""What this agent raises on purpose, by the reaction that it asks for.

    AgentError
    ├── ConfigError      fix the configuration: exit 78, systemd does not restart
    └── Unavailable      try later: back off, go on
        ├── Unreachable      the platform
        ├── LineLost         a serial line or a device on it
        └── StoreUnavailable the disk

Anything else that is raised is a bug: the agent ends and systemd starts it again.
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; the unit names it in RestartPreventExitStatus


class AgentError(Exception):
    """Anything that this agent raises on purpose."""


class ConfigError(AgentError, ValueError):
    """The configuration cannot be used; `mistakes` says each thing that is wrong and what would be right."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class Unavailable(AgentError, ConnectionError):
    """Something outside does not answer now; the caller backs off and tries again, for ever."""


class Unreachable(Unavailable):
    """The platform did not acknowledge; everything that it did not name is kept."""


class LineLost(Unavailable):
    """A line cannot be opened or is gone. `word` is the state that the agent reports for it."""

    def __init__(self, message: str, word: str = "missing") -> None:
        super().__init__(message)
        self.word = word


class StoreUnavailable(Unavailable):
    """The disk refuses to write: full, read-only or failing."""


class ModelRefused(AgentError, ValueError):
    """A model may not be used; `word` is the state that the agent reports for it.

    The message may quote the file, so it is made one printable line whatever that says.
    """

    def __init__(self, message: str, word: str = "refused") -> None:
        super().__init__("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in message))
        self.word = word
