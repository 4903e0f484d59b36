"""The trail of what matters to a security officer: every event, and of a stranger who never stops knocking, his number."""

from __future__ import annotations

from agent.audit import AT_ONCE, EVERY, Audit
from agent.records import Alarm, EventClass, Severity


class Trail:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.alarms: list[Alarm] = []
        self.audit = Audit("gw", self.alarms.append, lambda: self.now)


def test_an_event_is_an_alarm_of_the_gateway() -> None:
    trail = Trail()
    trail.audit.event("configuration", "applied", "uid 0", "log level: changed")
    (alarm,) = trail.alarms
    assert (alarm.machine, alarm.rule, alarm.value, alarm.text) == (
        "gw", "audit.configuration", "applied", "uid 0: log level: changed",
    )  # fmt: skip
    assert (alarm.class_, alarm.severity) == (EventClass.SECURITY, Severity.ROUTINE)


def test_a_flood_of_refusals_is_told_by_its_number_and_hides_nothing_else() -> None:
    trail = Trail()
    for _ in range(10_000):
        trail.audit.event("control", "refused", "platform", "a request was refused: its signature is wrong")
        trail.now += 0.01
    assert len(trail.alarms) == AT_ONCE + 1  # of a hundred seconds
    trail.audit.event("control", "taken", "platform", "request 0123456789: readNow")
    trail.audit.event("configuration", "refused", "uid 999")
    assert [alarm.rule for alarm in trail.alarms[-2:]] == ["audit.control", "audit.configuration"]
    trail.now += EVERY
    trail.audit.event("control", "refused", "platform", "a request was refused: it came after its time")
    refused = [alarm for alarm in trail.alarms if alarm.rule == "audit.control" and alarm.value == "refused"]
    assert sum(1 + alarm.repeats for alarm in refused) == 10_001


def test_a_clock_that_is_set_back_tells_no_more_and_no_less() -> None:
    trail = Trail()
    for _ in range(3 * AT_ONCE):
        trail.audit.event("page", "refused", "192.0.2.7")
        trail.now -= 3_600.0
    assert len(trail.alarms) == AT_ONCE
    trail.now += 3_600.0 + EVERY
    trail.audit.event("page", "refused", "192.0.2.7")
    assert trail.alarms[-1].repeats == 2 * AT_ONCE
