"""Kinds of setting. A driver's settings class is a frozen dataclass that uses them; `agent.config` reads YAML into it.

A settings class says what is right in `__post_init__`: it raises ValueError("key: what is wrong, what would be right").
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

Duration: TypeAlias = Annotated[float, "duration"]
"""Seconds; in YAML a number with a unit: 250ms, 10s, 15m, 2h, 7d."""

Size: TypeAlias = Annotated[int, "size"]
"""Bytes; in YAML a number with a unit: 512B, 64KiB, 200MiB, 2GiB."""

Name: TypeAlias = Annotated[str, "name"]
"""A name that may stand in a topic, a path and a point: letters, digits, dash and underscore, at most 64."""
