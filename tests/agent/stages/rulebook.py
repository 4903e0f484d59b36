"""A judge of one rule, told a story: points with values at times."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any

import msgspec

from agent.records import Alarm, EventClass, Reading, Severity
from agent.stages import Documents
from agent.stages.judge import Judge
from agent.stages.rules import Condition, Planned, Rule

DOOR = "auxiliaries.cabinetDoor"
SAFE = "auxiliaries.safeDoor"
DISPENSER = "cashDispenser.device"
TEMPERATURE = "environment.temperature_c"
PRESENTS = "cashDispenser.presents"
TRANSACTIONS = "transaction.count"


def rule(*when: Condition, name: str = "rule", **fields: Any) -> Rule:
    """A rule of severity 3, held for a minute."""
    return Rule(**{"rule": name, "when": when, "class_": EventClass.SECURITY, "severity": Severity(3), "text": "t", **fields})


def opened(point: str = DOOR, **fields: Any) -> Condition:
    """A door is open."""
    return Condition(point, is_=("open",), **fields)


class Story:
    """Feeds a judge in the order of the story and remembers what it says."""

    def __init__(self, *rules: Rule, zone: tzinfo = UTC) -> None:
        self.rules = rules
        self.zone = zone
        self.judge = Judge("m", rules, zone)
        self.alarms: list[Alarm] = []

    def tell(self, point: str, value: Any, at: float, reason: str = "") -> Story:
        """Let time pass to `at`, then say this."""
        self.wait(at)
        self.alarms += self.judge.feed(Reading("m", point, value, at, reason=reason))
        return self

    def wait(self, until: float) -> Story:
        """Let time pass."""
        if self.judge.due <= until:
            self.alarms += self.judge.tick(until)
        return self

    def visit(self, at: float, *, planned: bool) -> Story:
        """A planned visit begins or ends."""
        self.wait(at)
        self.alarms += self.judge.visit(at, planned=planned)
        return self

    def restart(self, at: float, *rules: Rule) -> Story:
        """Begin anew from what was saved, perhaps with other rules."""
        alarms, learned = (
            msgspec.json.decode(msgspec.json.encode(each)) for each in (self.judge.changed(), self.judge.learned())
        )
        self.judge = Judge("m", rules or self.rules, self.zone)
        self.alarms += self.judge.restore(alarms, learned, at)
        return self

    @property
    def told(self) -> list[tuple[float, str]]:
        """When alarms were raised and cleared."""
        return [(alarm.at, "cleared" if alarm.cleared else "planned" if alarm.planned else "raised") for alarm in self.alarms]


def saved(judge: Judge) -> Documents:
    """The notes of open alarms, as they come back from a disk."""
    found: Documents = msgspec.json.decode(msgspec.json.encode(judge.changed()))
    return found


PLANNED = Planned
