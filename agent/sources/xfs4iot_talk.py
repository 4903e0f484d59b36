"""One XFS4IoT connection as a state machine: texts and times in, Readings and texts out. No I/O, no clock.

It asks and listens. What it may ask stands in ALLOWED and nowhere else: none of it changes anything in a device.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from agent.errors import LineLost
from agent.records import Reading, Value
from agent.sources import Context
from agent.sources.values import Values
from agent.vocabulary import point
from agent.wire import xfs4iot, xfs4iot_status
from agent.wire.xfs4iot import BadMessage, Message
from agent.wire.xfs4iot_storage import Storage

ALLOWED: Mapping[str, str] = {
    "ServicePublisher.GetServices": "2.0",
    "Common.Capabilities": "2.0",
    "Common.Status": "2.0",
    "Storage.GetStorage": "2.0",
}
"""The commands that may leave, with the version of each message. They read; everything else is refused here, in code."""

WITHIN = 10.0  # s for a completion
SERVICES_LIMIT = 64  # of one publisher
REFUSALS = ("unsupportedCommand", "invalidCommand")  # the service does not know it, and will not later

_LONG_NUMBER = re.compile(r"\d{13,}")  # as long as a card's

log = logging.getLogger(__name__)


def request(name: str, request_id: int) -> str:
    """A command as it travels. Raises ValueError for one that is not allowed: that is a bug."""
    if name not in ALLOWED:
        raise ValueError(f"{name} is not on the allow-list of this driver")
    return xfs4iot.encode(xfs4iot.command(name, ALLOWED[name], request_id, round(WITHIN * 1000)))


def may_send(text: str) -> bool:
    """Whether a text is one of the allowed commands, whole, and says nothing beside."""
    try:
        header = xfs4iot.decode(text).header
    except BadMessage:
        return False
    return header.name in ALLOWED and header.request_id is not None and text == request(header.name, header.request_id)


class Turned(NamedTuple):
    """What comes of something: Readings, and what to ask next."""

    readings: list[Reading]
    asks: list[str]


class Talk:
    """Asking one command after the other, each answered or given up. `mono` is seconds of the loop's clock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frames = self.unknown = 0
        self._next = 1
        self._asked: dict[int, tuple[str, float]] = {}

    def ask(self, command: str, mono: float) -> str:
        """A command, and its time begins."""
        text = request(command, self._next)
        self._asked[self._next] = (command, mono)
        self._next += 1
        return text

    def waiting(self) -> bool:
        """A command is still to be answered."""
        return bool(self._asked)

    def overdue(self, mono: float) -> None:
        """Raises LineLost when a command was not answered in time."""
        for command, asked in self._asked.values():
            if mono - asked > WITHIN:
                raise LineLost(f"{self.name} does not complete {command} within {WITHIN:g} s: is its service up?", "silent")

    def hear(self, text: str | bytes) -> Message | None:
        """The message of a text; None, counted, when there is none in it."""
        try:
            message = xfs4iot.decode(text)
        except BadMessage:
            self.unknown += 1
            return None
        self.frames += 1
        return message

    def completed(self, message: Message) -> str | None:
        """Which of our commands a completion or a refusal answers; None when it is no answer, or to none of ours."""
        header = message.header
        refused = header.type == "acknowledge" and header.status is not None
        if header.type != "completion" and not refused:
            return None
        command, _ = self._asked.get(header.request_id or 0, ("", 0.0))
        if command != header.name:
            self.unknown += 1
            return None
        del self._asked[header.request_id or 0]
        return command


