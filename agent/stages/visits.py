"""Who is at the machine: service mode as the machine shows it, compared with the calendar.

    machine.visit   none | planned | unplanned
    machine.open    true | false     whether customers may use it now

A visit is under way while the operator switch, vendor mode or a cassette exchange shows one, and for a minute afterwards. It is
planned when the calendar expects one: the calendar alone proves nothing, for an attacker may come on the same day. Who is
expected may open a door first and has a while to show service mode. A visit may be announced while the agent runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from agent.records import Reading
from agent.stages import Documents
from agent.stages.calendar import Plan, Visit

SIGNS: dict[str, frozenset[str]] = {
    "auxiliaries.operatorSwitch": frozenset({"maintenance", "supervisor"}),
    "vendorMode.service": frozenset({"enterPending", "active", "exitPending"}),
    "cashDispenser.exchange": frozenset({"active"}),
}
DOORS = frozenset(
    {"auxiliaries.cabinetDoor", "auxiliaries.cabinetFrontDoor", "auxiliaries.cabinetRearDoor", "auxiliaries.safeDoor"}
)
LOOK = 60.0  # s between two looks at the calendar
SETTLE = 0.2  # s: what a frame says together is judged together
LINGER = 60.0  # s after the last sign: a door may close after the switch was turned back
GRACE = 90.0  # s between a door that the calendar expects to be opened and the first sign of service mode
OVERRUN = 3_600.0  # s that a planned visit may take longer than planned
ANNOUNCED = 32  # visits that may be announced at once; whoever announces more forgets the oldest


class Visits:
    """The visits of one machine. `due`: when `tick` must be called next."""

    def __init__(self, machine: str, plan: Plan) -> None:
        self._machine = machine
        self._plan = plan
        self._signs: set[str] = set()
        self._doors: set[str] = set()  # that are open
        self._look = -inf  # when the calendar is looked at next
        self._expected = self._open = False
        self._until = -inf  # the newest sign counts until then
        self._grace = -inf
        self._planned_until = -inf
        self._said: dict[str, str] = {}
        self._announced: tuple[Visit, ...] = ()
        self._unsaved = False
        self.due = -inf

    def announce(self, visit: Visit) -> None:
        """Somebody is expected whom the calendar does not know."""
        self._set((*self._announced, visit)[-ANNOUNCED:])

    def withdraw(self, now: float) -> None:
        """Nobody who was announced is expected at `now` any more."""
        self._set(tuple(each for each in self._announced if not each.start <= now < each.end))

    def _set(self, announced: tuple[Visit, ...]) -> None:
        self._announced, self._unsaved = announced, True
        self._look = self.due = -inf

    @property
    def planned(self) -> bool:
        """Whether a planned visit is under way."""
        return self._said.get("machine.visit") == "planned"

    @staticmethod
    def wants(point: str) -> bool:
        """Whether this stage is to be fed with a point's Readings."""
        return point in SIGNS or point in DOORS

    def feed(self, reading: Reading) -> None:
        """Take note of a Reading that has been cleaned. What is not usable shows no service mode."""
        point, value, at = reading.point, reading.value, reading.at
        if point in DOORS:
            was_open = point in self._doors
            (self._doors.add if value == "open" else self._doors.discard)(point)
            if value == "open" and not was_open and self._expected:
                self._grace = max(self._grace, at + GRACE)
                self.due = min(self.due, at + SETTLE)
            return
        if value in SIGNS[point]:
            self._signs.add(point)
        elif point in self._signs:
            self._signs.discard(point)
            self._until = max(self._until, at + LINGER)
        else:
            return
        self.due = min(self.due, at + SETTLE)

    def tick(self, now: float) -> list[Reading]:
        """What is to be said at `now`: only what is news."""
        if now >= self._look:
            announced = any(visit.start <= now < visit.end for visit in self._announced)
            self._expected, self._open = announced or self._plan.visit_planned(now), self._plan.is_open(now)
            self._look = now - now % LOOK + LOOK
        words = {"machine.visit": self._visit(now), "machine.open": "true" if self._open else "false"}
        readings = [Reading(self._machine, point, word, now) for point, word in words.items() if self._said.get(point) != word]
        self._said = words
        later = [moment for moment in (self._until, self._grace, self._planned_until) if moment > now]
        self.due = min(self._look, *later) if later else self._look
        return readings

    def _visit(self, now: float) -> str:
        if self._signs:
            self._until = now + LINGER
        if not self._signs and now >= self._until:
            return "planned" if now < self._grace else "none"
        if self._expected:
            self._planned_until = now + OVERRUN
        return "planned" if now < self._planned_until else "unplanned"

    def changed(self) -> Documents:
        """The announced visits, when they are not the ones that were saved last."""
        if not self._unsaved:
            return {}
        self._unsaved = False
        return {"announced": {"visits": [[visit.start, visit.end, visit.who] for visit in self._announced]}}

    def restore(self, documents: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Go on expecting whom an earlier run was told of."""
        saved = documents.get("announced", {}).get("visits", ())
        self._announced = tuple(Visit(start, end, who) for start, end, who in saved if end > now)

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds."""
        self._until, self._grace, self._planned_until = self._until + by, self._grace + by, self._planned_until + by
        self._look = self.due = -inf
