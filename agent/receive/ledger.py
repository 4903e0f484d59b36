"""What has been received, what came twice, what is lost with a reason and what is missing without one. Pure.

An envelope's identity is (gateway, epoch, lane, position). Positions of a stream begin at 1 and leave nothing out, so whatever
lies below the highest position and has neither come nor been told of by a Loss is missing. What lies above it nobody can know.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from agent.receive.intervals import Intervals
from agent.records import Alarm, Envelope, EventClass, Loss, Severity

Stream: TypeAlias = tuple[str, str, str]
"""Gateway, epoch, lane."""

REMEMBERED = 10_000  # alarms that an account tells; the newest


class StreamAccount(Struct, frozen=True):
    """One stream. `lost` counts what a Loss names, `missing` what nothing explains; `holes` are the latter, first to last.

    A Loss of no records explains positions under which none will come; nothing is lost there.
    """

    gateway: str
    epoch: str
    lane: str
    highest: int
    received: int
    lost: int
    missing: int
    holes: tuple[tuple[int, int], ...]


class AlarmAccount(Struct, frozen=True):
    """An alarm, and when it was raised, stored and received: seconds since the epoch, the last by this end's clock."""

    rule: str
    class_: EventClass = msgspec.field(name="class")
    attack: str | None
    machine: str
    severity: Severity
    point: str
    cleared: bool
    planned: bool
    at: float
    stored_at: float
    received_at: float
    gateway: str
    epoch: str
    position: int


class Account(Struct, frozen=True):
    """Everything that a ledger knows. The first four are sums over the streams."""

    received: int
    duplicates: int
    missing: int
    lost: int
    undecodable: int
    streams: tuple[StreamAccount, ...]
    alarms: tuple[AlarmAccount, ...]


class Entry(NamedTuple):
    """What an envelope was to the ledger. `gap`: the positions that have not come, when it is the first beyond them."""

    fresh: bool
    gap: tuple[int, int] | None = None


@dataclass(slots=True)
class _Stream:
    received: Intervals = field(default_factory=Intervals)
    lost: Intervals = field(default_factory=Intervals)
    vacant: Intervals = field(default_factory=Intervals)  # named by a Loss of no records


class Ledger:
    """Memory grows with streams and gaps, not with envelopes."""

    def __init__(self) -> None:
        self._streams: dict[Stream, _Stream] = {}
        self._alarms: deque[AlarmAccount] = deque(maxlen=REMEMBERED)
        self.duplicates = 0
        self.undecodable = 0

    def enter(self, envelope: Envelope, received_at: float) -> Entry:
        """Note an envelope that was received at a time, in seconds since the epoch."""
        received = self._stream(envelope.gateway, envelope.epoch, envelope.lane).received
        if envelope.position in received:
            self.duplicates += 1
            return Entry(fresh=False)
        highest = received.highest
        received.add(envelope.position, envelope.position)
        match envelope.body:
            case Alarm() as alarm:
                self._alarms.append(_alarm_account(alarm, envelope, received_at))
            case Loss() as loss:
                self.lose(envelope.gateway, envelope.epoch, loss)
        gap = (highest + 1, envelope.position - 1) if envelope.position > highest + 1 else None
        return Entry(fresh=True, gap=gap)

    def restore(self, gateway: str, epoch: str, lane: str, first: int, last: int) -> None:
        """Note positions first to last of a stream as received, some time before."""
        self._stream(gateway, epoch, lane).received.add(first, last)

    def lose(self, gateway: str, epoch: str, loss: Loss) -> None:
        """Note what a gateway says it could not keep."""
        if 1 <= loss.first <= loss.last:
            stream = self._stream(gateway, epoch, loss.lane)
            (stream.lost if loss.count else stream.vacant).add(loss.first, loss.last)

    def known(self, envelope: Envelope) -> bool:
        """Whether this very envelope has been entered before."""
        stream = self._streams.get((envelope.gateway, envelope.epoch, envelope.lane))
        return stream is not None and envelope.position in stream.received

    def account(self) -> Account:
        """The account as it stands, streams in the order of their names."""
        streams = tuple(_stream_account(name, self._streams[name]) for name in sorted(self._streams))
        return Account(
            received=sum(stream.received for stream in streams),
            duplicates=self.duplicates,
            missing=sum(stream.missing for stream in streams),
            lost=sum(stream.lost for stream in streams),
            undecodable=self.undecodable,
            streams=streams,
            alarms=tuple(self._alarms),
        )

    def _stream(self, gateway: str, epoch: str, lane: str) -> _Stream:
        return self._streams.setdefault((gateway, epoch, lane), _Stream())


def _stream_account(name: Stream, stream: _Stream) -> StreamAccount:
    kept = stream.received.union(stream.vacant)
    explained = kept.union(stream.lost)
    holes = tuple(explained.holes())
    return StreamAccount(
        *name,
        highest=explained.highest,
        received=len(stream.received),
        lost=len(explained) - len(kept),
        missing=sum(last - first + 1 for first, last in holes),
        holes=holes,
    )


def _alarm_account(alarm: Alarm, envelope: Envelope, received_at: float) -> AlarmAccount:
    return AlarmAccount(
        rule=alarm.rule,
        class_=alarm.class_,
        attack=alarm.attack,
        machine=alarm.machine,
        severity=alarm.severity,
        point=alarm.point,
        cleared=alarm.cleared,
        planned=alarm.planned,
        at=alarm.at,
        stored_at=envelope.at,
        received_at=received_at,
        gateway=envelope.gateway,
        epoch=envelope.epoch,
        position=envelope.position,
    )