class PublisherTalk(Talk):
    """With a service publisher: which services there are."""

    vendor = ""

    def opened(self, mono: float) -> list[str]:
        """What to say first."""
        return [self.ask("ServicePublisher.GetServices", mono)]

    def received(self, text: str | bytes) -> list[str]:
        """The addresses that a message names. Raises LineLost when it is no publisher."""
        message = self.hear(text)
        if message is None:
            return []
        name = message.header.name
        if name == "ServicePublisher.ServiceDetailEvent":
            return _uris(message.payload)
        if self.completed(message) is None:
            return []
        if message.completion != "success":
            raise LineLost(f"{self.name} refuses GetServices ({message.completion or message.header.status})", "broken")
        if isinstance(vendor := (message.payload or {}).get("vendorName"), str):
            self.vendor = "".join(filter(str.isprintable, _LONG_NUMBER.sub("(number)", vendor)))[:64]
        return _uris(message.payload)


def _uris(payload: Mapping[str, Any] | None) -> list[str]:
    services = (payload or {}).get("services")
    found = [each.get("serviceURI") for each in services if isinstance(each, Mapping)] if isinstance(services, list) else []
    return [uri for uri in found if isinstance(uri, str) and len(uri) <= 2048][:SERVICES_LIMIT]


class ServiceTalk(Talk):
    """With one service: its capabilities once, its status and storage now and then, its events always."""

    def __init__(self, context: Context, name: str, every: float) -> None:
        super().__init__(name)
        self.values = Values(context)
        self._every = every
        self._services: tuple[str, ...] = ()
        self._stored = False  # it has storage units
        self._storage = Storage()
        self._shown: dict[str, Value] = {}
        self._counts: dict[str, int] = {}
        self._due = float("-inf")

    def opened(self, mono: float) -> list[str]:
        """What to say first; a connection before this one is over."""
        self._asked.clear()
        self._storage = Storage()
        self._due = mono + self._every
        return [self.ask("Common.Capabilities", mono)]

    def tick(self, at: float, mono: float) -> Turned:
        """To be called every second or so. Raises LineLost when the service does not answer."""
        self.overdue(mono)
        asks = []
        if mono >= self._due and not self.waiting():
            self._due = mono + self._every
            asks = self._look(mono)
        return Turned(self.values.news(self._shown, at, mono), asks)

    def _look(self, mono: float) -> list[str]:
        return [self.ask(name, mono) for name in ("Common.Status", *(["Storage.GetStorage"] if self._stored else []))]

    def received(self, text: str | bytes, at: float, mono: float) -> Turned:
        """A message of the service."""
        message = self.hear(text)
        if message is None:
            return Turned([], [])
        command = self.completed(message)
        if command is not None:
            return self._answered(command, message, at, mono)
        if message.header.type in ("unsolicited", "event"):
            return Turned(self._event(message, at, mono), [])
        return Turned([], [])

    def _answered(self, command: str, message: Message, at: float, mono: float) -> Turned:
        if message.completion != "success":
            why = message.completion or message.header.status
            if command != "Storage.GetStorage" or why not in REFUSALS:
                log.warning("%s does not tell %s: %s", self.name, command, str(why)[:40])
            self._stored = self._stored and not (command == "Storage.GetStorage" and why in REFUSALS)
            return Turned([], self._look(mono) if command == "Common.Capabilities" else [])
        payload = message.payload or {}
        if command == "Common.Capabilities":
            interfaces = _interfaces(payload)
            self._services = xfs4iot_status.services_of(interfaces)
            self._stored = "Storage" in interfaces
            return Turned([], self._look(mono))
        if command == "Common.Status":
            said = self._status(payload)
            gone = {name: None for name in self._shown if not name.startswith("storage.") and name not in said}
            return Turned(self._say(gone | said, at, mono), [])
        return Turned(self._say(self._storage.told(payload.get("storage"), whole=True), at, mono), [])

    def _status(self, payload: Mapping[str, Any]) -> dict[str, Value]:
        if not self._services:  # its Capabilities did not tell
            self._services = xfs4iot_status.services_of(list(payload))
        return xfs4iot_status.values(payload, self._services)

    def _say(self, said: Mapping[str, Value], at: float, mono: float) -> list[Reading]:
        known = {name: value for name, value in said.items() if point(name) is not None}
        self.unknown += len(said) - len(known)
        self._shown |= known
        return self.values.news(known, at, mono)

    # Events -----------------------------------------------------------------------------------------------------------------

    def _event(self, message: Message, at: float, mono: float) -> list[Reading]:
        payload = message.payload or {}
        name = message.header.name
        if name == "Common.StatusChangedEvent":
            return self._say(self._status(payload), at, mono)
        if name == "Auxiliaries.AuxiliaryStatusEvent":
            return self._say(self._status(xfs4iot_status.older(payload)), at, mono)
        if name in STORAGE_EVENTS:
            return self._say(self._storage.told(payload.get("storage", payload), whole=False), at, mono)
        if name == "Common.ErrorEvent":
            told = {key: payload.get(key) for key in ("eventId", "action") if isinstance(payload.get(key), str)}
            return self.values.readings(
                {f"{service}.error.{key}": word for service in self._services for key, word in told.items()}, at
            )
        if name in COUNTED and (key := COUNTED[name](payload)):
            self._counts[key] = self._counts.get(key, 0) + 1
            return self._say({key: self._counts[key]}, at, mono)
        if name in WORDS:
            return self._say({key: word for key, word in WORDS[name](payload).items() if isinstance(word, str)}, at, mono)
        return []

    def away(self, at: float) -> list[Reading]:
        """The connection is lost: what was shown is not known any more."""
        shown = dict.fromkeys(name for name in self._shown if name not in self._counts)
        self._shown.clear()
        self.values.forget()
        return self.values.readings(shown, at)


