"""What both ways in share: decode, drop duplicates, write down, say. When `take` has returned, it may be acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from agent.encode import Encoding, Undecodable
from agent.receive.database import Database, restore
from agent.receive.files import Files
from agent.receive.ledger import Account, Ledger
from agent.receive.outfile import OutFile, kept
from agent.receive.place import Place
from agent.records import Alarm, Envelope, Loss

STATUS = "status"  # the last word of the place where a gateway tells how its link is


class Status(msgspec.Struct, frozen=True):
    """What stands there."""

    link: Literal["up", "down", "lost"]


_decode_status = msgspec.json.Decoder(Status).decode


class Intake:
    """One ledger, one out file. `say` is given each line for people, `now` is the wall clock in seconds since the epoch."""

    def __init__(
        self,
        out: OutFile | Database | None,
        say: Callable[[str], None],
        now: Callable[[], float],
        place: Place | None = None,
        files: Files | None = None,
    ) -> None:
        """Continues where the out file or the database ends. Raises ValueError when the file holds something else, or OSError."""
        self._ledger = Ledger()
        self._out = out
        self._say = say
        self._now = now
        self._place = place or Place()
        self._files = files
        if isinstance(out, OutFile):
            for line in out.lines():
                self._ledger.enter(line, line.received_at)
            self._ledger.duplicates = 0  # a line written twice is no message that came twice
        elif out is not None:
            restore(out, self._ledger)

    def take(self, encoding: Encoding, payload: bytes, place: Sequence[str]) -> None:
        """A message that came in at a topic or path, by its levels. Raises Undecodable, or OSError when it cannot be kept."""
        try:
            if place[-1:] == [STATUS]:
                self._status(payload, place)
                return
            envelopes = encoding.decode(payload)
            self._place.check(envelopes, place)
            if self._files is not None:
                envelopes = [self._files.take(each) for each in envelopes]
        except Undecodable as error:
            self._ledger.undecodable += 1
            self._say(f"refused {len(payload)} bytes at {_printable('/'.join(place))}: {error}")
            raise
        self._keep(envelopes)

    def account(self) -> Account:
        """Of everything in the out file and since; of a database, of everything that any receiver has put there."""
        if self._out is not None and not isinstance(self._out, OutFile):
            restore(self._out, self._ledger)
        return self._ledger.account()

    def _keep(self, envelopes: Sequence[Envelope]) -> None:
        received_at = self._now()
        fresh = {each.position: each for each in envelopes if not self._ledger.known(each)}
        elsewhere: set[int] = set()  # positions that another receiver had already
        if self._out is not None and fresh:
            stored = self._out.append([kept(each, received_at) for each in fresh.values()])
            elsewhere = fresh.keys() - {each.position for each in stored}
        for envelope in envelopes:
            if envelope.position in elsewhere:
                self._ledger.duplicates += 1
                self._ledger.restore(envelope.gateway, envelope.epoch, envelope.lane, envelope.position, envelope.position)
                elsewhere.discard(envelope.position)
                continue
            entry = self._ledger.enter(envelope, received_at)
            if entry.gap:
                first, last = entry.gap
                self._say(f"gap   {_stream(envelope)}: {first} to {last} have not come")
            if entry.fresh:
                self._tell(envelope)

    def _tell(self, envelope: Envelope) -> None:
        match envelope.body:
            case Alarm() as alarm:
                word = "clear" if alarm.cleared else "alarm"
                words = (alarm.machine, alarm.rule, alarm.class_, f"severity {alarm.severity}", alarm.attack, alarm.text)
                self._say(f"{word} {_moment(alarm.at)} " + _printable(" ".join(str(each) for each in words if each)))
            case Loss() as loss:
                where = f"{_printable(envelope.gateway)}/{_printable(loss.lane)}"
                self._say(f"loss  {where}: {loss.first} to {loss.last}, {loss.count} of them: {_printable(loss.why)}")

    def _status(self, payload: bytes, place: Sequence[str]) -> None:
        try:
            status = _decode_status(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Undecodable('not a status; expected {"link": "up"}, "down" or "lost"') from None
        self._say(f"link  {_printable('/'.join(place[:-1]))}: {status.link}")


def _stream(envelope: Envelope) -> str:
    return _printable(f"{envelope.gateway}/{envelope.lane}")


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # no year that a calendar has
        return f"{at:g}"


def _printable(text: str) -> str:
    """Text from outside, for a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)
