"""The trail of what matters to a security officer, in the lane of the alarms: kept longest, sent first, lost never in silence.

Each event is an Alarm of class SECURITY of the gateway itself: `rule` is `audit.` and what happened, `value` its outcome, `text`
who or what brought it about. The log gets the same line. A guard hit, a clock step and a tamper have rules of their own, whose
Alarms stand in the same lane.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.records import Alarm, EventClass, Severity

log = logging.getLogger(__name__)

TEXT_LIMIT = 500  # characters of one event's text
SEVERITIES = dict.fromkeys(("refused", "failed", "damaged"), Severity.WARNING)


class Audit:
    """`keep` puts an Alarm into the store, `now` is the time in seconds since the epoch."""

    def __init__(self, gateway: str, keep: Callable[[Alarm], object], now: Callable[[], float]) -> None:
        self._gateway, self._keep, self._now = gateway, keep, now

    def event(self, what: str, outcome: str, source: str, text: str = "") -> None:
        """Note an event: what happened (`configuration`), how it ended (`applied`), who brought it about (`uid 0`)."""
        told = f"{source}: {text}" if text else source
        severity = SEVERITIES.get(outcome, Severity.ROUTINE)
        log.log(logging.INFO if severity is Severity.ROUTINE else logging.WARNING, "audit: %s %s by %s", what, outcome, told)
        self._keep(
            Alarm(
                machine=self._gateway,
                at=self._now(),
                rule=f"audit.{what}",
                class_=EventClass.SECURITY,
                severity=severity,
                point=f"gateway.{what}",
                value=outcome,
                evidence=(),
                text=told[:TEXT_LIMIT],
            )
        )
