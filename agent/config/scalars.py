"""Single values of the configuration, as people write them: 10s, 64KiB, true. Every ValueError says what would be right."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from agent.vocabulary import NAME

INT, FLOAT, BOOL, NULL = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))
DURATION_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
SIZE_UNITS = {
    "B": 1,
    "kB": 1000,
    "KiB": 1024,
    "MB": 10**6,
    "MiB": 1024**2,
    "GB": 10**9,
    "GiB": 1024**3,
    "TB": 10**12,
    "TiB": 1024**4,
}
CREDENTIAL = "credential:"
CREDENTIALS = "/run/credentials/atm-agent.service"  # where systemd puts them for the unit of this name (systemd.exec(5))
CREDENTIAL_PREFIX = "secret_"  # the unit loads a whole directory under this name
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


def duration(text: str) -> float:
    """Seconds of `250ms`, `10s`, `15m`, `2h`, `7d`. Raises ValueError."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[2] not in DURATION_UNITS:
        raise ValueError(f"expected a duration such as 250ms, 10s, 15m, 2h or 7d, got {text!r}")
    return float(found[1]) * DURATION_UNITS[found[2]]


def size(text: str) -> int:
    """Bytes of `512B`, `64KiB`, `200MiB`, `2GiB`. Raises ValueError."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[2] not in SIZE_UNITS:
        raise ValueError(f"expected a size such as 512B, 64KiB, 200MiB or 2GiB, got {text!r}")
    return int(float(found[1]) * SIZE_UNITS[found[2]])


def _number(node: yaml.ScalarNode) -> float:
    if node.tag not in (INT, FLOAT):
        raise ValueError(f"expected a number, got {node.value!r}")
    try:
        value = float(node.value.replace("_", ""))
    except ValueError:
        raise ValueError(f"expected a plain decimal number, got {node.value!r}") from None
    if not isfinite(value):
        raise ValueError(f"expected a finite number, got {node.value!r}")
    return value


def _integer(node: yaml.ScalarNode) -> int:
    if node.tag != INT or not re.fullmatch(r"[-+]?[0-9][0-9_]*", node.value):
        raise ValueError(f"expected a whole number, got {node.value!r}")
    return int(node.value)


def _boolean(node: yaml.ScalarNode) -> bool:
    if node.tag != BOOL:
        raise ValueError(f"expected true or false, got {node.value!r}")
    return node.value.lower() in ("true", "yes", "on")


def _name(node: yaml.ScalarNode) -> str:
    if not NAME.fullmatch(node.value):
        raise ValueError(f"expected a name of letters, digits, - and _ (at most 64), got {node.value!r}")
    return str(node.value)


def _path(node: yaml.ScalarNode) -> Path:
    name = node.value.removeprefix(CREDENTIAL)
    if name == node.value:
        return Path(node.value)
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise ValueError(f"expected {CREDENTIAL}NAME, the name of a file in /etc/atm-agent/credentials, got {node.value!r}")
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", CREDENTIALS)) / f"{CREDENTIAL_PREFIX}{name}"


SCALARS: dict[Any, Callable[[yaml.ScalarNode], Any]] = {
    str: lambda node: str(node.value),
    int: _integer,
    float: _number,
    bool: _boolean,
    Path: _path,
    "duration": lambda node: duration(node.value),
    "size": lambda node: size(node.value),
    "name": _name,
}
WANTED = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    "duration": "a duration such as 10s",
    "size": "a size such as 64KiB",
    "name": "a name",
}
