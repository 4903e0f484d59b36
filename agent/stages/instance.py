"""A rule on one machine: its instances, each with the probes that serve its conditions, and what is saved of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from math import inf
from typing import Any

import msgspec

from agent.records import Alarm, EventClass, Evidence, Severity
from agent.stages.evidence import Watch
from agent.stages.probe import Probe, ProbeState
from agent.stages.rules import Condition, Planned, Rule, fits

INSTANCES_LIMIT = 200  # of one rule: a machine has no more units, doors or sources


@dataclass(slots=True, eq=False)
class Instance:
    """A rule, for one point that fits its first condition; the point is empty when that is no pattern."""

    rule: Rule
    point: str
    when: list[list[Probe]]  # for each condition, the points that serve it; grows as points are met
    unless: list[list[Probe]]
    is_true: bool = False
    active_since: float | None = None
    last_true: float = 0.0
    repeats: int = 0
    told: bool = False  # an Alarm has gone out, and its end must
    planned: bool = False  # it was raised within a planned visit
    evidence: tuple[Evidence, ...] = ()
    due: float = inf  # when time alone may change something

    @property
    def name(self) -> str:
        """Rule and point."""
        return f"{self.rule.rule} {self.point}"

    def probes(self) -> Iterator[Probe]:
        """All probes that it looks at."""
        for served in self.when:
            yield from served
        for served in self.unless:
            yield from served

    def saved(self) -> dict[str, Any] | None:
        """What must be known again after a restart; None when there is nothing."""
        states = [state for served in self.when for probe in served if (state := probe.state()) is not None]
        if self.active_since is None and not states:
            return None
        rule = self.rule
        found = Remembered(
            rule.class_, rule.severity, rule.attack, self.active_since, self.repeats, self.told, self.planned,
            list(self.evidence), states,
        )  # fmt: skip
        document: dict[str, Any] = msgspec.to_builtins(found)
        return document


class Family:
    """A rule with its instances: one for each point that fits a `*` in the first condition, else a single one."""

    def __init__(self, rule: Rule, zone: tzinfo) -> None:
        self.rule = rule
        self.by_point = "*" in rule.when[0].point
        self.instances: dict[str, Instance] = {}
        self._zone = zone
        self._when: list[list[Probe]] = [[] for _ in rule.when]
        self._unless: list[list[Probe]] = [[] for _ in rule.unless]
        if not self.by_point:
            self.instance("")

    def instance(self, point: str) -> Instance | None:
        """The instance for a point; made when there is room for it."""
        if point not in self.instances and len(self.instances) < INSTANCES_LIMIT:
            first = [[]] if self.by_point else self._when[:1]
            self.instances[point] = Instance(self.rule, point, [*first, *self._when[1:]], self._unless)
        return self.instances.get(point)

    def meet(self, watch: Watch) -> Iterator[Probe]:
        """Probes for a point that is heard for the first time."""
        for index, condition in enumerate(self.rule.when):
            if fits(condition.point, watch.point):
                probe = self._probe(condition, index, watch)
                if index == 0 and self.by_point:
                    probe.instance = self.instance(watch.point)
                    if probe.instance is None:
                        continue
                    probe.instance.when[0].append(probe)
                else:
                    self._when[index].append(probe)
                yield probe
        for index, condition in enumerate(self.rule.unless):
            if fits(condition.point, watch.point):
                probe = self._probe(condition, len(self.rule.when) + index, watch)
                self._unless[index].append(probe)
                yield probe

    def _probe(self, condition: Condition, number: int, watch: Watch) -> Probe:
        counts_planned = self.rule.planned is not Planned.SUPPRESS
        probe = Probe(condition, number, watch, self._zone, counts_planned=counts_planned)
        probe.family = self
        return probe


class Remembered(msgspec.Struct, omit_defaults=True):
    """An instance as it is saved: its open alarm, or conditions that hold and may yet raise one."""

    class_: EventClass
    severity: Severity
    attack: str | None = None
    active_since: float | None = None
    repeats: int = 0
    told: bool = False
    planned: bool = False
    evidence: list[Evidence] = []
    probes: list[ProbeState] = []

    def cleared(self, machine: str, rule: str, now: float) -> Alarm:
        """The end of an alarm whose rule has gone from the configuration."""
        first = self.evidence[0] if self.evidence else Evidence("", None, now)
        text = "The rule has gone from the configuration, and its alarm with it."
        return Alarm(
            machine, now, rule, self.class_, self.severity, first.point, first.value, tuple(self.evidence), text, self.attack,
            cleared=True, planned=self.planned, repeats=self.repeats,
        )  # fmt: skip


def remembered(document: dict[str, Any] | None) -> Remembered | None:
    """An instance out of its document; None when that cannot be read."""
    try:
        found: Remembered = msgspec.convert(document, Remembered)
    except msgspec.ValidationError:
        return None
    return found if found.active_since is None or found.evidence else None
