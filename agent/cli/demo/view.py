"""The live table of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

POINTS = (
    "auxiliaries.cabinetDoor", "auxiliaries.safeDoor", "cashDispenser.device", "cashDispenser.outDefault.shutter",
    "transaction.count", "cashDispenser.presents", "storage.unit1.count", "storage.unit2.count", "motion.rms_ms2",
    "environment.temperature_c", "powerManagement.powerInStatus", "link.host",
)  # fmt: skip
CALM = {"closed", "locked", "bolted", "online", "powering", "up", "off"}


def view(status: dict[str, Any] | None, machine: str, act: str, cut: bool, alarms: Sequence[str]) -> Group:
    """What the audience sees: the act, the machine's points, the agent, the link, the alarms."""
    title = Text(act, style="bold")
    if status is None:
        return Group(title)
    points = status["points"].get(machine, {})
    sensed = Table(title=machine, title_justify="left", expand=False)
    sensed.add_column("point")
    sensed.add_column("value", justify="right", min_width=10)
    for name in POINTS:
        if name in points:
            sensed.add_row(name, _cell(points[name]))
    return Group(title, Columns([sensed, _agent(status, points, cut, alarms)], padding=(0, 3)))


def _cell(value: Any) -> Text:
    if value is None:
        return Text("no answer", style="yellow")
    if isinstance(value, str):
        return Text(value, style="" if value in CALM else "bold yellow")
    return Text(f"{value:g}" if isinstance(value, int) else f"{value:.2f}")


def _agent(status: dict[str, Any], points: dict[str, Any], cut: bool, alarms: Sequence[str]) -> Group:
    table = Table(title="agent", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", min_width=24)
    score = points.get("model.attack_risk.score")
    filled = round((score or 0.0) * 20)
    bar = Text("█" * filled + "·" * (20 - filled), style="red" if (score or 0) > 0.5 else "green")
    table.add_row("attack risk", bar if score is not None else Text("warming up", style="dim"))
    table.add_row("link", Text("CUT", style="bold red") if cut else Text("whole", style="green"))
    table.add_row("uplink", ", ".join(f"{name} {word}" for name, word in status["uplinks"].items()) or "-")
    waiting = sum(status["backlog"].values())
    table.add_row("backlog", Text(str(waiting), style="bold yellow" if waiting else "green"))
    table.add_row("envelopes made", str(sum(status["made"].values())))
    table.add_row("memory, CPU", f"{status['rss_mb']} MB, {status['cpu_s']} s")
    lines = Group(*(Text(line, style="red") for line in alarms[-6:])) if alarms else Text("none", style="dim")
    return Group(table, Panel(lines, title="alarms at the platform", title_align="left", width=60))
