"""Times of a gateway that began its life in 1970 and learned the time later, put right before they are sent. Pure.

A record carries two clocks: the wall's, which may have been wrong, and the monotonic one of the same boot, which never steps.
Once the wall clock can be trusted, what it would have shown at any earlier moment of this boot is known. A record of an earlier
boot stays as it is, and says by `synced` that its time is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from agent.records import Alarm, Body, Envelope, Reading, Stamp, Summary

NEAR = 1.0  # s; a clock that was off by less was right


def rebased(batch: Sequence[Envelope], now: Stamp) -> list[Envelope]:
    """The envelopes, those of this boot with the times that a trusted clock would have given. Positions and order stay."""
    if not now.synced:
        return list(batch)
    return [each if each.synced or each.boot != now.boot else _shifted(each, now.at - now.mono) for each in batch]


def _shifted(envelope: Envelope, offset: float) -> Envelope:
    by = envelope.mono + offset - envelope.at
    if abs(by) < NEAR:
        return replace(envelope, synced=True)
    return replace(envelope, at=envelope.at + by, synced=True, body=_body(envelope.body, by))


def _body(body: Body, by: float) -> Body:
    match body:
        case Reading():
            return replace(body, at=body.at + by)
        case Alarm():
            return replace(body, at=body.at + by, evidence=tuple(replace(each, at=each.at + by) for each in body.evidence))
        case Summary():
            return replace(body, start=body.start + by, end=body.end + by)
    return body
