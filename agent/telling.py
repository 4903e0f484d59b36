"""What a running agent says of itself when it is asked: one document, for `status`, the metrics and the checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.forward import Link
from agent.legs import Leg, Point, legs
from agent.pipeline import Pipeline
from agent.selfwatch import SelfWatch
from agent.store.writer import Writer


def document(
    gateway: str,
    now: float,
    monotonic: float,
    pipelines: Mapping[str, Pipeline],
    links: Iterable[Link],
    writer: Writer,
    own: SelfWatch,
) -> dict[str, Any]:
    """As JSON has it. `now` in seconds since the epoch; `monotonic` is the clock of the links."""
    points = {name: pipeline.values() for name, pipeline in pipelines.items()}
    words = {kind: _words(points[gateway], f"gateway.{kind}.") for kind in ("source", "uplink")}
    return {
        "gateway": gateway,
        "at": now,
        "store": writer.health.word,
        "configuration": points[gateway].get("gateway.configuration"),
        "made": writer.made(),
        "lost": dict(writer.health.status.lost),
        "legs": _legs(gateway, monotonic, pipelines, links, own),
        "sources": words["source"],
        "uplinks": words["uplink"],
        "points": points,
        **own.status(),
    }


def _words(points: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in points.items() if name.startswith(prefix)}


def _legs(gateway: str, monotonic: float, pipelines: Mapping[str, Pipeline], links: Iterable[Link], own: SelfWatch) -> list[Leg]:
    told = {}
    for name, pipeline in pipelines.items():
        since = pipeline.since()
        told[name] = {point: Point(value, since.get(point, float("nan"))) for point, value in pipeline.values().items()}
    return legs(told.pop(gateway), told, links, own.backlogs, monotonic)
