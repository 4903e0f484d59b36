"""A page over a gateway whose state a test writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.errors import AgentError

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def alarm(at: float, text: str, severity: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "machine": "atm-1", "at": at, "rule": "drilling", "class": "SECURITY", "severity": severity,
        "point": "motion.drill_band_ms2", "value": 4.2, "evidence": [["motion.drill_band_ms2", 4.2, at]], "text": text, **more,
    }  # fmt: skip


def machine(name: str = "atm-1") -> dict[str, Any]:
    return {
        "id": name,
        "points": {
            "auxiliaries.safeDoor": "locked", "auxiliaries.cabinetDoor": "closed", "cashManagement.dispenser": "attention",
            "cardReader.antiFraudModule": "ok", "cashDispenser.outDefault.shutter": "closed", "printer.paper.upper": "low",
            "environment.temperature_c": 21.53, "auxiliaries.heatSensor": None, "powerManagement.powerInStatus": "powering",
            "auxiliaries.tamperSensor": "off", "machine.visit": "none", "motion.tilt_deg": 0.2, "machine.daysToEmpty": 4.5,
        },
        "cash": {"currency": "EUR", "value": 4_330_000, "units": {"unit1": 850, "unit2": 40}},
        "cassettes": {
            "unit1": {"count": 850, "of": 2000, "value": 5000, "currency": "EUR", "status": "ok"},
            "unit2": {"count": 40, "of": 2000, "value": 2000, "currency": "EUR", "status": "low"},
        },
    }  # fmt: skip


@dataclass
class State:
    """What the page asks of the agent, as a value."""

    machines: list[dict[str, Any]] = field(default_factory=lambda: [machine()])
    alarms: list[dict[str, Any]] = field(default_factory=list)
    announced: list[tuple[str, int]] = field(default_factory=list)
    trail: list[str] = field(default_factory=list)
    at: float = 1_796_040_000.0

    def view(self) -> dict[str, Any]:
        return {
            "gateway": "gw-0017", "at": self.at, "machines": self.machines, "alarms": self.alarms, "uplinks": {"platform": "up"},
            "sources": {"board": "ok"}, "backlog": {"alarms": 0, "summaries": 3, "readings": 0}, "store": "ok",
        }  # fmt: skip

    async def curves(self, machine: str, span: float) -> dict[str, Any]:
        times = [self.at - 600.0 * step for step in range(100, 0, -1)]
        return {
            "at": times,
            "curves": {"cash": [5.31e6 - 1e4 * n for n in range(99)] + [4.33e6], "attack_risk": [0.01] * 98 + [0.97, None]},
        }

    async def service(self, machine: str, minutes: int) -> None:
        if machine not in [each["id"] for each in self.machines]:
            raise AgentError(f"machine: no machine is called {machine!r}")
        self.announced.append((machine, minutes))

    def audit(self, text: str) -> None:
        self.trail.append(text)
