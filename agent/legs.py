"""Each leg of the way from a sensor to the platform: its state, since when, its numbers. Pure: from values to a table.

sensors ── line ── pipeline ── model ── store ── uplink ── platform
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from agent.records import Value

GOOD = {
    "sensors": {"ok"},
    "line": {"ok"},
    "pipeline": {"running"},
    "model": {"ok"},
    "store": {"ok"},
    "uplink": {"up"},
    "platform": {"acknowledging", "nothingToSay"},
}
"""leg -> states in which nobody has to do anything"""
FRESH = 300.0  # s since the last acknowledgement after which the platform is called silent, while something waits for it


class Leg(Struct, frozen=True):
    """One leg. `since` is in seconds since the epoch; None when it is not known."""

    leg: str
    name: str
    state: str
    since: float | None
    numbers: dict[str, float]
    why: str = ""
    good: bool = True


def _leg(leg: str, name: str, state: str, since: float | None, numbers: dict[str, float], why: str = "") -> Leg:
    return Leg(leg, name, state, _moment(since), numbers, why, state in GOOD[leg])


class Point(NamedTuple):
    """What a point says, and since when."""

    value: Value
    since: float


Points = Mapping[str, Point]


def legs(own: Points, machines: Mapping[str, Points], links: Iterable[Any], backlogs: Mapping[str, int], now: float) -> list[Leg]:
    """Every leg. `own` are the gateway's points, `links` what the forward loops say, `now` a monotonic time as theirs."""
    return [
        *(_sensors(machine, points) for machine, points in machines.items()),
        *_worded("line", "gateway.source.", own, "gateway.line."),
        *(_pipeline(machine, points) for machine, points in machines.items()),
        *_worded("model", "gateway.model.", own, "gateway.modelTime."),
        _store(own),
        *(leg for link in links for leg in _way_out(link, own, backlogs.get(link.name, 0), now)),
    ]


def _sensors(machine: str, points: Points) -> Leg:
    sensed = {name: point for name, point in points.items() if not name.startswith(("machine.", "model."))}
    mute = [point.since for point in sensed.values() if point.value is None]
    state = "none" if not sensed else "ok" if not mute else "silent" if len(mute) == len(sensed) else "partly"
    since = max(mute) if mute else min((point.since for point in sensed.values()), default=None)
    return _leg("sensors", machine, state, since, {"points": len(sensed), "mute": len(mute)})


def _pipeline(machine: str, points: Points) -> Leg:
    newest = max((point.since for point in points.values()), default=None)
    return _leg("pipeline", machine, "running", newest, {"points": len(points)})


def _worded(leg: str, prefix: str, own: Points, numbers: str) -> Sequence[Leg]:
    """Legs that say a word of their own, and whatever numbers stand under their name."""
    found = []
    for point, (word, since) in own.items():
        if not point.startswith(prefix):
            continue
        name = point.removeprefix(prefix)
        of_it = {
            key.removeprefix(f"{numbers}{name}").removeprefix(".") or "seconds": float(value)
            for key, (value, _) in own.items()
            if (key == f"{numbers}{name}" or key.startswith(f"{numbers}{name}.")) and isinstance(value, int | float)
        }
        found.append(_leg(leg, name, str(word or "unknown"), since, of_it))
    return found


def _store(own: Points) -> Leg:
    word, since = own.get("gateway.store", Point("unknown", float("nan")))
    names = {"gateway.storeBytes": "bytes", "gateway.flashBytes": "flashBytes", "gateway.cardLife": "cardLife"}
    numbers = {short: float(own[name].value or 0) for name, short in names.items() if name in own}
    for prefix in ("gateway.backlog.", "gateway.lost."):
        short = prefix.split(".")[1]
        numbers |= {f"{short}.{name.removeprefix(prefix)}": float(point.value or 0) for name, point in own.items()
                    if name.startswith(prefix)}  # fmt: skip
    return _leg("store", "disk", str(word or "unknown"), since, numbers)


def _way_out(link: Any, own: Points, backlog: int, now: float) -> tuple[Leg, Leg]:
    """The uplink, and the platform behind it: a link may stand while nobody there takes anything."""
    point = own.get(f"gateway.uplink.{link.name}", Point(None, float("nan")))
    counts = {"accepted": link.accepted, "rejected": link.rejected, "guardHits": link.guard_hits, "backlog": backlog}
    uplink = _leg("uplink", link.name, link.word or "connecting", point.since, counts, link.why)
    if link.delivered is None:
        return uplink, _leg("platform", link.name, "neverHeard" if backlog else "nothingToSay", None, {})
    age = now - link.delivered
    state = "silent" if backlog and age > FRESH else "acknowledging"
    return uplink, _leg("platform", link.name, state, None, {"sinceDelivered": round(age, 1)})


def _moment(since: float | None) -> float | None:
    """None for a moment that is no time."""
    return round(since, 3) if since is not None and abs(since) < 1e12 else None
