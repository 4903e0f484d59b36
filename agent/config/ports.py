"""Sources in each other's way: a port has one owner, or several who take turns and agree on its line; a pin has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from agent.config.settings import SourceSettings


class Conflict(NamedTuple):
    """What is wrong with `key` of a source, beside the source at index `other`; the words stand before and after its name."""

    key: str
    other: int
    wrong: str
    remedy: str


def conflicts(sources: Sequence[SourceSettings], index: int) -> Iterator[Conflict]:
    """Where the source at `index` is in the way of one before it."""
    own, before = sources[index].settings, [source.settings for source in sources[:index]]
    for key in ("port", "host_port"):
        port = getattr(own, key, "")
        other = next((at for at, theirs in enumerate(before) if port and port in _ports(theirs)), None)
        if other is None:
            continue
        if own.shared and before[other].shared:
            for of, ours, theirs in _differing(own, before[other]):
                yield Conflict(of, other, f"{ours}, but {theirs} at", "on one port all have the same")
        else:
            yield Conflict(key, other, f"{port} is taken by", "a port has one owner; only devices that are asked share one")
    for pin in sorted(_pins(own)):
        other = next((at for at, theirs in enumerate(before) if pin in _pins(theirs)), None)
        if other is not None:
            yield Conflict("contacts", other, f"pin {pin[1]} is taken by", "a pin has one contact")


def _ports(settings: Any) -> Sequence[str]:
    """The ports of any driver's settings: none has a line but those that derive from LineSettings."""
    return [port for key in ("port", "host_port") if (port := getattr(settings, key, ""))]


def _differing(own: Any, theirs: Any) -> Iterator[tuple[str, object, object]]:
    return ((key, ours, theirs.character[key]) for key, ours in own.character.items() if ours != theirs.character[key])


def _pins(settings: Any) -> set[tuple[str, int]]:
    """The pins of any driver's settings, each with what drives it: only contacts have some."""
    return {(settings.pin_factory, each.pin) for each in getattr(settings, "wired", ())}
