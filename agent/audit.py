"""The trail of what matters to a security officer, in the lane of the alarms: kept longest, sent first, lost never in silence.

Each event is an Alarm of class SECURITY of the gateway itself: `rule` is `audit.` and what happened, `value` its outcome, `text`
who or what brought it about. The log gets the same line. A guard hit, a clock step and a tamper have rules of their own, whose
Alarms stand in the same lane.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable

from agent.records import Alarm, EventClass, Severity

log = logging.getLogger(__name__)

TEXT_LIMIT = 500  # characters of one event's text
AT_ONCE = 20  # refusals of a kind that are told one by one; whoever knocks on without pause must not fill the lane of the alarms
EVERY = 60.0  # s after which one more is, with the number of those between
SEVERITIES = dict.fromkeys(("refused", "failed", "damaged"), Severity.WARNING)


class Knocks:
    """How many of a kind are told: so many at once, then one a minute. Pure: times are arguments, in seconds."""

    def __init__(self) -> None:
        self._left, self._since, self._held = float(AT_ONCE), float("-inf"), 0

    def held(self, now: float) -> int | None:
        """How many were held back before this one; None: this one is."""
        passed, self._since = max(0.0, now - self._since), now  # a clock that was set back gives nothing
        self._left = min(float(AT_ONCE), self._left + passed / EVERY)
        if self._left < 1.0:
            self._held += 1
            return None
        held, self._held, self._left = self._held, 0, self._left - 1.0
        return held


class Audit:
    """`keep` puts an Alarm into the store, `now` is the time in seconds since the epoch."""

    def __init__(self, gateway: str, keep: Callable[[Alarm], object], now: Callable[[], float]) -> None:
        self._gateway, self._keep, self._now = gateway, keep, now
        self._knocks: defaultdict[str, Knocks] = defaultdict(Knocks)  # refusals, by what was refused

    def event(self, what: str, outcome: str, source: str, text: str = "") -> None:
        """Note an event: what happened (`configuration`), how it ended (`applied`), who brought it about (`uid 0`).

        Of many refusals some are folded into the next that is told (`repeats`).
        """
        told = f"{source}: {text}" if text else source
        severity = SEVERITIES.get(outcome, Severity.ROUTINE)
        log.log(logging.INFO if severity is Severity.ROUTINE else logging.WARNING, "audit: %s %s by %s", what, outcome, told)
        now = self._now()
        held = self._knocks[what].held(now) if outcome == "refused" else 0
        if held is None:
            return
        self._keep(
            Alarm(
                machine=self._gateway,
                at=now,
                rule=f"audit.{what}",
                class_=EventClass.SECURITY,
                severity=severity,
                point=f"gateway.{what}",
                value=outcome,
                evidence=(),
                text=told[:TEXT_LIMIT],
                repeats=held,
            )
        )