STORAGE_EVENTS = frozenset({"Storage.StorageThresholdEvent", "Storage.StorageChangedEvent", "Storage.CountsChangedEvent"})


def _interfaces(payload: Mapping[str, Any]) -> list[str]:
    listed = payload.get("interfaces")
    found = [each.get("name") for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    return [name for name in found if isinstance(name, str)]


def _captured(payload: Mapping[str, Any]) -> str:
    to = payload.get("to")
    return "cardReader.captures" if isinstance(to, str) and to.startswith("unit") else ""


COUNTED: Mapping[str, Any] = {
    "CashManagement.ItemsPresentedEvent": lambda _: "cashDispenser.presents",
    "CardReader.CardActionEvent": _captured,
}
"""Events that are counted since the start of the agent: the counter that each moves."""


def _source(payload: Mapping[str, Any]) -> str:
    return str(payload.get("paperSource", ""))[:64]


WORDS: Mapping[str, Any] = {
    "CashManagement.NoteErrorEvent": lambda payload: {"cashManagement.noteError": payload.get("reason")},
    "CashManagement.ShutterStatusChangedEvent": lambda payload: {
        f"cashDispenser.{str(payload.get('position'))[:64]}.shutter": payload.get("shutter")
    },
    "Printer.PaperThresholdEvent": lambda payload: {f"printer.paper.{_source(payload)}": payload.get("threshold")},
    "Printer.TonerThresholdEvent": lambda payload: {"printer.toner": payload.get("state")},
    "Printer.InkThresholdEvent": lambda payload: {"printer.ink": payload.get("state")},
    "Printer.LampThresholdEvent": lambda payload: {"printer.lamp": payload.get("state")},
}
"""Events that tell a point: how."""


def address(uri: str, publisher: str) -> str | None:
    """Where to dial a service that a publisher names: its port and path, at the host that was asked. None for no such address.

    A publisher knows itself by another name than we do, and must not send us anywhere else.
    """
    try:
        parts, ours = urlsplit(uri), urlsplit(publisher)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or (ours.scheme == "wss" and parts.scheme != "wss"):
        return None
    host = f"[{ours.hostname}]" if ours.hostname is not None and ":" in ours.hostname else ours.hostname
    return f"{parts.scheme}://{host}:{port or (443 if parts.scheme == 'wss' else 80)}{parts.path}"
