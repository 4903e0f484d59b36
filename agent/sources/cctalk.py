"""A coin hopper or a note validator on a ccTalk wire: listened to beside its master, or asked where there is no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from agent.records import Reading, Value
from agent.settings import Duration
from agent.sources import Context, Source
from agent.sources.bus import PolledSource
from agent.sources.cctalk_values import Hopper, Validator
from agent.sources.exchange import Request, Round, spoken
from agent.sources.tap import Side, TapSettings, TapSource
from agent.sources.values import Values
from agent.vocabulary import SERVICES, UNIT_ID
from agent.wire import cctalk
from agent.wire.cctalk import Check, Decoder, Frame

WITHIN = 0.3  # s; a device begins within 200 ms, and self-checks take longer on some
PAUSE = 0.06  # s without a byte after which half a frame is over: the protocol says 50 ms between two bytes, masters wait longer
NAMES = (cctalk.MANUFACTURER, cctalk.PRODUCT, cctalk.SOFTWARE)
DEVICES = {"hopper": (3, "cashDispenser", "unitHopper"), "validator": (40, "cashAcceptor", "unitCashbox")}
AWAY = {"silent": "powerOff", "missing": "noDevice"}


@dataclass(frozen=True, kw_only=True)
class Settings(TapSettings):
    """A device on the wire."""

    baud: int = 9_600
    mode: Literal["tap", "poll"] = "tap"
    """tap: another master asks, we listen; poll: nobody else is there to ask."""
    device: Literal["hopper", "validator"]
    address: int = 0
    """On the wire; 0: the usual one, 3 of a hopper, 40 of a validator."""
    check: Check = "sum"
    service: str = ""
    """Whose points it tells; empty: cashDispenser of a hopper, cashAcceptor of a validator."""
    unit: str = ""
    """Its storage unit; empty: unitHopper or unitCashbox."""
    every: Duration = 0.5
    """How often it is asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.address <= 255 or self.address == cctalk.HOST:
            raise ValueError("address: expected 2 to 255, or 0 for the usual one")
        if self.service and self.service not in SERVICES:
            raise ValueError(f"service: no service is called {self.service!r}; a second dispenser has none of its own")
        if self.unit and UNIT_ID.fullmatch(self.unit) is None:
            raise ValueError(f"unit: {self.unit!r} is no storage unit; expected unit and letters or digits, as unit5")
        if self.mode == "poll" and self.host_port:
            raise ValueError("host_port: whoever asks hears both directions; leave it out")
        if not 0.2 <= self.every <= 3600.0:
            raise ValueError("every: expected 200ms to 1h")

    @property
    def shared(self) -> bool:
        """Where it is asked."""
        return self.mode == "poll"

    def says(self, name: str) -> Hopper | Validator:
        """What becomes of the device's answers."""
        _, service, unit = DEVICES[self.device]
        kind = Hopper if self.device == "hopper" else Validator
        return kind(name, self.service or service, self.unit or unit, twice=self.check == "sum")

    @property
    def number(self) -> int:
        """The address on the wire."""
        return self.address or DEVICES[self.device][0]

    def away(self, word: str) -> Mapping[str, Value]:
        """What is to be said of a device that is not heard."""
        service = self.service or DEVICES[self.device][1]
        return {f"{service}.device": AWAY[word]} if word in AWAY else {}


def named(answers: Mapping[int, bytes]) -> str:
    """Who a device says it is: maker, product, software."""
    return " ".join(filter(None, (spoken(answers.get(header, b"")) for header in NAMES)))


