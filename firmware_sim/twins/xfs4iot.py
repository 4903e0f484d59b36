"""The machine's XFS4IoT services and their publisher: texts in, texts out, over the one world.

A service completes the commands that read, and refuses every other one, as the agent has no business with them. What the world
changes comes as events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from agent.records import Value
from agent.wire import xfs4iot, xfs4iot_status, xfs4iot_storage
from agent.wire.xfs4iot import PUBLISHER_PATH, BadMessage, Message
from firmware_sim.world import World

PUBLISHER = ""
"""The path of the publisher, after PUBLISHER_PATH."""


class Service(NamedTuple):
    """One service: its name in the address, its interfaces, and the first words of the points that it tells."""

    name: str
    interfaces: tuple[str, ...]
    tells: tuple[str, ...]

    @property
    def word(self) -> str:
        """As the vocabulary names it."""
        return self.tells[0]


SERVICES = (
    Service(
        "CashDispenser1", ("Common", "CashManagement", "CashDispenser", "Storage"), ("cashDispenser", "cashManagement", "storage")
    ),
    Service("CardReader1", ("Common", "CardReader"), ("cardReader",)),
    Service("ReceiptPrinter1", ("Common", "Printer"), ("printer",)),
    Service("Auxiliaries1", ("Common", "Auxiliaries"), ("auxiliaries",)),
    Service("VendorMode1", ("Common", "VendorMode"), ("vendorMode",)),
    Service("PowerManagement1", ("Common", "PowerManagement"), ("powerManagement",)),
    Service("BanknoteNeutralization1", ("Common", "BanknoteNeutralization"), ("banknoteNeutralization",)),
)
BY_NAME = {service.name: service for service in SERVICES}


class Services:
    """All services of one machine. `base` is how the publisher's address begins: wss://atm:5846."""

    def __init__(self, world: World, base: str) -> None:
        self._world = world
        self._base = base
        self._said = self._shown()

    def _shown(self) -> dict[str, Value]:
        return {name: value for name, value in self._world.points().items() if value is not None}

    # Commands ---------------------------------------------------------------------------------------------------------------

    def on_text(self, service: str, text: str) -> list[str]:
        """What a client sent to a service, or to the PUBLISHER; the answers."""
        try:
            message = xfs4iot.decode(text)
        except BadMessage:
            return []
        if message.header.type != "command":
            return []
        return [xfs4iot.encode(answer) for answer in self._answer(service, message)]

    def _answer(self, service: str, message: Message) -> Iterator[Message]:
        yield xfs4iot.acknowledged(message)
        name = message.header.name
        if service == PUBLISHER and name == "ServicePublisher.GetServices":
            uris = [{"serviceURI": f"{self._base}{PUBLISHER_PATH}/{each.name}"} for each in SERVICES]
            yield xfs4iot.completed(message, {"vendorName": "Simulated", "services": uris})
        elif service == PUBLISHER or name not in self._readers(service):
            yield xfs4iot.completed(message, None, "unsupportedCommand")
        else:
            payload, version = self._readers(service)[name]
            yield xfs4iot.completed(message, payload, version=version)

    def _readers(self, name: str) -> dict[str, tuple[dict[str, Any], str]]:
        service = BY_NAME[name]
        shown = self._shown()
        found: dict[str, tuple[dict[str, Any], str]] = {
            "Common.Capabilities": ({"interfaces": [{"name": each} for each in service.interfaces]}, "2.0"),
            "Common.Status": (xfs4iot_status.payload(_of(shown, service), service.word), "3.0"),
        }
        if "Storage" in service.interfaces:
            found["Storage.GetStorage"] = ({"storage": xfs4iot_storage.units(_of(shown, service))}, "2.1")
        return found

    # Events -----------------------------------------------------------------------------------------------------------------

    def events(self) -> list[tuple[str, str]]:
        """What the world has changed since the last call: service and text."""
        before, self._said = self._said, self._shown()
        changed = {name: value for name, value in self._said.items() if before.get(name) != value}
        return [
            (service.name, xfs4iot.encode(event))
            for service in SERVICES
            for event in _events(service, _of(changed, service), self._said, before)
        ]


def _of(shown: Mapping[str, Value], service: Service) -> dict[str, Value]:
    return {name: value for name, value in shown.items() if name.partition(".")[0] in service.tells}


def _events(
    service: Service, changed: Mapping[str, Value], shown: Mapping[str, Value], before: Mapping[str, Value]
) -> Iterable[Message]:
    payload = xfs4iot_status.payload(changed, service.word)
    if any(payload.values()):
        yield xfs4iot.unsolicited("Common.StatusChangedEvent", {name: each for name, each in payload.items() if each}, "3.0")
    units = {name.split(".")[1] for name in changed if name.startswith("storage.")}
    if units:
        told = xfs4iot_storage.units(
            {name: value for name, value in shown.items() if name.split(".")[1:2] and name.split(".")[1] in units}
        )
        words = any(isinstance(value, str) for name, value in changed.items() if name.startswith("storage."))
        yield xfs4iot.unsolicited("Storage.StorageThresholdEvent" if words else "Storage.CountsChangedEvent", told, "2.1")
    for counter, name, payload in COUNTED:
        if counter in changed:
            grown = int(changed[counter] or 0) - int(before.get(counter) or 0)
            yield from (xfs4iot.unsolicited(name, payload) for _ in range(min(grown, 10)))
    if "cashManagement.noteError" in changed:
        yield xfs4iot.unsolicited("CashManagement.NoteErrorEvent", {"reason": changed["cashManagement.noteError"]})


COUNTED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("cashDispenser.presents", "CashManagement.ItemsPresentedEvent", {"position": "outDefault"}),
    ("cardReader.captures", "CardReader.CardActionEvent", {"to": "unitRetain", "from": "transport"}),
)
