"""The machine's own services over real WebSockets: found, asked, heard, lost and found again; only questions leave."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import random
import time
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.errors import ConfigError, LineLost
from agent.records import Reading
from agent.sources import Context
from agent.sources.xfs4iot import Settings, addresses, open_source
from agent.sources.xfs4iot_talk import ALLOWED, WITHIN, PublisherTalk, ServiceTalk, address, may_send, request
from agent.vocabulary import fault, point
from agent.wire import xfs4iot
from agent.wire.xfs4iot import Header, Message
from firmware_sim.firmware import Pace
from firmware_sim.publisher import ServicePublisher
from firmware_sim.twins.xfs4iot import SERVICES
from firmware_sim.world import World

NOW = 1_750_000_000.0
STATE = "gateway.source.machine"
pytestmark = pytest.mark.usefixtures("nothing_leaks")


async def soon(_: float) -> None:
    await asyncio.sleep(0.005)


class Machine:
    """A simulated machine and its publisher, which can be switched off and on at the same port."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.world = World(seed=3)
        self.port = 0
        self._certificate = certificate

    @asynccontextmanager
    async def up(self):
        pace = Pace(self.world.now, time.time(), 1.0)
        publisher = ServicePublisher((self.world, pace), ("127.0.0.1", self.port), time.time, self._certificate)
        async with publisher:
            self.port = publisher._port
            running = asyncio.ensure_future(publisher.run(float("inf"), lambda: None))
            try:
                yield publisher
            finally:
                publisher.stop()
                await running

    @property
    def url(self) -> str:
        return f"{'wss' if self._certificate else 'ws'}://127.0.0.1:{self.port}"


def opened(url: str, **more):
    return open_source(Context("machine", "atm-1", "gw-1", lambda: NOW), Settings(url=url, **more))


class Listener:
    """Follows a source as the agent does."""

    def __init__(self, source) -> None:
        source._sleep, source._rng = soon, random.Random(1)
        self.readings: list[Reading] = []
        self.shown: dict[str, object] = {}
        self._new = asyncio.Event()
        self._task = asyncio.ensure_future(self._follow(source))

    async def _follow(self, source) -> None:
        async with aclosing(source.read(None)) as given_by_source:
            async for given in given_by_source:
                self.readings += given.readings
                self.shown |= {each.point: each.value for each in given.readings}
                self._new.set()

    async def until(self, name: str, *values: object) -> None:
        async with asyncio.timeout(15):
            while self.shown.get(name, "?") not in values:
                self._new.clear()
                waiting = asyncio.ensure_future(self._new.wait())
                await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if self._task.done():
                    self._task.result()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc: object) -> None:
        began = asyncio.get_running_loop().time()
        self._task.cancel()
        await asyncio.wait([self._task])
        assert asyncio.get_running_loop().time() - began < 1.0


async def test_it_says_what_the_services_say():
    machine = Machine()
    async with machine.up(), Listener(opened(machine.url)) as heard:
        await heard.until(STATE, "ok")
        await heard.until("storage.unit1.status", "ok")
        truth = machine.world.points()
        for name in (
            "auxiliaries.safeDoor",
            "banknoteNeutralization.gas",
            "cardReader.device",
            "cashDispenser.outDefault.shutter",
            "storage.unit1.count",
        ):
            await heard.until(name, truth[name])
        for reading in heard.readings:
            entry = point(reading.point)
            assert entry is not None
            assert fault(entry, reading.value) is None
            assert reading.machine == ("gw-1" if reading.point.startswith("gateway.") else "atm-1")


async def test_events_come_without_being_asked_for():
    machine = Machine()
    async with machine.up(), Listener(opened(machine.url, every=3600.0)) as heard:
        await heard.until("storage.unit1.status", "ok")
        await heard.until("auxiliaries.safeDoor", "bolted")
        machine.world.site.housing.safe = "open"
        await heard.until("auxiliaries.safeDoor", "open")
        machine.world.site.cash.cassettes[0].status = "manipulated"
        await heard.until("storage.unit1.status", "manipulated")


async def test_services_that_are_lost_are_unknown_until_they_are_back():
    machine = Machine()
    async with machine.up(), Listener(opened(machine.url)) as heard:
        await heard.until(STATE, "ok")
        await heard.until("auxiliaries.safeDoor", "bolted")
    async with Listener(opened(machine.url)) as heard:
        await heard.until(STATE, "missing")
        for _ in range(3):
            async with machine.up():
                await heard.until(STATE, "ok")
                await heard.until("auxiliaries.safeDoor", "bolted")
            await heard.until(STATE, "missing")
            await heard.until("auxiliaries.safeDoor", None)


