"""The agent's numbers in Prometheus' text format, 0.0.4: one document in, one text out. docs/operations.md lists the names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from agent.legs import Leg

PREFIX = "atm_agent_"


class _Metric(NamedTuple):
    kind: str
    help: str


METRICS = {
    "info": _Metric("gauge", "Always 1; says gateway and version."),
    "leg_good": _Metric("gauge", "1 while a leg of the way to the platform needs nobody."),
    "leg_state": _Metric("gauge", "1 for the state that a leg is in."),
    "leg_since_seconds": _Metric("gauge", "When the leg came into this state, seconds since the epoch."),
    "backlog_records": _Metric("gauge", "Positions that wait for the uplink that is furthest behind."),
    "records_made_total": _Metric("counter", "Positions given in this life of the store."),
    "records_lost_total": _Metric("counter", "Positions that could not be kept since the start; each is told as a Loss."),
    "store_bytes": _Metric("gauge", "Bytes of everything that the store keeps."),
    "flash_written_bytes_total": _Metric("counter", "Bytes that reached the card in all lives of the store."),
    "card_life_years": _Metric("gauge", "Years that the card lasts at the pace of the last days."),
    "uplink_accepted_total": _Metric("counter", "Envelopes that the platform accepted."),
    "uplink_rejected_total": _Metric("counter", "Envelopes that the platform refused for good."),
    "uplink_backlog_records": _Metric("gauge", "Positions that wait for this uplink."),
    "delivered_age_seconds": _Metric("gauge", "Seconds since the platform last acknowledged anything."),
    "line_frames_total": _Metric("counter", "Frames that came whole over a line."),
    "line_crc_errors_total": _Metric("counter", "Frames whose check failed."),
    "line_garbage_bytes_total": _Metric("counter", "Bytes that belonged to no frame."),
    "line_timeouts_total": _Metric("counter", "Answers that did not come in time."),
    "line_reconnects_total": _Metric("counter", "How often the line was opened again."),
    "line_lost_total": _Metric("counter", "Frames that the other end says it sent and nobody heard."),
    "line_round_trip_seconds": _Metric("gauge", "From a question to its answer over a line."),
    "model_score_seconds": _Metric("gauge", "Median time of a score."),
    "guard_hits_total": _Metric("counter", "What looked like card data and was kept out."),
    "log_dropped_total": _Metric("counter", "Log lines that were held back."),
    "loop_lag_seconds": _Metric("gauge", "How late the event loop's last tick was."),
    "clock_synced": _Metric("gauge", "1 while something keeps the clock right."),
    "resident_bytes": _Metric("gauge", "Memory of the agent's process."),
    "cpu_seconds_total": _Metric("counter", "Processor time of the agent's process."),
    "point_value": _Metric("gauge", "The newest number of a machine's point, in its SI unit."),
}
"""name without its prefix -> what it is; nothing else is ever told"""

_LINE = {
    "frames": "line_frames_total",
    "crcErrors": "line_crc_errors_total",
    "garbageBytes": "line_garbage_bytes_total",
    "timeouts": "line_timeouts_total",
    "reconnects": "line_reconnects_total",
    "lost": "line_lost_total",
    "roundTrip": "line_round_trip_seconds",
}
_OWN = {
    "gateway.storeBytes": "store_bytes",
    "gateway.flashBytes": "flash_written_bytes_total",
    "gateway.cardLife": "card_life_years",
    "gateway.guardHits": "guard_hits_total",
    "gateway.logDropped": "log_dropped_total",
    "gateway.loopLag": "loop_lag_seconds",
    "gateway.memory": "resident_bytes",
}

_Samples = dict[str, list[tuple[dict[str, str], float]]]


def exposition(document: Mapping[str, Any], version: str) -> str:
    """The status document (`agent.app`) as text. Numbers that are not known yet are left out."""
    samples: _Samples = {name: [] for name in METRICS}
    gateway = document["gateway"]
    samples["info"].append(({"gateway": gateway, "version": version}, 1))
    for leg in document["legs"]:
        _leg(leg, samples)
    for name, key in (("backlog_records", "backlog"), ("records_made_total", "made"), ("records_lost_total", "lost")):
        samples[name] += [({"lane": lane}, count) for lane, count in document[key].items()]
    own = document["points"][gateway]
    for point, name in _OWN.items():
        if isinstance(own.get(point), int | float):
            samples[name].append(({}, own[point]))
    samples["clock_synced"].append(({}, float(own.get("gateway.clock") == "synced")))
    samples["cpu_seconds_total"].append(({}, document["cpu_s"]))
    for machine, points in document["points"].items():
        if machine != gateway:
            samples["point_value"] += [
                ({"machine": machine, "point": point}, value) for point, value in points.items() if isinstance(value, int | float)
            ]
    return "".join(_family(name, told) for name, told in samples.items() if told)


def _leg(leg: Leg, samples: _Samples) -> None:
    labels = {"leg": leg.leg, "name": leg.name}
    samples["leg_good"].append((labels, float(leg.good)))
    samples["leg_state"].append(({**labels, "state": leg.state}, 1))
    if leg.since is not None:
        samples["leg_since_seconds"].append((labels, leg.since))
    if leg.leg == "line":
        for key, value in leg.numbers.items():
            if key in _LINE:
                samples[_LINE[key]].append(({"source": leg.name}, value))
    elif leg.leg == "model" and "seconds" in leg.numbers:
        samples["model_score_seconds"].append(({"model": leg.name}, leg.numbers["seconds"]))
    elif leg.leg == "uplink":
        for key, name in (("accepted", "uplink_accepted_total"), ("rejected", "uplink_rejected_total"),
                          ("backlog", "uplink_backlog_records")):  # fmt: skip
            samples[name].append(({"uplink": leg.name}, leg.numbers[key]))
    elif leg.leg == "platform" and "sinceDelivered" in leg.numbers:
        samples["delivered_age_seconds"].append(({"uplink": leg.name}, leg.numbers["sinceDelivered"]))


def _family(name: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> str:
    kind, about = METRICS[name]
    lines = [f"# HELP {PREFIX}{name} {about}\n", f"# TYPE {PREFIX}{name} {kind}\n"]
    lines += [f"{PREFIX}{name}{_labels(labels)} {float(value)!r}\n" for labels, value in samples]
    return "".join(lines)


def _labels(labels: Mapping[str, str]) -> str:
    """Backslash, quote and line end are escaped: a name may come from a device."""
    if not labels:
        return ""
    escaped = {key: str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for key, value in labels.items()}
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}"
