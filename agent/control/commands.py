"""What may be asked of a gateway: the whole list. None of it moves cash, runs a program or takes a path of the caller's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Struct

from agent.records import Value

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
ModelName: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{1,57}\Z")]


class ReadNow(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest value of every point, of one machine or of all."""

    machine: Text | None = None


class Diagnostics(Struct, frozen=True, forbid_unknown_fields=True):
    """What the gateway says about itself: its lines, links, store, models, memory."""


class SetConfiguration(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole configuration file. One with mistakes changes nothing, and the mistakes are the answer."""

    yaml: Annotated[str, Meta(min_length=1, max_length=256 * 1024)]


class InstallModel(Struct, frozen=True, forbid_unknown_fields=True):
    """A model with its own signature (`agent.scoring.trust`), proved before it is used; as a shadow its scores raise nothing."""

    model: Annotated[bytes, Meta(min_length=1, max_length=700 * 1024)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    shadow: bool = False


class RollBackModel(Struct, frozen=True, forbid_unknown_fields=True):
    """Back to the model before; with `shadow`, the shadow ends."""

    name: ModelName
    shadow: bool = False


class ServiceWindow(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody is expected at a machine from `start` (seconds since the epoch; without it, now); 0 minutes: no longer."""

    machine: Text
    minutes: Annotated[int, Meta(ge=0, le=24 * 60)]
    start: float | None = None
    who: Annotated[str, Meta(max_length=64)] = ""


class Flush(Struct, frozen=True, forbid_unknown_fields=True):
    """Try every link now instead of after its pause."""


class Restart(Struct, frozen=True, forbid_unknown_fields=True):
    """End, once this is answered; systemd starts the agent again."""


COMMANDS: Mapping[str, type[Struct]] = {
    "readNow": ReadNow,
    "diagnostics": Diagnostics,
    "setConfiguration": SetConfiguration,
    "installModel": InstallModel,
    "rollBackModel": RollBackModel,
    "serviceWindow": ServiceWindow,
    "flush": Flush,
    "restart": Restart,
}


class Done(NamedTuple):
    """What a command gives back; `afterwards` is called once the answer is on disk."""

    text: str = ""
    result: Mapping[str, Value] | None = None
    afterwards: Callable[[], None] | None = None


Command: TypeAlias = Callable[[Any], Awaitable[Done]]
"""Takes the arguments of its struct. Raises AgentError with what is wrong and the remedy; anything else is a bug."""


def arguments_of(command: str, arguments: Mapping[str, Any]) -> Struct:
    """The arguments as their struct. Raises ValueError with what would be right; a value is never quoted."""
    kind = COMMANDS.get(command)
    if kind is None:
        raise ValueError(f"no such command; known are {', '.join(COMMANDS)}")
    try:
        return msgspec.convert(dict(arguments), kind, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"arguments of {command}: {error}") from None
