"""OSCORE (RFC 8613) at the gateway's end: each request is protected from end to end, each response proved.

What a server says without protection is no acknowledgement and condemns no envelope: anybody on the way could say it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiocoap import oscore

from agent.errors import ConfigError, Unreachable
from agent.oscore import close_context, open_context
from agent.uplinks import Refused


class Security:
    """One security context, this process's alone from `open` to `close`."""

    def __init__(self, context: Any) -> None:
        self._context = context

    @classmethod
    def open(cls, owner: str, directory: Path) -> Security:
        """Read it. Raises ConfigError when it is no context, Unreachable when another process uses it or its disk refuses."""
        try:
            return cls(open_context(directory))
        except ValueError as error:
            raise ConfigError([f"{owner}: oscore: {directory}: {error}"]) from None
        except PermissionError as error:
            raise ConfigError([f"{owner}: oscore: {directory}: {error.strerror}; the agent must read and write there"]) from None
        except OSError as error:
            raise Unreachable(f"oscore: {directory}: {error.strerror or error}") from None

    def close(self) -> None:
        """Let it go. Called once, last."""
        close_context(self._context)

    def protect(self, message: Any) -> tuple[Any, Any]:
        """A request as it goes over the line, and what its response will be checked with. Raises Unreachable."""
        try:
            outer, request_id = self._context.protect(message)
        except OSError as error:
            raise Unreachable(f"oscore: the next sequence numbers cannot be written down: {error.strerror}") from None
        return outer, request_id

    def unprotect(self, response: Any, request_id: Any) -> Any:
        """What the platform itself says. Raises Refused or Unreachable for what anybody on the way may have said."""
        if response.opt.oscore is None:
            said = " ".join(f"{response.code.dotted} {response.payload[:60].decode(errors='replace')}".split())
            if response.code.dotted in ("4.00", "4.01", "4.02"):  # RFC 8613, 8.2: what a server answers without protection
                raise Refused(f"the platform does not accept our security context ({said}); check `oscore` at both ends")
            raise Unreachable(f"an answer without OSCORE ({said}), which anybody could give; it is not believed")
        try:
            inner, _ = self._context.unprotect(response, request_id)
        except (oscore.NotAProtectedMessage, oscore.ProtectionInvalid):
            raise Unreachable("an answer that our security context does not fit") from None
        return inner
