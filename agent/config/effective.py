"""The configuration as it counts, with every default, in a form that reads back into the same settings. No secret is in it."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import yaml

from agent.config.schema import key_of
from agent.config.settings import Settings, SourceSettings, UplinkSettings


def effective(settings: Settings) -> str:
    """YAML of everything."""
    return yaml.safe_dump(_record(settings), sort_keys=False, allow_unicode=True, width=130)


def _record(value: Any) -> dict[str, Any]:
    hints = get_type_hints(type(value), include_extras=True)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if field.name == "settings" and isinstance(value, SourceSettings | UplinkSettings):
            found |= _record(inner)
        elif inner is not None:  # a key without a value is left out
            found[key_of(field.name)] = _plain(hints[field.name], inner)
    return found


def _plain(kind: Any, value: Any) -> Any:
    """A value as people write it."""
    unit = _unit(kind)
    if unit is not None and isinstance(value, int | float):
        return (
            f"{value!r}s"
            if unit == "duration" and value >= 0.001
            else f"{value * 1e6:g}us"
            if unit == "duration"
            else f"{value}B"
        )
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value):
        return _record(value)
    if isinstance(value, Mapping):
        return {key: _plain(get_args(kind)[1], inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(get_args(kind)[0], inner) for inner in value]
    return value


def _unit(kind: Any) -> str | None:
    """`duration` or `size`, where the kind, or one that it may be, is one."""
    if get_origin(kind) is Annotated:
        unit = get_args(kind)[1]
        return str(unit) if unit in ("duration", "size") else None
    if get_origin(kind) in (typing.Union, type(int | None)):
        return next((unit for each in get_args(kind) if (unit := _unit(each)) is not None), None)
    return None