async def test_one_service_alone():
    machine = Machine()
    async with machine.up(), Listener(opened(f"{machine.url}/xfs4iot/v1.0/CardReader1")) as heard:
        await heard.until(STATE, "ok")
        await heard.until("cardReader.device", "online")
        assert not any(name.startswith("auxiliaries.") for name in heard.shown)


USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
    key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "machine")])
    day = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), day, day + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(USAGE, critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "machine.pem", tmp_path / "machine.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def test_tls_with_the_services_own_authority(certificate, caplog):
    machine = Machine(certificate)
    async with machine.up():
        async with Listener(opened(machine.url, ca=certificate[0])) as heard:
            await heard.until(STATE, "ok")
        async with Listener(opened(machine.url)) as heard:
            await heard.until(STATE, "broken")
        assert "name who signed it under `ca`" in caplog.text
        async with Listener(opened(machine.url.replace("wss", "ws"))) as heard:
            await heard.until(STATE, "broken", "missing")


@asynccontextmanager
async def served(talk):
    """A WebSocket server of bad manners; `talk` is handed each connection."""

    async def welcome(request):
        client = web.WebSocketResponse()
        await client.prepare(request)
        await talk(client, request.path)
        return client

    application = web.Application()
    application.router.add_get("/{path:.*}", welcome)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_nothing_but_questions_leaves():
    """A service that orders, begs and lies gets nothing but the four questions."""
    texts: list[str] = []
    enough = asyncio.Event()

    async def talk(client, path):
        for name in ("CashDispenser.Dispense", "Storage.SetStorage", "Common.Status"):
            await client.send_str(xfs4iot.encode(xfs4iot.command(name, "2.0", 1, 0)))
            await client.send_str(
                xfs4iot.encode(
                    Message(Header(name, "completion", 1, completion_code="success"), {"common": {"device": "online"}})
                )
            )
        async for message in client:
            texts.append(message.data)
            if len(texts) == 5:
                enough.set()
            ask = xfs4iot.decode(message.data)
            await client.send_str(xfs4iot.encode(xfs4iot.acknowledged(ask)))
            payload = {
                "interfaces": [{"name": "CashDispenser"}, {"name": "Storage"}],
                "storage": {},
                "common": {"device": "online"},
            }
            await client.send_str(xfs4iot.encode(xfs4iot.completed(ask, payload)))

    async with served(talk) as port, Listener(opened(f"ws://127.0.0.1:{port}/xfs4iot/v1.0/Any1", every=1.0)) as heard:
        await heard.until("cashDispenser.device", "online")
        await enough.wait()
    assert {json.loads(text)["header"]["name"] for text in texts} == {
        "Common.Capabilities",
        "Common.Status",
        "Storage.GetStorage",
    }
    assert all(may_send(text) for text in texts)


@pytest.mark.parametrize("manners", ["too much", "nonsense", "closes", "says nothing of services", "refuses"])
async def test_bad_manners_are_survived(manners, caplog):
    async def talk(client, path):
        if manners == "too much":
            await client.send_str("x" * (xfs4iot.MESSAGE_LIMIT + 1))
        elif manners == "nonsense":
            for _ in range(200):
                await client.send_str("{not json")
        async for message in client:
            ask = xfs4iot.decode(message.data)
            if manners == "refuses":
                await client.send_str(xfs4iot.encode(xfs4iot.completed(ask, None, "unsupportedCommand")))
            elif manners == "says nothing of services":
                await client.send_str(xfs4iot.encode(xfs4iot.completed(ask, {"services": "none"})))
            elif manners == "closes":
                break

    words = {
        "too much": "missing",
        "nonsense": None,
        "closes": "missing",
        "says nothing of services": "silent",
        "refuses": "broken",
    }
    async with served(talk) as port, Listener(opened(f"ws://127.0.0.1:{port}")) as heard:
        if words[manners] is None:
            await asyncio.sleep(0.2)
            assert STATE not in heard.shown
        else:
            await heard.until(STATE, words[manners])


COMMANDS = [
    "CashDispenser.Dispense",
    "CashDispenser.Present",
    "Storage.SetStorage",
    "Storage.StartExchange",
    "CardReader.ReadRawData",
    "Auxiliaries.SetAuxiliaries",
    "BanknoteNeutralization.SetProtection",
    "Common.Status ",
    "common.status",
    "",
]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_other_command_is_refused_in_code(name):
    with pytest.raises(ValueError, match="not on the allow-list"):
        request(name, 1)
    assert not may_send(xfs4iot.encode(xfs4iot.command(name, "2.0", 1, 10_000)))


def test_an_allowed_command_says_nothing_beside():
    for name in ALLOWED:
        text = request(name, 5)
        assert may_send(text)
        assert not may_send(text[:-1])
        assert not may_send(text[:-1] + ',"payload":{"unit":1}}')
        assert not may_send(text.replace('"command"', '"event"'))
    assert not may_send("")


def talked(every: float = 60.0) -> ServiceTalk:
    return ServiceTalk(Context("machine", "atm-1", "gw-1", lambda: NOW), "ws://here/Any1", every)


def answer(text: str, payload, code="success") -> str:
    return xfs4iot.encode(xfs4iot.completed(xfs4iot.decode(text), payload, code))


def event(name: str, payload) -> str:
    return xfs4iot.encode(xfs4iot.unsolicited(name, payload))


def met(talk: ServiceTalk, interfaces, status) -> list[str]:
    """Through the first questions; those that came after the capabilities."""
    (first,) = talk.opened(0.0)
    asked = talk.received(answer(first, {"interfaces": [{"name": each} for each in interfaces]}), NOW, 0.0).asks
    talk.received(answer(asked[0], status), NOW, 0.0)
    return asked


def test_what_a_device_does_not_have_is_not_said_and_what_it_lost_is_none():
    talk = talked(10.0)
    met(talk, ["CardReader"], {"common": {"device": "online"}, "cardReader": {"media": "present", "chipModule": None}})
    assert talk._shown == {"cardReader.device": "online", "cardReader.media": "present"}
    unchanged = talk.received(event("Common.StatusChangedEvent", {"common": {"device": None}, "cardReader": {}}), NOW, 1.0)
    assert unchanged.readings == []
    (again,) = talk.tick(NOW, 10.0).asks
    readings = talk.received(answer(again, {"common": {"device": "online"}, "cardReader": {"media": None}}), NOW, 10.0).readings
    assert [(each.point, each.value) for each in readings] == [("cardReader.media", None)]


def test_a_word_that_nobody_knows_is_refused_and_counted():
    talk = talked()
    met(talk, ["CardReader"], {"cardReader": {"media": "levitating"}})
    assert talk.values.unknown == 1
    readings = talk.received(event("Common.StatusChangedEvent", {"cardReader": {"media": "latched"}}), NOW, 1.0).readings
    assert [each.value for each in readings] == ["latched"]


ERROR = {"eventId": "hardware", "action": "clear"}
LOW = {"unit2": {"cash": {"status": {"replenishmentStatus": "low"}}}}
JAMMED = {"position": "outDefault", "shutter": "jammedOpen"}
EVENTS = [
    ("Auxiliaries.AuxiliaryStatusEvent", {"safeDoorState": "open"}, {"auxiliaries.safeDoor": "open"}),
    (
        "Common.ErrorEvent",
        ERROR | {"vendorDescription": "4111111111111111"},
        {f"cashDispenser.error.{key}": ERROR[key] for key in ERROR},
    ),
    ("Storage.StorageThresholdEvent", LOW, {"storage.unit2.replenishmentStatus": "low"}),
    ("Storage.StorageChangedEvent", {"unit2": {"status": "missing"}}, {"storage.unit2.status": "missing"}),
    ("CashManagement.NoteErrorEvent", {"reason": "doubleNote"}, {"cashManagement.noteError": "doubleNote"}),
    ("CashManagement.ShutterStatusChangedEvent", JAMMED, {"cashDispenser.outDefault.shutter": "jammedOpen"}),
    ("CashManagement.ItemsPresentedEvent", {}, {"cashDispenser.presents": 1}),
    ("CardReader.CardActionEvent", {"to": "unit1", "from": "transport"}, {"cardReader.captures": 1}),
    ("CardReader.CardActionEvent", {"to": "exit", "from": "transport"}, {}),
    ("Printer.PaperThresholdEvent", {"paperSource": "upper", "threshold": "out"}, {"printer.paper.upper": "out"}),
    ("Printer.PaperThresholdEvent", {"paperSource": "../..", "threshold": "out"}, {}),
    ("CashDispenser.IncompleteDispenseEvent", {"denomination": {}}, {}),
    ("ServicePublisher.ServiceDetailEvent", {}, {}),
]


@pytest.mark.parametrize(("name", "payload", "expected"), EVENTS, ids=lambda value: value if isinstance(value, str) else "")
def test_events(name, payload, expected):
    talk = talked()
    met(talk, ["CashDispenser", "Storage"], {"common": {"device": "online"}})
    readings = talk.received(event(name, payload), NOW, 1.0).readings
    assert {each.point: each.value for each in readings} == expected


def test_a_service_without_storage_is_asked_for_none_again():
    talk = talked(5.0)
    asked = met(talk, ["CashDispenser", "Storage"], {})
    assert [xfs4iot.decode(text).header.name for text in asked] == ["Common.Status", "Storage.GetStorage"]
    talk.received(answer(asked[1], None, "unsupportedCommand"), NOW, 0.1)
    assert [xfs4iot.decode(text).header.name for text in talk.tick(NOW, 5.0).asks] == ["Common.Status"]


def test_what_is_not_answered_in_time_is_silence():
    talk = talked()
    talk.opened(0.0)
    talk.tick(NOW, WITHIN)
    with pytest.raises(LineLost, match=r"does not complete Common\.Capabilities") as lost:
        talk.tick(NOW, WITHIN + 0.1)
    assert lost.value.word == "silent"


def test_answers_to_nobodys_question_are_counted():
    talk = talked()
    (first,) = talk.opened(0.0)
    talk.received(answer(first.replace('"requestId":1', '"requestId":9'), {}), NOW, 0.0)
    talk.received(answer(first.replace("Capabilities", "Status"), {}), NOW, 0.0)
    talk.received("[]", NOW, 0.0)
    assert (talk.unknown, talk.waiting()) == (3, True)


def test_a_publisher_tells_addresses():
    talk = PublisherTalk("ws://here")
    (ask,) = talk.opened(0.0)
    uris = [f"wss://atm-42:5847/xfs4iot/v1.0/{service.name}" for service in SERVICES]
    assert talk.received(answer(ask, {"services": [*({"serviceURI": uri} for uri in uris), {"serviceURI": 7}, "x"]})) == uris
    assert talk.received(event("ServicePublisher.ServiceDetailEvent", {"services": [{"serviceURI": uris[0]}]})) == uris[:1]


@pytest.mark.parametrize(
    ("uri", "dialled"),
    [
        ("ws://elsewhere.example:5847/xfs4iot/v1.0/A", "ws://127.0.0.1:5847/xfs4iot/v1.0/A"),
        ("wss://atm/xfs4iot/v1.0/A", "wss://127.0.0.1:443/xfs4iot/v1.0/A"),
        ("http://atm/xfs4iot/v1.0/A", None),
        ("ws://atm:99999/A", None),
        ("nonsense", None),
    ],
)
def test_a_service_is_dialled_at_the_host_that_was_asked(uri, dialled):
    assert address(uri, "ws://127.0.0.1:5846/xfs4iot/v1.0") == dialled


def test_a_publisher_behind_tls_cannot_send_us_to_services_without():
    assert address("ws://atm:5847/A", "wss://atm:5846/xfs4iot/v1.0") is None


def test_where_to_look():
    found, single = addresses("wss://atm")
    assert (len(found), found[0], found[-1], single) == (12, "wss://atm:443/xfs4iot/v1.0", "wss://atm:5856/xfs4iot/v1.0", None)
    assert addresses("ws://[::1]:5846/") == (["ws://[::1]:5846/xfs4iot/v1.0"], None)
    assert addresses("ws://atm:5846/xfs4iot/v1.0/CardReader1") == ([], "ws://atm:5846/xfs4iot/v1.0/CardReader1")


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("url", {"url": "http://atm"}),
        ("url", {"url": "wss://atm:0"}),
        ("url", {"url": "wss://user@atm"}),
        ("url", {"url": "ws://192.0.2.1"}),
        ("ca", {"url": "ws://127.0.0.1", "ca": Path("ca.pem")}),
        ("every", {"url": "wss://atm", "every": 0.1}),
    ],
)
def test_settings_that_make_no_sense(key, more):
    with pytest.raises(ValueError, match=f"^{key}: "):
        Settings(**more)
    Settings(url="ws://192.0.2.1", insecure=True)


def test_a_ca_file_that_is_none_is_a_mistake(tmp_path):
    with pytest.raises(ConfigError, match=r"source machine: ca: .*: No such file"):
        opened("wss://atm", ca=tmp_path / "none.pem")
    (tmp_path / "text.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="holds no certificate"):
        opened("wss://atm", ca=tmp_path / "text.pem")
