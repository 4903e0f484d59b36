"""The configuration's JSON Schema, for editors that complete and check while one types (`atm-agent config schema`).

    # yaml-language-server: $schema=atm-agent.schema.json

It says what a single value can say; `atm-agent check` says the rest.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from agent.config.schema import key_of
from agent.config.settings import Settings, SourceSettings, UplinkSettings
from agent.sources import SOURCES
from agent.uplinks import UPLINKS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": ["string", "number", "boolean"]},  # a text needs no quotes in YAML
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Path: {"type": "string", "minLength": 1},
    "duration": {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(us|ms|s|m|min|h|d)\s*$"},
    "size": {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(B|[kMGT]B|[KMGT]iB)\s*$"},
    "name": {"type": ["string", "integer"]},
}


def schema() -> dict[str, Any]:
    """The whole file's schema."""
    return {"$schema": DIALECT, "title": "atm-agent configuration", **_record(Settings)}


def _of(kind: Any) -> dict[str, Any]:
    """The schema of a kind of value."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _SCALARS[inner[1]]
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if each is type(None) else _of(each) for each in inner]}
    if origin is Literal:
        return {"enum": [*inner, *(int(word) for word in inner if str(word).isdecimal())]}  # a 5 needs no quotes
    if origin is tuple:
        many = {"type": "array", "items": _of(inner[0])}
        return {"anyOf": [many, _SCALARS[str]]} if inner[0] is str else many
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(inner[1])}
    if kind in (SourceSettings, UplinkSettings):
        return _driven(kind, SOURCES if kind is SourceSettings else UPLINKS)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast("type[Any]", kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    return _SCALARS[kind]


def _record(kind: type[Any]) -> dict[str, Any]:
    hints, texts = get_type_hints(kind, include_extras=True), _texts(kind)
    properties, required = {}, []
    for field in dataclasses.fields(kind):
        key = key_of(field.name)
        properties[key] = {**_of(hints[field.name]), **({"description": texts[field.name]} if field.name in texts else {})}
        if _is_required(field):
            required.append(key)
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _driven(kind: type[Any], modules: Mapping[str, str]) -> dict[str, Any]:
    """A source or an uplink: its `kind` says which other keys it has."""
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in ("settings", "kind")}
    head = {key_of(name): _of(hints[name]) for name in fields}
    needed = [key_of(name) for name, field in fields.items() if _is_required(field)]
    choices = []
    for word, module in modules.items():
        own = _record(import_module(module).Settings)
        properties = {**head, "kind": {"const": word}, **own["properties"]}
        required = [*needed, "kind", *own.get("required", [])]
        choices.append({"type": "object", "properties": properties, "required": required, "additionalProperties": False})
    return {"oneOf": choices}


def _texts(kind: type[Any]) -> dict[str, str]:
    """What stands as a string under each field in the source."""
    found, name = {}, ""
    for line in inspect.getsource(kind).splitlines():
        text = line.strip()
        if name and text.startswith('"""') and text.endswith('"""') and len(text) > 6:
            found[name] = text.strip('"')
        head, colon, _ = text.partition(":")
        name = head if colon and head.isidentifier() else ""
    return found
