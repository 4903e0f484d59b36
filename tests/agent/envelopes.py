"""Envelopes for tests."""

from __future__ import annotations

from agent.records import Alarm, Body, Envelope, EventClass, Evidence, Loss, PointSummary, Severity, Summary

GATEWAY = "gw-1"
EPOCH = "e1f2"


def alarm(position: int, *, text: str = "", epoch: str = EPOCH) -> Envelope:
    """An alarm at a position of its lane."""
    at = 1_760_000_000.0 + position
    body = Alarm(
        machine="ATM-7",
        at=at,
        rule="black_box",
        class_=EventClass.SECURITY,
        severity=Severity.FATAL,
        point="auxiliaries.cabinetDoor",
        value="open",
        evidence=(Evidence("auxiliaries.cabinetDoor", "open", at),),
        text=text,
        attack="BLACK_BOX",
    )
    return envelope("alarms", position, body, epoch)


def summary(position: int, *, epoch: str = EPOCH) -> Envelope:
    """A summary at a position of its lane: about a kilobyte."""
    points = {f"motion.rms{index}": PointSummary(n=60, min=0.01, mean=0.02, max=0.5, last=0.02) for index in range(12)}
    return envelope("summaries", position, Summary("ATM-7", position * 60.0, position * 60.0 + 60.0, 1.0, points), epoch)


def loss(position: int, lane: str, first: int, last: int) -> Envelope:
    """The news that positions of a lane are gone."""
    return envelope("alarms", position, Loss(lane, first, last, last - first + 1, "evicted"))


def envelope(lane: str, position: int, body: Body, epoch: str = EPOCH) -> Envelope:
    """A body at a position."""
    at = 1_760_000_000.0 + position
    return Envelope(GATEWAY, epoch, lane, position, "3d1c", float(position), at, True, body)
