"""Rules as the configuration gives them: conditions on points, held for a time, combined within a time.

    rule: blackBox            attack: BLACK_BOX       class: SECURITY       severity: 4
    when:                                             need: all             within: 10m
      - {point: auxiliaries.cabinetDoor, is: [open, tampered]}
      - {point: cashDispenser.device, is: [powerOff, noDevice], for: 2s}
    planned: suppress

A condition is true once its test has held for `for`, and evident as long as it is true and for `within` afterwards. A point may
have `*` in the place of one segment: each point that fits the first condition is judged by itself, as an instance of the rule;
any point that fits serves a later condition. A point that is not usable cannot make a rule true, and cannot end its alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.records import EventClass, Severity
from agent.settings import Duration


class Planned(StrEnum):
    """What a rule does while a planned visit of the machine is under way."""

    ALARM = "alarm"  # the same as ever: hold-up, gas, tilt
    MARK = "mark"  # an Alarm of class SERVICE and severity 1, marked as planned
    SUPPRESS = "suppress"  # nothing, and what is counted over a time does not count


@dataclass(frozen=True)
class Condition:
    """One test on one point; exactly one of the tests is given."""

    point: str
    is_: tuple[str, ...] = ()
    """The word is one of these."""
    is_not: tuple[str, ...] = ()
    """The word is none of these."""
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    """With above or below: the value at which the test ends again (hysteresis)."""
    grows: float | None = None
    """A counter grew by at least so much within `over`."""
    changes: int | None = None
    """The value changed at least so often within `over`."""
    rises: float | None = None
    """The value is at least so far above its lowest within `over`."""
    falls: float | None = None
    """The value is at least so far below its highest within `over`."""
    swings: float | None = None
    """The highest and the lowest value within `over` are at least so far apart."""
    above_usual: float | None = None
    """The mean within `over` is above what is usual at this machine by more than this share."""
    below_usual: float | None = None
    """The mean within `over` is below what is usual at this machine by more than this share."""
    overdue: float | None = None
    """A counter stands still although it should have grown by at least so much, by what is usual at this hour and weekday."""
    silent: Duration | None = None
    """Nothing usable has been heard for so long. A point that was never heard is not fitted, and never silent."""
    still: Duration | None = None
    """The value is heard, and has not changed for so long."""
    reason: str | None = None
    """The Reading's quality has this reason (`agent.stages.clean`)."""
    over: Duration = 60.0
    stuck_after: Duration | None = None
    """With rises, falls or swings: a value that stood still so long came from a stuck sensor, so the next one is a beginning."""
    per: str | None = None
    """With grows: a counter that the growth is compared with …"""
    ratio: float | None = None
    """… and the least growth for each one that `per` grew within `over`."""
    least: int = 20
    """With above_usual or below_usual: values that a mean needs."""
    for_: Duration = 0.0
    """The test must have held for so long, without a break …"""
    altogether: Duration | None = None
    """… or for so long in all within `over`, with breaks (is, is_not, above, below)."""

    def __post_init__(self) -> None:
        given = [name.rstrip("_") for name in TESTS if getattr(self, name) not in (None, ())]
        if len(given) != 1:
            raise ValueError(f"needs exactly one test, one of {', '.join(name.rstrip('_') for name in TESTS)}; has {given}")
        test = given[0]
        if self.clear is not None and test not in ("above", "below"):
            raise ValueError("clear: goes only with above or below")
        if self.clear is not None and not self._is_beyond_clear(self.clear):
            raise ValueError("clear: must be on the calm side of the bound")
        if self.stuck_after is not None and test not in ("rises", "falls", "swings"):
            raise ValueError("stuck_after: goes only with rises, falls or swings")
        if (self.per is None) is not (self.ratio is None) or (self.per is not None and test != "grows"):
            raise ValueError("per: goes with grows and ratio, and they with it")
        if self.altogether is not None and (test not in ("is", "is_not", "above", "below") or self.for_):
            raise ValueError("altogether: goes with is, is_not, above or below, and instead of for")
        if self.altogether is not None and not 0 < self.altogether <= self.over:
            raise ValueError(f"altogether: expected more than 0s and at most over ({self.over:g}s), got {self.altogether:g}s")
        self._check_positive()

    def _check_positive(self) -> None:
        for name in (*TESTS[TESTS.index("grows") : TESTS.index("reason")], "over", "stuck_after", "least"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected more than 0, got {value}")
        if self.for_ < 0:
            raise ValueError(f"for: expected 0s or more, got {self.for_:g}s")

    def _is_beyond_clear(self, clear: float) -> bool:
        return (self.above is None or clear <= self.above) and (self.below is None or clear >= self.below)


TESTS = (
    "is_", "is_not", "above", "below", "grows", "changes", "rises", "falls", "swings", "above_usual", "below_usual", "overdue",
    "silent", "still", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """When to raise what."""

    rule: str
    when: tuple[Condition, ...]
    class_: EventClass
    severity: Severity
    text: str = ""
    """One plain sentence for the operator; {machine}, {point} and {value} are filled in."""
    attack: str | None = None
    need: int | str = "all"
    """How many of the conditions must be evident: all, any or a number."""
    within: Duration = 0.0
    """How long a condition stays evident after it was last true."""
    unless: tuple[Condition, ...] = ()
    """While one of these is true no alarm is raised; one that is open does not end by it."""
    planned: Planned = Planned.ALARM
    hold: Duration = 60.0
    """The rule must have been false for so long before its alarm is cleared; what is raised in between is a repeat."""

    def __post_init__(self) -> None:
        if not self.when:
            raise ValueError("when: needs at least one condition")
        if isinstance(self.need, str) and self.need not in ("all", "any"):
            raise ValueError(f"need: expected all, any or a number, got {self.need!r}")
        if isinstance(self.need, int) and not 1 <= self.need <= len(self.when):
            raise ValueError(f"need: expected 1 to {len(self.when)}, the number of conditions, got {self.need}")

    @property
    def needed(self) -> int:
        """How many of the conditions must be evident."""
        return self.need if isinstance(self.need, int) else {"all": len(self.when), "any": 1}[self.need]


def fits(pattern: str, name: str) -> bool:
    """Whether a point's name fits a pattern in which `*` stands for one segment."""
    if "*" not in pattern:
        return pattern == name
    wanted, given = pattern.split("."), name.split(".")
    return len(wanted) == len(given) and all(want in ("*", have) for want, have in zip(wanted, given, strict=True))
