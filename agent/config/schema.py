"""From YAML to frozen dataclasses, with every mistake at once: `file:line: path: what is wrong, what would be right`.

The node graph that PyYAML composes knows each key's line, tells duplicate keys and keeps words such as `on` as they were
written; the types come from the dataclasses. Nothing in a file is ever executed or expanded.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from agent.config.scalars import FLOAT, INT, NULL, SCALARS, WANTED
from agent.errors import ConfigError

T = TypeVar("T")
Entries: TypeAlias = dict[str, tuple[int, yaml.Node]]
"""key -> its line and its value"""

FILE_LIMIT = 1024 * 1024  # bytes; a configuration of a few machines has a few thousand
NODES_LIMIT = 100_000  # values, those behind aliases counted each time: a short file must not grow into a large one
DEPTH_LIMIT = 100  # values within one another: who composes them recurses, and libyaml's binding has no bound but the stack's
SHALLOW = 1_000  # brackets and columns with which a file need not be asked how deep it is: the stack holds twenty times that
LONGEST, TAIL = 400, 80  # characters of a message, and of its end when it is longer
BAD: Any = object()  # stands for a value that could not be read; a mistake has been noted


def key_of(field: str) -> str:
    """The YAML key of a field: Python's own words carry an underscore at their end."""
    return field.rstrip("_")


