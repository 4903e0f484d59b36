"""Sources and the ports that they name: one port has one owner, or several who take turns and agree on its line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent.config.settings import SourceSettings

Conflict = tuple[str, int, str]
"""The key of a source that is wrong, the index of the other source, what is wrong"""


def conflicts(sources: Sequence[SourceSettings], index: int) -> Iterator[Conflict]:
    """Where the source at `index` is in the way of one before it."""
    own = sources[index].settings
    for key in ("port", "host_port"):
        port = getattr(own, key, "")
        other = next((at for at in range(index) if port and port in _ports(sources[at].settings)), None)
        if other is None:
            continue
        theirs = sources[other].settings
        if own.shared and theirs.shared:
            yield from ((of, other, f"{ours}, but {its} at") for of, ours, its in _differing(own, theirs))
        else:
            yield key, other, f"{port} is taken by"


def _ports(settings: Any) -> Sequence[str]:
    """The ports of any driver's settings: none has a line but those that derive from LineSettings."""
    return [port for key in ("port", "host_port") if (port := getattr(settings, key, ""))]


def _differing(own: Any, theirs: Any) -> Iterator[tuple[str, object, object]]:
    return ((key, ours, theirs.character[key]) for key, ours in own.character.items() if ours != theirs.character[key])
