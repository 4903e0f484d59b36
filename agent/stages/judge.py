"""The stage that judges rules: what becomes true is an Alarm at once, what ends is another. No Alarm waits for a window.

A Reading that says what its point said before costs one comparison. Everything that time alone may begin or end has its moment
in a queue, so that an Alarm bears the moment at which it became true, however seldom somebody looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from agent.records import Alarm, EventClass, Evidence, Reading, Severity
from agent.stages import Documents
from agent.stages.evidence import Watch
from agent.stages.instance import Family, Instance, Remembered, remembered
from agent.stages.probe import Probe
from agent.stages.rules import Planned, Rule

EVIDENCE_LIMIT = 16  # observations that one Alarm carries
POINTS_LIMIT = 2_000  # points that are looked up in the rules
QUEUE_LIMIT = 10_000  # moments; beyond it those that no longer count are thrown away
SOON = 0.1  # s; what is due again at the same moment, by rounding, is due a little later
_NOTHING: list[Alarm] = []


@dataclass(slots=True, eq=False)
class Watched(Watch):
    """A point that is watched, and what looks at it."""

    probes: list[Probe] = field(default_factory=list)
    compared: list[Probe] = field(default_factory=list)  # those that compare the growth of another counter with this one's


class Judge:
    """All rules of one machine. `due`: when `tick` must be called next."""

    def __init__(self, machine: str, rules: Sequence[Rule], zone: tzinfo = UTC) -> None:
        self._machine = machine
        self._families = {rule.rule: Family(rule, zone) for rule in rules}
        self._compared = {condition.per: list[Probe]() for rule in rules for condition in (*rule.when, *rule.unless)}
        self._watches: dict[str, Watched] = {}
        self._queue: list[tuple[float, int, Instance]] = []
        self._count = count()
        self._dirty: dict[Instance, None] = {}
        self._saved: set[str] = set()
        self._planned = False
        self.due = inf

    def feed(self, reading: Reading) -> list[Alarm]:
        """Alarms that this Reading raises or ends. It was cleaned, so that None alone is not usable."""
        watch = self._watches.get(reading.point)
        if watch is None:
            watch = self._meet(reading.point, reading.at)
            if watch is None:
                return _NOTHING
        value, at = reading.value, reading.at
        if value is not None and at > watch.heard:
            watch.heard = at
        if value == watch.value and reading.reason == watch.reason and not watch.silenced:
            return _NOTHING
        if value != watch.value:
            watch.changed = at
            watch.value = value
        watch.reason = reading.reason
        watch.silenced = False
        counts = not self._planned
        for probe in watch.compared:
            probe.compare(value, at, counts=counts)
        alarms: list[Alarm] = []
        is_number = value.__class__ is float or value.__class__ is int
        for probe in watch.probes:
            if is_number and probe.low <= value <= probe.high and probe.holds_since is None and not probe.missing:  # type: ignore[operator]
                continue
            if probe.feed(value, at, counts=counts):
                for instance in self._served(probe):
                    alarms += self._judge(instance, at)
        return alarms

    def watch(self, point: str) -> Watched | None:
        """What is kept of a point; None when there were too many before it."""
        return self._watches.get(point)

    @staticmethod
    def _served(probe: Probe) -> list[Instance]:
        return [probe.instance] if probe.instance is not None else list(probe.family.instances.values())

    def _meet(self, point: str, at: float) -> Watched | None:
        """Begin to watch a point."""
        if len(self._watches) >= POINTS_LIMIT:
            return None
        watch = self._watches[point] = Watched(point, heard=at, changed=at)
        watch.compared = self._compared.get(point, watch.compared)
        watch.probes = [probe for family in self._families.values() for probe in family.meet(watch)]
        for probe in watch.probes:
            condition = (*probe.family.rule.when, *probe.family.rule.unless)[probe.number]
            if condition.per is not None:
                self._compared[condition.per].append(probe)
            for instance in self._served(probe):
                self._schedule(instance, at)
        return watch

    def tick(self, now: float) -> list[Alarm]:
        """Alarms that the passing of time raises or ends, each at its own moment."""
        alarms: list[Alarm] = []
        while self._queue and self._queue[0][0] <= now:
            due, _, instance = heappop(self._queue)
            if instance.due != due:
                continue  # it was put off
            instance.due = inf
            for probe in instance.probes():
                probe.tick(due, self._watches[probe.point].value)
            alarms += self._judge(instance, due)
        self.due = self._queue[0][0] if self._queue else inf
        return alarms

    def visit(self, now: float, *, planned: bool) -> list[Alarm]:
        """A planned visit begins or ends. What it does not explain any more is raised."""
        over = self._planned and not planned
        self._planned = planned
        if not over:
            return []
        for watch in self._watches.values():
            for probe in watch.probes:
                if probe.family.rule.planned is not Planned.ALARM:
                    probe.was_true = None  # what is over with the visit is no evidence
        open_now = [each for family in self._families.values() for each in family.instances.values() if each.planned]
        return [alarm for instance in open_now for alarm in self._judge(instance, now)]

    def _schedule(self, instance: Instance, now: float) -> None:
        """Put the instance's next moment into the queue."""
        rule = instance.rule
        due = inf
        for probe in instance.probes():
            due = min(due, probe.due, probe.forgotten(now, rule.within))
        if instance.active_since is not None and not instance.is_true:
            due = min(due, instance.last_true + rule.hold)
        if due == instance.due:
            return
        if due < inf:
            due = max(due, now + SOON)
            heappush(self._queue, (due, next(self._count), instance))
            self.due = self._queue[0][0]
        instance.due = due
        if len(self._queue) > QUEUE_LIMIT:
            self._requeue()

    def _requeue(self) -> None:
        instances = [each for family in self._families.values() for each in family.instances.values() if each.due < inf]
        self._queue = [(instance.due, next(self._count), instance) for instance in instances]
        heapify(self._queue)
        self.due = self._queue[0][0] if self._queue else inf

    # Judging one instance -------------------------------------------------------------------------------------------------

    def _judge(self, instance: Instance, now: float) -> list[Alarm]:
        alarms: list[Alarm] = []
        evident = self._evident(instance, now)
        was_true, instance.is_true = instance.is_true, evident is not None
        if evident is not None:
            instance.last_true = max(now, instance.last_true)
            alarms = self._hold(instance, evident, now, again=not was_true)
        elif instance.active_since is not None:
            if was_true:
                instance.last_true = max(now, instance.last_true)
            if now >= instance.last_true + instance.rule.hold:
                alarms = self._end(instance, now)
        self._dirty[instance] = None
        self._schedule(instance, now)
        return alarms

    @staticmethod
    def _evident(instance: Instance, now: float) -> list[Probe] | None:
        """The probes that make the rule true; None when it is not."""
        rule, holding = instance.rule, instance.active_since is not None
        found: list[Probe] = []
        conditions = 0
        for served in instance.when:
            evident = [probe for probe in served if probe.evident(now, rule.within, holding=holding)]
            conditions += bool(evident)
            found += evident
        if conditions < rule.needed:
            return None
        excused = any(probe.true_since is not None for served in instance.unless for probe in served)
        return None if excused and not holding else found

    def _hold(self, instance: Instance, evident: list[Probe], now: float, *, again: bool) -> list[Alarm]:
        if instance.active_since is None:
            instance.active_since = now
            instance.repeats = 0
            instance.told = False
            instance.planned = self._planned and instance.rule.planned is not Planned.ALARM
            instance.evidence = _observations(evident)
        elif again:
            instance.repeats += 1
        if instance.planned and not self._planned:  # the visit is over and this is not
            instance.planned = instance.told = False
        if instance.told or (instance.planned and instance.rule.planned is Planned.SUPPRESS):
            return []
        instance.told = True
        return [self._alarm(instance, now)]

    def _end(self, instance: Instance, now: float) -> list[Alarm]:
        told = instance.told
        alarm = self._alarm(instance, now, cleared=True)
        instance.active_since = None
        instance.told = instance.planned = False
        return [alarm] if told else []

    def _alarm(self, instance: Instance, now: float, *, cleared: bool = False) -> Alarm:
        rule, evidence = instance.rule, instance.evidence
        first = evidence[0]
        value = f"{first.value:g}" if isinstance(first.value, float) else first.value
        return Alarm(
            self._machine,
            now,
            rule.rule,
            EventClass.SERVICE if instance.planned else rule.class_,
            Severity.ROUTINE if instance.planned else rule.severity,
            first.point,
            first.value,
            evidence,
            rule.text.format(machine=self._machine, point=first.point, value=value),
            rule.attack,
            cleared,
            instance.planned,
            instance.repeats,
        )

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds: every moment that is remembered moves with it."""
        for watch in self._watches.values():
            watch.heard += by
            watch.changed += by
            for probe in watch.probes:
                probe.shift(by)
        for family in self._families.values():
            for instance in family.instances.values():
                instance.due += by
                instance.last_true += by
                instance.active_since = None if instance.active_since is None else instance.active_since + by
        self._requeue()

    # Restart ------------------------------------------------------------------------------------------------------------

    def changed(self) -> Documents:
        """Alarms that are open and conditions that hold, as far as they have changed since the last call."""
        dirty, self._dirty = self._dirty, {}
        documents: Documents = {}
        for instance in dirty:
            document = instance.saved()
            if document is not None or instance.name in self._saved:
                documents[instance.name] = document
            (self._saved.add if document is not None else self._saved.discard)(instance.name)
        return documents

    def learned(self) -> Documents:
        """What the rules have learned of this machine since the last call."""
        documents: Documents = {}
        for watch in self._watches.values():
            for probe in watch.probes:
                test = probe.learned
                if test is not None and test.dirty:
                    test.dirty = False
                    documents[f"{probe.family.rule.rule} {probe.number} {probe.point}"] = test.state()
        return documents

    def restore(self, documents: Documents, learned: Documents, now: float) -> list[Alarm]:
        """Take back open alarms. They stay open until something heard says that they are over.

        The alarm of a rule that has gone from the configuration is cleared. What cannot be read is left out.
        """
        alarms: list[Alarm] = []
        for name, document in documents.items():
            found = remembered(document)
            if found is None:
                continue
            self._saved.add(name)
            rule, _, point = name.partition(" ")
            family = self._families.get(rule)
            instance = family.instance(point) if family is not None else None
            if instance is not None:
                self._take_back(instance, found, now)
            else:
                self._saved.discard(name)
                if found.told:
                    alarms.append(found.cleared(self._machine, rule, now))
        for name, document in learned.items():
            self._take_back_learned(name, document, now)
        return alarms

    def _take_back(self, instance: Instance, found: Remembered, now: float) -> None:
        instance.active_since, instance.repeats = found.active_since, found.repeats
        instance.told, instance.planned = found.told, found.planned
        instance.evidence = tuple(found.evidence)
        instance.last_true = now
        for state in found.probes:
            watch = self._watches.get(state.point) or self._meet(state.point, now)
            for probe in watch.probes if watch is not None else ():
                if probe.number == state.condition and instance in self._served(probe):
                    probe.restore(state, now)
        instance.is_true = self._evident(instance, now) is not None
        self._schedule(instance, now)

    def _take_back_learned(self, name: str, document: dict[str, object] | None, now: float) -> None:
        rule, number, point = (*name.split(" "), "", "")[:3]
        watch = self._watches.get(point) or (self._meet(point, now) if rule in self._families and point else None)
        for probe in watch.probes if watch is not None and document is not None else ():
            if probe.family.rule.rule == rule and str(probe.number) == number and probe.learned is not None:
                probe.learned.restore(document or {})


def _observations(probes: list[Probe]) -> tuple[Evidence, ...]:
    return tuple(Evidence(probe.point, probe.value, probe.began) for probe in probes[:EVIDENCE_LIMIT])
