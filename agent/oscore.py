"""Security contexts for OSCORE (RFC 8613) as directories, for both ends: read, used by one process, put away.

The form is aiocoap's: `settings.json` and `secret.json`, which somebody writes once, and `sequence.json`, which is kept here.
Sequence numbers are claimed in steps before they are used (appendix B.1.1), so that a kill never makes one come twice.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import filelock
from aiocoap import oscore

NEEDED = ("sender-id", "recipient-id", "secret")
LONGEST_ID = 7  # bytes: what the nonce of the usual algorithm leaves (RFC 8613, 3.3)
MAX_FILE = 64 * 1024  # bytes


class InUse(OSError):
    """Another process has the context."""


def open_context(directory: Path) -> Any:
    """aiocoap's security context. Raises ValueError("what is wrong; what would be right"), InUse, or OSError as a disk does."""
    if not directory.is_dir():  # whoever locks a file in it would make it
        raise ValueError("no such directory; expected one that holds a security context")
    _check(directory)
    try:
        return oscore.FilesystemSecurityContext(str(directory))
    except filelock.Timeout:
        raise InUse("another process uses it; each needs a context of its own") from None


def _check(directory: Path) -> None:
    """Before aiocoap reads it: what fails halfway there cannot be let go of."""
    said: dict[str, str] = {}
    for name in ("settings.json", "secret.json", "sequence.json"):
        path = directory / name
        try:
            with path.open("rb") as file:
                found = json.loads(file.read(MAX_FILE))
        except FileNotFoundError:
            continue
        except (ValueError, RecursionError):
            raise ValueError(f"{name}: it is no JSON; write it as docs/platform-link.md shows") from None
        if not isinstance(found, dict):
            raise ValueError(f"{name}: expected an object")  # noqa: TRY004  the file is wrong, not the call
        said |= {key: value for key, value in found.items() if name != "sequence.json"}
        if name == "sequence.json" and not isinstance(found.get("next-to-send"), int):
            raise ValueError(f"{name}: it is damaged; give both ends a new context, an old number must never come again")
    for key in NEEDED:
        _check_bytes(key, said)
    for key in NEEDED[:2]:
        if len(said[f"{key}_hex"]) > 2 * LONGEST_ID:
            raise ValueError(f"{key}_hex: longer than {LONGEST_ID} bytes")


def _check_bytes(key: str, said: dict[str, Any]) -> None:
    try:
        bytes.fromhex(said.get(f"{key}_hex", "none"))
    except (TypeError, ValueError):
        raise ValueError(f"{key}_hex: expected bytes in hexadecimal, in settings.json or secret.json") from None


def close_context(context: Any) -> None:
    """Write down what is next, and let it go. When the disk refuses, some sequence numbers are skipped the next time."""
    with contextlib.suppress(OSError):
        context._destroy()  # noqa: SLF001  what its __del__ does, at a time that we know
    if context.lockfile is not None:
        context.lockfile.release()
        context.lockfile = None
