"""An older file into today's form: keys that have another name are renamed where they stand; comments and order stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import yaml

from agent.errors import ConfigError


class Renamed(NamedTuple):
    """A key that had another name before. `path` is the key's own, with * for any key or place of a list on the way."""

    since: str
    path: tuple[str, ...]
    name: str


RENAMED: tuple[Renamed, ...] = ()
"""Every renaming since the first release, oldest first; there was none yet"""


def migrated(text: str, renamed: Sequence[Renamed] = RENAMED) -> tuple[str, list[str]]:
    """The text with today's keys, and a line for each that was renamed. Raises ConfigError when it is not YAML."""
    told: list[str] = []
    for change in renamed:
        places = sorted(_keys(_composed(text), change.path), key=lambda key: key.start_mark.index, reverse=True)
        for key in places:
            start, end = key.start_mark.index, key.end_mark.index
            text = text[:start] + change.name + text[end:]
            told.append(f"line {key.start_mark.line + 1}: {key.value} is called {change.name} since {change.since}")
    return text, told


def _composed(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError([f"is not YAML: {' '.join(str(error).split())}"]) from error


def _keys(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[yaml.ScalarNode]:
    """The keys that a path leads to."""
    head, rest = path[0], path[1:]
    if isinstance(node, yaml.SequenceNode) and head == "*":
        for item in node.value:
            yield from _keys(item, rest) if rest else ()
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and head in (key.value, "*"):
                if rest:
                    yield from _keys(value, rest)
                else:
                    yield key
