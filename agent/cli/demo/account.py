"""The account of a demo: what was made, what arrived, what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from agent.records import Alarm, Envelope
from agent.store.history import history


def account(store: Path, received: Path, status: dict[str, Any], speed: float) -> dict[str, Any]:
    """What can be counted afterwards. `missing`: what the agent's store holds and the receiver's file does not."""
    made = set(map(_identity, history(store)))
    lines = [msgspec.json.decode(line, type=Envelope) for line in received.read_bytes().splitlines()]
    arrived = set(map(_identity, lines))
    model = status["models"].get("attack_risk", {})
    return {
        "made": len(made),
        "received": len(arrived),
        "missing": len(made - arrived),
        "alarms": [_alarm(envelope, speed) for envelope in lines if _is_raised(envelope)],
        "rss_mb": status["rss_mb"],
        "cpu_s": status["cpu_s"],
        "model": {"id": model.get("id"), "p50_us": model.get("p50_us")},
    }


def _identity(envelope: Envelope) -> tuple[str, str, int]:
    return envelope.epoch, envelope.lane, envelope.position


def _is_raised(envelope: Envelope) -> bool:
    return isinstance(envelope.body, Alarm) and not envelope.body.cleared


def _alarm(envelope: Envelope, speed: float) -> dict[str, Any]:
    """`latency_ms`: real time from the sensor's last edge that the alarm rests on to the alarm's place in the store."""
    alarm = envelope.body
    assert isinstance(alarm, Alarm)
    edge = max((each.at for each in alarm.evidence), default=alarm.at)
    latency = max(0.0, envelope.at - edge) / speed * 1000
    return {"rule": alarm.rule, "class": alarm.class_.value, "attack": alarm.attack, "latency_ms": round(latency, 1)}


def table(account: dict[str, Any]) -> None:
    """Print the account for people."""
    from rich.console import Console
    from rich.table import Table

    out = Table(title="the account", title_justify="left", show_header=False)
    out.add_column("what")
    out.add_column("value", justify="right")
    for key in ("made", "received", "duplicates", "missing", "outage_s", "backlog_max", "rss_mb", "cpu_s"):
        out.add_row(key, str(account[key]))
    out.add_row("model", f"{account['model']['id']}, {account['model']['p50_us']} µs a score")
    for alarm in account["alarms"]:
        out.add_row(f"alarm {alarm['rule']}", f"{alarm['attack'] or alarm['class']}, on disk after {alarm['latency_ms']} ms")
    Console().print(out)