class Asking:
    """A device that is asked. See `Polled`."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.identity = ""
        self.every = settings.every
        self._settings = settings
        self._says = settings.says(name)
        self._due = dict.fromkeys((each.header for each in self._says.asked), 0)
        self._known: dict[int, bytes] = {}  # the last answer to what is asked seldom
        self._introduced = False
        self._requests = frozenset(self._request(header, None).data for header in (*self._due, *NAMES))

    def may_send(self, data: bytes) -> bool:
        """Requests to this device that carry nothing and change nothing: status or events, faults, counts, identity."""
        return data in self._requests

    def round(self) -> Round:
        """Status or events, faults now and then; who it is, once."""
        answers: dict[int, bytes] = {}
        for each in self._says.asked:
            self._due[each.header] -= 1
            if self._due[each.header] >= 0:
                continue
            frame = yield self._request(each.header, each.size)
            if isinstance(frame, Frame):
                answers[each.header] = frame.data
                # what is asked seldom is asked again in the next round: a change counts once it was read twice
                again = self._known.get(each.header) == frame.data
                self._due[each.header] = round(each.every / self.every) if again else 0
                self._known[each.header] = frame.data
            elif not answers:
                return {}
        if not self._introduced:
            self._introduced = True
            names: dict[int, bytes] = {}
            for header in NAMES:
                frame = yield self._request(header, None)
                if isinstance(frame, Frame):
                    names[header] = frame.data
            self.identity = named(names)
        return self._says.said(answers)

    def _request(self, header: int, size: int | None) -> Request:
        unit, check = self._settings.number, self._settings.check
        return Request(cctalk.encode(unit, header, check=check), cctalk.reader(unit, check, size), WITHIN, echo=True)

    def away(self, word: str) -> Mapping[str, Value]:
        """It has no power, or its line is gone."""
        return self._settings.away(word)


class Listening:
    """A device whose master is heard too, on the one wire or on two. See `Heard`."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.frames = 0
        self._settings = settings
        self._values = Values(context)
        self._says = settings.says(context.name)
        self._sizes = {each.header: each.size for each in self._says.asked}
        self._decoders: dict[Side, Decoder] = {side: Decoder(settings.check) for side in ("device", "host")}
        self._asked: int | None = None  # the header of the last request to our device
        self._names: dict[int, bytes] = {}
        self._unanswered = False  # our device was asked, and has not answered since
        self._last: dict[Side, float] = dict.fromkeys(self._decoders, -inf)

    @property
    def identity(self) -> str:
        """Who it says it is, as far as its master has asked."""
        return named(self._names)

    def begin(self) -> None:
        """Half a frame is over, and so is a request whose answer is still to come."""
        self._asked = None
        for side, decoder in self._decoders.items():
            fresh = Decoder(self._settings.check)
            fresh.garbage_bytes = decoder.garbage_bytes + len(decoder.held)
            self._decoders[side] = fresh

    def hear(self, side: Side, chunk: bytes, at: float, mono: float) -> Sequence[Reading]:
        """Answers of our device to what its master asked."""
        late = self._over(side, at, mono)
        self._last[side] = mono
        return [*late, *self._said(self._decoders[side].feed(chunk), at, mono)]

    def _said(self, frames: Iterable[Frame], at: float, mono: float) -> Sequence[Reading]:
        readings: list[Reading] = []
        for frame in frames:
            if frame.dst == self._settings.number:
                self._asked = frame.header if not frame.data else None
                self._unanswered = True
                continue
            header, self._asked = self._asked, None
            if frame.dst != cctalk.HOST or frame.src not in (self._settings.number, None):
                continue
            self.frames += 1
            self._unanswered = False
            if header in NAMES and frame.header == cctalk.ACK:
                self._names[header] = frame.data
            if header in self._sizes and frame.header == cctalk.ACK and self._sizes[header] in (None, len(frame.data)):
                readings += self._values.news(self._says.said({header: frame.data}), at, mono)
        return readings

    def tick(self, at: float, mono: float) -> Sequence[Reading]:
        """A frame that stopped in the middle is over."""
        return [reading for side in self._decoders for reading in self._over(side, at, mono)]

    def _over(self, side: Side, at: float, mono: float) -> Sequence[Reading]:
        """What stood behind a start whose end never came. A length that noise has made would swallow the next ten frames."""
        if mono - self._last[side] < PAUSE:
            return ()
        return self._said(self._decoders[side].pause(), at, mono)

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """Without power, if it is heard to be asked in vain; a master that asks nothing says nothing of the device."""
        if word == "silent" and not self._unanswered:
            return ()
        return self._values.readings(self._settings.away(word), at)

    def counters(self) -> Mapping[str, float]:
        """Bytes that belonged to no frame; with a check that is a sum, a wrong one cannot be told from noise."""
        return {"garbageBytes": sum(each.garbage_bytes for each in self._decoders.values()), "unknown": self._values.unknown}


def open_source(context: Context, settings: Settings) -> Source:
    """A device as configured. Touches no hardware."""
    if settings.mode == "poll":
        return PolledSource(context, settings, Asking(context.name, settings))
    return TapSource(context, settings, Listening(context, settings))
