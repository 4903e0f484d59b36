"""From the payload of Common.Status and Common.StatusChangedEvent to points of the vocabulary, and back.

The names are the same but for some that stand deeper in the payload (`_DEEPER`). In Common.Status a property that is null or
absent is one that the device does not have; in Common.StatusChangedEvent it is one that has not changed. Neither is ever "ok".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from agent.records import Value
from agent.vocabulary import BOOL, NAME, SERVICES, Point, points

Payload: TypeAlias = Mapping[str, Any]
Path: TypeAlias = tuple[str, ...]

NAMES_LIMIT = 32  # positions, cameras, paper sources and the like of one device
COMMON = ("device", "devicePosition", "antiFraudModule", "exchange", "endToEndSecurity")
"""Properties of `common`, which every service has of itself."""
_DEEPER: dict[str, Path] = {
    "banknoteNeutralization.mode": ("banknoteNeutralization", "state", "mode"),
    "banknoteNeutralization.submode": ("banknoteNeutralization", "state", "submode"),
    "banknoteNeutralization.customInputs.{input}": ("banknoteNeutralization", "customInputs", "{input}", "inputState"),
    "camera.{camera}.media": ("camera", "media", "{camera}"),
    "camera.{camera}.cameras": ("camera", "cameras", "{camera}"),
    **{
        f"powerManagement.{name}": ("powerManagement", "info", name)
        for name in ("powerInStatus", "powerOutStatus", "batteryStatus", "batteryChargingStatus")
    },
    **{
        f"cashDispenser.{{position}}.{name}": ("cashDispenser", "positions", "{position}", name)
        for name in ("shutter", "positionStatus", "transport", "transportStatus")
    },
}
_OURS = {
    "auxiliaries.holdUpDevice",
    "auxiliaries.gatewayLid",
    "auxiliaries.contact.{name}",
    "cashManagement.noteError",
}
_NO_SERVICES = {"gateway", "machine", "link", "position", "storage"}
_OTHER_WORDS = {"camera.{camera}.cameras": {"inop": "inoperative"}}  # in the framework's own code
_OLDER = {"display": "consumerDisplay", "ups": "UPS"}
"""AuxiliaryStatusEvent (until 2022) wrote `safeDoorState` for `safeDoor`; these have other names beside."""


def _rows() -> Iterator[tuple[Point, Path]]:
    for entry in points():
        service = entry.name.partition(".")[0]
        if entry.words and "{service}" not in entry.name and service not in _NO_SERVICES and entry.name not in _OURS:
            yield entry, _DEEPER.get(entry.name, tuple(entry.name.split(".")))


ROWS: tuple[tuple[Point, Path], ...] = tuple(_rows())
"""Every point of a device's own status, with its place in the payload."""


def values(payload: Payload, services: tuple[str, ...]) -> dict[str, Value]:
    """point -> word, for everything of `payload` that is not null; `common` is that of each of `services`.

    A word that the vocabulary does not know is given as it is, for the one who makes Readings to refuse; what is no word is None.
    """
    found: dict[str, Value] = {}
    common = payload.get("common")
    if isinstance(common, Mapping):
        for name in COMMON:
            if (word := common.get(name)) is not None:
                found |= {f"{service}.{name}": _word(word, ()) for service in services}
    for entry, path in ROWS:
        if path[0] in payload:
            other = _OTHER_WORDS.get(entry.name, {})
            for names, raw in _at(payload, path, ()):
                word = _word(raw, entry.words)
                found[_filled(entry.name, names)] = other.get(word, word) if isinstance(word, str) else word
    return found


def _at(node: Any, path: Path, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Whatever is not null at a path, with the names that stood in its braces."""
    if not path:
        if node is not None:
            yield names, node
        return
    if path[0] == "positions" and isinstance(node, Mapping):
        node = {"positions": _by_position(node.get("positions"))}
    if not isinstance(node, Mapping):
        return
    if not path[0].startswith("{"):
        yield from _at(node.get(path[0]), path[1:], names)
        return
    for name in [key for key in node if isinstance(key, str) and NAME.fullmatch(key)][:NAMES_LIMIT]:
        yield from _at(node[name], path[1:], (*names, name))


def _by_position(positions: Any) -> dict[str, Any]:
    """The list of positions by their names."""
    if not isinstance(positions, list):
        return {}
    return {each["position"]: each for each in positions if isinstance(each, Mapping) and isinstance(each.get("position"), str)}


def _word(raw: Any, words: tuple[str, ...]) -> str | None:
    if isinstance(raw, bool):
        return str(raw).lower() if words == BOOL else None
    return raw if isinstance(raw, str) and words != BOOL else None


def _filled(name: str, names: tuple[str, ...]) -> str:
    rest = iter(names)
    return ".".join(next(rest) if part.startswith("{") else part for part in name.split("."))


def older(payload: Payload) -> dict[str, Any]:
    """The payload of an AuxiliaryStatusEvent as one of a StatusChangedEvent."""
    renamed = {}
    for key, value in payload.items():
        name = key.removesuffix("State")
        stem = name.removesuffix("Sensor")
        renamed[_OLDER.get(stem, stem) + name[len(stem) :]] = value
    return {"auxiliaries": renamed}


def payload(shown: Mapping[str, Value], service: str) -> dict[str, Any]:
    """The payload of a Common.Status that says these points; `common` is what they say of `service`. For a service's own end."""
    made: dict[str, Any] = {"common": {name: word for name in COMMON if (word := shown.get(f"{service}.{name}")) is not None}}
    for entry, path in ROWS:
        for name, word in shown.items():
            names = _names(entry.name, name)
            if names is not None and word is not None:
                _put(made, _filled_path(path, names), word == "true" if entry.words == BOOL else word)
    dispenser = made.get("cashDispenser", {})
    if "positions" in dispenser:
        dispenser["positions"] = [{"position": position, **each} for position, each in dispenser["positions"].items()]
    return made


def _names(pattern: str, name: str) -> tuple[str, ...] | None:
    """The names in the braces of a pattern that a point fits."""
    parts, wanted = name.split("."), pattern.split(".")
    if len(parts) != len(wanted) or any(
        part != want for part, want in zip(parts, wanted, strict=True) if not want.startswith("{")
    ):
        return None
    return tuple(part for part, want in zip(parts, wanted, strict=True) if want.startswith("{"))


def _filled_path(path: Path, names: tuple[str, ...]) -> Path:
    rest = iter(names)
    return tuple(next(rest) if part.startswith("{") else part for part in path)


def _put(made: dict[str, Any], path: Path, value: object) -> None:
    for part in path[:-1]:
        made = made.setdefault(part, {})
    made[path[-1]] = value


def services_of(interfaces: list[str]) -> tuple[str, ...]:
    """The services, as the vocabulary names them, that a device is, from the interfaces that its Capabilities list."""
    known = [name[:1].lower() + name[1:] for name in interfaces if name[:1].lower() + name[1:] in SERVICES]
    own = [name for name in known if name not in _SHARED]
    return tuple(dict.fromkeys(own or known))


_SHARED = ("keyManagement", "crypto")  # interfaces that a device of another kind has beside its own