class Document:
    """One YAML file being read. `mistakes` grows; nothing raises until `finish`.

    A value that is wrong is left out, and the rest read on, so that every mistake is found in one go.
    """

    def __init__(self, path: Path | str) -> None:
        self.name = str(path)
        self.mistakes: list[tuple[int, str]] = []
        self._lines: dict[str, int] = {}
        self._nodes = 0
        self._parents: list[yaml.Node] = []

    def note(self, path: str, message: str, line: int | None = None) -> None:
        """Note a mistake at a path; without a line it stands where the path was read, or the nearest one above it."""
        where = line if line is not None else self.line_of(path)
        said = f"{path}: {message}" if path else message
        if len(said) > LONGEST:  # it quotes what is no setting at all
            said = f"{said[: LONGEST - TAIL]} … {said[-TAIL:]}"
        self.mistakes.append((where, said))

    def line_of(self, path: str) -> int:
        """Where a path was read, or the nearest one above it."""
        while path and path not in self._lines:
            path = _PARENT.sub("", path) if _PARENT.search(path) else ""
        return self._lines.get(path, 1)

    def finish(self) -> None:
        """Raise ConfigError with everything that was noted, in the order of the lines."""
        if self.mistakes:
            raise ConfigError([f"{self.name}:{line}: {message}" for line, message in sorted(self.mistakes)])

    # Reading the file ---------------------------------------------------------------------------------------------------

    def compose(self) -> yaml.MappingNode | None:
        """The file's mapping; None, with a mistake noted, when there is none."""
        text = self._text()
        if text is None:
            return None
        try:
            if (line := _too_deep(text)) is not None:
                self.note("", TOO_DEEP, line)
                return None
            node = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            self._note_yaml(error, text)
            return None
        except yaml.YAMLError as error:
            self.note("", f"is not YAML: {' '.join(str(error).split())}")
            return None
        except RecursionError:  # of the loader in Python
            self.note("", TOO_DEEP)
            return None
        if node is None:
            self.note("", "is empty; expected settings, see systemd/config.example.yaml")
        elif not isinstance(node, yaml.MappingNode):
            self.note("", f"expected settings (key: value), got {_kind(node)}; see systemd/config.example.yaml")
        else:
            return node
        return None

    def _text(self) -> str | None:
        try:
            with open(self.name, "rb") as file:
                data = file.read(FILE_LIMIT + 1)
            if len(data) > FILE_LIMIT:
                self.note("", f"is larger than {FILE_LIMIT} bytes; this is no configuration")
                return None
            return data.decode("utf-8-sig")
        except OSError as error:
            self.note("", f"cannot be read: {error.strerror}; name an existing file that this user may read")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            self.note("", "holds a byte that is not UTF-8; save the file as UTF-8", line)
        return None

    def _note_yaml(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or "is not YAML"
        lines = text.splitlines()
        if "token" in problem and line <= len(lines) and "\t" in lines[line - 1]:
            problem = "a tab stands where YAML wants spaces; indent with spaces"
        elif error.context:
            problem = f"{problem} {error.context}"
        self.note("", problem, line)

    # Reading values -----------------------------------------------------------------------------------------------------

    def read(self, kind: Any, node: yaml.Node, path: str) -> Any:
        """The value of a node as `kind`; `BAD`, with a mistake noted, when it is none."""
        self._lines[path] = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > NODES_LIMIT or node in self._parents:
            if self._nodes <= NODES_LIMIT + 1:
                self.note(path, "aliases make this too large; write it out")
                self._nodes = NODES_LIMIT + 2
            return BAD
        self._parents.append(node)
        try:
            return self._read(kind, node, path)
        finally:
            self._parents.pop()

    def _read(self, kind: Any, node: yaml.Node, path: str) -> Any:
        origin = get_origin(kind)
        if origin is Annotated:
            return self._scalar(get_args(kind)[1], node, path)
        if origin in (Union, types.UnionType):
            return self._union(kind, node, path)
        if origin is Literal:
            return self.choice({str(word): word for word in get_args(kind)}, node, path)
        if origin is tuple:
            return self._list(get_args(kind)[0], node, path)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(get_args(kind)[1], node, path)
        if dataclasses.is_dataclass(kind):
            return self.record(typing.cast("type[Any]", kind), node, path)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return self.choice({str(member.value): member for member in kind}, node, path)
        return self._scalar(kind, node, path)

    def _union(self, kind: Any, node: yaml.Node, path: str) -> Any:
        members = [each for each in get_args(kind) if each is not type(None)]
        if _is_null(node):
            if len(members) < len(get_args(kind)):
                return None
            self.note(path, "needs a value")
            return BAD
        if len(members) == 1:
            return self._read(members[0], node, path)
        numbers = [each for each in members if each in (int, float)]
        is_number = isinstance(node, yaml.ScalarNode) and node.tag in (INT, FLOAT)
        return self._read(numbers[0] if numbers and is_number else str, node, path)

    def choice(self, values: Mapping[str, Any], node: yaml.Node, path: str) -> Any:
        """The value that a word stands for."""
        text = node.value if isinstance(node, yaml.ScalarNode) else None
        if text is not None and text in values:
            return values[text]
        got = repr(text) if text is not None else _kind(node)
        self.note(path, f"expected one of {', '.join(values)}; got {got}{meant(str(text), list(values))}")
        return BAD

    def _list(self, kind: Any, node: yaml.Node, path: str) -> Any:
        if isinstance(node, yaml.ScalarNode) and not _is_null(node) and kind is str:
            return (self._read(kind, node, path),)  # a single word may stand for a list of one
        if not isinstance(node, yaml.SequenceNode):
            self.note(path, f"expected a list, got {_kind(node)}")
            return BAD
        items = [self.read(kind, item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        return tuple(item for item in items if item is not BAD)

    def _mapping(self, kind: Any, node: yaml.Node, path: str) -> Any:
        entries = self.entries(node, path)
        if entries is None:
            return BAD
        values = {key: self.read(kind, value, f"{path}.{key}") for key, (_, value) in entries.items()}
        return {key: value for key, value in values.items() if value is not BAD}

    def entries(self, node: yaml.Node, path: str) -> Entries | None:
        """Keys of a mapping with their lines and values; duplicates are noted."""
        if not isinstance(node, yaml.MappingNode):
            self.note(path, f"expected settings (key: value), got {_kind(node)}")
            return None
        found: Entries = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.note(path, "a key must be a word", line)
            elif key.value in found:
                inner = f"{path}.{key.value}" if path else key.value
                self.note(inner, f"is given twice, first in line {found[key.value][0]}; keep one", line)
            else:
                found[key.value] = (line, value)
        return found

    def record(self, kind: type[T], node: yaml.Node, path: str) -> T | Any:
        """A dataclass out of a mapping."""
        entries = self.entries(node, path)
        return BAD if entries is None else self.fill(kind, entries, node, path)

    def fill(self, kind: type[T], entries: Entries, node: yaml.Node, path: str, besides: Iterable[str] = ()) -> T | Any:
        """A dataclass out of a mapping's entries; keys in `besides` are somebody else's."""
        hints = _hints(typing.cast("Any", kind))
        fields = {key_of(field.name): field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        for key, (line, value) in entries.items():
            inner = f"{path}.{key}" if path else key
            if key in fields:
                values[fields[key].name] = self.read(hints[fields[key].name], value, inner)
            elif key not in besides:
                known = sorted({*fields, *besides})
                self.note(inner, f"unknown key{meant(key, known)}; known are {', '.join(known)}", line)
        required = [key for key, field in fields.items() if _is_required(field)]
        for key in required:
            if fields[key].name not in values:
                self.note(f"{path}.{key}" if path else key, "is missing", node.start_mark.line + 1)
        usable = {name: value for name, value in values.items() if value is not BAD}
        if any(fields[key].name not in usable for key in required):
            return BAD
        return self._make(kind, usable, path)

    def _make(self, kind: Callable[..., T], values: dict[str, Any], path: str) -> T | Any:
        try:
            return kind(**values)
        except ValueError as error:
            key, colon, message = str(error).partition(": ")
            inner = f"{path}.{key}" if path else key
            if colon and inner in self._lines:
                self.note(inner, message)
            else:
                self.note(path, str(error))
            return BAD

    def _scalar(self, kind: Any, node: yaml.Node, path: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self.note(path, f"expected {WANTED.get(kind, 'a value')}, got {_kind(node)}")
            return BAD
        if _is_null(node):
            self.note(path, f"needs a value: {WANTED.get(kind, 'a value')}")
            return BAD
        try:
            return SCALARS[kind](node)
        except ValueError as error:
            self.note(path, str(error))
            return BAD


TOO_DEEP = f"nests more than {DEPTH_LIMIT} values in one another; this is no configuration"


def _too_deep(text: str) -> int | None:
    """The line in which values nest too deeply; None where they do not. Raises YAMLError.

    No deeper than brackets were opened and columns were indented, twice: a list may stand in the column of its key.
    """
    if text.count("[") + text.count("{") + 2 * max(map(len, text.split("\n"))) < SHALLOW:
        return None
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_LIMIT:
            return event.start_mark.line + 1 if event.start_mark else 1
    return None


_PARENT = re.compile(r"(\.[^.\[]+|\[\d+\])$")


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # sixteen times faster where libyaml came with the package


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == NULL


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if isinstance(node, yaml.MappingNode):
        return "settings (key: value)"
    return "nothing" if _is_null(node) else repr(node.value)


def meant(word: str, known: Sequence[str]) -> str:
    """The end of a complaint about a word that is not known: the one that it was probably meant to be."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
